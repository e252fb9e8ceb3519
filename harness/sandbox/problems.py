"""Programming problems: a reference solution, its tests, and the score of a program."""

from __future__ import annotations

import atexit
import functools
import json
import math
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from harness import config
from harness.sandbox.inside.grader import LEFT_OUT
from harness.sandbox.inside.wire import encode
from harness.sandbox.limits import Limits, paper
from harness.sandbox.modes import Cooperative, Stdout
from harness.sandbox.sandbox import Options, Sandbox
from harness.sandbox.verdict import Calls, Group, Integrity, Record, Tests, Verdict
from harness.types import Json, Score

VARIABLE = "SKILLDELTA_SANDBOX"  # a tier by name; unset: the strongest that this machine allows
LIMITS = "SKILLDELTA_SANDBOX_LIMITS"  # cpu_s=10,memory_mb=2048 and so on; or paper
REFERENCE_CPU_S = 120
MANY = 2  # times the usual processor time for hundreds of calls, of which EvalPlus gives each a second
SLOWER = 4  # times a reference's processor time that a program may take; EvalPlus's factor


@dataclass(frozen=True)
class Problem:
    """A problem with its tests; a reference that fails them is reported, and nobody is scored on the problem."""

    reference: str
    tests: Tests | Stdout | Cooperative


@dataclass(frozen=True)
class Comparison:
    """A problem whose right outputs are what its reference returns.  Inputs: lists of arguments, see `told`."""

    reference: str
    entry: str
    groups: Sequence[tuple[str, Sequence[str]]]
    atol: float = 0.0
    oracle: str = ""


Build = Callable[[], Problem | Comparison]


@dataclass(frozen=True)
class Ready:
    """A problem's tests and limits, or why it cannot be scored."""

    tests: Tests | Stdout | Cooperative | None
    limits: Limits
    why: str = ""


class Examiner:
    """Scores programs on problems; what a problem needs of its reference is found out once.  For use from several threads."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.known: dict[str, Ready] = {}
        self.locks: dict[str, threading.Lock] = {}
        self.lock = threading.Lock()

    def score(self, name: str, build: Build, program: str) -> Score:
        """1 for a pass, 0 for all else; None where the problem itself is at fault.  `build` makes the problem once."""
        ready = self.ready(name, build)
        if ready.tests is None:
            return Score(None, why=ready.why)
        return scored(self.sandbox.run(program, ready.tests, ready.limits), ready.tests)

    def ready(self, name: str, build: Build) -> Ready:
        with self.lock:
            lock = self.locks.setdefault(name, threading.Lock())
        with lock:
            if name not in self.known:
                self.known[name] = self.prepared(build())
            return self.known[name]

    def prepared(self, problem: Problem | Comparison) -> Ready:
        """Runs the reference: its outputs are the expected ones, its time sets the limit."""
        limits = self.sandbox.options.limits
        lenient = replace(limits, cpu_s=max(limits.cpu_s, REFERENCE_CPU_S), wall_s=0.0)
        if isinstance(problem, Problem):
            verdict = self.sandbox.run(problem.reference, problem.tests, lenient)
            tests: Tests | Stdout | Cooperative = problem.tests
        else:
            inputs = [one for _, group in problem.groups for one in group]
            verdict = self.sandbox.run(problem.reference, Record(problem.entry, inputs), lenient)
            tests = expecting(problem, verdict)
        if not verdict.passed:
            return Ready(None, limits, f"the reference solution fails here: {verdict.outcome}: {verdict.detail}")
        usual = limits.cpu_s * (1 if isinstance(problem, Problem) else MANY)
        return Ready(tests, replace(limits, cpu_s=max(usual, math.ceil(SLOWER * verdict.cpu_s))))


def expecting(problem: Comparison, verdict: Verdict) -> Calls:
    """The problem's calls with what the reference returned; calls whose outputs are too large to be compared are left out."""
    groups, start = [], 0
    for name, inputs in problem.groups:
        outputs = verdict.outputs[start : start + len(inputs)]
        kept = [pair for pair in zip(inputs, outputs, strict=False) if pair[1] != LEFT_OUT]
        groups.append(Group(name, [one for one, _ in kept], [out for _, out in kept]))
        start += len(inputs)
    return Calls(problem.entry, groups, problem.atol, problem.oracle)


def scored(verdict: Verdict, tests: object) -> Score:
    """The verdict as a score; the groups passed are its parts."""
    parts = {group.name: 0.0 for group in tests.groups} if isinstance(tests, Calls) else {}
    parts |= {name: float(passed) for name, passed in verdict.groups.items()}
    said = f"{verdict.outcome}: {verdict.detail}" if verdict.detail else verdict.outcome
    return Score(float(verdict.passed), extracted=said[:300], parts=parts)


def examiner() -> Examiner:
    """The one that all coding tasks of this process share; its sandbox is closed when the process ends."""
    return started(os.getpid())


@functools.cache
def started(process: int) -> Examiner:
    sandbox = Sandbox(Options(limits(os.environ.get(LIMITS, "")), tier=os.environ.get(VARIABLE, "")))
    atexit.register(sandbox.close)
    return Examiner(sandbox)


def limits(text: str) -> Limits:
    """The usual limits with the changes that `text` names, or the paper's."""
    return paper() if text == "paper" else config.build(Limits, config.pairs(text))


def conditions(integrity: Integrity = "values") -> Json:
    """What the scores rest on besides the responses: recorded with every result."""
    return {"sandbox": examiner().sandbox.settings(), "integrity": integrity}


def told(arguments: Sequence[Any]) -> str:
    """A call's arguments as the text that the sandbox takes."""
    return json.dumps(encode(list(arguments)), separators=(",", ":"))
