"""How far a run of cells has come: a bar on a terminal, plain lines now and then elsewhere."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from harness.cli.screen import note

if TYPE_CHECKING:
    from rich.progress import Progress

    from harness.evaluation.run import Outcome

INTERVAL_S = 15.0  # between progress lines where there is no terminal


class PlainProgress:
    """A line every 15 s, and one for each finished cell."""

    def __init__(self) -> None:
        self.name, self.total, self.count, self.responses, self.start, self.last_print = "", 0, 0, 0, 0.0, 0.0

    def begin(self, checkpoint: str, task: str, total: int, done: int) -> None:
        self.name, self.total, self.count, self.responses = f"{checkpoint} · {task}", total, done, 0
        self.start = self.last_print = time.monotonic()

    def advance(self) -> None:
        self.count, self.responses = self.count + 1, self.responses + 1
        if time.monotonic() - self.last_print >= INTERVAL_S:
            self.last_print = time.monotonic()
            rate = self.responses / (self.last_print - self.start)
            note(f"{self.name}: {self.count}/{self.total}, {rate:.1f}/s, {(self.total - self.count) / rate:.0f} s left")

    def end(self, outcome: Outcome) -> None:
        note(describe_outcome(outcome))


class LiveProgress(PlainProgress):
    """A bar for the current cell with rate and time left, and a line for each finished one."""

    def __init__(self) -> None:
        super().__init__()
        self.bar: Progress | None = None

    def begin(self, checkpoint: str, task: str, total: int, done: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        super().begin(checkpoint, task, total, done)
        name, rate = TextColumn("{task.description}"), TextColumn("{task.fields[rate]}")
        columns = name, BarColumn(), MofNCompleteColumn(), rate, TimeRemainingColumn()
        self.bar = Progress(*columns, console=Console(stderr=True), transient=True)
        self.bar.add_task(self.name, total=total, completed=done, rate="")
        self.bar.start()

    def advance(self) -> None:
        self.count, self.responses = self.count + 1, self.responses + 1
        if self.bar:
            seconds = max(time.monotonic() - self.start, 1e-6)
            self.bar.update(self.bar.task_ids[0], completed=self.count, rate=f"{self.responses / seconds:.1f}/s")

    def end(self, outcome: Outcome) -> None:
        if self.bar:
            self.bar.stop()
            self.bar = None
        super().end(outcome)


def progress_display() -> PlainProgress:
    return LiveProgress() if sys.stderr.isatty() else PlainProgress()


def describe_outcome(outcome: Outcome) -> str:
    """A finished cell in one line."""
    name = f"{outcome.checkpoint} · {outcome.task}"
    if outcome.state == "failed":
        return f"{name}: FAILED: {outcome.why}"
    missing = f", {outcome.unscored} unscored" if outcome.unscored else ""
    reason = f" ({outcome.why})" if outcome.why else ""
    duration = "done before" if outcome.state == "already" else f"in {outcome.seconds:.1f} s"
    return f"{name}: {outcome.samples} samples, {duration}{missing}{reason}"
