"""skilldelta choose: the best of many checkpoints, with few answers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli import options
from harness.cli.progress import PlainProgress
from harness.cli.screen import note, print_json, print_table, say
from harness.cli.selection import SelectionOptions
from harness.cli.suite_rule import keep_rule
from harness.cli.suite_template import with_suite_template
from harness.shares import check_share
from harness.types import SkilldeltaError

if TYPE_CHECKING:
    from harness.comparison.holdout import Holdout
    from harness.comparison.result import Comparison
    from harness.evaluation.choose import Choice
    from harness.evaluation.lazy_model import LazyModel
    from harness.evaluation.questions import EvaluationSettings
    from harness.store import Results
    from harness.types import Task

BaselinePath = Annotated[
    str,
    typer.Option("--baseline", help="What the others are compared with: a checkpoint's folder, or the name of one of PATHS."),
]


@options.with_option_groups
def choose(
    paths: options.Checkpoints,
    baseline: BaselinePath,
    what: options.TaskOptions,
    where: options.DataOptions,
    model: options.ModelOptions,
    generation: options.GenerationOptions,
    confinement: options.ConfinementOptions,
    selection: SelectionOptions,
    output: options.Output = Path("results"),
    until: Annotated[str, typer.Option(help="decided, or all: ask those that are left every question.")] = "decided",
    max_share: Annotated[float, typer.Option(help="Ask at most this share (0.2) of what scoring everything would ask.")] = 1.0,
    holdout: options.Holdout = 0.0,
    as_json: options.Json = False,
) -> None:
    """The best of many checkpoints, and what cannot be told from it, without scoring all of them on everything."""
    from harness import api
    from harness.comparison.holdout import Holdout
    from harness.evaluation.choose import ChoiceOptions, choose_best
    from harness.store import Results

    refuse_devices(model)
    options.check_until(until)
    check_share("--max-share", max_share)
    split = Holdout(holdout) if holdout else None
    tasks, selections = what.choose(model.chat_template)
    keep_rule(what.suite, output)
    settings = where.settings(selections=selections, sandbox=confinement.options(), **generation.settings())
    models = api.lazy_models(paths, baseline, with_suite_template(model, what.suite).backend().loader(), selection.selection())
    announce_race(models, tasks, Results.make(output))
    race = ChoiceOptions(until == "decided", max_share, split.develops if split else None, note)
    choice = choose_best(models, tasks, Results.make(output), settings, race)
    verdict = None
    if split and choice.best != choice.baseline:
        pair = [m for m in models if m.checkpoint.name in (choice.baseline, choice.best)]
        ask_held_out(pair, tasks, Results(output), settings, split)
        verdict = judge_choice(choice, output, split)
    if as_json:
        print_json(choice.to_json() | ({"held_out": verdict.json()} if verdict else {}))
    else:
        print_choice(choice, verdict)
    if any(s.state == "failed" for s in choice.standings):
        raise typer.Exit(4)


def announce_race(models: Sequence[LazyModel], tasks: Sequence[Task], results: Results) -> None:
    """Says what begins, and who will fail: the race's first line comes after every checkpoint was loaded and asked once."""
    from harness.evaluation.preflight import announce_unloadable

    announce_unloadable([model.checkpoint for model in models], tasks, models[0].loader, results, PlainProgress())
    count, names = len(models) - 1, ", ".join(task.name for task in tasks)
    candidates = f"{count} checkpoint{'s' * (count != 1)}"
    note(f"{candidates} and the baseline {models[0].checkpoint.name} on {names}: loading, then a line for each look.")


def refuse_devices(model: options.ModelOptions) -> None:
    """Raises SkilldeltaError where several devices are named."""
    if model.devices:
        raise SkilldeltaError("--devices spreads whole cells, and here checkpoints are asked in turn: name one --device.")


def ask_held_out(
    models: Sequence[LazyModel], tasks: Sequence[Task], results: Results, settings: EvaluationSettings, split: Holdout
) -> None:
    """Asks the held-out items.  SkilldeltaError where one of the checkpoints fails on a task."""
    from harness.evaluation.cell_part import score_part

    failures = [o for o in score_part(models, tasks, results, settings, split.holds_out) if o.state == "failed"]
    if failures:
        raise SkilldeltaError("\n".join(f"{o.checkpoint} on {o.task}, held-out items: {o.why}" for o in failures))


def judge_choice(choice: Choice, output: Path, split: Holdout) -> Comparison:
    """The best against the baseline on held-out items."""
    from harness import api

    return api.compare(output, choice.baseline, candidates=[choice.best], holdout=split.share)


def describe_result(choice: Choice) -> str:
    """The end of the race in one or two sentences."""
    others = [name for name in choice.equals if name != choice.baseline]
    same = f"  {len(others)} cannot be told from it: {', '.join(others)}." if others else ""
    if choice.best == choice.baseline:
        return f"None of them scores higher than the baseline {choice.baseline}.{same}"
    if choice.beats_baseline and not others:
        return f"{choice.best} is the best, and better than {choice.baseline}."
    if choice.beats_baseline:  # by one of those that are left, which need not be this one
        return f"{choice.best} scores highest, and the baseline {choice.baseline} is shown not to be the best.{same}"
    return f"{choice.best} scores highest, but is not shown to be better than the baseline {choice.baseline}.{same}"


def print_choice(choice: Choice, verdict: Comparison | None) -> None:
    """Prints the result, a line for each checkpoint, and what was saved."""
    say(describe_result(choice) + "\n")
    order = {"best": 0, "equal": 1, "beaten": 2, "failed": 3}
    rows = []
    for s in sorted(choice.standings, key=lambda s: (order[s.state], -s.answers, s.lead)):
        lead = "" if s.state in ("best", "failed") else f"{s.lead:.1f}"
        rows.append([s.name + (" (baseline)" if s.name == choice.baseline else ""), s.state, lead, str(s.answers), s.why])
    print_table(["checkpoint", "", "behind by, points", "answers", "why"], rows, right=["behind by, points", "answers"])
    for line in choice.notes:
        note(line)
    note(f"{choice.answers} of {choice.total} answers were needed ({100 * choice.saved:.0f} % saved).")
    note(
        f"The true best is the best or an equal with {100 * (1 - choice.alpha):g} %, whenever one looks.  "
        "A beaten one left when it looked worst, so its gap is too large."
    )
    if verdict:
        from harness.cli.compare import print_comparison

        say("")
        print_comparison(verdict)


VERBS = (choose,)
