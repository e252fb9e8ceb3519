# ruff: noqa: E501  lists of values
"""Problems: what a reference is run for, and when nobody is scored."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from harness.sandbox import Asserts, Cooperative, ProgramLimits, Sandbox, SandboxConfig, Stdout, Verdict, paper_limits
from harness.sandbox.problems import SLOWDOWN_FACTOR, ComparisonProblem, Examiner, Problem, parse_limits
from harness.sandbox.verdict import GraderError
from harness.types import SkilldeltaError

ADD = "def add(a, b): return a + b"
ADDS = Asserts("assert add(1, 2) == 3", ("add",))


@pytest.fixture
def examiner(sandbox: Sandbox) -> Examiner:
    return Examiner(sandbox)


def test_a_problem_whose_reference_fails_is_told_and_scores_nobody(examiner: Examiner) -> None:
    score = examiner.score("bad", lambda: Problem("def add(a, b): return a - b", ADDS), ADD)
    assert score.value is None
    assert score.why.startswith("the reference solution fails here: wrong: assert add(1, 2) == 3")


def test_outputs_of_the_reference_are_the_right_ones(examiner: Examiner) -> None:
    def build() -> ComparisonProblem:
        return ComparisonProblem(ADD, "add", [("base", ["[1, 2]"]), ("plus", ["[[1], [2]]"])])

    assert examiner.score("add", build, "def add(x, y): return x + y").value == 1
    score = examiner.score("add", build, "def add(x, y): return int(x) + int(y)")
    assert (score.value, score.parts) == (0, {"base": 1.0, "plus": 0.0})
    assert score.extracted.startswith("error: plus 0: TypeError")


def test_a_problem_is_made_once_however_many_ask(examiner: Examiner) -> None:
    made: list[int] = []

    def build() -> Problem:
        made.append(1)
        return Problem(ADD, ADDS)

    with ThreadPoolExecutor(8) as pool:
        scores = list(pool.map(lambda n: examiner.score("add", build, ADD if n % 2 else "add = 0"), range(16)))
    assert [s.value for s in scores] == [0, 1] * 8
    assert len(made) == 1


@pytest.mark.slow
def test_a_slow_reference_gives_all_more_time(examiner: Examiner) -> None:
    slow = (
        "import time\ndef add(a, b):\n    end = time.process_time() + 1.5\n"
        "    while time.process_time() < end: pass\n    return a + b"
    )
    ready = examiner.prepare_once("slow", lambda: Problem(slow, ADDS))
    assert ready.limits.cpu_s >= SLOWDOWN_FACTOR * 1.5
    assert examiner.sandbox.config.limits.cpu_s < SLOWDOWN_FACTOR * 1.5


def test_problems_may_be_judged_in_the_other_ways(examiner: Examiner) -> None:
    shouting = Problem("print(input().upper())", Stdout([("a", "A")]))
    assert examiner.score("shouts", lambda: shouting, "print('A')").value == 1
    assert examiner.score("shouts", lambda: shouting, "print('a')").value == 0
    tests = "import unittest\nclass T(unittest.TestCase):\n    def test(self): self.assertEqual(add(1, 1), 2)"
    assert examiner.score("unit", lambda: Problem(ADD, Cooperative(tests)), ADD).value == 1


def test_limits_are_settings() -> None:
    assert parse_limits("") == ProgramLimits()
    assert parse_limits("cpu_s=10, memory_mb=2048") == ProgramLimits(cpu_s=10, memory_mb=2048)
    assert parse_limits("paper") == paper_limits()
    with pytest.raises(SkilldeltaError, match="cpu"):
        parse_limits("cpus=10")


SLOW_PLUS = "import time\ndef add(a, b):\n    if a > 9: time.sleep(99)\n    return a + b"


@pytest.mark.slow
@pytest.mark.parametrize("limits", ["wall_s=1", "cpu_s=1"])
def test_a_group_that_has_passed_stays_passed_when_the_clock_stops_a_later_one(limits: str) -> None:
    """Both clocks: the one on the wall, and the processor's."""
    waits = SLOW_PLUS if "wall" in limits else SLOW_PLUS.replace("time.sleep(99)", "any(iter(int, 1))")
    problem = ComparisonProblem(ADD, "add", [("base", ["[1, 2]", "[3, 4]"]), ("plus", ["[1, 2]", "[10, 2]"])])
    with Sandbox(SandboxConfig(parse_limits(limits), workers=1)) as sandbox:
        score = Examiner(sandbox).score("add", lambda: problem, waits)
    assert (score.value, score.parts) == (0, {"base": 1.0, "plus": 0.0})
    assert score.extracted.startswith("timeout")


def test_a_fault_of_the_grader_is_one_answers_and_the_run_goes_on(examiner: Examiner, monkeypatch: pytest.MonkeyPatch) -> None:
    run, broken = examiner.sandbox.run, "def add(a, b): return 'broken'"

    def fail(program: str, *rest: Any) -> Verdict:
        if program == broken:
            raise GraderError("The grader ended with status 1: no verdict was written")
        return run(program, *rest)

    monkeypatch.setattr(examiner.sandbox, "run", fail)
    scores = [examiner.score("goes on", lambda: Problem(ADD, ADDS), program) for program in (broken, ADD)]
    assert [(s.value, s.why) for s in scores] == [(None, "The grader ended with status 1: no verdict was written"), (1, "")]


@pytest.mark.slow
@pytest.mark.parametrize(
    "value",
    [
        "float('nan')", "float('-inf')", "10 ** 5000", "object()", "lambda: 0", "[[]] * 99", "{1: {2, 3}}", "b'x' * 99", "...", "type", "'\\ud800'",
        "numpy.array([0x7fffffff], '<u4').view('<U1')", "numpy.array([0x7fffffff], '<u4').view('<U1')[0]", "numpy.float32('nan')", "iter([1])",
        "decimal.Decimal('sNaN')", "{float('nan')}", "range(10 ** 30)", "complex('nan')", "numpy.zeros((0, 3))", "datetime.date.max", "[float('inf')] * 3",
    ],
)  # fmt: skip
def test_whatever_a_program_returns_its_verdict_is_about_it_alone(value: str, examiner: Examiner) -> None:
    """As the output of a program on several sorts of tests: wrong or an error, and the same text in two runs."""
    program = f"import numpy, decimal, datetime\ndef add(a, b): return {value}"
    problems = {
        "compare": ComparisonProblem(ADD, "add", [("base", ["[1.5, 2]"])]), "assert": Problem(ADD, ADDS),
        "inf": ComparisonProblem("def add(a, b): return [float('nan'), 1e308 * 10, -1.0]", "add", [("base", ["[1, 2]"])], 1e-4),
        "message": Problem(ADD, Asserts("assert add(1, 2) == 3, add(1, 2)", ("add",))),
    }  # fmt: skip
    for name, problem in problems.items():
        first, second = (examiner.score(name, lambda p=problem: p, program) for _ in range(2))  # type: ignore[misc]
        assert first.value == 0, (name, first)
        assert first == second
        assert "0x7f" not in first.extracted or "0x7fffffff" in value
