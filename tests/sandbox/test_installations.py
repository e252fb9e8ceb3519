"""Interpreters and root folders in unusual places: the strongest tier works, or says why."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.sandbox.inside import landlock
from harness.sandbox.tiers import unavailable_reason

ROOT = Path(__file__).parents[2]
PROGRAM = """
import sys
from harness.sandbox import Asserts, Sandbox, SandboxConfig
with Sandbox(SandboxConfig(workers=1, packages=(), tier=sys.argv[1])) as sandbox:
    program = "import colorsys, os\\ndef f():\\n    open('a', 'w').write('x')\\n    return os.listdir('.'), os.getcwd()"
    tests = Asserts("files, folder = f()\\nassert files == ['a'] and folder.startswith('/tmp')", ("f",))
    for _ in range(2):
        verdict = sandbox.run(program, tests)
        assert verdict.passed, verdict
    print(sandbox.tier)
"""


def run_with(prefix: list[str], interpreter: str, tier: str = "namespaces") -> str:
    """The tier's name, or the last lines of what stopped it."""
    environment = {"PATH": "/usr/bin:/bin", "HOME": "/", "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path[1:]])}
    command = [*prefix, interpreter, "-c", PROGRAM, tier]
    result = subprocess.run(command, capture_output=True, text=True, env=environment, cwd="/", timeout=300, check=False)
    return result.stdout.strip() if result.returncode == 0 else result.stderr[-3000:]


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


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0 or not landlock.is_available(), reason="needs root, and a kernel with Landlock")
@pytest.mark.parametrize("mode", [0o755, 0o700])
def test_landlock_says_which_folder_is_closed_to_programs(mode: int) -> None:
    """As root it gives programs users of their own, who cannot pass through a folder that only root may enter."""
    outer = Path("/tmp", f"installation-{os.getpid()}")
    home = outer / "python"
    home.mkdir(parents=True)
    outer.chmod(mode)
    mount = f'mount --bind {sys.base_prefix} {home} && exec "$@"'
    try:
        name = f"python{sys.version_info.major}.{sys.version_info.minor}"
        found = run_with(["unshare", "--mount", "sh", "-c", mount, "sh"], f"{home}/bin/{name}", "landlock")
    finally:
        home.rmdir()
        outer.rmdir()
    assert found == "landlock" if mode == 0o755 else f"may not enter {outer}," in found
