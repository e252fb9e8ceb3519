"""The training runs of compared checkpoints: the step of each checkpoint, and the curves that the run's trainer logged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import training_log
from harness.grouping import group_by
from harness.records import CheckpointRecord

if TYPE_CHECKING:
    from harness.training_log import Curves


@dataclass(frozen=True)
class TrainingRun:
    """One run.  `steps`: the step of each checkpoint, ascending; `final`: checkpoints without a number, at the last step."""

    name: str
    method: str
    steps: Mapping[str, int]
    final: frozenset[str] = frozenset()
    curves: Curves = field(default_factory=dict)

    def json(self) -> dict[str, Any]:
        """As in comparison.json."""
        curves = {q: {"key": c.key, "steps": list(c.steps), "values": list(c.values)} for q, c in self.curves.items()}
        run = {"name": self.name, "method": self.method, "steps": dict(self.steps), "final": sorted(self.final)}
        return run | {"curves": curves}


def group_runs(checkpoints: Mapping[str, CheckpointRecord], baseline: str) -> tuple[TrainingRun, ...]:
    """The runs of the checkpoints, in order, without runs whose only checkpoint is the baseline."""
    members = group_by((name for name, record in checkpoints.items() if record.run), lambda name: checkpoints[name].run)
    names = Counter(Path(folder).name for folder in members)
    runs = []
    for folder, own in members.items():
        if own != [baseline]:
            path = Path(folder)
            short = path.name or folder if names[path.name] == 1 else f"{path.parent.name}/{path.name}"
            runs.append(build_run(short, {name: checkpoints[name] for name in own}))
    return tuple(runs)


def build_run(name: str, members: Mapping[str, CheckpointRecord]) -> TrainingRun:
    """A run from the records of its checkpoints."""
    # The log of the latest checkpoint holds the curves of the earlier ones too.
    final = frozenset(m for m, record in members.items() if record.step is None)
    steps_and_names = sorted((record.step, m) for m, record in members.items() if record.step is not None)
    curves: Curves = {}
    for member in [*sorted(final), *(m for _, m in reversed(steps_and_names))]:
        if curves := training_log.stored_curves(members[member]):
            break
    last = max([step for step, _ in steps_and_names] + [c.steps[-1] for c in curves.values()], default=None)
    steps = {m: step for step, m in steps_and_names} | (dict.fromkeys(sorted(final), last) if last is not None else {})
    method = next((record.method for record in members.values() if record.method), "")
    return TrainingRun(name, method, steps, final, curves)


def unlogged_notes(runs: tuple[TrainingRun, ...]) -> tuple[str, ...]:
    """A sentence that names the runs without a log; none where each has one."""
    names = [run.name for run in runs if not run.curves]
    where = "neither the results folder nor the checkpoints' folders hold one"
    return (f"No training log (reward, KL, length) was found for {', '.join(names)}: {where}.",) if names else ()
