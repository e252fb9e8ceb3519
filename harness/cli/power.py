"""skilldelta power, replay: how many items show a difference, and how many would have been enough."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.cli.options import Json, ResultsFolder
from harness.cli.screen import note, print_json, print_table
from harness.shares import check_share
from harness.types import SkilldeltaError

if TYPE_CHECKING:
    from harness.comparison.result import Difference


def power(
    results: Annotated[list[Path] | None, typer.Argument(help="Results folders: what their items can show.")] = None,
    baseline: Annotated[str, typer.Option(help="The checkpoint that the others are compared with; needed with results.")] = "",
    delta: Annotated[float, typer.Option(help="Points: the difference to detect.")] = 2.0,
    discordance: Annotated[float, typer.Option(help="The share of items that only one of two checkpoints gets right.")] = 0.15,
    n: Annotated[int | None, typer.Option(help="How many items there are.")] = None,
    probability: Annotated[float, typer.Option(help="Probability of detecting it, 0.05 to 1.")] = 0.8,
    as_json: Json = False,
) -> None:
    """How many items a difference needs to be detected, and which difference a number of items can detect."""
    check_power_options(delta, discordance, probability)
    if results and not baseline:
        raise SkilldeltaError("With results, power needs --baseline: the checkpoint that the others are compared with.")
    if results:
        rows = power_rows_from_results(results, baseline, delta, probability)
    else:
        rows = [power_row("", n, discordance, delta / 100, probability)]
    if as_json:
        print_json(rows)
        return
    columns = [c for c in rows[0] if any(r[c] not in ("", None) for r in rows)]
    cells = [[f"{r[c]:.1f}" if isinstance(r[c], float) else str(r[c]) for c in columns] for r in rows]
    titles = [c.replace("_", " ") for c in columns]
    print_table(titles, cells, right=titles[1:])
    note(f"Paired 0/1 scores, exact McNemar test at 5 %, detected with probability {probability:g}; in points of all items.")


def check_power_options(delta: float, discordance: float, probability: float) -> None:
    if not (0 < delta <= 100 and 0.05 < probability < 1):
        raise SkilldeltaError("--delta must be above 0 and at most 100, --probability between 0.05 and 1.")
    check_share("--discordance", discordance)


def power_row(name: str, n: int | None, discordance: float, delta: float, probability: float) -> dict[str, Any]:
    """One row of the plan.  `discordance` and `delta` are shares, 0 to 1."""
    from harness.statistics import power as statistics

    return {
        "task": name,
        "discordant_%": 100 * discordance,
        "difference": 100 * delta,
        "items_needed": statistics.required_pairs(delta, discordance, probability),
        "items": n,
        "detectable": 100 * statistics.detectable_difference(n, discordance, probability) if n else None,
    }


def power_rows_from_results(results: list[Path], baseline: str, delta: float, probability: float) -> list[dict[str, Any]]:
    """A row for each candidate and task of stored results that have 0/1 scores."""
    from harness.comparison.compare import compare

    comparison = compare(results, baseline)
    rows = []
    for row in comparison.at("task"):
        if row.difference and row.difference.flips and row.difference.pairs:
            flips = row.difference.flips.lost + row.difference.flips.gained
            share = max(flips, 1) / row.difference.pairs
            name = f"{row.checkpoint}: {row.name}"
            plan = power_row(name, row.difference.pairs, share, delta / 100, probability)
            rows.append(plan | clustered_power(row.difference, share, delta, probability))
    if not rows:
        raise SkilldeltaError(f"There is nothing to compare with {baseline} in {', '.join(map(str, results))}.")
    return rows


def replay(
    results: ResultsFolder,
    baseline: Annotated[str, typer.Option(help="The checkpoint to compare with.")],
    candidate: Annotated[str, typer.Option(help="The checkpoint to compare.")],
    margin: Annotated[float, typer.Option(help="Points: also stop a task when its difference is shown to be smaller.")] = 0.0,
    as_json: Json = False,
) -> None:
    """How many items a sequential test would have needed, on complete results."""
    from collections import Counter

    from harness.comparison.replay import replay as run

    replays = run(results, baseline, candidate, margin)
    rows: list[dict[str, Any]] = []
    for r in replays:
        verdicts = Counter[str](decision.verdict for decision in r.decisions)
        rows.append({"task": r.task, "items": r.items, "used_%": 100 * r.share_used, **verdicts})
    if as_json:
        print_json(rows)
        return
    names = ["better", "worse", "same", "unclear"]
    cells = [[r["task"], str(r["items"]), f"{r['used_%']:.0f}", *(str(r.get(name, 0)) for name in names)] for r in rows]
    print_table(["task", "items", "used %", *names], cells, right=["items", "used %", *names])
    note("20 random orders of the items; used: the median share of items until the decision.")


def clustered_power(difference: Difference, share: float, delta: float, probability: float) -> dict[str, Any]:
    """What changes in a row where samples are not independent 0/1 scores: power follows from the standard error itself."""
    from math import ceil

    from harness.statistics import power as statistics

    if abs(difference.mde - 100 * statistics.detectable_difference(difference.pairs, share)) < 1e-9:
        return {}
    detectable = (
        difference.mde * statistics.detectable_from_error(1.0, power=probability) / statistics.detectable_from_error(1.0)
    )
    return {"detectable": detectable, "items_needed": ceil(difference.pairs * (detectable / delta) ** 2)}


VERBS = (power, replay)
