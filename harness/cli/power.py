"""skilldelta power, replay, recipes: how many items tell, how many would have told, and what the seed of training does."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.cli.gate import Allow
from harness.cli.inspect import Json
from harness.cli.screen import note, say_json, table
from harness.types import SkilldeltaError

if TYPE_CHECKING:
    from harness.comparison.result import Difference

Results = Annotated[list[Path], typer.Argument(help="Results folders.")]


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
    from harness.statistics import power as statistics

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
            line = planned(name, row.difference.pairs, share, delta / 100, probability)
            rows.append(line | dependent(row.difference, share, delta, probability))
    if not rows:
        raise SkilldeltaError(f"There is nothing to compare with {baseline} in {', '.join(map(str, results))}.")
    return rows


def replay(
    results: Annotated[Path, typer.Argument(help="A results folder.")],
    baseline: Annotated[str, typer.Option(help="One checkpoint.")],
    candidate: Annotated[str, typer.Option(help="The other.")],
    margin: Annotated[float, typer.Option(help="Points: also stop when the difference is shown to be smaller.")] = 0.0,
    as_json: Json = False,
) -> None:
    """How many items a test that may stop at any time would have needed, on results that are all there."""
    from collections import Counter

    from harness.comparison.replay import replay as run

    found = run(results, baseline, candidate, margin)
    rows = [
        {"task": r.task, "items": r.items, "used_%": 100 * r.used, **Counter(d.verdict for d in r.decisions)} for r in found
    ]  # fmt: skip
    if as_json:
        say_json(rows)
        return
    verdicts = ["better", "worse", "same", "unclear"]
    shown = [[r["task"], str(r["items"]), f"{r['used_%']:.0f}", *(str(r.get(v, 0)) for v in verdicts)] for r in rows]
    table(["task", "items", "used %", *verdicts], shown, right=["items", "used %", *verdicts])
    note("In 20 random orders of the items; used: the median share of them until the decision.")


def recipes(
    results: Results,
    recipe: Annotated[list[str], typer.Option(help="NAME=CHECKPOINT,CHECKPOINT,...: twice, the baseline first.")],
    allow: Allow = None,
    as_json: Json = False,
) -> None:
    """Two recipes with several training runs (seeds) each: intervals that know that runs vary as items do."""
    from dataclasses import asdict

    from harness import config
    from harness.comparison.recipes import compare

    named = {name: runs.split(",") for text in recipe for name, runs in config.pairs([text]).items()}
    lines = compare(results, named, tuple(allow or ()))
    if as_json:
        told = {"caveat": lines[0].found.caveat}
        say_json([{"level": line.level, "name": line.name, **asdict(line.found), **told} for line in lines])
        return
    from reports.text_tables import number, place, probability, span

    columns = ["", "difference", "95 %", "p", "variance from runs"]
    rows = []
    for line in sorted(lines, key=lambda x: (("average", "skill", "task").index(x.level), place(x.name))):
        found, total = line.found, line.found.from_items + line.found.from_runs
        moved = [number(100 * found.delta, True), span(100 * found.interval.low, 100 * found.interval.high, True)]
        runs = f"{100 * found.from_runs / total:.0f} %" if total and not found.caveat else "not known"
        rows.append([f"{line.level}: {line.name}".removeprefix("average: "), *moved, probability(found.p), runs])
    table(columns, rows, right=columns[1:])
    if caveat := lines[0].found.caveat:
        note(caveat)


def dependent(found: Difference, share: float, delta: float, probability: float) -> dict[str, Any]:
    """What changes in a line where samples are not independent 0/1 scores: n and difference go by the error that was seen."""
    from math import ceil

    from harness.statistics import power as statistics

    if abs(found.mde - 100 * statistics.detectable(found.pairs, share)) < 1e-9:
        return {}
    detectable = found.mde * statistics.detectable_from(1.0, power=probability) / statistics.detectable_from(1.0)
    return {"detectable": detectable, "items_needed": ceil(found.pairs * (detectable / delta) ** 2)}


VERBS = (power, replay, recipes)
