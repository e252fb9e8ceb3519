"""Skills over training steps for trackers: TensorBoard, W&B, MLflow, trackio.

Each skill has, in points, `skills/NAME/score` with `score_low` and `score_high`, and, where there is a baseline, `difference`
with `difference_low` and `difference_high`.  A tracker has a run for each training run, and a value for each checkpoint's step.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from shlex import quote
from types import ModuleType
from typing import Any, Protocol

from harness import registry
from harness.atomic_files import write_json
from harness.bounded_files import read_stored_json
from harness.comparison.result import Comparison, Row
from harness.records import CheckpointRecord
from harness.store import Results
from harness.training_log import stored_curves
from harness.types import SkilldeltaError, digest

LEDGER = ".trackers.json"  # in the results folder: what was written to which tracker


class TrackerRun(Protocol):
    """An open run of a tracker.  `place`: where it is, in words."""

    place: str

    def log(self, step: int, values: Mapping[str, float]) -> None: ...
    def close(self) -> None: ...


@dataclass(frozen=True)
class SkillPoint:
    """A checkpoint's skills, at its training step of its run."""

    checkpoint: str
    run: str
    step: int
    values: Mapping[str, float]


def make_points(comparison: Comparison, names: Iterable[str]) -> list[SkillPoint]:
    """The points of these checkpoints; one without a finished skill has none."""
    points = []
    for name in names:
        rows = [r for r in comparison.rows if r.checkpoint == name and r.level in ("skill", "average")]
        numbers = {key: value for row in rows for key, value in row_values(row).items()}
        values = {key: float(f"{value:.8g}") for key, value in numbers.items() if math.isfinite(value)}  # as in comparison.json
        if values:
            record = comparison.checkpoints[name]
            points.append(SkillPoint(name, run_label(record), training_step(record), values))
    return points


def row_values(row: Row) -> dict[str, float]:
    """The numbers of a row by the names that trackers show; none of a skill of which nothing has a score."""
    prefix = f"skills/{row.name if row.level == 'skill' else 'average'}"
    if not math.isfinite(row.score):
        return {}
    values = {"score": row.score, "score_low": row.score_low, "score_high": row.score_high}
    if (change := row.difference) and math.isfinite(change.delta):
        values |= {"difference": change.delta, "difference_low": change.delta_low, "difference_high": change.delta_high}
    return {f"{prefix}/{key}": value for key, value in values.items()}


def run_label(record: CheckpointRecord) -> str:
    """The name of a checkpoint's training run: its own name without the step, else the run's folder."""
    stem, at, step = record.name.rpartition("@")
    if at and step == str(record.step):
        return stem
    return Path(record.run).name if record.run else record.name


def training_step(record: CheckpointRecord) -> int:
    """The checkpoint's step; of a final model without one the last step of its log and run, and 0 before any training."""
    if record.step is not None:
        return record.step
    steps = [curve.steps[-1] for curve in stored_curves(record).values() if curve.steps]
    if record.run:  # logs may be coarser than checkpoints
        siblings = Results(record.results).checkpoints().values()
        steps += [sibling.step for sibling in siblings if sibling.run == record.run and sibling.step is not None]
    return max(steps, default=0)


def find_tracker(text: str) -> tuple[ModuleType, str]:
    """The plug-in of NAME or NAME:WHERE, and WHERE.  SkilldeltaError where it or its library is missing."""
    name, _, where = text.partition(":")
    plugin = registry.module("trackers", name)
    spec = find_spec(plugin.PACKAGE)
    if spec is None or spec.origin is None:  # a folder `wandb` of runs next to a script looks like a package, without origin
        raise SkilldeltaError(
            f"--log-to {name} needs the package {plugin.PACKAGE}: pip install {plugin.PACKAGE}, "
            "or pip install 'skilldelta[trackers]' for all of them."
        )
    return plugin, where


@dataclass
class TrackerSession:
    """The trackers that `texts` name (NAME or NAME:WHERE), with the runs that are open in them.

    What the ledger of the results folder says was written is not written twice.
    """

    texts: Sequence[str]
    folder: Path  # the results
    trackers: list[tuple[str, ModuleType, str]] = field(init=False)
    open_runs: dict[tuple[str, str], TrackerRun] = field(default_factory=dict)
    announced_runs: set[tuple[str, str]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.trackers = [(text, *find_tracker(text)) for text in dict.fromkeys(self.texts)]

    def write(self, points: Sequence[SkillPoint]) -> int:
        """Writes the points that are new or have changed; how many there were.

        SkilldeltaError where a tracker fails: the scores themselves are stored.
        """
        count = 0
        for text, plugin, where in self.trackers:
            for point in points:
                try:
                    count += self.write_point(text, plugin, where, point)
                except SkilldeltaError:
                    raise
                except Exception as error:  # a library of somebody else's: whatever it raises is said with a way out
                    raise self.explain_failure(text, f"step {point.step} of {point.run}", error) from error
        return count

    def explain_failure(self, text: str, place: str, error: Exception) -> SkilldeltaError:
        return SkilldeltaError(
            f"--log-to {text} failed at {place} ({type(error).__name__}: {error}).\n"
            f"The scores are stored; this writes the rest: skilldelta compare {quote(str(self.folder))} --baseline NAME "
            f"--log-to {quote(text)}"
        )

    def write_point(self, text: str, plugin: ModuleType, where: str, point: SkillPoint) -> bool:
        """Writes one point, unless the ledger has it."""
        ledger = self.read_ledger()
        steps = ledger.setdefault(text, {}).setdefault(point.run, {})
        content = digest(dict(point.values))
        if steps.get(str(point.step)) == content:
            return False
        self.open_run(text, plugin, where, point.run).log(point.step, point.values)
        steps[str(point.step)] = content
        write_json(self.folder / LEDGER, ledger)
        return True

    def open_run(self, text: str, plugin: ModuleType, where: str, run: str) -> TrackerRun:
        if (text, run) not in self.open_runs:
            variable = getattr(plugin, "RUN_VARIABLE", "")
            others = [name for tracker, name in self.open_runs if tracker == text]
            if variable and os.environ.get(variable) and others:
                raise SkilldeltaError(
                    f"{variable} names one run, and there are {others[0]} and {run}: unset it, or log one run at a time."
                )
            self.open_runs[text, run] = plugin.start(run, where, self.folder)
        return self.open_runs[text, run]

    def read_ledger(self) -> dict[str, Any]:
        path = self.folder / LEDGER
        return read_stored_json(path) if path.exists() else {}

    def new_places(self) -> list[str]:
        """Where the runs are that were opened since the last call, in words."""
        new = {key: run for key, run in self.open_runs.items() if key not in self.announced_runs}
        self.announced_runs |= new.keys()
        return [f"{text.partition(':')[0]}: {name}, {run.place}" for (text, name), run in new.items()]

    def close(self) -> None:
        """Ends every run.  SkilldeltaError where a tracker fails at that: its points are written again the next time."""
        failures = []
        while self.open_runs:
            (text, run), tracker = self.open_runs.popitem()
            try:
                tracker.close()
            except Exception as error:  # noqa: BLE001  as in write; the other runs are ended all the same
                failures.append(str(self.explain_failure(text, f"the end of {run}", error)))
                ledger = self.read_ledger()
                ledger.get(text, {}).pop(run, None)
                write_json(self.folder / LEDGER, ledger)
        if failures:
            raise SkilldeltaError("\n".join(failures))
