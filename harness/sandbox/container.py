"""Docker or Podman around the sandbox: one container, which lives as long as its template and has this machine's interpreter.

No image is pulled: the image is empty and imported from here, and the interpreter, its libraries and the allowed packages are
mounted read-only.  Inside, programs are confined as in the Landlock tier; where the kernel has no Landlock, users of their own
keep them apart.
"""

from __future__ import annotations

import os
import resource
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.sandbox.inside import interpreter
from harness.sandbox.limits import ProgramLimits
from harness.sandbox.verdict import UnavailableError

ENGINES = ("docker", "podman")
IMAGE = "skilldelta-empty"
EMPTY_TAR = bytes(10240)  # an archive of nothing: two blocks of zeros, filled up
SYSTEM_PATHS = ("/usr", "/lib", "/lib64", "/etc/ld.so.cache")
SOCKET_FOLDER = "/skilldelta"  # in the container
SCRATCH, SHARED_MEMORY = "/tmp", "/dev/shm"  # noqa: S108  the container's own
# The template needs these to give every slot a user of its own, to end its programs and to empty its folder.  Programs drop
# all of them.
CAPABILITIES = ("SETUID", "SETGID", "KILL", "CHOWN", "DAC_OVERRIDE", "FOWNER")
MAX_OPEN_FILES, MAX_PROCESSES = 4096, 16384
START_S = 60.0


def choose_mounts(packages: Sequence[str]) -> tuple[list[str], list[str]]:
    """(paths to mount read-only, folders to cover): other packages, which may hold a benchmark's answers, are covered."""
    prefix, version = os.path.realpath(sys.base_prefix), f"python{sys.version_info.major}.{sys.version_info.minor}"
    visible = [path for path in (*SYSTEM_PATHS, prefix) if Path(path).exists() and not path.startswith("/usr/")]
    libraries = [f"{prefix}/lib/{version}", "/usr/lib/python3", f"/usr/local/lib/{version}"]
    return [*visible, *packages, str(Path(interpreter.__file__).parent)], interpreter.third_party_folders(libraries)


def engine_command(engine: str, folder: Path, packages: Sequence[str], limits: ProgramLimits, workers: int) -> list[str]:
    """The engine's command line up to the image; `folder` holds the results of `open_listener` and `make_cover`.

    The container has room for `workers` programs at a time, each within its own `limits`.
    """
    visible, cover_paths = choose_mounts(packages)
    files, processes = cap_limit(resource.RLIMIT_NOFILE, MAX_OPEN_FILES), cap_limit(resource.RLIMIT_NPROC, MAX_PROCESSES)
    memory_mb, all_processes = (workers + 1) * (limits.memory_mb + 256), 16 + workers * (2 * limits.threads + 8)
    scratch = f"rw,nosuid,nodev,noexec,mode=755,size={limits.scratch_mb * (workers + 1)}m"
    return [
        engine, "run", "--rm", "--network", "none", "--ipc", "private", "--cap-drop", "ALL",
        *(f"--cap-add={name}" for name in CAPABILITIES),
        "--security-opt", "no-new-privileges", "--security-opt", "label=disable", "--user", "0:0", "--read-only",
        *(["--read-only-tmpfs=false"] if engine == "podman" else []),
        "--pids-limit", str(all_processes), "--memory", f"{memory_mb}m",
        "--ulimit", f"nofile={files}:{files}", "--ulimit", f"nproc={processes}:{processes}",
        "--tmpfs", f"{SCRATCH}:{scratch}", "--tmpfs", f"{SHARED_MEMORY}:size=64k,mode=755",
        *(f"--volume={path}:{path}:ro" for path in dict.fromkeys(visible)),
        *(f"--volume={folder}/empty:{path}:ro" for path in cover_paths), f"--volume={folder}/socket:{SOCKET_FOLDER}:ro",
        "--workdir", "/", "--entrypoint", "/usr/bin/env", IMAGE,
    ]  # fmt: skip


def cap_limit(which: int, value: int) -> int:
    """`value`, or this process's own hard limit where that is lower: an engine without rights cannot raise it."""
    hard = resource.getrlimit(which)[1]
    return value if hard == resource.RLIM_INFINITY else min(hard, value)


def import_image(engine: str) -> None:
    """Imports the empty image if there is none; UnavailableError with the engine's own message if that fails."""
    if not shutil.which(engine):
        raise UnavailableError(f"there is no command `{engine}` here")
    if run_engine([engine, "image", "inspect", IMAGE]).returncode:
        result = run_engine([engine, "import", "-", IMAGE], EMPTY_TAR)
        if result.returncode:
            raise UnavailableError(f"`{engine} import` fails: {result.stderr.decode(errors='replace').strip()[-300:]}")


def run_engine(command: Sequence[str], stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(command, input=stdin, capture_output=True, check=False, timeout=START_S)


def open_listener(folder: Path) -> socket.socket:
    """A socket in a folder of its own, for the container.  Outside, only this user can reach it: `folder` is private."""
    socket_folder = folder / "socket"
    socket_folder.mkdir(mode=0o755)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(f"{socket_folder}/control")
    (socket_folder / "control").chmod(0o666)  # the container's root may be another user outside
    listener.listen(1)
    listener.settimeout(0.2)  # the caller looks between two waits whether the engine has ended
    return listener


def make_cover(folder: Path, packages: Sequence[str]) -> None:
    """An empty folder to mount over others, with a folder for each package that is mounted below."""
    for name in ("", *(Path(path).name for path in packages)):
        (folder / "empty" / name).mkdir(mode=0o755)


def interpreter_command(environment: Mapping[str, str], words: Sequence[str]) -> list[str]:
    """The container's program: the interpreter with these variables and no others."""
    python = os.path.realpath(sys.executable)
    return ["-i", *(f"{name}={value}" for name, value in environment.items()), python, *words]
