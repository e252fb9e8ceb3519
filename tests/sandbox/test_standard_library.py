"""Every module of the standard library can be imported by a program, as it can be outside."""

import json
import subprocess
import sys

import pytest

from harness.sandbox import ProgramLimits, RecordCalls, Sandbox, SandboxConfig
from harness.sandbox.inside.wire import decode_value
from harness.sandbox.tiers import ORDER, unavailable_reason

PROGRAM = """
import importlib
def failures(names):
    found = {}
    for name in names:
        try:
            importlib.import_module(name)
        except BaseException as error:
            found[name] = type(error).__name__
    return found
"""
NAMES = sorted(sys.stdlib_module_names - {"antigravity", "this", "__main__"})  # the first two open a browser and print a poem


@pytest.mark.slow
@pytest.mark.parametrize("tier", [*ORDER, "none"])
def test_each_module_imports_as_outside(tier: str) -> None:
    if tier != "none" and (reason := unavailable_reason(tier)):  # type: ignore[arg-type]
        pytest.skip(f"{tier} is not available here: {reason}")
    code = f"{PROGRAM}\nimport json, sys\nprint(json.dumps(failures(json.loads(sys.argv[1]))))"
    command = [sys.executable, "-I", "-W", "ignore", "-c", code, json.dumps(NAMES)]
    outside = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1])
    with Sandbox(SandboxConfig(workers=1, tier=tier)) as sandbox:
        verdict = sandbox.run(PROGRAM, RecordCalls("failures", [json.dumps([NAMES])]), ProgramLimits(cpu_s=60))
    assert verdict.passed, verdict
    assert decode_value(verdict.outputs[0]) == outside
    assert "ssl" not in outside


def test_a_program_may_use_tls_and_terminals(sandbox: Sandbox) -> None:
    program = "import ssl, curses, readline, sqlite3\ndef f():\n    return ssl.create_default_context().check_hostname"
    verdict = sandbox.run(program, RecordCalls("f", ["[]"]))
    assert verdict.passed, verdict
