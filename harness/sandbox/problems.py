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
from typing import TYPE_CHECKING, Any

from harness import config
from harness.sandbox.inside.grader import TOO_LARGE_OUTPUT
from harness.sandbox.inside.wire import encode_value
from harness.sandbox.limits import ProgramLimits, paper_limits
from harness.sandbox.modes import Cooperative, Stdout
from harness.sandbox.verdict import CallGroup, Calls, GraderError, Integrity, RecordCalls, SandboxError, Tests, Verdict
from harness.types import Json, SandboxOptions, Score

if TYPE_CHECKING:
    from harness.sandbox.sandbox import Sandbox

TIER_VARIABLE = "SKILLDELTA_SANDBOX"  # a tier by name; unset: the strongest that this machine allows
LIMITS_VARIABLE = "SKILLDELTA_SANDBOX_LIMITS"  # cpu_s=10,memory_mb=2048 and so on; or paper
REFERENCE_CPU_S = 120
MAX_FAILURES = 5  # of the whole sandbox in a row, before the run ends
MANY_CALLS_FACTOR = 2  # times the usual processor time, for hundreds of calls; EvalPlus gives each call a second
SLOWDOWN_FACTOR = 4  # a program may take so many times its reference's processor time; EvalPlus's factor


@dataclass(frozen=True)
class Problem:
    """A problem with its tests.  Where the reference fails them, no program is scored on the problem."""

    reference: str
    tests: Tests | Stdout | Cooperative


@dataclass(frozen=True)
class ComparisonProblem:
    """A problem whose right outputs are those of its reference.  Inputs: lists of arguments, see `encode_arguments`."""

    reference: str
    entry: str
    groups: Sequence[tuple[str, Sequence[str]]]
    atol: float = 0.0
    oracle: str = ""


Build = Callable[[], Problem | ComparisonProblem]


@dataclass(frozen=True)
class PreparedProblem:
    """A problem's tests and limits, or the reason why it cannot be scored."""

    tests: Tests | Stdout | Cooperative | None
    limits: ProgramLimits
    why: str = ""


class Examiner:
    """Scores programs on problems, and runs each problem's reference once.  Several threads may use it."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.problems: dict[str, PreparedProblem] = {}
        self.locks: dict[str, threading.Lock] = {}
        self.lock = threading.Lock()
        self.failures = 0  # of the whole sandbox, since the last verdict

    def score(self, name: str, build: Build, program: str) -> Score:
        """1 for a pass, 0 for any other outcome; None where the problem itself is at fault, or the grader failed twice.

        `name` identifies the problem; `build` makes it, the first time.  None too where the whole sandbox failed twice;
        SandboxError if it did so for MAX_FAILURES programs in a row.
        """
        try:
            problem = self.prepare_once(name, build)
            if problem.tests is None:
                return Score(None, why=problem.why)
            verdict = self.sandbox.run(program, problem.tests, problem.limits)
        except GraderError as error:
            return Score(None, why=f"{error}")
        except SandboxError as error:
            self.failures += 1
            if self.failures >= MAX_FAILURES:
                raise
            return Score(None, why=f"{error}")
        self.failures = 0
        return verdict_score(verdict, problem.tests)

    def prepare_once(self, name: str, build: Build) -> PreparedProblem:
        with self.lock:
            lock = self.locks.setdefault(name, threading.Lock())
        with lock:
            if name not in self.problems:
                try:
                    self.problems[name] = self.prepare(build())
                except GraderError as error:
                    self.problems[name] = PreparedProblem(None, self.sandbox.config.limits, f"{error}")
            return self.problems[name]

    def prepare(self, problem: Problem | ComparisonProblem) -> PreparedProblem:
        """Runs the reference: its outputs are the expected ones, its time sets the limit."""
        limits = self.sandbox.config.limits
        lenient = replace(limits, cpu_s=max(limits.cpu_s, REFERENCE_CPU_S), wall_s=0.0)
        if isinstance(problem, Problem):
            verdict = self.sandbox.run(problem.reference, problem.tests, lenient)
            tests: Tests | Stdout | Cooperative = problem.tests
        else:
            inputs = [arguments for _, group in problem.groups for arguments in group]
            verdict = self.sandbox.run(problem.reference, RecordCalls(problem.entry, inputs), lenient)
            tests = expected_calls(problem, verdict)
        if not verdict.passed:
            return PreparedProblem(None, limits, f"the reference solution fails here: {verdict.outcome}: {verdict.detail}")
        usual = limits.cpu_s * (1 if isinstance(problem, Problem) else MANY_CALLS_FACTOR)
        return PreparedProblem(tests, replace(limits, cpu_s=max(usual, math.ceil(SLOWDOWN_FACTOR * verdict.cpu_s))))


def expected_calls(problem: ComparisonProblem, verdict: Verdict) -> Calls:
    """The problem's calls with the reference's outputs, less the calls whose outputs are too large to compare."""
    groups, start = [], 0
    for name, inputs in problem.groups:
        outputs = verdict.outputs[start : start + len(inputs)]
        pairs = [pair for pair in zip(inputs, outputs, strict=False) if pair[1] != TOO_LARGE_OUTPUT]
        groups.append(CallGroup(name, [arguments for arguments, _ in pairs], [output for _, output in pairs]))
        start += len(inputs)
    return Calls(problem.entry, groups, problem.atol, problem.oracle)


def verdict_score(verdict: Verdict, tests: object) -> Score:
    """The verdict as a score, with a part for each group of calls: 1 where it passed."""
    parts = {group.name: 0.0 for group in tests.groups} if isinstance(tests, Calls) else {}
    parts |= {name: float(is_pass) for name, is_pass in verdict.groups.items()}
    summary = f"{verdict.outcome}: {verdict.detail}" if verdict.detail else verdict.outcome
    return Score(float(verdict.passed), extracted=summary[:300], parts=parts)


def examiner(options: SandboxOptions = SandboxOptions()) -> Examiner:
    """The examiner that all coding tasks of this process share; its sandbox closes when the process ends.

    An empty option takes the environment variable of its name.  The process number is part of the cache's key: a forked child
    must not use its parent's sandbox.
    """
    tier = options.tier or os.environ.get(TIER_VARIABLE, "")
    limits = options.limits or os.environ.get(LIMITS_VARIABLE, "")
    return start_examiner(os.getpid(), SandboxOptions(tier, limits))


@functools.cache
def start_examiner(process: int, options: SandboxOptions) -> Examiner:
    from harness.sandbox.sandbox import Sandbox, SandboxConfig

    sandbox = Sandbox(SandboxConfig(parse_limits(options.limits), tier=options.tier))
    atexit.register(sandbox.close)
    return Examiner(sandbox)


def parse_limits(text: str) -> ProgramLimits:
    """The usual limits with the changes in `text` ("cpu_s=10,memory_mb=2048"), or for "paper" the paper's."""
    return paper_limits() if text == "paper" else config.build_config(ProgramLimits, config.parse_pairs(text))


def conditions(options: SandboxOptions = SandboxOptions(), integrity: Integrity = "values") -> Json:
    """The sandbox's settings: scores depend on them, so every result records them."""
    return {"sandbox": examiner(options).sandbox.settings(), "integrity": integrity}


def encode_arguments(arguments: Sequence[Any]) -> str:
    """A call's arguments as JSON text, the form of inputs everywhere in the sandbox."""
    return json.dumps(encode_value(list(arguments)), separators=(",", ":"))
