"""skilldelta explain: the files, counts and formulas behind one number of a comparison."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.options import Allow, Correction, Json, Margin, ResultsFolders
from harness.cli.screen import print_json, say
from harness.cli.suite_rule import Suite

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.comparison.explain import Explanation, Step


def explain(
    results: ResultsFolders,
    baseline: Annotated[str, typer.Option(help="The checkpoint that the others are compared with.")],
    candidate: Annotated[str, typer.Option(help="The checkpoint of the number.")],
    task: Annotated[str, typer.Option("--task", "--skill", help="A task, a skill, or average.")],
    allow: Allow = None,
    suite: Suite = "",
    margin: Margin = 2.0,
    correction: Correction = "auto",
    as_json: Json = False,
) -> None:
    """Shows the files, counts, formulas and seeds behind one number of `compare` with the same settings."""
    from harness import config
    from harness.comparison.explain import explain_cell as explain_cell
    from harness.comparison.result import ComparisonSettings

    settings = config.build_config(
        ComparisonSettings, {"margin": margin, "allow": allow or [], "family": correction, "suite": suite}
    )
    explanation = explain_cell(results, (baseline, candidate, task), settings)
    if as_json:
        print_json(explanation.json())
        return
    for line in describe(explanation):
        say(line)


def describe(explanation: Explanation) -> Iterator[str]:
    """An explanation as lines of text."""
    from harness.comparison.number_format import format_change, format_verdict

    e = explanation
    where = e.level if e.level == e.name else f"{e.level} {e.name}"
    yield f"{e.candidate} against {e.baseline}, {where}: {format_verdict(e.verdict)}"
    yield f"  {e.rule}"
    yield ""
    for side in e.files:
        yield f"{side.checkpoint}: {side.task_json}"
        yield f"  {side.samples}: {side.lines} lines, {side.scored_count} scored, {side.unscored_count} unscored"
    for member in e.members:
        change = format_change(member.delta, member.delta_low, member.delta_high, decimals=4)
        yield f"{member.name}, weight {member.weight:.4g}: {change}"
    clusters = f" in {e.clusters} clusters" if e.clusters else ""
    yield f"{e.pairs} pairs{clusters}, {e.missing} samples without a partner or a score on one side"
    if e.counts:
        yield ", ".join(f"{count} {outcome}" for outcome, count in e.counts.items())
    for step in e.steps:
        yield ""
        yield from describe_step(step)
    for outcome, ids in e.flips.items():
        if ids:
            yield ""
            yield f"first examples {outcome}: {', '.join(ids)}"


def describe_step(step: Step) -> Iterator[str]:
    value = f"{step.value:.6g}" if step.name.startswith("p") else f"{step.value:.4f} points"
    interval = f" [{step.low:.4f}, {step.high:.4f}]" if step.low is not None else ""
    yield f"{step.name} = {value}{interval}"
    yield f"  {step.method}"
    yield f"  {step.formula}"


VERBS = (explain,)
