"""What the jobs of an array have stored: how far they are, and what became of each cell."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from harness.cluster.slurm import FOLDER, Group
from harness.evaluation.outcome import Outcome
from harness.types import SkilldeltaError

if TYPE_CHECKING:
    from harness.evaluation.work_queue import WorkUnit
    from harness.evaluation.workers import SpreadRun

INTERVAL_S = 15.0  # between two lines


class JobProgress:
    """A line now and then, for all jobs together."""

    def __init__(self, run: SpreadRun, say: Callable[[str], None]) -> None:
        self.run, self.say = run, say
        self.start = self.last_print = time.monotonic()

    def look(self, text: str) -> None:
        """Says a text at once; without one, how far the cells are, when it is time."""
        if text:
            self.say(text)
        elif time.monotonic() - self.last_print >= INTERVAL_S:
            self.last_print = time.monotonic()
            units = self.run.units()
            ready = sum(read_state(self.run, unit)[0] == "done" for unit in units)
            self.say(f"{ready}/{len(units)} cells after {self.last_print - self.start:.0f} s")


def read_state(run: SpreadRun, unit: WorkUnit) -> tuple[str, str]:
    """The state of a cell ("" where it was not begun), and why it failed."""
    cell = run.results.cell(run.checkpoints[unit.checkpoint].name, run.tasks[unit.task].name)
    try:
        record = cell.record()
    except SkilldeltaError as error:
        return "failed", str(error)
    return (record.state, record.why) if record else ("", "")


def read_outcomes(run: SpreadRun, groups: Sequence[Group]) -> list[Outcome]:
    """What became of every cell, in the order of a run on one device."""
    group_by_name = {name: group for group in groups for name in group.names}
    outcomes = []
    for unit in run.units():
        checkpoint, task = run.checkpoints[unit.checkpoint].name, run.tasks[unit.task].name
        group = group_by_name[checkpoint]
        state, why = read_state(run, unit)
        if state == "done" and group.code in (0, 4):
            scores = [sample.score.value for sample in run.results.cell(checkpoint, task).samples()]
            outcomes.append(Outcome(checkpoint, task, "done", len(scores), scores.count(None)))
            continue
        log = run.results.folder / FOLDER / f"{group.job.job_id}_0_log.err"
        ending = group.problem or (f"its job ended with exit code {group.code}" if group.code else "its job did not begin it")
        outcomes.append(Outcome(checkpoint, task, "failed", why=why if state == "failed" and why else f"{ending}: see {log}"))
    return outcomes
