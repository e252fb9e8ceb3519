"""Judging by what is printed, and by unit tests in the program's own process."""

import pytest

from harness.sandbox import Cooperative, Sandbox, Stdout

ECHO = Stdout([("1 2\n", "3\n"), ("10 -4", "6")])
SUM = "a, b = map(int, input().split())\nprint(a + b)"


@pytest.mark.parametrize(
    "program",
    [
        SUM,
        "import sys\nprint(sum(map(int, sys.stdin.read().split())), '', sep='  \\n\\n')",
        "import os\nos.write(1, str(sum(map(int, os.read(0, 99).split()))).encode())",
        "def main():\n    print(sum(map(int, input().split())))\nif __name__ == '__main__':\n    main()\n    exit()",
        "import threading\ndef f(): print(sum(map(int, input().split())))\nthreading.Thread(target=f).start()",
    ],
    ids=["input", "read", "descriptors", "a main guard", "a thread"],
)  # fmt: skip
def test_a_program_that_prints_the_right_text_passes(program: str, sandbox: Sandbox) -> None:
    verdict = sandbox.run(program, ECHO)
    assert (verdict.outcome, verdict.integrity) == ("pass", "stdout"), verdict


@pytest.mark.parametrize(
    ("program", "outcome"),
    [
        ("print(3)", "wrong"), ("pass", "wrong"), ("raise SystemExit(1)", "error"), ("print(3", "error"),
        ("import os\nprint(3, flush=True)\nos._exit(0)", "crash"),
        ("class E(str):\n    def __eq__(self, o): return True\nimport builtins\nbuiltins.open = lambda *a, **k: E()", "error"),
    ],
)  # fmt: skip
def test_any_other_does_not(program: str, outcome: str, sandbox: Sandbox) -> None:
    assert sandbox.run(program, ECHO).outcome == outcome


def test_the_expected_text_never_enters_the_sandbox(sandbox: Sandbox) -> None:
    look = (
        "import gc\nword = ''.join(['mar', 'zi', 'pan'])\n"
        "held = [o for o in gc.get_objects() if o is not globals() and isinstance(o, (list, tuple, dict))]\n"
        "print(sum(word in str(o)[:9999] for o in held))"
    )
    assert sandbox.run(look, Stdout([("", "marzipan")])).detail == "case 0: '0\\n'"
    assert sandbox.run(look, Stdout([("marzipan", "marzipan")])).detail != "case 0: '0\\n'"  # the control: what enters is found


TESTS = """
import unittest
from unittest.mock import patch

class Adding(unittest.TestCase):
    def test_adds(self): self.assertEqual(add(1, 2), 3)
    def test_says_so(self):
        with patch("builtins.print") as said: add(0, 0)
        said.assert_called_once()
"""
ADD = "def add(a, b):\n    print(a)\n    return a + b"


def test_unit_tests_share_a_process_with_the_program(sandbox: Sandbox) -> None:
    verdict = sandbox.run(ADD, Cooperative(TESTS))
    assert (verdict.outcome, verdict.integrity) == ("pass", "cooperative"), verdict
    wrong = sandbox.run(ADD.replace("+", "-"), Cooperative(TESTS))
    assert (wrong.outcome, wrong.integrity) == ("wrong", "cooperative")
    assert "AssertionError: -1 != 3" in wrong.detail
    assert sandbox.run("raise ValueError('early')", Cooperative(TESTS)).outcome == "error"


def test_no_test_may_be_missing_or_skipped(sandbox: Sandbox) -> None:
    assert Cooperative(TESTS).count == 2
    skipping = ADD + "\nimport unittest\nunittest.TestCase.setUp = lambda self: self.skipTest('no')"
    assert sandbox.run(skipping, Cooperative(TESTS)).outcome == "wrong"
    assert sandbox.run(ADD, Cooperative("x = 1")).outcome == "wrong"


def test_that_a_cooperative_verdict_can_be_forged_is_why_it_is_labelled(sandbox: Sandbox) -> None:
    forging = (
        "import unittest\nunittest.TestCase.run = lambda self, result=None: setattr(result, 'testsRun', result.testsRun + 1)"
    )
    assert sandbox.run(forging, Cooperative(TESTS)).passed
