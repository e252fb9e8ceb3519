"""Interpreters and root folders in unusual places: the strongest tier works, or says why."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.sandbox import RecordCalls, Sandbox, SandboxConfig
from harness.sandbox.inside import landlock
from harness.sandbox.inside.wire import decode_value
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
@pytest.mark.skipif(Path(sys.executable).is_relative_to("/tmp"), reason="this Python lies below /tmp, which the test covers")
@pytest.mark.usefixtures("namespaces")
def test_the_strongest_tier_works_below_a_read_only_root() -> None:
    """Only /tmp can be written to, as in many containers."""
    mount = 'mount -t tmpfs none /tmp && mount -o remount,bind,ro / && ! touch /x 2>/dev/null && exec "$@"'
    assert run_with(["unshare", "--mount", "sh", "-c", mount, "sh"], sys.executable) == "namespaces"


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0 or not landlock.is_available(), reason="needs root, and a kernel with Landlock")
@pytest.mark.parametrize(("mode", "inner_owner"), [(0o755, 0), (0o700, 0), (0o700, 12345)])
def test_landlock_works_below_a_closed_folder_whose_owner_may_enter_the_library(mode: int, inner_owner: int) -> None:
    """As root it gives programs users of their own, who cannot pass through a folder that only root may enter.

    They open files as its owner; where a second folder on the way is closed to him too, the first one is named.
    """
    outer = Path("/tmp", f"installation-{os.getpid()}")
    inner = outer / "inner"
    home = inner / "python"
    home.mkdir(parents=True)
    for folder, owner in ((outer, 0), (inner, inner_owner)):
        folder.chmod(mode)
        os.chown(folder, owner, owner)
    mount = f'mount --bind {sys.base_prefix} {home} && exec "$@"'
    try:
        name = f"python{sys.version_info.major}.{sys.version_info.minor}"
        result = run_with(["unshare", "--mount", "sh", "-c", mount, "sh"], f"{home}/bin/{name}", "landlock")
    finally:
        for folder in (home, inner, outer):
            folder.rmdir()
    assert result == "landlock" if not inner_owner else f"may not enter {outer}," in result


ATTACK = """
import os
def attack(secret, folder):
    actions = (
        lambda: open(secret).close(), lambda: os.listdir(folder), lambda: open(folder + "/new", "w").close(),
        lambda: os.unlink(secret), lambda: os.rename(secret, secret + "2"), lambda: os.link(secret, "mine"),
        lambda: os.chmod(folder, 0o777), lambda: os.truncate(secret, 0), lambda: os.chown(secret, 1, 1),
        lambda: os.setuid(0), lambda: os.kill(1, 0),
    )
    done = []
    for action in actions:
        try:
            action()
        except (OSError, ValueError):
            done.append(False)
        else:
            done.append(True)
    open("mine", "w").close()
    return done, os.listdir("."), 0 in os.getresuid()
"""


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0 or not landlock.is_available(), reason="needs root, and a kernel with Landlock")
def test_programs_reach_no_file_of_roots_also_where_they_open_files_as_root(tmp_path: Path) -> None:
    """As root they do where Python lies below a closed folder of root's, such as /root."""
    if reason := unavailable_reason("landlock"):
        pytest.skip(f"no landlock here: {reason}")
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o700)
    (folder / "secret").write_text("secret")
    with Sandbox(SandboxConfig(workers=1, packages=(), tier="landlock")) as sandbox:
        call = RecordCalls("attack", [json.dumps([str(folder / "secret"), str(folder)])])
        verdict = sandbox.run(ATTACK, call)
    assert decode_value(verdict.outputs[0]) == ([False] * 11, ["mine"], False), verdict
    assert (folder / "secret").read_text() == "secret"
