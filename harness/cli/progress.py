"""How far a run of cells has come: a bar on a terminal, plain lines now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Collection, Sequence
from dataclasses import replace
from shlex import quote
from typing import TYPE_CHECKING

from harness.cli.screen import note
from harness.training.progress_lines import describe_left
from harness.visible_text import show_controls

if TYPE_CHECKING:
    from pathlib import Path

    from rich.progress import Progress

    from harness.evaluation.outcome import Outcome, Overview

MAX_NAMES = 6  # checkpoints that the last line names
INTERVAL_S = 15.0  # between progress lines where there is no terminal
FRESH_S = 60.0  # so long a model's forecast is shown: it makes none while it reads long prompts


class PlainProgress:
    """A line every 15 s, and one for each finished cell."""

    def __init__(self) -> None:
        self.name, self.total, self.count, self.responses, self.start, self.last_print = "", 0, 0, 0, 0.0, 0.0
        self.tokens = 0
        self.forecast: tuple[float, float | None] | None = None  # when it was made, and how many seconds it said
        self.last_failure: tuple[str, str] | None = None  # of the cell that ended last: its checkpoint, and why
        self.remarks: list[str] = []  # that were made
        self.reasons: set[str] = set()  # reasons of failures that were printed

    def begin(self, checkpoint: str, task: str, total: int, done: int) -> None:
        self.name, self.total, self.count, self.responses = f"{checkpoint} · {task}", total, done, 0
        self.tokens, self.forecast = 0, None
        self.start = self.last_print = time.monotonic()

    def loading(self, checkpoint: str) -> None:
        note(f"{checkpoint}: loading")

    def advance(self) -> None:
        self.count, self.responses = self.count + 1, self.responses + 1
        self.show()

    def count_tokens(self, block: int, tokens: int, seconds_left: float | None) -> None:
        """`tokens` were computed for a block of so many questions, and it needs `seconds_left` more; None: nothing tells yet.

        The blocks after it are expected to take as long, question by question.
        """
        self.tokens = tokens
        now = time.monotonic()
        if seconds_left is None:
            self.forecast = now, None
            self.show()
            return
        block_end = min((self.responses // block + 1) * block, self.total - self.count + self.responses)
        later = max(self.total - self.count + self.responses - block_end, 0)
        self.forecast = now, seconds_left + later * (now - self.start + seconds_left) / max(block_end, 1)
        self.show()

    def seconds_left(self) -> float | None:
        """By the model's own forecast where it makes one, else by the samples; None: nothing is known.

        The first samples tell nothing of the others where answers are made side by side: they are the shortest.
        """
        now = time.monotonic()
        if self.forecast and now - self.forecast[0] < FRESH_S:
            seconds = self.forecast[1]
            return None if seconds is None else max(seconds - (now - self.forecast[0]), 0.0)
        seconds = max(now - self.start, 1e-6)
        return (self.total - self.count) * seconds / self.responses if self.responses else None

    def describe(self) -> str:
        """The speed and the time left."""
        seconds = max(time.monotonic() - self.start, 1e-6)
        left = self.seconds_left()
        parts = [describe_rate(self.responses, seconds)] if self.responses else []
        parts += [describe_tokens(self.tokens, seconds)] if self.tokens else []
        return ", ".join([*parts, *([describe_left(left)] if left is not None else [])])

    def show(self) -> None:
        if time.monotonic() - self.last_print >= INTERVAL_S:
            self.last_print = time.monotonic()
            note(f"{self.name}: {self.count}/{self.total}, {self.describe()}")

    def end(self, outcome: Outcome) -> None:
        failure = (outcome.checkpoint, outcome.why) if outcome.state == "failed" else None
        if failure is not None and failure == self.last_failure:
            outcome = replace(outcome, why="for the same reason")
        elif failure is not None:
            self.reasons.add(outcome.why)
            if any(remark.endswith(find_reason(outcome.why)) for remark in self.remarks):
                outcome = replace(outcome, why="as said above")
        self.last_failure = failure
        note(describe_outcome(outcome))

    def overview(self, state: Overview) -> None:
        """A line for a run on several devices or machines, whose cells are worked on at once."""
        now = time.monotonic()
        self.start = self.start or now
        if now - self.last_print >= INTERVAL_S:
            self.last_print = now
            note(describe_overview(state, max(now - self.start, 1e-6)))

    def remark(self, text: str) -> None:
        self.remarks.append(text)
        note(text)


class LiveProgress(PlainProgress):
    """A bar for the current cell with rate and time left, and a line for each finished one."""

    def __init__(self) -> None:
        super().__init__()
        self.bar: Progress | None = None

    def begin(self, checkpoint: str, task: str, total: int, done: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        super().begin(checkpoint, task, total, done)
        name, rate = (TextColumn(f"{{task.{field}}}", markup=False) for field in ("description", "fields[rate]"))
        self.bar = Progress(name, BarColumn(), MofNCompleteColumn(), rate, console=Console(stderr=True), transient=True)
        self.bar.add_task(show_controls(self.name), total=total, completed=done, rate="")
        self.bar.start()

    def show(self) -> None:
        if self.bar:
            self.bar.update(self.bar.task_ids[0], completed=self.count, rate=self.describe())

    def end(self, outcome: Outcome) -> None:
        if self.bar:
            self.bar.stop()
            self.bar = None
        super().end(outcome)


def find_reason(why: str) -> str:
    """Why a checkpoint cannot be loaded, without its path; other reasons as they are."""
    return (why.partition(" cannot be loaded: ")[2] or why).rstrip(".")


def describe_rate(count: int, seconds: float, digits: int = 1, each: str = "each") -> str:
    """How fast `count` things (1 or more) came: in a second, or, where fewer than one did, how long each took."""
    rate = count / seconds
    return f"{rate:.{digits}f}/s" if rate >= 1 else f"{seconds / count:.1f} s {each}"


def describe_tokens(count: int, seconds: float) -> str:
    return f"{count} tokens, {describe_rate(count, seconds, digits=0, each='a token')}"


def describe_overview(state: Overview, seconds: float) -> str:
    """How far a run of several workers is, after so many seconds."""
    losses = f" ({state.losses} lost and replaced)" if state.losses else ""
    rate = f", {describe_rate(state.answers, seconds)}" if state.answers else ""
    tokens = f", {describe_tokens(state.tokens, seconds)}" if state.tokens else ""
    cells = f"{state.finished_cells}/{state.cells} cells, {state.answers} answers{rate}{tokens}"
    return f"{cells}, {state.workers} of {state.size} workers{losses}, {seconds:.0f} s"


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


def print_failures(failures: Sequence[Outcome], total: int, output: Path, reasons: Collection[str]) -> None:
    """Counts the cells that failed, of so many, and says why, each reason of a checkpoint once."""
    if len(failures) == total and all(outcome.why in reasons for outcome in failures):
        note(f"{total} of {total} cells failed, as said above.")
        return
    others = f"; the others are stored in {output}" if len(failures) < total else ""
    note(f"{len(failures)} of {total} cells failed{others}:")
    tasks_by_failure: dict[tuple[str, str], list[str]] = {}
    for outcome in failures:
        tasks_by_failure.setdefault((outcome.checkpoint, outcome.why), []).append(outcome.task)
    for (checkpoint, why), tasks in tasks_by_failure.items():
        note(f"  {checkpoint} · {', '.join(tasks)}: {why}")


def print_next_step(outcomes: Sequence[Outcome], output: Path) -> None:
    """Counts the cells that were finished, and says how to compare them."""
    from harness.store import Results

    names = list(dict.fromkeys([*(o.checkpoint for o in outcomes), *(Results(output).checkpoints() if outcomes else ())]))
    choices = f" (one of {', '.join(names)})" if 1 < len(names) <= MAX_NAMES else ""
    count = f"{len(outcomes)} cell{'s' * (len(outcomes) != 1)}"
    note(f"{count} in {output}.  Next: skilldelta compare {quote(str(output))} --baseline NAME{choices}")
