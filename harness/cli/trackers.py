"""--log-to: writes skills by training step to the trackers that people look at already."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.screen import note
from harness.types import SkilldeltaError

if TYPE_CHECKING:
    from harness.comparison.result import Comparison
    from harness.evaluation.outcome import Outcome
    from harness.tracking import TrackerSession

LogTo = Annotated[
    list[str] | None,
    typer.Option(
        "--log-to",
        help="Also write each skill at its training step to tensorboard[:DIR], wandb[:PROJECT], mlflow[:EXPERIMENT] or "
        "trackio[:PROJECT]; may be repeated.",
    ),
]


@dataclass(frozen=True)
class TrackerOptions:
    """Which trackers are written to, and what differences are from."""

    log_to: LogTo = None
    baseline: Annotated[
        str, typer.Option("--baseline", help="With --log-to: the checkpoint in the results that differences are from.")
    ] = ""

    def __post_init__(self) -> None:
        if self.baseline and not self.log_to:
            raise SkilldeltaError(
                "--baseline is for --log-to here.  Score the baseline like any other checkpoint, then compare: "
                f"skilldelta compare RESULTS --baseline {self.baseline}"
            )

    def refuse(self, why: str) -> None:
        """Raises SkilldeltaError where a tracker is named."""
        if self.log_to:
            raise SkilldeltaError(why)


@contextmanager
def open_session(log_to: Sequence[str] | None, folder: Path) -> Iterator[TrackerSession | None]:
    """The trackers, closed at the end; None where none is named, so that nothing of them is imported."""
    if not log_to:
        yield None
        return
    from harness.tracking import TrackerSession

    session = TrackerSession(log_to, folder)
    try:
        yield session
    finally:
        session.close()


def log_comparison(session: TrackerSession | None, comparison: Comparison, names: Sequence[str]) -> None:
    """Writes the skills of these checkpoints, and says where to."""
    if session is None:
        return
    from harness.tracking import make_points

    points = make_points(comparison, names)
    count = session.write(points)
    for place in session.new_places():
        note(f"logged to {place}")
    if points and not count:
        note("These points were logged before.")
    if lacking := sorted({*names} - {point.checkpoint for point in points}):
        note(f"Not logged, for no skill of theirs has a score: {', '.join(lacking)}")


def log_scores(session: TrackerSession | None, outcomes: Sequence[Outcome], folder: Path, baseline: str) -> None:
    """Writes the skills of the checkpoints that were scored: with differences where there is a baseline, else scores alone."""
    if session is None:
        return
    from harness import api

    for name in dict.fromkeys(o.checkpoint for o in outcomes if o.state != "failed"):
        log_comparison(session, api.compare(folder, baseline or name, candidates=[name]), [name])
