"""skilldelta bisect: between which two saved steps a skill fell."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli import options
from harness.cli.choose import BaselinePath, announce_race, refuse_devices
from harness.cli.screen import note, print_json, print_table, say
from harness.cli.selection import SelectionOptions
from harness.cli.suite_rule import keep_rule
from harness.cli.suite_template import with_suite_template
from harness.comparison.number_format import format_number
from harness.types import Task, unknown_name

if TYPE_CHECKING:
    from harness.evaluation.bisect import Bisection


@options.with_option_groups
def bisect(
    paths: options.Checkpoints,
    baseline: BaselinePath,
    what: options.TaskOptions,
    where: options.DataOptions,
    model: options.ModelOptions,
    generation: options.GenerationOptions,
    confinement: options.ConfinementOptions,
    selection: SelectionOptions,
    skill: Annotated[
        str, typer.Option(help="The skill: only its tasks of --suite or --tasks are asked; default: all of them.")
    ] = "",
    drop: Annotated[float, typer.Option(help="Points: a checkpoint whose drop is shown to be smaller has not fallen.")] = 5.0,
    checks: Annotated[int, typer.Option(help="Further checkpoints that are asked, to see a second fall or a recovery.")] = 2,
    output: options.Output = Path("results"),
    as_json: options.Json = False,
) -> None:
    """Between which two saved steps of a run a skill fell, from as few checkpoints and answers as it takes."""
    from harness import api
    from harness.evaluation.bisect import BisectOptions, bisect_run
    from harness.store import Results

    refuse_devices(model)
    tasks, selections = what.choose(model.chat_template)
    keep_rule(what.suite, output)
    settings = where.settings(selections=selections, sandbox=confinement.options(), **generation.settings())
    models = api.lazy_models(paths, baseline, with_suite_template(model, what.suite).backend().loader(), selection.selection())
    search = BisectOptions(drop, checks, note)
    chosen_tasks = tasks_of_skill(tasks, skill)
    announce_race(models, chosen_tasks, Results.make(output))
    bisection = bisect_run(models, chosen_tasks, Results.make(output), settings, search)
    if as_json:
        print_json(bisection.to_json())
    else:
        print_bisection(bisection, skill or "the score")


def tasks_of_skill(tasks: list[Task], skill: str) -> list[Task]:
    """The tasks of a skill; all of them for "".  SkilldeltaError where there are none."""
    skills = sorted({task.skill for task in tasks})
    if skill and skill not in skills:
        raise unknown_name("skill", skill, skills)
    return [task for task in tasks if skill in ("", task.skill)]


def describe_fall(bisection: Bisection, skill: str) -> str:
    """The result in a sentence or two."""
    if not bisection.first_fallen:
        last = bisection.verdicts[-1]
        ruled_out = f"a drop of {bisection.drop:g} points or more is ruled out"
        text = f"{skill} has not fallen at the end of the run, {last.name}: {ruled_out}."
        if not last.is_sure:
            text = f"Whether {skill} has fallen at the end of the run, {last.name}, is open: no test decided it."
        fallen = ", ".join(bisection.describe(v.name) for v in bisection.verdicts if v.state == "fallen")
        recovery = ", and recovered" if last.is_sure else ""
        return f"{text}  It was lower at {fallen}{recovery}." if fallen else text
    start = bisection.last_whole or f"the baseline {bisection.baseline}"
    text = f"{skill} fell between {start} and {bisection.first_fallen}."
    if not bisection.is_sure:
        text += "  Not sure: all items were asked of one of them, and no test decided; more items would."
    if not bisection.is_monotone:
        changes = "; ".join(f"{bisection.describe(a)} to {bisection.describe(b)}" for a, b in bisection.changes)
        text += f"  It is not the only change: the curve is not monotone ({changes})."
    return text


def print_bisection(bisection: Bisection, skill: str) -> None:
    """Prints the result, the checkpoints that were asked, and what was saved."""
    say(describe_fall(bisection, skill) + "\n")
    words = {"whole": "not fallen", "fallen": "fallen"}
    rows = [
        [v.name, "" if v.step is None else str(v.step), words[v.state] + ("" if v.is_sure else " (not sure)"),
         format_number(v.delta, signed=True), str(v.answers)] for v in bisection.verdicts
    ]  # fmt: skip
    print_table(
        ["checkpoint", "step", "", "difference, points", "answers"], rows, right=["step", "difference, points", "answers"]
    )
    for line in bisection.notes:
        note(line)
    count = f"{len(bisection.verdicts)} of {bisection.checkpoints} checkpoints were asked"
    level = 100 * (1 - bisection.alpha)
    note(f"{count}, {bisection.answers} of {bisection.total} answers; what tests decided is right with {level:g} %.")
    note(f"fallen: shown to be below the baseline.  not fallen: a drop of {bisection.drop:g} points or more is ruled out.")
    if bisection.is_monotone:
        note("Checkpoints between those that were asked may differ from both.")


VERBS = (bisect,)
