"""Programs that are right and unusual: a sandbox that fails one of them gives wrong scores."""

import pytest

from harness.sandbox import Asserts, Sandbox
from tests.sandbox.honest import HONEST


@pytest.mark.slow
@pytest.mark.parametrize("name", HONEST)
def test_an_odd_but_right_program_passes(name: str, sandbox: Sandbox) -> None:
    program, tests = HONEST[name]
    names = ("f", "Node", "größe", "__f__")
    verdict = sandbox.run(program, Asserts(tests, names))
    assert verdict.outcome == "pass", verdict
