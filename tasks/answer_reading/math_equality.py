"""Are two mathematical expressions equal?  By the library math-verify, in a process of its own with limits."""

from __future__ import annotations

import atexit
import importlib.util
import json
import os
import subprocess
import sys
import threading
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

from harness.types import SkilldeltaError

WORKER = Path(__file__).with_name("math_worker.py")
PACKAGES = ("math-verify", "latex2sympy2-extended", "sympy", "antlr4-python3-runtime")
UNDECIDED = "math-verify did not decide within its limits of time and memory whether the answer is right"


def check_installed() -> None:
    """SkilldeltaError where math-verify is missing."""
    if importlib.util.find_spec("math_verify") is None:
        raise SkilldeltaError(
            "The task 'math' decides with the package math-verify whether two expressions are equal, and it is not installed: "
            "pip install 'skilldelta[math]'."
        )


def library_versions() -> dict[str, str]:
    """The versions that an equality rests on."""
    check_installed()
    return {name: version(name) for name in PACKAGES}


@dataclass(frozen=True)
class Equality:
    """Whether an answer equals the right one, None where the limits were reached; and what it was read as."""

    is_equal: bool | None
    extracted: str = ""


class MathProcess:
    """The process that compares; it starts with the first question, and again after one that ended it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.process: subprocess.Popen[str] | None = None

    def compare(self, gold: str, answer: str) -> Equality:
        """Both as texts that hold an expression.  SkilldeltaError where the process cannot start."""
        with self.lock:
            process = self.process or self.start()
            assert process.stdin
            assert process.stdout
            try:
                process.stdin.write(json.dumps({"gold": gold, "answer": answer}) + "\n")
                process.stdin.flush()
                reply = process.stdout.readline()
            except BrokenPipeError:
                reply = ""
            if not reply.endswith("\n"):
                self.close()
                return Equality(None)
        return Equality(**json.loads(reply))

    def start(self) -> subprocess.Popen[str]:
        check_installed()
        self.process = subprocess.Popen(
            [sys.executable, "-P", str(WORKER)], text=True, encoding="utf-8", env=os.environ | {"PYTHONHASHSEED": "0"},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        return self.process

    def close(self) -> None:
        """Ends the process, if there is one."""
        if self.process:
            self.process.kill()
            self.process.communicate()
            self.process = None


@lru_cache(maxsize=1)
def math_process() -> MathProcess:
    """The one process of this program."""
    process = MathProcess()
    atexit.register(process.close)
    return process


def compare_expressions(gold: str, answer: str) -> Equality:
    return math_process().compare(gold, answer)
