"""The self-test of a tier: a program that attacks in every way that the tier must stop, and reports which attacks succeeded.

A tier is used because its probe failed to attack, never because the system calls that set it up succeeded.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.sandbox.inside.calls import NUMBERS
from harness.sandbox.verdict import RecordCalls

PROBE = """
import ctypes, os, socket, threading

libc = ctypes.CDLL(None, use_errno=True)

def attempt(action):
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
        "read a file of the host": attempt(lambda: read(canary)),
        "write next to that file": attempt(lambda: write(canary + ".written")),
        "write outside its folder": attempt(stray),
        "list a folder of the host": attempt(lambda: len(os.listdir(os.path.dirname(canary)))),
        "read another process's environment": attempt(lambda: read(f"/proc/{victim}/environ")),
        "connect to a TCP port": attempt(lambda: connect(socket.AF_INET, ("127.0.0.1", port))),
        "make a local socket": attempt(lambda: connect(socket.AF_UNIX, "\\0skilldelta")),
        "fork": attempt(lambda: fork(os.fork)),
        "fork by a raw system call": attempt(lambda: fork(raw(numbers["clone"], 17, 0, 0, 0, 0))),
        "signal the harness": attempt(lambda: os.kill(victim, 0)),
        "unshare": attempt(raw(numbers["unshare"], 0x10000000)),
        "trace": attempt(raw(numbers["ptrace"], 0, 0, 0, 0)),
        "set up io_uring": attempt(raw(numbers["io_uring_setup"], 1, 0)),
    }

def use():
    return {
        "write a scratch file": attempt(lambda: write("scratch")) + attempt(lambda: os.unlink("scratch")),
        "start a thread": attempt(thread),
        "import a module": attempt(lambda: __import__("this_is_lazy" if False else "colorsys") and None),
        "environment": sorted(os.environ),
    }
"""
EXPECTED_USES = {"write a scratch file": "donedone", "start a thread": "done", "import a module": "done"}


@dataclass(frozen=True)
class ProbeTarget:
    """Things of the harness for the probe to attack: a file with a secret, and a listening TCP port."""

    canary: str
    port: int

    def tests(self) -> list[RecordCalls]:
        numbers = {n: NUMBERS[n] for n in ("clone", "unshare", "ptrace", "io_uring_setup")}
        numbers_value = {"t": "dict", "v": [[k, v] for k, v in numbers.items()]}
        return [
            RecordCalls("attack", [json.dumps([self.canary, self.port, os.getpid(), numbers_value])]),
            RecordCalls("use", ["[]"]),
        ]


@contextlib.contextmanager
def make_target() -> Iterator[ProbeTarget]:
    """The file and the port, which last as long as the context."""
    with tempfile.TemporaryDirectory(prefix="skilldelta-probe-") as folder, socket.socket() as listener:
        canary = Path(folder, "canary")
        canary.write_text("a secret")
        canary.chmod(0o644)
        Path(folder).chmod(0o755)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield ProbeTarget(str(canary), listener.getsockname()[1])


def find_leaks(attacks: dict[str, str]) -> list[str]:
    """The attacks that succeeded."""
    return [name for name, result in attacks.items() if result == "done"]


def find_hindrances(uses: dict[str, object], variables: Sequence[str]) -> list[str]:
    """The honest uses that failed, and variables of the environment that are not among `variables`."""
    failures = [f"{name}: {uses[name]}" for name, right_use in EXPECTED_USES.items() if uses[name] != right_use]
    environment = uses["environment"]
    strange = set(environment if isinstance(environment, list) else []) - set(variables) - {"LC_CTYPE"}
    return failures + [f"an environment variable {name}" for name in sorted(strange)]
