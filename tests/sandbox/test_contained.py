"""Hostile programs, inside namespaces and limits of the tests' own: none reaches anything, none outlives its verdict."""

import contextlib
import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.sandbox.attacks import EXHAUST, REACH

OUTER = Path(__file__).parent / "outer.py"
NAMESPACES = ["--fork", "--pid", "--mount-proc", "--net", "--ipc", "--uts", "--mount", "--kill-child"]
USER = 12345
MEMORY, PROCESSES = 5 << 30, 400
SETUPS = [("namespaces", None), ("namespaces", USER), ("landlock", None), ("landlock", USER)]
IDS = [f"{tier}-{'self' if uid is None else uid}" for tier, uid in SETUPS]

pytestmark = pytest.mark.slow


def interpreter(uid: int | None) -> str:
    """An interpreter that the user may run: this one, or the system's; "" for none."""
    code = "import sys; assert sys.version_info >= (3, 11); open(sys.argv[1]).close()"
    for path in (sys.executable, "/usr/bin/python3"):
        try:
            subprocess.run([path, "-c", code, str(OUTER)], user=uid, group=uid, check=True, capture_output=True, cwd="/")
        except (OSError, subprocess.CalledProcessError):
            continue
        return path
    return ""


@contextlib.contextmanager
def cgroups() -> Iterator[list[str]]:
    """Control groups with limits on memory and processes; none where this user may not make one."""
    top, name = Path("/sys/fs/cgroup"), f"skilldelta-test-{time.monotonic_ns()}"
    if (top / "cgroup.controllers").exists():
        wanted = {top: {"pids.max": PROCESSES, "memory.max": MEMORY}}
    else:
        wanted = {top / "pids": {"pids.max": PROCESSES}, top / "memory": {"memory.limit_in_bytes": MEMORY}}
    made = []
    try:
        for root, limits in wanted.items():
            with contextlib.suppress(OSError):
                (root / name).mkdir()
                made.append(root / name)
                for file, value in limits.items():
                    (root / name / file).write_text(str(value))
        yield [str(group) for group in made if (group / "cgroup.procs").exists()]
    finally:
        for group in made:
            group.rmdir()


@functools.cache
def attempted(tier: str, uid: int | None, exhaust: bool, outer: Path = OUTER) -> dict[str, Any] | str:
    """Runs every program in that tier: what was seen of it, or why it cannot be done here.

    `outer` is the runner of a checkout; where it fails, its last words are the only thing seen: {"error": ...}.
    """
    if uid is not None and os.geteuid() != 0:
        return "only root can become another user"
    # The Landlock tier as root gives programs a user of their own: an interpreter that only root may read will not do.
    python = interpreter(USER if tier == "landlock" and os.geteuid() == 0 else uid)
    unshare = ["unshare", *([] if os.geteuid() == 0 else ["--map-root-user"]), *NAMESPACES]
    if not python:
        return f"no Python of 3.11 or later that user {uid} may run"
    if subprocess.run([*unshare, "true"], capture_output=True, check=False).returncode:
        return "this machine allows no outer namespace, and without one hostile programs are not run"
    folder = tempfile.mkdtemp()
    Path(folder).chmod(0o777)
    with cgroups() as groups:
        request = json.dumps({"tier": tier, "uid": uid, "only": [], "exhaust": exhaust, "cgroups": groups})
        done = subprocess.run(
            [*unshare, python, "-B", str(outer)], input=request, capture_output=True, text=True, check=False,
            env={"PATH": os.environ["PATH"], "TMPDIR": folder},
        )  # fmt: skip
    shutil.rmtree(folder)
    if "cannot be run safely here" in done.stderr:
        return done.stderr.partition("Tried:")[2][:600]
    return json.loads(done.stdout) if done.returncode == 0 else {"error": done.stderr}


def observed(tier: str, uid: int | None, exhaust: bool) -> dict[str, Any]:
    found = attempted(tier, uid, exhaust)
    if isinstance(found, str):
        pytest.skip(found)
    assert "error" not in found, found["error"]
    return found


@pytest.mark.parametrize("attack", REACH, ids=lambda a: a.name)
@pytest.mark.parametrize(("tier", "uid"), SETUPS, ids=IDS)
def test_a_hostile_program_reaches_nothing(tier: str, uid: int | None, attack: Any) -> None:
    if tier == "landlock" and not attack.hidden:
        pytest.skip("Landlock hides no names")
    seen = observed(tier, uid, exhaust=(tier, uid) in EXHAUSTING)["reach"][attack.name]
    assert not seen["reached"], seen
    assert not seen["heard"]
    assert not seen["changed"]


@pytest.mark.parametrize("attack", [a for a in REACH if a.control], ids=lambda a: a.name)
def test_without_a_sandbox_the_same_program_reaches_it(attack: Any) -> None:
    """The control: the attempt is real, so the test above can fail."""
    if os.geteuid() != 0:
        pytest.skip("some of the attempts need root")
    assert observed("none", None, exhaust=False)["reach"][attack.name]["reached"]


EXHAUSTING = [("namespaces", None), ("landlock", USER)]


@pytest.mark.parametrize(("name", "outcomes"), [(n, o) for n, _, o in EXHAUST], ids=[n for n, _, _ in EXHAUST])
@pytest.mark.parametrize(("tier", "uid"), EXHAUSTING)
def test_a_hog_is_stopped_for_the_right_reason_and_its_neighbour_passes(
    tier: str, uid: int | None, name: str, outcomes: tuple[str, ...]
) -> None:
    seen = observed(tier, uid, exhaust=True)["exhaust"][name]
    assert seen["outcome"] in outcomes, seen
    assert seen["after"] == "pass"


@pytest.mark.parametrize(("tier", "uid"), SETUPS, ids=IDS)
def test_nothing_is_left_behind(tier: str, uid: int | None) -> None:
    report = observed(tier, uid, exhaust=(tier, uid) in EXHAUSTING)
    assert report["tier"] == tier
    assert report["processes left"] == []
    assert report["files left"] == []
