"""How many answers and scores change when questions are repeated, as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from harness.cli.screen import print_table

if TYPE_CHECKING:
    from harness.evaluation.repeatability import RepeatedCell


def noise_row(repeat: RepeatedCell) -> dict[str, Any]:
    """The changes of one cell, for a table or JSON; rates and shifts in points."""
    noise = repeat.noise
    return {"checkpoint": repeat.checkpoint, "task": repeat.task, "asked_again": noise.n, "answers_changed": noise.answers,
            "scores_changed": noise.flips, "scores_changed_%": 100 * noise.rate, "shift": 100 * noise.shift,
            "drift_nats": noise.drift, "plain_nats": noise.plain, "engine_nats": noise.ours}  # fmt: skip


def format_value(value: Any) -> str:
    """Two digits of a number, nothing for one that is not known."""
    return "" if value is None else f"{value:.2g}" if isinstance(value, float) else str(value)


def print_noise_table(repeats: Sequence[RepeatedCell]) -> None:
    """A line for each cell.  `plain`: how far the model's own plain batches are apart; `engine`: how far ours are from them."""
    columns = [
        "checkpoint",
        "task",
        "asked again",
        "answers changed",
        "scores changed",
        "scores changed %",
        "shift",
        "drift, nats",
        "plain, nats a token",
        "engine, nats a token",
    ]
    rows = [[format_value(v) for v in noise_row(repeat).values()] for repeat in repeats]
    print_table(columns, rows, right=columns[2:])
