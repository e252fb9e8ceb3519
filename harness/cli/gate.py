"""skilldelta gate: may this candidate be shipped."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.cli.inspect import Json
from harness.cli.screen import say, say_json
from harness.types import SkilldeltaError

if TYPE_CHECKING:
    from harness.comparison.gate import Policy

Allow = Annotated[list[str] | None, typer.Option(help="Accept a named difference in how results were made.")]


def gate(
    results: Annotated[list[Path], typer.Argument(help="Results folders.")],
    baseline: Annotated[str, typer.Option(help="What is shipped now.")],
    candidate: Annotated[str, typer.Option(help="What would take its place.")],
    policy: Annotated[Path | None, typer.Option(help="YAML: default, skills, tasks, metrics, average.")] = None,
    max_drop: Annotated[list[str] | None, typer.Option(help="SKILL=, TASK/METRIC= or only POINTS: may be lost.")] = None,
    allow: Allow = None,
    summary: Annotated[Path | None, typer.Option(help="Append the Markdown to this file, e.g. $GITHUB_STEP_SUMMARY.")] = None,
    as_json: Json = False,
) -> None:
    """One verdict for CI.  Exit code 0 pass, 1 regression, 2 inconclusive."""
    from harness.comparison import gate as rules
    from harness.comparison.compare import compare
    from harness.comparison.result import Settings

    wanted = with_drops(rules.read_policy(policy) if policy else rules.Policy(), max_drop or [])
    settings = Settings(allow=tuple(allow or ()), candidates=(candidate,))
    found = rules.gate(compare(results, baseline, settings), candidate, wanted)
    if summary:
        with summary.open("a", encoding="utf-8") as stream:
            stream.write(found.markdown())
    if as_json:
        say_json(found.json())
    else:
        say(found.markdown())
    raise typer.Exit(found.code)


def with_drops(policy: Policy, drops: list[str]) -> Policy:
    """The policy with --max-drop laid over it."""
    from harness.comparison.gate import policy as read

    values: dict[str, Any] = policy.model_dump()
    for drop in drops:
        name, _, points = drop.rpartition("=")
        try:
            allowed = float(points)
        except ValueError as error:
            raise SkilldeltaError(
                f"--max-drop {drop}: write SKILL=POINTS, TASK/METRIC=POINTS, or POINTS for every skill."
            ) from error
        if name == "average":
            values["average"] = (values["average"] or {}) | {"max_drop": allowed}
        elif "/" in name:
            values["metrics"][name] = values["metrics"].get(name, {}) | {"max_drop": allowed}
        elif name:
            values["skills"][name] = values["skills"].get(name, {}) | {"max_drop": allowed}
        else:
            values["default"] = (values["default"] or {}) | {"max_drop": allowed}
    return read(values)


VERBS = (gate,)
