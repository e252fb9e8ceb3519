"""Commands of the program in processes that can be ended: whatever they read, they end in time and within bounds of memory."""

from __future__ import annotations

import contextlib
import io
import json
import os
import resource
import select
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.bounded_work import fork_beside_threads
from harness.cli import main

SECONDS = 30.0  # for one case, on a machine that is busy
MEMORY = 4 << 30  # bytes that a command may have beyond what the tests have


@dataclass(frozen=True)
class Case:
    """A copy of a good folder, damaged by `damage`, and the arguments of the command that reads it.

    `expects`: what it must print all the same.
    """

    name: str
    good: Path
    damage: Callable[[Path], object]
    arguments: Callable[[Path], list[str]]
    expects: str = ""


@dataclass(frozen=True)
class CaseResult:
    """How a command ended: `code` None where it did not."""

    name: str
    code: int | None
    output: str
    seconds: float

    @property
    def is_held(self) -> bool:
        """No internal error, no hang, no death, no raw escape."""
        return self.code in range(6) and "Traceback" not in self.output and "\x1b" not in self.output


def run_command(arguments: Sequence[str]) -> tuple[int, str]:
    """The exit code and all that a command printed."""
    output = io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        try:
            main(list(arguments))
        except SystemExit as end:
            return int(end.code or 0), output.getvalue()
    raise AssertionError("main() always exits")


def run_cases(cases: Sequence[Case], scratch: Path) -> Iterator[CaseResult]:
    """Every case in turn, several in one process; one that hangs or dies is a result, and the next has a new process."""
    left = list(cases)
    while left:
        reader, writer = os.pipe()
        child = fork_beside_threads()
        if not child:
            os.close(reader)
            run_child(left, scratch, writer)
        os.close(writer)
        with os.fdopen(reader, "rb") as stream:
            while left:
                begin = time.monotonic()
                ready, _, _ = select.select([stream], [], [], SECONDS)
                line = stream.readline() if ready else b""
                case = left.pop(0)
                facts: dict[str, Any] = (
                    json.loads(line) if line else {"code": None, "output": "it died" if ready else "it hangs"}
                )
                yield CaseResult(case.name, facts["code"], facts["output"], time.monotonic() - begin)
                if not line:
                    break
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def run_child(cases: Sequence[Case], scratch: Path, writer: int) -> None:
    """Runs the cases and writes a line for each; never returns."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    try:
        for case in cases:
            folder = scratch / "case"
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(case.good, folder, symlinks=True)
            case.damage(folder)
            code, output = run_command(case.arguments(folder))
            if case.expects not in output:
                code, output = -1, f"{case.expects} is not in the output: {output}"
            os.write(writer, json.dumps({"code": code, "output": output[-3000:]}).encode() + b"\n")
    finally:
        os._exit(0)
