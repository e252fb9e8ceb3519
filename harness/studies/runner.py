"""Stages of work that depend on each other: what is missing is run, side by side where there is room, resumable.

A stage is one command of this program in a process of its own.  Its mark holds the hash of the command, of what it reads from
elsewhere and of the stages that it needs: a changed setting, or a changed file, runs what follows from it again, on empty
folders, and nothing else; an interrupted stage goes on.
"""

from __future__ import annotations

import graphlib
import os
import re
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing import connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any, Protocol

from harness.atomic_files import write_bytes, write_json
from harness.bounded_files import UnreadableFileError, read_end, read_json
from harness.studies.stage_inputs import hash_inputs
from harness.studies.stage_process import fork_server, run_stage
from harness.system_errors import explain_system_error
from harness.types import SkilldeltaError, digest

SHOWN_LOG_LINES, MAX_LOG_END = 15, 1 << 16  # lines, and bytes, of the end of a failed stage's log that are shown
PROBE, PROBE_SIZE = "room-for-a-log", 1 << 16  # a file, and its bytes


@dataclass(frozen=True)
class Stage:
    """`arguments` follow `python -m`, in the stages' folder.

    `needs` are names of stages; `writes` are what it leaves, as patterns below the folder.
    """

    name: str
    arguments: tuple[str, ...]
    needs: tuple[str, ...] = ()
    says: str = ""  # what it does, for people
    writes: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()  # files and folders outside, whose content its outcome follows from


class StageListener(Protocol):
    """Hears how far the stages are."""

    def begin(self, stage: Stage) -> None: ...
    def end(self, stage: Stage, seconds: float) -> None: ...
    def fail(self, stage: Stage) -> None: ...
    def tick(self) -> None: ...


@dataclass
class RunningStage:
    stage: Stage
    process: ForkServerProcess
    start_time: float


class Runner:
    """What is done, at work, and to do, in one folder."""

    def __init__(self, folder: Path, stages: Sequence[Stage]) -> None:
        self.folder = folder
        self.stages = {s.name: s for s in stages}
        for stage in stages:
            if unknown := [n for n in stage.needs if n not in self.stages]:
                raise SkilldeltaError(f"The stage {stage.name!r} needs {unknown[0]!r}, which is no stage.")
        try:
            order = list(graphlib.TopologicalSorter({s.name: s.needs for s in stages}).static_order())
        except graphlib.CycleError as error:
            raise SkilldeltaError(f"These stages need each other in a circle: {', '.join(error.args[1])}.") from error
        self.keys: dict[str, str] = {}  # hashes of everything that a stage's outcome follows from
        self.inputs: dict[str, dict[str, str]] = {}  # hashes of what stages read; without the stages of older marks
        self.finished_stages: set[str] = set()
        for stage in (self.stages[name] for name in order):
            mark = self.read_mark(stage)
            self.keys[stage.name] = self.make_key(stage, mark)
            if set(stage.needs) <= self.finished_stages and mark.get("done") and mark["key"] == self.keys[stage.name]:
                self.finished_stages.add(stage.name)
        self.running: list[RunningStage] = []
        self.failures: dict[str, SkilldeltaError] = {}

    def make_key(self, stage: Stage, mark: Mapping[str, Any]) -> str:
        """The hash of what the stage's outcome follows from.  A mark of an older version does not know what the stage read."""
        facts: list[Any] = [stage.arguments, [self.keys[n] for n in stage.needs]]
        if "inputs" not in mark and mark.get("key") == digest(facts):
            return digest(facts)
        self.inputs[stage.name] = hash_inputs(stage.reads, mark)
        return digest([*facts, self.inputs[stage.name]] if stage.reads else facts)

    def mark_file(self, stage: Stage) -> Path:
        return self.folder / "stages" / f"{stage.name}.json"

    def read_mark(self, stage: Stage) -> dict[str, Any]:
        """What the stage's mark says; {} where it was never begun.  SkilldeltaError for a damaged one."""
        file = self.mark_file(stage)
        if not os.path.lexists(file):
            return {}
        try:
            mark = read_json(file)
            if not isinstance(mark.get("key"), str):
                raise UnreadableFileError(f"{file.name} has no key")
        except UnreadableFileError as error:
            raise SkilldeltaError(f"{file} is damaged ({error}).  Remove it, and the stage is run anew.") from error
        return mark

    def ready_stages(self) -> list[Stage]:
        """Stages that could begin now: those first that nothing waits for, so that there is something to see early."""
        begun_names = self.finished_stages | self.failures.keys() | {r.stage.name for r in self.running}
        ready = [s for s in self.stages.values() if s.name not in begun_names and set(s.needs) <= self.finished_stages]
        needed_names = {n for s in self.stages.values() for n in s.needs}
        return sorted(ready, key=lambda s: s.name in needed_names)

    def log_file(self, stage: Stage) -> Path:
        return self.folder / "logs" / f"{stage.name}.log"

    def log_end(self, stage: Stage) -> str:
        try:
            return read_end(self.log_file(stage), MAX_LOG_END).decode(errors="replace")
        except UnreadableFileError as error:
            return str(error)

    def start(self, stage: Stage) -> None:
        """Begins a stage.  What an earlier form of it left is removed; what it left itself is gone on from."""
        self.log_file(stage).parent.mkdir(parents=True, exist_ok=True)
        facts = {"key": self.keys[stage.name], "arguments": list(stage.arguments), "done": False}
        facts |= {"inputs": self.inputs[stage.name]} if stage.name in self.inputs else {}
        if self.read_mark(stage).get("key") != facts["key"]:
            self.remove_outputs(stage)
        write_json(self.mark_file(stage), facts)
        self.log_file(stage).touch()  # where that is refused, the stage could not say so
        arguments = (stage.arguments, str(self.folder), str(self.log_file(stage).resolve()))
        process = fork_server().Process(target=run_stage, args=arguments)
        process.start()
        self.running.append(RunningStage(stage, process, time.monotonic()))

    def remove_outputs(self, stage: Stage) -> None:
        for path in [p for pattern in stage.writes for p in self.folder.glob(pattern)]:
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def finish(self, running_stage: RunningStage) -> float:
        """Marks a finished stage; an error with the end of its log where it failed."""
        self.running.remove(running_stage)
        seconds = time.monotonic() - running_stage.start_time
        if running_stage.process.exitcode:
            lines = self.log_end(running_stage.stage).splitlines()[-SHOWN_LOG_LINES:]
            reasons = [*(f"  {text}" for text in lines), *find_refusal(self.folder)]
            code = running_stage.process.exitcode
            title = f"The stage {running_stage.stage.name!r} failed with exit code {code}.  The end of "
            raise SkilldeltaError(f"{title}{self.log_file(running_stage.stage)}:\n" + "\n".join(reasons))
        match = re.search(r"^processor time: ([\d.]+) s$", self.log_end(running_stage.stage)[-200:], re.MULTILINE)
        durations = {"seconds": round(seconds, 1), "processor_seconds": float(match[1]) if match else None}
        write_json(self.mark_file(running_stage.stage), self.read_mark(running_stage.stage) | {"done": True} | durations)
        self.finished_stages.add(running_stage.stage.name)
        return seconds

    def stop(self) -> None:
        for running_stage in self.running:
            running_stage.process.kill()
            running_stage.process.join()


def find_refusal(folder: Path) -> list[str]:
    """Why a folder takes no more files, where it does not: a stage's log holds nothing of it, as it could not be written."""
    try:
        write_bytes(folder / PROBE, bytes(PROBE_SIZE))
        (folder / PROBE).unlink()
    except OSError as error:
        return [explain_system_error(error) or str(error)]
    return []


def run_stages(folder: Path, stages: Sequence[Stage], jobs: int, listener: StageListener) -> None:
    """Runs every stage that is not done, at most `jobs` at once.  Interrupted, the same call goes on.

    Where one fails, those that do not need it are run all the same: hours of training are not lost to a fault elsewhere.
    Raises SkilldeltaError at the end then.
    """
    runner = Runner(folder, stages)
    try:
        while True:
            for stage in runner.ready_stages()[: jobs - len(runner.running)]:
                runner.start(stage)
                listener.begin(stage)
            if not runner.running:
                break
            ended = wait_for_one(runner.running, listener)
            try:
                listener.end(ended.stage, runner.finish(ended))
            except SkilldeltaError as error:
                runner.failures[ended.stage.name] = error
                listener.fail(ended.stage)
    finally:
        runner.stop()
    if runner.failures:
        waiting = len(stages) - len(runner.finished_stages) - len(runner.failures)
        raise SkilldeltaError(
            "\n".join(map(str, runner.failures.values()))
            + (f"\n{waiting} {'stage needs' if waiting == 1 else 'stages need'} what failed.  " if waiting else "\n")
            + "What is done stays: the same command goes on from here."
        )


def wait_for_one(running: Sequence[RunningStage], listener: StageListener) -> RunningStage:
    """The first process to end."""
    sentinels = {running_stage.process.sentinel: running_stage for running_stage in running}
    while True:
        for sentinel in connection.wait(list(sentinels), timeout=0.2):
            one = sentinels[sentinel]  # type: ignore[index]
            one.process.join()
            return one
        listener.tick()
