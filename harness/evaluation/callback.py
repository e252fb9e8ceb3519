"""`ScoreCallback`: skills while a transformers or TRL trainer runs, next to its own metrics.

    from harness import ScoreCallback
    trainer.add_callback(ScoreCallback(trainer, tasks=("gsm8k", "ifeval"), results="results", baseline="runs/sft"))

`skilldelta score` scores each saved checkpoint in a process of its own, at a low priority, while training goes on.  The deltas
against the baseline reach whatever the trainer reports to as `skills/NAME` (points), with score and interval, and the step they
belong to in `skills/step`.  `log_to=("tensorboard:runs/dpo/logs",)` also writes them at that very step, as `--log-to` does.
Nothing that goes wrong here ends the training: it is logged as a warning and kept in `problems`.

`StopFileCallback("STOP")` ends the training once that file is there: `skilldelta watch --on-alarm stop:STOP` writes it.
"""

from __future__ import annotations

import json
import logging
import shutil
import subprocess
import tempfile
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from shlex import quote
from typing import IO, Any

from transformers import TrainerCallback

from harness.registry import command_line

NICENESS = "10"  # of the scoring process
LOG = logging.getLogger("skilldelta")
BASELINE = "baseline"  # its name in the results


class ScoringError(Exception):
    """A scoring process failed."""


@dataclass
class ScoringJob:
    """Commands that run one after another for one checkpoint; the last one's output is the job's."""

    step: int  # 0: the baseline
    folder: str
    commands: deque[list[str]]
    compares: bool = False  # the last command prints a comparison with the baseline
    has_started: bool = False
    process: subprocess.Popen[bytes] | None = None
    output: IO[bytes] = field(default_factory=tempfile.TemporaryFile)  # files: a full pipe would stop the process
    errors: IO[bytes] = field(default_factory=tempfile.TemporaryFile)

    def advance(self, wait: bool) -> str | None:
        """Goes on as far as it can (with `wait`, to the end); the last command's output when all is done.

        ScoringError where a command failed, OSError where it cannot be started.
        """
        while self.process or self.commands:
            if self.process is None:
                self.has_started = True
                self.output.seek(0)
                self.output.truncate()
                low_priority = ["nice", "-n", NICENESS] if shutil.which("nice") else []  # training comes first
                command = [*low_priority, *self.commands.popleft()]
                self.process = subprocess.Popen(command, stdout=self.output, stderr=self.errors)
            if not wait and self.process.poll() is None:
                return None
            code = self.process.wait()
            if code:
                ending = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
                raise ScoringError(f"the process {ending}: {read_all(self.errors).strip()[-2000:] or 'it said nothing'}")
            self.process = None
        return read_all(self.output)

    def close(self) -> None:
        self.output.close()
        self.errors.close()


def read_all(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode("utf-8", "replace")


def never_raising(hook: Callable[[ScoreCallback, Any, Any], None]) -> Callable[..., None]:
    """A hook of the trainer whose failure is reported and not raised: a lost score must not cost the training run."""

    @wraps(hook)
    def report_errors(self: ScoreCallback, args: Any, state: Any, control: Any, **_: Any) -> None:
        try:
            hook(self, args, state)
        except Exception as error:  # noqa: BLE001  whatever it is (a full disk, a logger of the user's), training goes on
            self.report(f"{type(error).__name__}: {error}")

    return report_errors


@dataclass
class ScoreCallback(TrainerCallback):  # type: ignore[misc]
    """Scores each saved checkpoint on `tasks`, and logs its skills' differences from the baseline.

    `options` are further flags of `skilldelta score`, e.g. ("--limit", "100", "--device", "cpu").  With `wait` training stands
    still meanwhile: for a device that cannot hold both.
    """

    trainer: Any
    tasks: Sequence[str]
    results: str
    baseline: str  # the folder of the model that deltas are taken against
    options: Sequence[str] = ()
    wait: bool = False
    log_to: Sequence[str] = ()  # trackers, as for `--log-to`
    jobs: deque[ScoringJob] = field(default_factory=deque)
    missed_steps: list[int] = field(default_factory=list)  # steps whose checkpoint was deleted before its turn
    problems: list[str] = field(default_factory=list)  # what could not be done, each once
    has_baseline: bool = True  # until scoring it has failed

    @never_raising
    def on_train_begin(self, args: Any, state: Any) -> None:
        if state.is_world_process_zero:
            self.jobs.append(ScoringJob(0, self.baseline, deque([self.score_command(self.baseline, BASELINE)])))
            self.collect()

    @never_raising
    def on_save(self, args: Any, state: Any) -> None:
        if not state.is_world_process_zero:
            return
        name, folder = f"step-{state.global_step}", str(Path(args.output_dir) / f"checkpoint-{state.global_step}")
        commands = deque([self.score_command(folder, name)])
        if self.has_baseline:
            against = ["--baseline", BASELINE, "--candidate", name, "--json"]
            commands.append([*command_line(), "compare", self.results, *against])
        commands[-1] += self.tracker_flags()
        self.jobs.append(ScoringJob(state.global_step, folder, commands, self.has_baseline))
        self.collect()

    @never_raising
    def on_step_end(self, args: Any, state: Any) -> None:
        self.collect()

    @never_raising
    def on_train_end(self, args: Any, state: Any) -> None:
        self.collect(last=True)

    def score_command(self, folder: str, name: str) -> list[str]:
        flags = ["-t", ",".join(self.tasks), "-o", self.results, "--name", name, *self.options]
        return [*command_line(), "score", folder, *flags]

    def tracker_flags(self) -> list[str]:
        return [flag for tracker in self.log_to for flag in ("--log-to", tracker)]

    def collect(self, last: bool = False) -> None:
        """Takes jobs in their order, one at a time, as far as they have come; a job that fails is reported and given up."""
        while self.jobs:
            job = self.jobs[0]
            try:
                if not self.advance(job, wait=last or self.wait):
                    return
            except Exception as error:  # noqa: BLE001  see never_raising; the jobs behind this one have their turn
                self.give_up(job, error)
            self.jobs.popleft().close()

    def advance(self, job: ScoringJob, wait: bool) -> bool:
        """Goes on with a job; whether it is done.  The trainer logs what it found."""
        if job.step and not job.has_started and not Path(job.folder).is_dir():
            self.missed_steps.append(job.step)
            return True
        output = job.advance(wait)
        if output is not None and job.compares:
            self.trainer.log(read_deltas(output, f"step-{job.step}") | {"skills/step": float(job.step)})
        return output is not None

    def give_up(self, job: ScoringJob, error: Exception) -> None:
        if job.step:
            self.report(f"step {job.step} could not be scored: {error}\nScore it later: skilldelta score {quote(job.folder)}")
        else:
            self.has_baseline = False
            for later in (each for each in self.jobs if each.compares):
                later.compares = False
                later.commands.pop()
                later.commands[-1] += self.tracker_flags()  # scores can be logged without differences
            self.report(f"the baseline {job.folder} could not be scored, so that no differences are logged: {error}")

    def report(self, problem: str) -> None:
        """Says once what could not be done, and that training is not touched by it."""
        if problem not in self.problems:
            self.problems.append(problem)
            LOG.warning("ScoreCallback: %s\nTraining goes on.", problem)


def read_deltas(comparison: str, name: str) -> dict[str, float]:
    """`skills/NAME` for each skill, and `skills/average`, in points, from a comparison as JSON; with score and interval."""
    rows = [r for r in json.loads(comparison)["rows"] if r["checkpoint"] == name and r["level"] in ("skill", "average")]
    names = {"delta": "", "score": "/score", "delta_low": "/difference_low", "delta_high": "/difference_high"}
    return {
        f"skills/{row['name'] if row['level'] == 'skill' else 'average'}{suffix}": row[key]
        for row in rows
        for key, suffix in names.items()
        if row["delta"] is not None and row.get(key) is not None
    }


@dataclass
class StopFileCallback(TrainerCallback):  # type: ignore[misc]
    """Ends the training, with a last checkpoint, once a file is there.  One that was there before the training is refused."""

    file: str

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if Path(self.file).exists():
            raise FileExistsError(f"{self.file} is there already, of an earlier alarm: read it, then delete it to train on.")

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if Path(self.file).exists():
            LOG.warning("%s is there: the training ends at step %s.", self.file, state.global_step)
            control.should_save = control.should_training_stop = True
