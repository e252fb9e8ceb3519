"""`ScoreCallback`: skills while a transformers or TRL trainer runs, beside its own metrics.

    trainer.add_callback(ScoreCallback(trainer, tasks=("gsm8k", "ifeval"), results="results", baseline="runs/sft"))

Each saved checkpoint is scored by `skilldelta score` in a process of its own, at a low priority, while training goes on; its
deltas against the baseline reach whatever the trainer reports to as `skills/NAME` (points), with the step they belong to
in `skills/step`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from transformers import TrainerCallback

LOW = 10  # niceness of the scoring process


@dataclass
class Job:
    """Commands that run one after another for one checkpoint; the last one prints a comparison as JSON."""

    step: int
    commands: deque[list[str]]
    running: subprocess.Popen[bytes] | None = None
    said: IO[bytes] = field(default_factory=tempfile.TemporaryFile)  # files: a full pipe would stop the process
    problems: IO[bytes] = field(default_factory=tempfile.TemporaryFile)

    def advance(self, wait: bool) -> str | None:
        """Goes on as far as it can (with `wait`, to the end); the last command's output when all is done."""
        while self.running or self.commands:
            if self.running is None:
                self.said.seek(0)
                self.said.truncate()
                command = ["nice", "-n", str(LOW), *self.commands.popleft()]
                self.running = subprocess.Popen(command, stdout=self.said, stderr=self.problems)
            if not wait and self.running.poll() is None:
                return None
            if self.running.wait():
                raise RuntimeError(f"scoring step {self.step} failed: {self.told()[1].strip()[-2000:]}")
            self.running = None
        return self.told()[0]

    def told(self) -> tuple[str, str]:
        """All that the last command said, and all problems of every command; nothing more can be written afterwards."""
        with self.said, self.problems:
            return read(self.said), read(self.problems)


def read(file: IO[bytes]) -> str:
    """All that a process has written."""
    file.seek(0)
    return file.read().decode("utf-8", "replace")


@dataclass
class ScoreCallback(TrainerCallback):  # type: ignore[misc]
    """Scores each saved checkpoint on a quick suite, and logs per-skill deltas.

    `options` are further flags of `skilldelta score`, e.g. ("--limit", "100", "--device", "cpu").  With `wait` training stands
    still meanwhile: for a device that cannot hold both.
    """

    trainer: Any
    tasks: Sequence[str]
    results: str
    baseline: str  # the folder of the model that deltas are taken against
    options: Sequence[str] = ()
    wait: bool = False
    jobs: deque[Job] = field(default_factory=deque)
    missed: list[int] = field(default_factory=list)  # steps whose checkpoint was rotated away before its turn

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Scores the baseline first."""
        if state.is_world_process_zero:
            self.jobs.append(Job(0, deque([self.score(self.baseline, "baseline")])))
            self.collect()

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Queues the checkpoint that was just saved."""
        if not state.is_world_process_zero:
            return
        name, folder = f"step-{state.global_step}", Path(args.output_dir) / f"checkpoint-{state.global_step}"
        compare = [
            sys.executable,
            "-m",
            "harness",
            "compare",
            self.results,
            "--baseline",
            "baseline",
            "--candidate",
            name,
            "--json",
        ]
        self.jobs.append(Job(state.global_step, deque([self.score(str(folder), name), compare])))
        self.collect()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Logs what has been scored meanwhile."""
        self.collect()

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Waits for what is still being scored."""
        self.collect(last=True)

    def score(self, folder: str, name: str) -> list[str]:
        """The command that scores one checkpoint under a name."""
        flags = ["-t", ",".join(self.tasks), "-o", self.results, "--name", name, *self.options]
        return [sys.executable, "-m", "harness", "score", folder, *flags]

    def collect(self, last: bool = False) -> None:
        """Takes jobs in their order, one at a time, as far as they have come."""
        while self.jobs:
            job = self.jobs[0]
            if job.step and job.running is None and len(job.commands) == 2 and not Path(job.commands[0][4]).is_dir():
                self.missed.append(self.jobs.popleft().step)
                continue
            said = job.advance(wait=last or self.wait)
            if said is None:
                return
            self.jobs.popleft()
            if job.step:
                self.trainer.log(deltas(said, f"step-{job.step}") | {"skills/step": float(job.step)})


def deltas(comparison: str, name: str) -> dict[str, float]:
    """`skills/NAME` for each skill, and `skills/average`, in points, from a comparison as JSON."""
    rows = [r for r in json.loads(comparison)["rows"] if r["checkpoint"] == name and r["level"] in ("skill", "average")]
    return {f"skills/{r['name'] if r['level'] == 'skill' else 'average'}": r["delta"] for r in rows if r["delta"] is not None}
