"""Stages of work that depend on each other: what is missing is run, side by side where there is room, resumable.

A stage is one command of this program in a process of its own.  Its mark holds the hash of the command and of the stages that
it needs: a changed setting runs what follows from it again, on empty folders, and nothing else; an interrupted stage goes on.
"""

from __future__ import annotations

import graphlib
import multiprocessing
import os
import re
import resource
import runpy
import shutil
import signal
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any, Protocol

from harness import registry
from harness.atomic_files import read_json, write_json
from harness.types import SkilldeltaError, digest

TAIL = 15  # lines of a failed stage's log that are shown
# Imported once, by the process that stages are forked from: this saves seconds of processor time for each of them.
PRELOADED = [
    "transformers.models.llama.modeling_llama",
    *(f"harness.trainers.{name}" for name in registry.modules("trainers")),
    "harness.backends.transformers",
    "harness.cli",
    "harness.api",
    "tasks.world",
]


@dataclass(frozen=True)
class Stage:
    """`arguments` follow `python -m`, in the stages' folder.

    `needs` are names of stages; `writes` are what the stage leaves, as patterns below the folder.
    """

    name: str
    arguments: tuple[str, ...]
    needs: tuple[str, ...] = ()
    says: str = ""  # what it does, for people
    writes: tuple[str, ...] = ()


def end_with_parent() -> None:
    """Waits for the end of the program that started this process, however it ends, and ends too."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGKILL)


def work(arguments: Sequence[str], folder: str, log: str) -> None:
    """In the process of a stage: `python -m ARGUMENTS` in a folder, with what it says in a file."""
    threading.Thread(target=end_with_parent, daemon=True).start()
    target = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    for stream in (1, 2):
        os.dup2(target, stream)
    os.chdir(folder)
    sys.argv[1:] = arguments[1:]
    try:
        runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)
    finally:
        sys.stdout.flush()
        spent = sum(resource.getrusage(who).ru_utime for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        sys.stderr.write(f"\nprocessor time: {spent:.1f} s\n")


class Listener(Protocol):
    """Hears how far the stages are."""

    def begin(self, stage: Stage) -> None: ...
    def end(self, stage: Stage, seconds: float) -> None: ...
    def tick(self) -> None: ...


@dataclass
class Running:
    stage: Stage
    process: ForkServerProcess
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
            order = list(graphlib.TopologicalSorter({s.name: s.needs for s in stages}).static_order())
        except graphlib.CycleError as error:
            raise SkilldeltaError(f"These stages need each other in a circle: {', '.join(error.args[1])}.") from error
        self.keys: dict[str, str] = {}  # hashes of everything that a stage's outcome follows from
        self.done: set[str] = set()
        for stage in (self.stages[name] for name in order):
            self.keys[stage.name] = digest([stage.arguments, [self.keys[n] for n in stage.needs]])
            mark = self.about(stage)
            if set(stage.needs) <= self.done and mark.get("done") and mark["key"] == self.keys[stage.name]:
                self.done.add(stage.name)
        self.running: list[Running] = []

    def mark(self, stage: Stage) -> Path:
        return self.folder / "stages" / f"{stage.name}.json"

    def about(self, stage: Stage) -> dict[str, Any]:
        """What the stage's mark says; {} where it was never begun."""
        return read_json(self.mark(stage)) if self.mark(stage).exists() else {}

    def ready(self) -> list[Stage]:
        """Stages that could begin now: those first that nothing waits for, so that there is something to see early."""
        away = self.done | {r.stage.name for r in self.running}
        found = [s for s in self.stages.values() if s.name not in away and set(s.needs) <= self.done]
        awaited = {n for s in self.stages.values() for n in s.needs}
        return sorted(found, key=lambda s: s.name in awaited)

    def log(self, stage: Stage) -> Path:
        return self.folder / "logs" / f"{stage.name}.log"

    def start(self, stage: Stage) -> None:
        """Begins a stage.  What an earlier form of it left is removed; what it left itself is gone on from."""
        self.log(stage).parent.mkdir(parents=True, exist_ok=True)
        facts = {"key": self.keys[stage.name], "arguments": list(stage.arguments), "done": False}
        if self.about(stage).get("key") != facts["key"]:
            self.clear(stage)
        write_json(self.mark(stage), facts)
        process = forks().Process(target=work, args=(stage.arguments, str(self.folder), str(self.log(stage).resolve())))
        process.start()
        self.running.append(Running(stage, process, time.monotonic()))

    def clear(self, stage: Stage) -> None:
        for path in [p for pattern in stage.writes for p in self.folder.glob(pattern)]:
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def finish(self, one: Running) -> float:
        """Marks a finished stage; an error with the end of its log where it failed."""
        self.running.remove(one)
        seconds = time.monotonic() - one.started
        if one.process.exitcode:
            lines = self.log(one.stage).read_text(errors="replace").splitlines()[-TAIL:]
            raise SkilldeltaError(
                f"The stage {one.stage.name!r} failed with exit code {one.process.exitcode}.  The end of "
                f"{self.log(one.stage)}:\n" + "\n".join(f"  {text}" for text in lines)
            )
        told = re.search(r"^processor time: ([\d.]+) s$", self.log(one.stage).read_text(errors="replace")[-200:], re.MULTILINE)
        spent = {"seconds": round(seconds, 1), "processor_seconds": float(told[1]) if told else None}
        write_json(self.mark(one.stage), self.about(one.stage) | {"done": True} | spent)
        self.done.add(one.stage.name)
        return seconds

    def stop(self) -> None:
        for one in self.running:
            one.process.kill()
            one.process.join()


def forks() -> multiprocessing.context.ForkServerContext:
    """Where the processes of stages come from: a server that holds the heavy libraries, forked for each stage."""
    # Small models: one thread each, and the processors are shared by stages.
    os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    # The server would look in the working folder first, and take a user's own package `harness` or `tasks` for ours.
    paths = [str(registry.ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ |= {"PYTHONSAFEPATH": "1", "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths))}
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    return context


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
    sentinels = {one.process.sentinel: one for one in running}
    while True:
        for sentinel in connection.wait(list(sentinels), timeout=0.2):
            one = sentinels[sentinel]  # type: ignore[index]
            one.process.join()
            return one
        listener.tick()
