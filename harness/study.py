"""Stages of work that depend on each other: what is missing is run, side by side where there is room, resumable.

A stage is one command of this program in a process of its own.  It is done when its mark is there, and the mark holds the
hash of the command and of the stages that it needs: a changed setting runs what follows from it again, and nothing else.
"""

from __future__ import annotations

import ctypes
import graphlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from harness.store import write_json
from harness.types import SkilldeltaError, digest

TAIL = 15  # lines of a failed stage's log that are shown


@dataclass(frozen=True)
class Stage:
    """`arguments` follow `python -m`; `needs` are names of stages."""

    name: str
    arguments: tuple[str, ...]
    needs: tuple[str, ...] = ()
    says: str = ""  # what it does, for people

    def key(self, stages: Mapping[str, Stage]) -> str:
        """The hash of everything that the stage's outcome follows from."""
        return digest([self.arguments, [stages[n].key(stages) for n in self.needs]])


LIBC = ctypes.CDLL(None)
PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """In a child before it runs: the kernel kills it when its parent ends, however that ends (Linux)."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Listener(Protocol):
    """Hears how far the stages are."""

    def begin(self, stage: Stage) -> None: ...
    def end(self, stage: Stage, seconds: float) -> None: ...
    def tick(self) -> None: ...


@dataclass
class Running:
    stage: Stage
    process: subprocess.Popen[bytes]
    started: float


class Board:
    """What is done, at work, and to do, in one folder."""

    def __init__(self, folder: Path, stages: Sequence[Stage]) -> None:
        self.folder = folder
        self.stages = {s.name: s for s in stages}
        for stage in stages:
            if unknown := [n for n in stage.needs if n not in self.stages]:
                raise SkilldeltaError(f"The stage {stage.name!r} needs {unknown[0]!r}, which is no stage.")
        try:
            graphlib.TopologicalSorter({s.name: s.needs for s in stages}).prepare()
        except graphlib.CycleError as error:
            raise SkilldeltaError(f"These stages need each other in a circle: {', '.join(error.args[1])}.") from error
        self.done = {s.name for s in stages if self.marked(s)}
        self.running: list[Running] = []

    def mark(self, stage: Stage) -> Path:
        return self.folder / "stages" / f"{stage.name}-{stage.key(self.stages)}.json"

    def marked(self, stage: Stage) -> bool:
        return self.mark(stage).exists() and all(self.marked(self.stages[n]) for n in stage.needs)

    def ready(self) -> list[Stage]:
        """Stages that could begin now, in their order."""
        busy = {r.stage.name for r in self.running}
        return [s for s in self.stages.values() if s.name not in self.done | busy and set(s.needs) <= self.done]

    def log(self, stage: Stage) -> Path:
        return self.folder / "logs" / f"{stage.name}.log"

    def start(self, stage: Stage) -> None:
        self.log(stage).parent.mkdir(parents=True, exist_ok=True)
        # What an earlier form of the stage left is about to be written over: its mark must not outlive it.
        for mark in (self.folder / "stages").glob(f"{stage.name}-{'[0-9a-f]' * 16}.json"):
            mark.unlink()
        # Small models: one thread each, and the processors are shared by stages.
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
        with self.log(stage).open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", *stage.arguments],
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                preexec_fn=die_with_parent,
            )
        self.running.append(Running(stage, process, time.monotonic()))

    def finish(self, one: Running) -> float:
        """Marks a finished stage; an error with the end of its log where it failed."""
        self.running.remove(one)
        seconds = time.monotonic() - one.started
        if one.process.returncode:
            lines = self.log(one.stage).read_text(errors="replace").splitlines()[-TAIL:]
            raise SkilldeltaError(
                f"The stage {one.stage.name!r} failed with exit code {one.process.returncode}.  The end of "
                f"{self.log(one.stage)}:\n" + "\n".join(f"  {text}" for text in lines)
            )
        write_json(self.mark(one.stage), {"arguments": list(one.stage.arguments), "seconds": round(seconds, 1)})
        self.done.add(one.stage.name)
        return seconds

    def stop(self) -> None:
        for one in self.running:
            one.process.kill()
            one.process.wait()


def run(folder: Path, stages: Sequence[Stage], jobs: int, listener: Listener) -> None:
    """Runs every stage that is not done, at most `jobs` at once.  Interrupted, the same call goes on."""
    board = Board(folder, stages)
    try:
        while len(board.done) < len(stages):
            for stage in board.ready()[: jobs - len(board.running)]:
                board.start(stage)
                listener.begin(stage)
            one = wait(board.running, listener)
            listener.end(one.stage, board.finish(one))
    finally:
        board.stop()


def wait(running: Sequence[Running], listener: Listener) -> Running:
    """The first process to end."""
    while True:
        for one in running:
            try:
                one.process.wait(timeout=0.2 / len(running))
            except subprocess.TimeoutExpired:
                continue
            return one
        listener.tick()
