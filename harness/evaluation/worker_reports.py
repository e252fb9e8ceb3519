"""What workers report of the cells that they are at, answers and tokens, and its sum for one line of progress."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from harness.evaluation.outcome import Outcome, Overview, OverviewListener, Progress

INTERVAL_S = 1.0  # between a worker's reports


@dataclass(frozen=True)
class CellReport:
    """How far a cell is: the questions that were open when it began, the answers and tokens since."""

    questions: int = 0
    answers: int = 0
    tokens: int = 0


class ReportingProgress:
    """The progress of a worker's cell, sent to whoever started the worker about once a second."""

    def __init__(self, send: Callable[[CellReport], object], clock: Callable[[], float] = time.monotonic) -> None:
        self.send, self.clock = send, clock
        self.report, self.last_time = CellReport(), clock()

    def begin(self, checkpoint: str, task: str, total: int, done: int) -> None:
        self.report, self.last_time = CellReport(total - done), self.clock()
        self.send(self.report)

    def advance(self) -> None:
        self.note(replace(self.report, answers=self.report.answers + 1))

    def count_tokens(self, block: int, tokens: int, seconds_left: float | None) -> None:
        self.note(replace(self.report, tokens=tokens))

    def end(self, outcome: Outcome) -> None: ...

    def note(self, report: CellReport) -> None:
        """Keeps the report, and sends it if the last one was long ago."""
        self.report = report
        if self.clock() - self.last_time >= INTERVAL_S:
            self.last_time = self.clock()
            self.send(report)


class WorkersOverview:
    """All workers' reports as one overview, for a listener that shows such."""

    def __init__(self, listener: Progress, cells: int, workers: int) -> None:
        self.listener = listener
        self.total = Overview(cells, workers=workers, size=workers)
        self.current: dict[str, CellReport] = {}  # by worker

    def take(self, worker: str, report: CellReport) -> None:
        """A worker is so far with its cell."""
        self.current[worker] = report
        if isinstance(self.listener, OverviewListener):
            self.listener.overview(self.sum_up())

    def end(self, worker: str, outcome: Outcome) -> None:
        """A worker's cell is over."""
        self.total = replace(self.sum_up([worker]), finished_cells=self.total.finished_cells + 1)
        self.current.pop(worker, None)
        self.listener.end(outcome)

    def sum_up(self, workers: list[str] | None = None) -> Overview:
        """Cells that are over, and those that workers (all, or these) are at."""
        reports = [self.current[w] for w in (self.current if workers is None else workers) if w in self.current]
        return replace(
            self.total,
            questions=self.total.questions + sum(r.questions for r in reports),
            answers=self.total.answers + sum(r.answers for r in reports),
            tokens=self.total.tokens + sum(r.tokens for r in reports),
        )
