"""The sandbox's processes as the harness holds them: a template, and slots forked from it.

The harness itself is never forked: a fresh interpreter is spawned, with an environment of ten fixed variables.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.sandbox import container
from harness.sandbox.container import RefusedError
from harness.sandbox.inside import scratch
from harness.sandbox.limits import Limits
from harness.sandbox.verdict import SandboxError, Tests, Tier

ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "LANG": "C.UTF-8",
    "LC_ALL": "C.UTF-8",
    "TZ": "UTC",
    "PYTHONHASHSEED": "0",
    "PYTHONDONTWRITEBYTECODE": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "HOME": "/",
}
# The package is entered without its __init__, which belongs to the other side.
START = """
import sys, types
for name, path in (("harness", sys.argv[1]), ("harness.sandbox", sys.argv[1] + "/sandbox")):
    package = types.ModuleType(name); package.__path__ = [path]; sys.modules[name] = package
from harness.sandbox.inside import template
template.main(sys.argv[2])
"""
WORDS = ["-P", "-s", "-S", "-B", "-c", START, str(Path(__file__).parent.parent)]  # of the interpreter; then the socket
START_S = 60.0
KEPT = 64 << 10  # bytes of a program's output


@dataclass(frozen=True)
class Packages:
    """Third-party packages that programs may import, loaded beforehand."""

    names: tuple[str, ...] = ()

    def setup(self) -> dict[str, Any]:
        """Where they lie, and what to import."""
        folders: list[str] = []
        for name in self.names:
            spec = importlib.util.find_spec(name)
            if spec is None or not spec.submodule_search_locations:
                raise RefusedError(f"the package {name!r} that programs may import is not installed")
            folder = Path(next(iter(spec.submodule_search_locations)))
            folders += [str(p) for p in (folder, folder.with_name(f"{name}.libs")) if p.is_dir()]
        modules = [m for name in self.names for m in (name, *(("numpy.random", "numpy.linalg") if name == "numpy" else ()))]
        return {"packages": folders, "modules": modules, "site": sorted({str(Path(f).parent) for f in folders})}


class Template:
    """The process that slots are forked from."""

    def __init__(self, tier: Tier, packages: Packages, limits: Limits, programs: int = 1) -> None:
        """`programs`: so many at a time, for the size of a container."""
        self.tier = tier
        self.slots, self.lock = 0, threading.Lock()
        self.words = tempfile.TemporaryFile()  # noqa: SIM115  what it says when it fails
        self.base = tempfile.mkdtemp(prefix="skilldelta-")
        try:
            setup = {"tier": tier, "base": self.base, **packages.setup()}
            setup |= {"scratch_mb": limits.scratch_mb, "scratch_files": limits.scratch_files}
            if tier in container.ENGINES:
                self.process, self.control = self.contained(setup, container.Size(limits, programs))
            else:
                self.process, self.control = self.spawned()
        except BaseException:
            self.forget()
            raise
        self.control.settimeout(START_S)
        try:
            self.control.send(json.dumps(setup).encode())
            self.expect_ready(self.control)
        except BaseException:
            self.close()
            raise

    def spawned(self) -> tuple[subprocess.Popen[bytes], socket.socket]:
        """Starts it as a child of this process."""
        Path(self.base).chmod(0o755)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            return self.popen([sys.executable, *WORDS, str(theirs.fileno())], (theirs.fileno(),)), ours

    def popen(self, command: Sequence[str], handed: Sequence[int] = ()) -> subprocess.Popen[bytes]:
        environment = None if self.tier in container.ENGINES else ENVIRONMENT  # an engine's client has settings of its own
        return subprocess.Popen(
            command, env=environment, cwd="/", pass_fds=handed, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=self.words,
        )  # fmt: skip

    def contained(self, setup: dict[str, Any], size: container.Size) -> tuple[subprocess.Popen[bytes], socket.socket]:
        """Starts it in a container, from where it comes to a socket; RefusedError with the engine's words if it does not."""
        container.prepare(self.tier)
        folder = Path(self.base)
        container.cover(folder, setup["packages"])
        command = container.command(self.tier, folder, setup["packages"], size)
        command += container.interpreter(ENVIRONMENT, [*WORDS, f"{container.PLACE}/control"])
        setup["base"] = container.SCRATCH
        with container.listen(folder) as listener:
            process, deadline = self.popen(command), time.monotonic() + START_S
            while process.poll() is None and time.monotonic() < deadline:
                with contextlib.suppress(TimeoutError):
                    return process, listener.accept()[0]
        process.kill()
        process.wait()
        raise RefusedError(f"{self.tier} does not run the container: {self.said().strip()}")

    def expect_ready(self, control: socket.socket) -> None:
        """Waits for the other side's first word."""
        try:
            message = control.recv(1 << 16)
        except OSError as error:
            raise SandboxError(f"The sandbox's process does not answer: {error}") from error
        if not message:
            raise SandboxError(f"The sandbox's process ended at once. {self.said()}")
        if problem := json.loads(message).get("error"):
            raise RefusedError(problem)

    def said(self) -> str:
        """What its processes wrote when they failed."""
        return os.pread(self.words.fileno(), KEPT, 0).decode("utf-8", "replace")[-2000:]

    def slot(self) -> Slot:
        """A new slot."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.settimeout(START_S)
        with theirs, self.lock:
            folder = None if self.tier in ("namespaces", *container.ENGINES) else Path(self.base, str(self.slots))
            self.slots += 1
            try:
                socket.send_fds(self.control, [b"slot"], [theirs.fileno()])
            except OSError as error:
                ours.close()
                raise SandboxError(f"The sandbox's template has ended ({error}). {self.said()}") from error
        try:
            self.expect_ready(ours)
        except BaseException:
            ours.close()
            raise
        return Slot(self, ours, folder)

    def close(self) -> None:
        """Ends it and all that it forked."""
        self.control.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.forget()

    def forget(self) -> None:
        """Lets go of what it said and of its folder."""
        self.words.close()
        remove(Path(self.base))


class Slot:
    """One place where programs run, one at a time."""

    def __init__(self, template: Template, control: socket.socket, folder: Path | None) -> None:
        self.template, self.control, self.folder = template, control, folder
        self.spent = False  # a program left a trace in it

    def run(self, program: str, tests: Tests, limits: Limits) -> tuple[dict[str, Any], dict[str, Any] | None, str]:
        """The slot's report, the grader's record (None: there is none), and the beginning of the program's output."""
        wanted = (program.encode("utf-8", "surrogatepass"), tests.text, b"", b"")
        files = [os.memfd_create("skilldelta", os.MFD_CLOEXEC) for _ in wanted]
        try:
            for file, content in zip(files, wanted, strict=True):
                write(file, content)
            request = json.dumps({"limits": limits.settings()}).encode()
            try:
                self.control.settimeout(limits.wall + 30)
                socket.send_fds(self.control, [request], files)
                answer = self.control.recv(1 << 16)
            except OSError as error:
                raise SandboxError(f"A slot does not answer: {error}") from error
            if not answer:
                raise SandboxError(f"A slot ended.  {self.template.said()}")
            return json.loads(answer), record(files[3]), os.pread(files[2], KEPT, 0).decode("utf-8", "replace")
        finally:
            for file in files:
                os.close(file)

    def close(self) -> None:
        """Ends it; its scratch folder goes with it."""
        self.control.close()
        if self.folder and self.folder.is_dir():
            remove(self.folder)


def write(descriptor: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]


def record(descriptor: int) -> dict[str, Any] | None:
    """What the grader wrote; None where it did not come to the end."""
    content = os.pread(descriptor, os.fstat(descriptor).st_size, 0)
    try:
        found = json.loads(content)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def remove(folder: Path) -> None:
    """Deletes a folder, however deep it is."""
    scratch.empty(str(folder))
    folder.rmdir()


def fixed_names() -> Sequence[str]:
    """The variables of a program's environment."""
    return sorted([*ENVIRONMENT, "TMPDIR"])
