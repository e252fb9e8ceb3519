"""The self-test of effect: a program that attacks in each way that a tier must stop, and reports what it could do.

A tier is used because its probe could do nothing, never because the system calls that set it up succeeded.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.sandbox.inside.calls import NUMBERS
from harness.sandbox.process import fixed_names
from harness.sandbox.verdict import Record

PROBE = """
import ctypes, os, socket, threading

libc = ctypes.CDLL(None, use_errno=True)

def tried(action):
    try:
        result = action()
    except BaseException as error:
        return f"{type(error).__name__}: {error}"
    return "done" if result is None or result >= 0 else f"errno {ctypes.get_errno()}"

def raw(number, *values):
    return lambda: libc.syscall(ctypes.c_long(number), *[ctypes.c_long(v) for v in values])

def read(path):
    open(path).close()

def write(path):
    open(path, "w").close()

def stray():
    for place in ("/tmp", "/var/tmp", "/dev/shm", "/run", "/"):
        if place != os.getcwd() and os.path.isdir(place):
            try:
                write(place + "/skilldelta-probe")
            except OSError:
                continue
            os.unlink(place + "/skilldelta-probe")
            return
    raise PermissionError("nowhere")

def connect(family, address):
    with socket.socket(family, socket.SOCK_STREAM) as s:
        s.connect(address)

def fork(fork):
    pid = fork()
    if pid == 0:
        os._exit(0)
    if pid > 0:
        os.waitpid(pid, 0)
    return pid

def thread():
    t = threading.Thread(target=len, args=("",))
    t.start()
    t.join()

def attack(canary, port, victim, numbers):
    return {
        "read a file of the host": tried(lambda: read(canary)),
        "write beside it": tried(lambda: write(canary + ".written")),
        "write outside its folder": tried(stray),
        "list a folder of the host": tried(lambda: len(os.listdir(os.path.dirname(canary)))),
        "read another process's environment": tried(lambda: read(f"/proc/{victim}/environ")),
        "connect to a TCP port": tried(lambda: connect(socket.AF_INET, ("127.0.0.1", port))),
        "make a local socket": tried(lambda: connect(socket.AF_UNIX, "\\0skilldelta")),
        "fork": tried(lambda: fork(os.fork)),
        "fork by a raw system call": tried(lambda: fork(raw(numbers["clone"], 17, 0, 0, 0, 0))),
        "signal the harness": tried(lambda: os.kill(victim, 0)),
        "unshare": tried(raw(numbers["unshare"], 0x10000000)),
        "trace": tried(raw(numbers["ptrace"], 0, 0, 0, 0)),
        "set up io_uring": tried(raw(numbers["io_uring_setup"], 1, 0)),
    }

def use():
    return {
        "write a scratch file": tried(lambda: write("scratch")) + tried(lambda: os.unlink("scratch")),
        "start a thread": tried(thread),
        "import a module": tried(lambda: __import__("this_is_lazy" if False else "colorsys") and None),
        "environment": sorted(os.environ),
    }
"""
NEEDED = {"write a scratch file": "donedone", "start a thread": "done", "import a module": "done"}


@dataclass(frozen=True)
class Target:
    """What the probe attacks: things of the harness's own that it must not reach."""

    canary: str
    port: int

    def tests(self) -> list[Record]:
        numbers = {n: NUMBERS[n] for n in ("clone", "unshare", "ptrace", "io_uring_setup")}
        encoded = {"t": "dict", "v": [[k, v] for k, v in numbers.items()]}
        return [Record("attack", [json.dumps([self.canary, self.port, os.getpid(), encoded])]), Record("use", ["[]"])]


@contextlib.contextmanager
def target() -> Iterator[Target]:
    """A file and a listening port."""
    with tempfile.TemporaryDirectory(prefix="skilldelta-probe-") as folder, socket.socket() as listener:
        canary = Path(folder, "canary")
        canary.write_text("a secret")
        canary.chmod(0o644)
        Path(folder).chmod(0o755)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield Target(str(canary), listener.getsockname()[1])


def escaped(found: dict[str, str]) -> list[str]:
    """What the probe could do and must not."""
    return [name for name, result in found.items() if result == "done"]


def hindered(found: dict[str, object]) -> list[str]:
    """What an honest program could not do, and variables of the environment that should not be there."""
    lost = [f"{name}: {found[name]}" for name, wanted in NEEDED.items() if found[name] != wanted]
    environment = found["environment"]
    strange = set(environment if isinstance(environment, list) else []) - set(fixed_names()) - {"LC_CTYPE"}
    return lost + [f"an environment variable {name}" for name in sorted(strange)]
