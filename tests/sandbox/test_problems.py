"""Problems: what a reference is run for, and when nobody is scored."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from harness.sandbox import Asserts, Cooperative, ProgramLimits, Sandbox, Stdout, paper_limits
from harness.sandbox.problems import SLOWDOWN_FACTOR, ComparisonProblem, Examiner, Problem, parse_limits
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
