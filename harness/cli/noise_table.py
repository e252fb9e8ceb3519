"""What asking again showed, as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from harness.cli.screen import table

if TYPE_CHECKING:
    from harness.evaluation.repeatability import Reasked


def row(found: Reasked) -> dict[str, Any]:
    """What asking again showed, for a table or JSON; shares and shifts in points."""
    seen = found.noise
    return {"checkpoint": found.checkpoint, "task": found.task, "asked_again": seen.n, "answers_changed": seen.answers,
            "scores_changed": seen.flips, "scores_changed_%": 100 * seen.rate, "shift": 100 * seen.shift,
            "drift_nats": seen.drift}  # fmt: skip


def show(found: Sequence[Reasked]) -> None:
    """A table of what asking again showed."""
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
    shown = [[f"{v:.2g}" if isinstance(v, float) else str(v) for v in row(one).values()] for one in found]
    table(columns, shown, right=columns[2:])
