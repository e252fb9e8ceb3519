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
            "drift_nats": noise.drift}  # fmt: skip


def print_noise_table(repeats: Sequence[RepeatedCell]) -> None:
    columns = [
        "checkpoint",
        "task",
        "asked again",
        "answers changed",
        "scores changed",
        "scores changed %",
        "shift",
        "drift, nats",
    ]
    rows = [[f"{v:.2g}" if isinstance(v, float) else str(v) for v in noise_row(repeat).values()] for repeat in repeats]
    print_table(columns, rows, right=columns[2:])
