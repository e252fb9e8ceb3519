"""Runs hostile programs inside namespaces and limits of their own, so that a broken sandbox cannot take the machine down.

Run as `python outer.py`, with a JSON request on standard input (tier, uid, workers); prints what was observed as JSON.
Standard library only, so that any interpreter on the machine can run it.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import resource
import shutil
import socket
import struct
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from harness.sandbox import Asserts, ProgramLimits, Sandbox, SandboxConfig
from harness.sandbox.inside.calls import NUMBERS
from harness.sandbox.inside.wire import decode_value
from harness.sandbox.problems import encode_arguments
from harness.sandbox.verdict import RecordCalls, Verdict
from tests.sandbox.attacks import EXHAUST, REACH

SECRET = "secret-in-the-environment-7153"
LIMITS = ProgramLimits(cpu_s=1, wall_s=2.5, memory_mb=256)
PATIENT = ProgramLimits(cpu_s=20, wall_s=120.0, memory_mb=256)  # so that on a busy machine no clock comes before another limit
QUICK = ProgramLimits(cpu_s=5, wall_s=20.0)


def loopback() -> None:
    """Brings the new network's only interface up."""
    with socket.socket() as s, contextlib.suppress(OSError):
        fcntl.ioctl(s, 0x8914, struct.pack("16sh", b"lo", 1))  # SIOCSIFFLAGS, IFF_UP


class Host:
    """What a program might reach: files, a secret, ports, this process."""

    def __init__(self, uid: int | None) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="host-"))
        self.folder.chmod(0o777)
        (self.folder / "canary").write_text("a canary")
        (self.folder / ".secret").write_text("a secret")
        self.victims = [str(self.folder / f"victim{i}") for i in range(5)]
        for victim in self.victims:
            Path(victim).write_text("untouched")
        if uid is not None:
            for path in (self.folder, *self.folder.iterdir()):
                os.chown(path, uid, uid)
        self.listeners = self.listen()
        self.secret = ctypes.create_string_buffer(b"in memory")

    def listen(self) -> dict[str, socket.socket]:
        stream, packet = socket.SOCK_STREAM, socket.SOCK_DGRAM
        found = {
            "tcp": (socket.AF_INET, stream, ("127.0.0.1", 0)),
            "udp": (socket.AF_INET, packet, ("127.0.0.1", 0)),
            "abstract": (socket.AF_UNIX, stream, "\0skilldelta-abstract"),
            "path": (socket.AF_UNIX, stream, str(self.folder / "socket")),
            "datagram": (socket.AF_UNIX, packet, str(self.folder / "datagrams")),
        }
        sockets = {}
        for name, (family, kind, address) in found.items():
            sockets[name] = s = socket.socket(family, kind)
            s.bind(address)
            if kind == stream:
                s.listen(50)
            s.setblocking(False)
            if family == socket.AF_UNIX and not str(address).startswith("\0"):
                Path(str(address)).chmod(0o777)
        return sockets

    def facts(self) -> dict[str, Any]:
        """What the programs are told, as if they had guessed it."""
        return {
            "canary": str(self.folder / "canary"), "folder": str(self.folder), "home": str(self.folder), "pid": os.getpid(),
            "tcp": self.listeners["tcp"].getsockname()[1], "udp": self.listeners["udp"].getsockname()[1],
            "abstract": "skilldelta-abstract", "path": str(self.folder / "socket"), "datagram": str(self.folder / "datagrams"),
            "victims": self.victims, "package": package_file(), "address": ctypes.addressof(self.secret), "calls": NUMBERS,
        }  # fmt: skip

    def heard(self) -> list[str]:
        """Which listeners were reached since the last look."""
        found = []
        for name, s in self.listeners.items():
            with contextlib.suppress(BlockingIOError):
                found.append(
                    name if s.type == socket.SOCK_DGRAM and s.recv(99) else name if s.accept()[0].close() is None else ""
                )
        return [name for name in found if name]

    def tree(self) -> dict[str, tuple[int, int, str]]:
        return {
            p.name: (p.lstat().st_mode, p.lstat().st_mtime_ns, p.read_text() if p.is_file() else "")
            for p in sorted(self.folder.iterdir())
        }


def package_file() -> str:
    """A file of somebody's package beside the standard library."""
    import sysconfig

    for folder in (sysconfig.get_path("purelib"), "/usr/lib/python3/dist-packages"):
        found = next(iter(sorted(Path(folder).glob("*/__init__.py"))), None)
        if found:
            return str(found)
    return "/etc/hostname"


def processes() -> set[int]:
    return {int(p.name) for p in Path("/proc").glob("[0-9]*")}


def left(before: set[int]) -> list[int]:
    """Processes that were not there before and do not end by themselves."""
    for _ in range(300):
        with contextlib.suppress(ChildProcessError):  # the first process of its namespace: orphans that ended are its to reap
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        if not processes() - before:
            break
        time.sleep(0.1)
    return sorted(processes() - before)


def told_of(verdict: Verdict) -> dict[str, Any]:
    value = decode_value(verdict.outputs[0], lambda n: f"reference {n}") if verdict.outputs else None
    return {
        "outcome": verdict.outcome,
        "detail": verdict.detail[:300],
        "wall": verdict.wall_s,
        "reached": bool(value),
        "value": repr(value)[:200],
    }


def reach(sandbox: Sandbox, uid: int | None, only: list[str]) -> dict[str, Any]:
    """Each attack with a fresh host; what the host noticed."""
    found = {}
    for attack in REACH:
        if only and attack.name not in only:
            continue
        host = Host(uid)
        before = host.tree()
        seen = told_of(sandbox.run(attack.program, RecordCalls("attempt", [encode_arguments([host.facts()])]), QUICK))
        seen["heard"] = host.heard()
        seen["changed"] = [n for n in {**before, **host.tree()} if before.get(n) != host.tree().get(n)]
        found[attack.name] = seen
        for s in host.listeners.values():
            s.close()
    return found


def exhaust(sandbox: Sandbox) -> dict[str, Any]:
    """Each hog, and after it an honest program."""
    honest = Asserts("assert f(1) == 2", ("f",))
    wanted = Asserts("assert f() is sum", ("f",))
    found = {}
    for name, program, outcomes in EXHAUST:
        limits = LIMITS if "timeout" in outcomes else PATIENT
        seen = told_of(sandbox.run(program, wanted, limits))
        json.dumps(seen).encode("utf-8")
        seen["after"] = sandbox.run("def f(x): return x + 1", honest, QUICK).outcome
        found[name] = seen
    return found


def main() -> None:
    request = json.loads(sys.stdin.read())
    loopback()
    for group in request["cgroups"]:
        Path(group, "cgroup.procs").write_text("0")
    os.environ["SKILLDELTA_SECRET"] = SECRET
    uid = request["uid"]
    if uid is not None:  # only now, because the interface and the groups need root
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
        os.environ["HOME"] = tempfile.gettempdir()
    scratch = Path(tempfile.mkdtemp(prefix="outer-"))  # what others write into /tmp meanwhile is nobody's fault here
    scratch.chmod(0o1777)
    os.environ["TMPDIR"] = tempfile.tempdir = str(scratch)
    before = processes()
    report: dict[str, Any] = {}
    with Sandbox(SandboxConfig(tier=request["tier"], packages=(), workers=2)) as sandbox:
        report["reach"] = reach(sandbox, None if uid is not None else 12345, request["only"])
        if request["exhaust"]:
            report["exhaust"] = exhaust(sandbox)
    report["tier"] = sandbox.tier
    report["processes left"] = left(before)
    report["files left"] = sorted(p.name for p in scratch.iterdir() if not p.name.startswith("host-"))
    report["children"] = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    shutil.rmtree(scratch)
    print(json.dumps(report))


if __name__ == "__main__":
    main()
