"""skilldelta gate: may this candidate be shipped."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.cli.options import Allow, Json, ResultsFolders
from harness.cli.screen import print_json, say
from harness.cli.suite_rule import Suite
from harness.types import SkilldeltaError

if TYPE_CHECKING:
    from harness.comparison.gate import Policy


def gate(
    results: ResultsFolders,
    baseline: Annotated[str, typer.Option(help="The checkpoint in use now.")],
    candidate: Annotated[str, typer.Option(help="The checkpoint that may replace it.")],
    policy: Annotated[Path | None, typer.Option(help="A YAML file of rules; see `skilldelta docs comparing`.")] = None,
    max_drop: Annotated[
        list[str] | None, typer.Option(help="Largest drop allowed: POINTS, SKILL=POINTS or TASK/METRIC=POINTS.")
    ] = None,
    allow: Allow = None,
    suite: Suite = "",
    summary: Annotated[Path | None, typer.Option(help="Append the Markdown to this file, e.g. $GITHUB_STEP_SUMMARY.")] = None,
    as_json: Json = False,
) -> None:
    """May this checkpoint be shipped?  Exit code 0 pass, 1 regression, 2 inconclusive."""
    from harness.comparison import gate as rules
    from harness.comparison.candidate_names import refuse_baseline
    from harness.comparison.compare import compare
    from harness.comparison.result import ComparisonSettings

    refuse_baseline(results, baseline, [candidate])
    rules_in_force = add_drops(rules.read_policy(policy) if policy else rules.Policy(), max_drop or [])
    settings = ComparisonSettings(allow=tuple(allow or ()), candidates=(candidate,), suite=suite)
    verdict = rules.gate(compare(results, baseline, settings), candidate, rules_in_force)
    if summary:
        with summary.open("a", encoding="utf-8") as stream:
            stream.write(verdict.markdown())
    if as_json:
        print_json(verdict.json())
    else:
        say(verdict.markdown())
    raise typer.Exit(verdict.exit_code)


def add_drops(policy: Policy, drops: list[str]) -> Policy:
    """The policy with the drops of --max-drop in place of its own."""
    from harness.comparison.gate import parse_policy as read

    values: dict[str, Any] = policy.model_dump()
    for drop in drops:
        name, _, points = drop.rpartition("=")
        try:
            largest_drop = float(points)
        except ValueError as error:
            raise SkilldeltaError(
                f"--max-drop {drop}: write SKILL=POINTS, TASK/METRIC=POINTS, or POINTS for every skill."
            ) from error
        if not largest_drop >= 0:
            raise SkilldeltaError(f"--max-drop {drop}: a drop is counted in points of 0 or more.")
        if name == "average":
            values["average"] = (values["average"] or {}) | {"max_drop": largest_drop}
        elif "/" in name:
            values["metrics"][name] = values["metrics"].get(name, {}) | {"max_drop": largest_drop}
        elif name:
            values["skills"][name] = values["skills"].get(name, {}) | {"max_drop": largest_drop}
        else:
            values["default"] = (values["default"] or {}) | {"max_drop": largest_drop}
    return read(values)


VERBS = (gate,)
