"""skilldelta gate, power: may this candidate be shipped, and how many items would tell."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.cli.inspect import Json
from harness.cli.screen import note, say, say_json, table
from harness.types import SkilldeltaError

if TYPE_CHECKING:
    from harness.comparison.gate import Policy

Allow = Annotated[list[str] | None, typer.Option(help="Accept a named difference in how results were made.")]


def gate(
    results: Annotated[list[Path], typer.Argument(help="Results folders.")],
    baseline: Annotated[str, typer.Option(help="What is shipped now.")],
    candidate: Annotated[str, typer.Option(help="What would take its place.")],
    policy: Annotated[Path | None, typer.Option(help="YAML: default, skills, tasks, average.")] = None,
    max_drop: Annotated[list[str] | None, typer.Option(help="SKILL=POINTS or POINTS for all: may be lost.")] = None,
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
            raise SkilldeltaError(f"--max-drop {drop}: write SKILL=POINTS, or POINTS for every skill.") from error
        if name == "average":
            values["average"] = (values["average"] or {}) | {"max_drop": allowed}
        elif name:
            values["skills"][name] = values["skills"].get(name, {}) | {"max_drop": allowed}
        else:
            values["default"] = (values["default"] or {}) | {"max_drop": allowed}
    return read(values)


def power(
    results: Annotated[list[Path] | None, typer.Argument(help="Results folders: what their items would show.")] = None,
    baseline: Annotated[str, typer.Option(help="With results: the checkpoint that the others are compared with.")] = "",
    delta: Annotated[float, typer.Option(help="Points: the difference that should be found.")] = 2.0,
    discordance: Annotated[float, typer.Option(help="%: items that one checkpoint has right and the other wrong.")] = 15.0,
    n: Annotated[int | None, typer.Option(help="How many items there are.")] = None,
    probability: Annotated[float, typer.Option(help="How surely it should be found.")] = 0.8,
    as_json: Json = False,
) -> None:
    """How many items find a difference of so many points, and which difference so many items find."""
    check(delta, discordance, probability)
    if results:
        rows = observed(results, baseline, delta, probability)
    else:
        rows = [planned("", n, discordance / 100, delta / 100, probability)]
    if as_json:
        say_json(rows)
        return
    columns = [c for c in rows[0] if any(r[c] not in ("", None) for r in rows)]
    shown = [[f"{r[c]:.1f}" if isinstance(r[c], float) else str(r[c]) for c in columns] for r in rows]
    table([c.replace("_", " ") for c in columns], shown, right=[c.replace("_", " ") for c in columns[1:]])
    note(f"Paired 0/1 scores, exact McNemar test at 5 %, found with probability {probability:g}; in points of all items.")


def check(delta: float, discordance: float, probability: float) -> None:
    if not (0 < delta <= 100 and 0 < discordance <= 100 and 0.05 < probability < 1):
        raise SkilldeltaError("--delta and --discordance are above 0, up to 100; --probability is between 0.05 and 1.")


def planned(name: str, n: int | None, discordance: float, delta: float, probability: float) -> dict[str, Any]:
    """One line of the plan; discordance and delta as shares."""
    from harness.comparison import power as statistics

    return {
        "task": name,
        "discordant_%": 100 * discordance,
        "wanted": 100 * delta,
        "items_needed": statistics.needed(delta, discordance, probability),
        "items": n,
        "detectable": 100 * statistics.detectable(n, discordance, probability) if n else None,
    }


def observed(results: list[Path], baseline: str, delta: float, probability: float) -> list[dict[str, Any]]:
    """A line for each candidate and task of stored results."""
    from harness.comparison.compare import compare

    found = compare(results, baseline)
    rows = []
    for row in found.at("task"):
        if row.difference and row.difference.flips and row.difference.pairs:
            flips = row.difference.flips.lost + row.difference.flips.gained
            share = max(flips, 1) / row.difference.pairs
            name = f"{row.checkpoint}: {row.name}"
            rows.append(planned(name, row.difference.pairs, share, delta / 100, probability))
    if not rows:
        raise SkilldeltaError(f"There is nothing to compare with {baseline} in {', '.join(map(str, results))}.")
    return rows


VERBS = (gate, power)
