"""skilldelta behaviour: how checkpoints answer a user's own prompts, compared with a baseline."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli import options
from harness.cli.choose import BaselinePath, refuse_devices
from harness.cli.progress import progress_display
from harness.cli.screen import note, print_json, print_table, say
from harness.cli.selection import EarlierAnswerOptions, SelectionOptions
from harness.own_packages import own_imports
from harness.types import SkilldeltaError

if TYPE_CHECKING:
    from harness.behaviour.run import BehaviourReport
    from harness.evaluation.questions import EvaluationSettings

Prompts = Annotated[
    Path, typer.Option("--prompts", help="Your prompts: .txt (one a line), .jsonl, .json or .csv (prompts or conversations).")
]
ChoiceTasks = Annotated[
    list[str] | None,
    typer.Option("--tasks", "-t", help="Tasks of choices, such as mmlu or truthfulqa_mc1, for calibration (ECE)."),
]
IgnoreColumns = Annotated[
    list[str] | None,
    typer.Option("--ignore-columns", help="Columns of the prompts that are no part of them: one, or several with commas."),
]


@options.with_option_groups
def behaviour(
    paths: options.Checkpoints,
    prompts: Prompts,
    baseline: BaselinePath,
    where: options.DataOptions,
    model: options.ModelOptions,
    generation: options.GenerationOptions,
    selection: SelectionOptions,
    earlier: EarlierAnswerOptions,
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder for answers, tables, plot and page.")] = Path(
        "behaviour"
    ),
    limit: Annotated[
        int, typer.Option("--limit", "-L", help="Only the first N prompts, and N of each choice task; 0: all.")
    ] = 0,
    tasks: ChoiceTasks = None,
    divergence: Annotated[
        bool, typer.Option("--divergence/--no-divergence", help="Also ask both models how likely the answers are to them.")
    ] = True,
    ignore_columns: IgnoreColumns = None,
    include: options.Include = None,
    allow: options.Allow = None,
    as_json: options.Json = False,
) -> None:
    """What changed in length, lists, hedges, refusals, repetition, ... on your own prompts; a page with the answers."""
    from harness import api
    from harness.behaviour.prompts import read_prompts
    from harness.behaviour.run import BehaviourPlan, measure_checkpoints
    from harness.comparison.result import without_nan

    with own_imports():
        from reports.behaviour import write_report

    refuse_devices(model)
    file = read_prompts(prompts, [name for names in ignore_columns or () for name in names.split(",")], check_limit(limit))
    choice_tasks = api.resolve(",".join(tasks or ()), include or ())
    settings = where.settings(selections=api.limits(limit or None, None), **generation.settings(), **earlier.settings())
    check_draws(settings)
    loader = model.backend().loader()
    checkpoints = [m.checkpoint for m in api.lazy_models(paths, baseline, loader, selection.selection())]
    shared = (loader, settings, choice_tasks, allow or (), divergence, progress_display())
    report = measure_checkpoints(BehaviourPlan(checkpoints, file, output, *shared))
    for path in write_report(report, output):
        note(f"wrote {path}")
    if as_json:
        print_json(without_nan(report.to_json()))
    else:
        print_report(report)
    if report.failures:
        raise typer.Exit(4)


def check_limit(limit: int) -> int:
    if limit < 0:
        raise SkilldeltaError(f"The limit is {limit}: write 1 or more, or leave it out for every prompt.")
    return limit


def check_draws(settings: EvaluationSettings) -> None:
    """Raises SkilldeltaError for several draws of greedy answers, which would be the same answer again."""
    if (settings.draws or 1) > 1 and not settings.overrides.get("temperature"):
        raise SkilldeltaError(f"--draws {settings.draws} at temperature 0 repeats one answer: add --gen-kwargs temperature=1.")


def print_report(report: BehaviourReport) -> None:
    """Prints the tables and the notes."""

    with own_imports():
        from reports.layout import behaviour_tables as layout

    tables = [
        layout.measure_table(report.task, report.rows), layout.divergence_table(report.divergences),
        layout.calibration_table(report.calibrations),
    ]  # fmt: skip
    for table in filter(None, tables):
        print_table(table.columns, table.rows, title=table.title, right=table.columns[2:])
        say("")
    guides = [layout.READING_GUIDE]
    guides += [layout.DIVERGENCE_GUIDE] if report.divergences else []
    guides += [layout.CALIBRATION_GUIDE] if report.calibrations else []
    for text in (*guides, *report.notes):
        say(text)
    for why in report.failures:
        note(f"failed: {why}")


VERBS = (behaviour,)
