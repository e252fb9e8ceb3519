"""What the verbs print: tables and notes to standard output, progress and errors to standard error, JSON alone when asked."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.progress import Progress as Bars

    from harness.evaluation.evaluate import Outcome

QUIET = 15.0  # seconds between progress lines where there is no terminal


def say(text: str) -> None:
    sys.stdout.write(text + "\n")


def note(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def fail(text: str, code: int) -> int:
    """Prints an error; gives the exit code back."""
    note(f"skilldelta: {text}")
    return code


def say_json(value: Any) -> None:
    say(json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False))


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], title: str = "", right: Sequence[str] = ()) -> None:
    """A table on standard output, as wide as the terminal; `right` names the columns that are numbers."""
    import shutil

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    width = shutil.get_terminal_size((120, 24)).columns if sys.stdout.isatty() else 160
    shown = Table(title=title or None, title_justify="left", header_style="bold", box=None, pad_edge=False)
    for name in columns:
        shown.add_column(name, justify="right" if name in right else "left", overflow="fold")
    for row in rows:
        shown.add_row(*(Text(cell) for cell in row))  # Text: what a model said is never markup
    Console(width=width, highlight=False).print(shown)


class Lines:
    """Progress without a terminal: a plain line now and then."""

    def __init__(self) -> None:
        self.name, self.total, self.count, self.asked, self.started, self.last = "", 0, 0, 0, 0.0, 0.0

    def begin(self, checkpoint: str, task: str, total: int, done: int) -> None:
        self.name, self.total, self.count, self.asked = f"{checkpoint} · {task}", total, done, 0
        self.started = self.last = time.monotonic()

    def advance(self) -> None:
        self.count, self.asked = self.count + 1, self.asked + 1
        if time.monotonic() - self.last >= QUIET:
            self.last = time.monotonic()
            rate = self.asked / (self.last - self.started)
            note(f"{self.name}: {self.count}/{self.total}, {rate:.1f}/s, {(self.total - self.count) / rate:.0f} s left")

    def end(self, outcome: Outcome) -> None:
        note(line(outcome))


class Live(Lines):
    """Progress on a terminal: a bar for the cell at work, with rate and time left; a line for each finished one."""

    def __init__(self) -> None:
        super().__init__()
        self.bars: Bars | None = None

    def begin(self, checkpoint: str, task: str, total: int, done: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        super().begin(checkpoint, task, total, done)
        rate = TextColumn("{task.fields[rate]}")
        self.bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            rate,
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self.bars.add_task(f"{checkpoint} · {task}", total=total, completed=done, rate="")
        self.bars.start()

    def advance(self) -> None:
        self.count, self.asked = self.count + 1, self.asked + 1
        if self.bars:
            elapsed = max(time.monotonic() - self.started, 1e-6)
            self.bars.update(self.bars.task_ids[0], completed=self.count, rate=f"{self.asked / elapsed:.1f}/s")

    def end(self, outcome: Outcome) -> None:
        if self.bars:
            self.bars.stop()
            self.bars = None
        super().end(outcome)


def progress() -> Lines:
    return Live() if sys.stderr.isatty() else Lines()


def line(outcome: Outcome) -> str:
    """A finished cell in one line."""
    name = f"{outcome.checkpoint} · {outcome.task}"
    if outcome.state == "failed":
        return f"{name}: FAILED: {outcome.why}"
    unscored = f", {outcome.unscored} unscored" if outcome.unscored else ""
    reason = f" ({outcome.why})" if outcome.why else ""
    how = "done before" if outcome.state == "already" else f"in {outcome.seconds:.1f} s"
    return f"{name}: {outcome.samples} samples, {how}{unscored}{reason}"
