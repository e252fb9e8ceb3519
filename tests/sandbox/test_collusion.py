# ruff: noqa: E501  programs stand on one line each, so that a pair can be read side by side
"""Programs that try to tell something to a later one, or to one that runs beside them; with controls that could."""

import fcntl
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from harness.sandbox import ProgramLimits, RecordCalls, Sandbox, SandboxConfig
from harness.sandbox.inside.calls import NUMBERS
from harness.sandbox.inside.wire import decode_value
from harness.sandbox.tiers import OPEN_CHANNELS, unavailable_reason

LIMITS = ProgramLimits(cpu_s=3, wall_s=12.0)


def result(sandbox: Sandbox, program: str) -> Any:
    verdict = sandbox.run(program, RecordCalls("f", ["[]"]), LIMITS)
    return decode_value(verdict.outputs[0], int) if verdict.passed else f"{verdict.outcome}: {verdict.detail}"


# What a program leaves behind, and what a later one looks at; the same without and with the first.
SEQUENCES = {
    "inode numbers": (
        "def f():\n    for _ in range(777):\n        open('a', 'w').close(); os.unlink('a')",
        "def f():\n    open('a', 'w').close()\n    return os.stat('a').st_ino",
    ),
    "process numbers": (
        "import threading\ndef f():\n    for _ in range(321):\n        t = threading.Thread(target=len, args=('',)); t.start(); t.join()",
        "import threading\ndef f():\n    t = threading.Thread(target=len, args=('',)); t.start()\n    return os.getpid(), os.getppid(), t.native_id",
    ),
    "files": (
        "def f():\n    os.makedirs('d/e'); open('d/e/x', 'w').write('x'); os.chmod('d', 0); os.utime('.', (5, 5)); os.chmod('.', 0o711)",
        "def f():\n    s = os.stat('.')\n    return os.listdir('.'), oct(s.st_mode), s.st_nlink, s.st_size, s.st_ino",
    ),
    "free space": (
        "def f():\n    open('big', 'w').write('x' * 9_000_000)",
        "def f():\n    s = os.statvfs('.')\n    return s.f_bfree, s.f_ffree",
    ),
    "the end of the first": (
        "def f():\n    os._exit(77)",
        "import gc\ndef f():\n    return [o for o in gc.get_objects() if type(o) is dict and ('candidate' in o or 'stopped' in o) and 'grader' in o]",
    ),
    "memory": (
        "import gc\ndef f():\n    return len([bytearray(4096) for _ in range(5000)])",
        "import gc, sys\ndef f():\n    return sys.getallocatedblocks() // 1000, gc.get_count()[1:], sys.getrefcount(None) // 1000",
    ),
    "what the sandbox keeps of it": (
        "import threading\ndef f():\n    for _ in range(321):\n        t = threading.Thread(target=len, args=('',)); t.start(); t.join()",
        "import sys\ndef f():\n    frame, found = sys._getframe(), []\n    while frame := frame.f_back:\n        found.append((frame.f_code.co_name, [(k, repr(v)) for k, v in frame.f_locals.items() if type(v) in (int, list, bytes, str) and 'text' not in k and k != 'arguments']))\n    return found",
    ),
    "times of devices": (
        "def f():\n    try: os.utime('/dev/null')\n    except OSError: return 1\n    return 1",
        "def f():\n    return [os.stat('/dev/' + name).st_mtime_ns for name in ('null', 'zero', 'full', 'random')]",
    ),
    "mounts": (
        "def f():\n    pass",
        "import ctypes\ndef f():\n    found = ctypes.create_string_buffer(256)\n    return ctypes.CDLL(None).syscall(NUMBERS['statx'], -100, b'.', 0, 0x4FFF, found), os.stat('.').st_dev, ctypes.CDLL(None).syscall(NUMBERS['statx'], -100, b'.', 0, 0x1FFF, found), found.raw[144:152]",
    ),
    "names that were looked up": (
        "def f():\n    return os.path.exists(os.path.dirname(os.__file__) + '/looked-up')",
        "import ctypes, struct\ndef f():\n    found = [], struct.pack('QQQ', 0o10000000, 0, 32), os.path.dirname(os.__file__)\n    for name in ('looked-up', 'never'):\n        ctypes.set_errno(0); ctypes.CDLL(None, use_errno=True).syscall(437, -100, f'{found[2]}/{name}'.encode(), found[1], 24); found[0].append(ctypes.get_errno())\n    return found[0]",
    ),
    "numbers of processes in messages": (
        "import threading\ndef f():\n    for _ in range(321):\n        t = threading.Thread(target=len, args=('',)); t.start(); t.join()",
        "import socket, struct\ndef f():\n    a, b = socket.socketpair()\n    try: b.setsockopt(1, 76, 1)\n    except OSError: pass\n    a.send(b'x')\n    return [os.fstat(struct.unpack('i', data)[0]).st_ino for _, _, data in b.recvmsg(9, 99)[1]]",
    ),
    "files in memory": (
        "import mmap\ndef f():\n    for _ in range(777): mmap.mmap(-1, 4096).close()",
        "def f():\n    return [os.fstat(descriptor).st_ino for descriptor in (1, 2)]",
    ),
    "the output's state": (
        "import ctypes, fcntl\ndef f():\n    fcntl.fcntl(1, 4, 0o2000); os.write(1, b'x'); ctypes.CDLL(None).fallocate(1, 1, ctypes.c_long(0), ctypes.c_long(1 << 20))\n    for change in (lambda: os.chmod(1, 0o600), lambda: os.utime(1, (5, 5))):\n        try: change()\n        except PermissionError: pass",
        "import fcntl\ndef f():\n    s = os.fstat(1)\n    return fcntl.fcntl(1, 3), os.lseek(1, 0, 1), s.st_blocks, s.st_size, oct(s.st_mode), s.st_atime > 99, s.st_mtime > 99",
    ),
    "addresses": (
        "def f():\n    return len([object() for _ in range(99)])",
        "class A: pass\ndef f():\n    return [id(object()), id([]), id('x' * 99), hash(f), repr(A()), [id(x) for x in {A() for _ in range(20)}]]",
    ),
}  # fmt: skip
HEAD = f"import os\nNUMBERS = { {name: NUMBERS.get(name, -1) for name in ('statx', 'pipe', 'pipe2', 'socketpair', 'futex', 'getrusage')} }\n"


@pytest.mark.slow
@pytest.mark.parametrize("channel", SEQUENCES)
def test_a_program_tells_nothing_to_the_next(channel: str, sandbox: Sandbox) -> None:
    first, second = (HEAD + program for program in SEQUENCES[channel])
    alone = [result(sandbox, second) for _ in range(2)]
    after = []
    for _ in range(3):
        result(sandbox, first)
        after.append(result(sandbox, second))
    assert {repr(each) for each in (*alone, *after)} == {repr(alone[0])}
    assert "error" not in repr(alone[0])


# What the weaker tier cannot close, by the words with which `doctor` lists it, with what is chance there or refused.
LISTED = {"inode numbers": "numbers and free space", "files": "numbers and free space", "free space": "numbers and free space"}
LISTED |= {
    "process numbers": "process numbers",
    "what the sandbox keeps of it": "process numbers",
    "addresses": "process numbers",
}


@pytest.fixture(scope="module")
def landlock() -> Iterator[Sandbox]:
    if reason := unavailable_reason("landlock"):
        pytest.skip(f"no landlock here: {reason}")
    with Sandbox(SandboxConfig(workers=2, tier="landlock")) as found:
        yield found


@pytest.mark.parametrize("channel", SEQUENCES)
def test_what_stays_open_without_namespaces_is_listed(channel: str, landlock: Sandbox) -> None:
    if channel in LISTED:
        assert any(each.startswith(LISTED[channel]) for each in OPEN_CHANNELS["landlock"])
    else:
        test_a_program_tells_nothing_to_the_next(channel, landlock)


THREADS_SEEN = "def f():\n    me = threading.get_native_id(); end = time.monotonic() + 2; most = 0\n    while time.monotonic() < end:\n        most = max(most, sum(os.path.exists(f'/proc/{n}') for n in range(max(1, me - 300), me + 300))); time.sleep(0.05)\n    return most"


@pytest.mark.slow
def test_threads_of_a_program_beside_are_seen_without_namespaces_alone(sandbox: Sandbox, landlock: Sandbox) -> None:
    head = "import os, threading, time\n"
    many = (
        head
        + "def f():\n    for _ in range(12): threading.Thread(target=time.sleep, args=(2,), daemon=True).start()\n    time.sleep(2)"
    )
    assert side_by_side(landlock, many, head + THREADS_SEEN) > 12
    assert any("/proc" in each for each in OPEN_CHANNELS["landlock"])
    if sandbox.tier == "namespaces":
        assert side_by_side(sandbox, many, head + THREADS_SEEN) == 0


UNCONFINED = ["names that were looked up", "numbers of processes in messages", "files in memory"]


@pytest.mark.parametrize("channel", UNCONFINED)
def test_the_control_an_unconfined_program_tells_the_next(channel: str) -> None:
    first, second = (HEAD + program.replace("looked-up", f"looked-up-{os.getpid()}") for program in SEQUENCES[channel])
    with Sandbox(SandboxConfig(workers=1, tier="none")) as unconfined:
        alone = result(unconfined, second)
        result(unconfined, first)
        assert repr(result(unconfined, second)) != repr(alone)


def test_the_control_one_process_sees_its_own_traces(sandbox: Sandbox) -> None:
    """The same counters do move within one program: the test above looks at something."""
    twice = "import os\ndef once():\n    open('a', 'w').close(); i = os.stat('a').st_ino; os.unlink('a'); return i\ndef f():\n    return once() != once()"
    assert result(sandbox, twice) is True


def side_by_side(sandbox: Sandbox, sender: str, receiver: str) -> Any:
    with ThreadPoolExecutor(2) as pool:
        sending = pool.submit(result, sandbox, sender)
        receiving = pool.submit(result, sandbox, receiver)
        assert "error" not in repr(sending.result())
        return receiving.result()


# The sender holds something for two seconds; the receiver looks for it all the time.
HOLD = "\n    end = time.monotonic() + 2\n    while time.monotonic() < end: time.sleep(0.05)\n"
LOOK = "\n    end = time.monotonic() + 2\n    while time.monotonic() < end:\n        if look(): return 'seen'\n        time.sleep(0.02)\n    return 'nothing'\n"
PARALLEL = {
    "a lock on a library's file": ("    fd = os.open(os.__file__, 0); fcntl.flock(fd, 2)", "fd = os.open(os.__file__, 0)\ndef look():\n    try: fcntl.flock(fd, 2 | 4); fcntl.flock(fd, 8)\n    except BlockingIOError: return True"),
    "a record lock on a device": ("    fd = os.open('/dev/null', 2); fcntl.lockf(fd, 2)", "fd = os.open('/dev/null', 2)\ndef look():\n    try: fcntl.lockf(fd, 2 | 4); fcntl.lockf(fd, 8)\n    except BlockingIOError: return True"),
    "an open file's lock": ("    try: fcntl.fcntl(os.open(os.__file__, 0), 37, struct.pack('hhqqi4x', 0, 0, 100, 65, 0))\n    except OSError: pass", "def look():\n    try: return struct.unpack('hhqqi4x', fcntl.fcntl(os.open(os.__file__, 0), 36, struct.pack('hhqqi4x', 1, 0, 0, 0, 0)))[0] != 2\n    except OSError: return False"),
    "a process": ("    pass", "def look():\n    for pid in range(3, 300):\n        for ask in (os.getpgid, os.getsid, os.sched_getaffinity, lambda p: time.clock_gettime((~p << 3) | 2)):\n            try: ask(pid); return True\n            except OSError: pass"),
    "memory of the machine": ("    pass", "import ctypes\ndef look(): return ctypes.CDLL(None).sysinfo(ctypes.create_string_buffer(256)) == 0"),
    "a page of a library": ("    wait()", "def look(): return LIBC.syscall(NUMBERS['futex'], ctypes.c_void_p(page), 1, 1, None, 0, 0) > 0"),
    "a page of a library, and a thread's end": ("    wait()", "def look():\n    def ends(): LIBC.syscall(218 if os.uname().machine == 'x86_64' else 96, ctypes.c_void_p(page))\n    t = threading.Thread(target=ends); t.start(); t.join(); return False"),
    "reads from the disk": ("    pass", "import resource\ndef look():\n    buffer = ctypes.create_string_buffer(256)\n    return any(resource.getrusage(0)[2:]) or LIBC.syscall(NUMBERS['getrusage'], 0, buffer) == 0"),
    "the number of a socket": ("    pass", "import socket\npair = socket.socketpair()\ndef look():\n    try: return pair[0].getsockopt(1, 57, 8)\n    except OSError: return False"),
    "pages in memory": ("    pass", "def look():\n    try: return os.preadv(os.open(os.__file__, 0), [bytearray(9)], 0, os.RWF_NOWAIT) >= 0\n    except OSError: return False"),
}  # fmt: skip


# A page of a file that all programs see; `wait` waits on it until somebody wakes it, and fails where nobody did.
LIBRARY_PAGE = """
import ctypes, threading
LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.mmap.restype = ctypes.c_void_p
LIBC.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
page = LIBC.mmap(None, 4096, 1, 1, os.open(os.__file__, 0), 0)
def wait():
    value, until = ctypes.c_int.from_address(page).value, struct.pack("qq", 2, 0)
    woken = LIBC.syscall(NUMBERS["futex"], ctypes.c_void_p(page), 0, ctypes.c_int(value), until, 0, 0) == 0
    if woken: raise RuntimeError("woken")
"""


@pytest.mark.slow
@pytest.mark.parametrize("channel", PARALLEL)
def test_programs_side_by_side_tell_each_other_nothing(channel: str, sandbox: Sandbox) -> None:
    hold, look = PARALLEL[channel]
    head = f"{HEAD}import time, fcntl, struct\n{LIBRARY_PAGE}"
    assert side_by_side(sandbox, f"{head}def f():\n{hold}{HOLD}", f"{head}{look}\ndef f():{LOOK}") == "nothing"


@pytest.mark.parametrize("lock", [fcntl.flock, fcntl.lockf])
def test_the_control_a_lock_outside_is_seen(lock: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with (tmp_path / "file").open("r+") as one, (tmp_path / "file").open("r+") as other:
        lock(one, fcntl.LOCK_EX)
        if lock is fcntl.flock:
            with pytest.raises(BlockingIOError):
                lock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


@pytest.mark.slow
@pytest.mark.parametrize("channel", ["a page of a library", "reads from the disk", "the number of a socket"])
def test_the_control_without_a_sandbox_programs_side_by_side_see_each_other(channel: str) -> None:
    hold, look = PARALLEL[channel]
    head = f"{HEAD}import time, fcntl, struct\n{LIBRARY_PAGE}"
    hold = hold.replace("wait()", "\n    try: wait()\n    except RuntimeError: pass")
    with Sandbox(SandboxConfig(workers=2, tier="none")) as unconfined:
        assert side_by_side(unconfined, f"{head}def f():\n{hold}{HOLD}", f"{head}{look}\ndef f():{LOOK}") == "seen"


def test_locks_seem_to_work_for_an_honest_program(sandbox: Sandbox) -> None:
    program = (
        "import fcntl, sqlite3\ndef f():\n    with open('a', 'w') as file:\n        fcntl.flock(file, fcntl.LOCK_EX); fcntl.lockf(file, fcntl.LOCK_EX)\n"
        "    for i in range(3):\n        with sqlite3.connect('data.db') as db:\n"
        "            db.execute('create table if not exists t (x)'); db.execute('insert into t values (?)', (i,))\n"
        "    return db.execute('select count(*) from t').fetchone()[0]"
    )
    assert result(sandbox, program) == 3


BISECTION = """
import os
def bump():
    fd = os.open("a", os.O_CREAT | os.O_RDWR); i = os.fstat(fd).st_ino; os.close(fd); os.unlink("a"); return i
bits = [int(c) for c in bin(max(1, bump() // 16))[3:]]
calls, guess = 0, False
def f(x):
    global calls, guess
    if guess: bits[-1] = 1; guess = False
    i = calls; calls += 1
    if i < len(bits): return bool(bits[i])
    bits.append(0)
    while bump() < 16 * int("1" + "".join(map(str, bits)), 2): pass
    guess = True
    return True
"""


def test_draws_of_one_program_do_not_search_for_the_answers(sandbox: Sandbox) -> None:
    """A program without the answers, which keeps what the tests told it, if it can: every draw gives the same answers."""
    draws = [sandbox.run(BISECTION, RecordCalls("f", ["[1]", "[2]", "[3]"]), LIMITS).outputs for _ in range(6)]
    assert draws == [draws[0]] * 6


@pytest.mark.slow
def test_numbers_differ_by_chance_alone(sandbox: Sandbox) -> None:
    """Programs that run at once are alike as well: the same process number, the same place."""
    program = "import os, time\ndef f():\n    time.sleep(0.2)\n    return os.getpid(), os.getcwd(), os.listdir('/'), os.sysconf('SC_OPEN_MAX')"
    results: list[Any] = []
    threads = [threading.Thread(target=lambda: results.append(result(sandbox, program))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if sandbox.tier == "namespaces":
        assert results == [results[0]] * 4
    assert os.getpid() not in [each[0] for each in results]
