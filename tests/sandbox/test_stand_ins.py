# ruff: noqa: E501  programs stand on one line each
"""Pipes, socket pairs and clocks as a program finds them: they work, and count nothing for the whole machine."""

import os

import pytest

from harness.sandbox import Asserts, Sandbox, SandboxConfig
from tests.sandbox.test_collusion import HEAD, result

# How often the program can push on the counters from which the kernel numbers pipes and sockets, by Python and by itself.
PUSH = """
import ctypes, socket
LIBC, TWO = ctypes.CDLL(None), (ctypes.c_int * 2)()
def tell(action):
    for i in range(50):
        try:
            ends = action()
        except OSError:
            return i
        for end in ends:
            end.close() if hasattr(end, "close") else os.close(end)
    return 50
def raw(name, *arguments):
    if LIBC.syscall(NUMBERS[name], *arguments):
        raise OSError
    return list(TWO)
def f():
    ways = [lambda: raw("pipe2", TWO, 0), lambda: raw("pipe", TWO), lambda: raw("socketpair", 1, 1, 0, TWO), os.pipe, socket.socketpair, lambda: os.pipe2(0)]
    return [tell(way) for way in ways]
"""


@pytest.mark.slow
def test_a_program_pushes_no_counter_of_the_whole_machine(sandbox: Sandbox) -> None:
    """The kernel numbers pipes and sockets by one counter, which any program can read from those that it has."""
    assert result(sandbox, HEAD + PUSH) == [0, 0, 0, 4, 0, 0]
    with Sandbox(SandboxConfig(workers=1, tier="none")) as unconfined:
        assert set(result(unconfined, HEAD + PUSH)) == {50} or os.uname().machine != "x86_64"


def test_pipes_and_event_loops_work_as_ever(sandbox: Sandbox) -> None:
    program = """
import asyncio, os, socket, resource
async def g(i):
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(None, lambda: i)  # wakes the loop up from another thread
def f():
    sums = [asyncio.run(g(i)) for i in range(20)]
    two = [asyncio.new_event_loop() for _ in range(2)]  # at a time
    both = [loop.run_until_complete(g(i)) for i, loop in enumerate(two)]
    for loop in two: loop.close()
    r, w = os.pipe()
    with os.fdopen(w, "w") as end: end.write("text")
    with os.fdopen(r) as end: text = end.read()  # to the end: the other one is closed
    a, b = socket.socketpair()
    a.sendall(b"x"); a.close()
    return sum(sums), both, text, b.recv(9), b.recv(9), resource.getrusage(resource.RUSAGE_SELF).ru_utime >= 0
"""
    assert result(sandbox, program) == (190, [0, 1], "text", b"x", b"", True)


def test_tests_start_event_loops_too(sandbox: Sandbox) -> None:
    """Their pairs are not the program's: the two processes meet at their own lines alone."""
    tests = "import asyncio, os\nasync def g(i): return i + f()\nfor i in range(9): assert asyncio.run(g(i)) == i + 1\n"
    with_pipe = tests + "r, w = os.pipe()\nassert os.write(w, b'x') == 1 and os.read(r, 9) == b'x'"
    assert sandbox.run("def f(): return 1", Asserts(with_pipe, ("f",))).outcome == "pass"
    assert sandbox.run("def f(): return 2", Asserts(with_pipe, ("f",))).outcome == "wrong"
    listening = """
import os, fcntl
SEEN = []
for n in range(6, 64):
    try: fcntl.fcntl(n, fcntl.F_SETFL, os.O_NONBLOCK)
    except OSError: pass
def f():
    for n in range(6, 64):
        try: SEEN.append(os.read(n, 9))
        except OSError: pass
    return len([x for x in SEEN if x])
"""
    telling = "import os\nr, w = os.pipe()\nos.write(w, b'told')\nassert f() == 0"
    assert sandbox.run(listening, Asserts(telling, ("f",))).outcome == "pass"
