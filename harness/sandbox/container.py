"""Docker or Podman around the sandbox: one container, which lives as long as its template and shows this machine's interpreter.

No image is pulled: an empty one is made on the spot, and the interpreter, its libraries and the allowed packages are mounted
read-only.  Inside, programs are confined as in the Landlock tier, and by users of their own where the kernel has no Landlock.
"""

from __future__ import annotations

import os
import resource
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.sandbox.inside import namespaces
from harness.sandbox.limits import Limits

ENGINES = ("docker", "podman")
IMAGE = "skilldelta-empty"
EMPTY_TAR = bytes(10240)  # an archive of nothing: two blocks of zeros, filled up
SYSTEM = ("/usr", "/lib", "/lib64", "/etc/ld.so.cache")
PLACE = "/skilldelta"  # where the socket is, inside
SCRATCH, SHARED = "/tmp", "/dev/shm"  # noqa: S108  the container's own
# To give every slot a user of its own, to end its programs and to empty its folder; programs themselves have none of these.
CAPABILITIES = ("SETUID", "SETGID", "KILL", "CHOWN", "DAC_OVERRIDE", "FOWNER")
MOST_FILES, MOST_PROCESSES = 4096, 16384
START_S = 60.0


class RefusedError(OSError):
    """This machine does not allow, or does not have, what a tier needs."""


@dataclass(frozen=True)
class Size:
    """What the whole container may use: so many programs at a time, each within its limits."""

    limits: Limits
    programs: int

    @property
    def memory_mb(self) -> int:
        return (self.programs + 1) * (self.limits.memory_mb + 256)

    @property
    def processes(self) -> int:
        return 16 + self.programs * (2 * self.limits.threads + 8)


def mounts(packages: Sequence[str]) -> tuple[list[str], list[str]]:
    """What is shown, read-only, and what is covered below it: other people's packages, which may hold a benchmark's answers."""
    prefix, version = os.path.realpath(sys.base_prefix), f"python{sys.version_info.major}.{sys.version_info.minor}"
    shown = [path for path in (*SYSTEM, prefix) if Path(path).exists() and not path.startswith("/usr/")]
    places = [f"{prefix}/lib/{version}", "/usr/lib/python3", f"/usr/local/lib/{version}"]
    return [*shown, *packages, str(Path(namespaces.__file__).parent)], namespaces.third_party(places)


def command(engine: str, folder: Path, packages: Sequence[str], size: Size) -> list[str]:
    """The engine's command line up to the image; `folder` has what `listen` and `cover` made."""
    shown, hidden = mounts(packages)
    files, processes = most(resource.RLIMIT_NOFILE, MOST_FILES), most(resource.RLIMIT_NPROC, MOST_PROCESSES)
    scratch = f"rw,nosuid,nodev,noexec,mode=755,size={size.limits.scratch_mb * (size.programs + 1)}m"
    return [
        engine, "run", "--rm", "--network", "none", "--ipc", "private", "--cap-drop", "ALL",
        *(f"--cap-add={name}" for name in CAPABILITIES),
        "--security-opt", "no-new-privileges", "--security-opt", "label=disable", "--user", "0:0", "--read-only",
        *(["--read-only-tmpfs=false"] if engine == "podman" else []),
        "--pids-limit", str(size.processes), "--memory", f"{size.memory_mb}m",
        "--ulimit", f"nofile={files}:{files}", "--ulimit", f"nproc={processes}:{processes}",
        "--tmpfs", f"{SCRATCH}:{scratch}", "--tmpfs", f"{SHARED}:size=64k,mode=755",
        *(f"--volume={path}:{path}:ro" for path in dict.fromkeys(shown)),
        *(f"--volume={folder}/empty:{path}:ro" for path in hidden), f"--volume={folder}/socket:{PLACE}:ro",
        "--workdir", "/", "--entrypoint", "/usr/bin/env", IMAGE,
    ]  # fmt: skip


def most(which: int, wanted: int) -> int:
    """`wanted`, or this process's own hard limit where that is lower: an engine without rights cannot raise it."""
    hard = resource.getrlimit(which)[1]
    return wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)


def prepare(engine: str) -> None:
    """Makes the empty image if there is none; RefusedError with the engine's own words if it does not work."""
    if not shutil.which(engine):
        raise RefusedError(f"there is no command `{engine}` here")
    if run([engine, "image", "inspect", IMAGE]).returncode:
        made = run([engine, "import", "-", IMAGE], EMPTY_TAR)
        if made.returncode:
            raise RefusedError(f"`{engine} import` fails: {made.stderr.decode(errors='replace').strip()[-300:]}")


def run(words: Sequence[str], given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(words, input=given, capture_output=True, check=False, timeout=START_S)


def listen(folder: Path) -> socket.socket:
    """A socket in a folder of its own, for the container; outside only this user can come there."""
    place = folder / "socket"
    place.mkdir(mode=0o755)
    found = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    found.bind(f"{place}/control")
    (place / "control").chmod(0o666)
    found.listen(1)
    found.settimeout(0.2)  # so that its engine's end is seen
    return found


def cover(folder: Path, packages: Sequence[str]) -> None:
    """An empty folder to put over others, with places for the packages that may be shown below."""
    for name in ("", *(Path(path).name for path in packages)):
        (folder / "empty" / name).mkdir(mode=0o755)


def interpreter(environment: Mapping[str, str], words: Sequence[str]) -> list[str]:
    """What the container runs: the interpreter itself with these variables and no others."""
    python = os.path.realpath(sys.executable)
    return ["-i", *(f"{name}={value}" for name, value in environment.items()), python, *words]
