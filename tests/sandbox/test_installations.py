"""Interpreters and root folders in unusual places: the strongest tier works, or says why."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.sandbox.tiers import unavailable_reason

ROOT = Path(__file__).parents[2]
PROGRAM = """
from harness.sandbox import Asserts, Sandbox, SandboxConfig
with Sandbox(SandboxConfig(workers=1, packages=(), tier="namespaces")) as sandbox:
    program = "import colorsys, os\\ndef f():\\n    open('a', 'w').write('x')\\n    return os.listdir('.'), os.getcwd()"
    tests = Asserts("files, folder = f()\\nassert files == ['a'] and folder.startswith('/tmp')", ("f",))
    for _ in range(2):
        verdict = sandbox.run(program, tests)
        assert verdict.passed, verdict
    print(sandbox.tier)
"""


def run_with(prefix: list[str], interpreter: str) -> str:
    environment = {"PATH": "/usr/bin:/bin", "HOME": "/", "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path[1:]])}
    command = [*prefix, interpreter, "-c", PROGRAM]
    result = subprocess.run(command, capture_output=True, text=True, env=environment, cwd="/", timeout=300, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


@pytest.fixture
def namespaces() -> None:
    if reason := unavailable_reason("namespaces"):
        pytest.skip(f"no namespaces here: {reason}")
    if os.geteuid() != 0:
        pytest.skip("only root may arrange mounts for this test")


@pytest.mark.slow
@pytest.mark.usefixtures("namespaces")
def test_an_interpreter_below_tmp_is_not_covered_by_the_programs_folder() -> None:
    """The standard library is seen below /tmp: programs write in a folder beside it."""
    home = Path("/tmp", f"python-{os.getpid()}")  # the place is the point
    mount = f'mkdir {home} && mount --bind {sys.base_prefix} {home} && exec "$@"'
    try:
        name = f"python{sys.version_info.major}.{sys.version_info.minor}"
        assert run_with(["unshare", "--mount", "sh", "-c", mount, "sh"], f"{home}/bin/{name}") == "namespaces"
    finally:
        home.rmdir()


@pytest.mark.slow
@pytest.mark.usefixtures("namespaces")
def test_the_strongest_tier_works_below_a_read_only_root() -> None:
    """Only /tmp can be written to, as in many containers."""
    mount = 'mount -t tmpfs none /tmp && mount -o remount,bind,ro / && ! touch /x 2>/dev/null && exec "$@"'
    assert run_with(["unshare", "--mount", "sh", "-c", mount, "sh"], sys.executable) == "namespaces"
