"""The sandbox as its users see it: verdicts, limits, faults, many threads, and what it refuses."""

import errno
import gc
import json
import os
import random
import re
import socket
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness.sandbox import (
    Asserts,
    CallGroup,
    Calls,
    ProgramLimits,
    RecordCalls,
    Sandbox,
    SandboxConfig,
    SandboxError,
    Verdict,
    paper_limits,
    tiers,
)
from harness.sandbox.inside import calls, seccomp
from harness.sandbox.inside.scratch import empty_folder
from harness.sandbox.inside.supervision import Child, PairSupervision
from harness.sandbox.inside.wire import decode_value
from harness.sandbox.sandbox import RunGate
from harness.sandbox.verdict import decide_outcome
from harness.types import SkilldeltaError

ADD = "def add(a, b): return a + b"
ADDS = Asserts("assert add(1, 2) == 3", ("add",))


def test_a_verdict_says_what_was_wrong(sandbox: Sandbox) -> None:
    verdict = sandbox.run("def add(a, b): return a - b", ADDS)
    assert (verdict.outcome, verdict.detail) == ("wrong", "assert add(1, 2) == 3")
    assert verdict.tier == sandbox.tier
    assert sandbox.run("def add(a, b): return a // 0", ADDS).detail.startswith("ZeroDivisionError")
    assert sandbox.run("def sub(a, b): return a - b", ADDS).detail == "NameError: name 'add' is not defined"
    assert sandbox.run("def add(a, b): return", Asserts("assert add(1, 2)[0] == 3", ("add",))).outcome == "wrong"


def test_outputs_are_compared_group_by_group(sandbox: Sandbox) -> None:
    tests = Calls("add", [CallGroup("base", ["[1, 2]"], [3]), CallGroup("plus", ["[0.1, 0.2]", "[1, 1]"], [0.3, 3])])
    verdict = sandbox.run(ADD, tests)
    assert verdict.groups == {"base": True, "plus": False}
    assert verdict.detail == "plus 1: 2"


def test_outputs_of_a_reference_can_be_recorded(sandbox: Sandbox) -> None:
    verdict = sandbox.run("def add(a, b): return (a, b)", RecordCalls("add", ["[1, 2]"]))
    assert decode_value(verdict.outputs[0]) == (1, 2)


def test_what_was_printed_is_kept_and_cut(sandbox: Sandbox) -> None:
    verdict = sandbox.run("print('hello')\ndef add(a, b):\n    print('x' * 10**6)\n    return a + b", ADDS)
    assert verdict.passed
    assert verdict.output.startswith("hello\nxxx")
    assert len(verdict.output) == 64 << 10


def test_the_same_program_gets_the_same_verdict_and_values(sandbox: Sandbox) -> None:
    program = "import random\ndef f(): return random.random(), hash('x'), list({'a', 'b', 'c'})"
    runs = [sandbox.run(program, RecordCalls("f", ["[]"])).outputs for _ in range(3)]
    assert runs[0] == runs[1] == runs[2]


def test_no_program_sees_what_another_left(sandbox: Sandbox) -> None:
    leave = "import builtins, sys\nbuiltins.LEFT = sys.LEFT = 1\nopen('left', 'w').close()\ndef f(): return 1"
    look = "import builtins, os, sys\ndef f(): return hasattr(builtins, 'LEFT'), hasattr(sys, 'LEFT'), os.listdir('.')"
    for _ in range(4):
        assert sandbox.run(leave, Asserts("assert f() == 1", ("f",))).passed
        assert sandbox.run(look, Asserts("assert f() == (False, False, [])", ("f",))).passed


def test_the_tests_are_not_in_the_programs_memory(sandbox: Sandbox) -> None:
    """Searches all of its own memory that Python can reach by address for a word that only the tests hold."""
    program = (
        "import ctypes, gc\n"
        "def f():\n"
        "    word = ''.join(['mar', 'zi', 'pan'])\n"
        "    return sum(word in s for o in gc.get_objects() if isinstance(o, (list, tuple)) for s in o if isinstance(s, str))"
    )
    assert sandbox.run(program, Asserts("assert f() == 0, 'marzipan'", ("f",))).passed


@pytest.mark.slow
def test_many_threads_share_a_sandbox() -> None:
    """Good programs among hogs, eight at a time: every good one passes, no hog does."""
    good = [(ADD, ADDS, True)] * 40
    hogs = [
        ("def add(a, b): return bytearray(1 << 40)", ADDS, False),
        ("def add(a, b):\n    while True: pass", ADDS, False),
        ("def add(a, b):\n    while True: print('x' * 9999)", ADDS, False),
        ("import os\ndef add(a, b):\n    while True: os.fork()", ADDS, False),
    ] * 2
    mixed = [hogs.pop() if hogs and i % 4 == 0 else job for i, job in enumerate(good)] + good[:8]
    with Sandbox(SandboxConfig(workers=8)) as crowded, ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda job: crowded.run(job[0], job[1], ProgramLimits(cpu_s=1)).passed, mixed))
    assert sum(found) == 40
    assert found == [job[2] for job in mixed]


def test_a_program_that_only_waited_is_tried_again_alone(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    judged: list[str] = []
    slow, quick = Verdict("timeout", cpu_s=0.1, wall_s=9.0), Verdict("pass")

    def judge(program: str, tests: object, limits: ProgramLimits) -> Verdict:
        judged.append(program)
        return slow if len(judged) == 1 else quick

    monkeypatch.setattr(sandbox, "judge_with_retry", judge)
    assert sandbox.run(ADD, ADDS, ProgramLimits(wall_s=5.0)).passed
    assert len(judged) == 2


def test_a_program_that_used_its_time_is_not_tried_again(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    judged: list[str] = []
    busy = Verdict("timeout", cpu_s=5.0, wall_s=9.0)
    monkeypatch.setattr(sandbox, "judge_with_retry", lambda program, tests, limits: judged.append(program) or busy)
    assert sandbox.run(ADD, ADDS, ProgramLimits(wall_s=5.0)).outcome == "timeout"
    assert len(judged) == 1


def test_one_that_must_be_alone_waits_for_the_others() -> None:
    gate, inside, seen = RunGate(3), set[int](), []

    def work(n: int) -> None:
        with gate.alone() if n % 5 == 0 else gate.one_of_many():
            inside.add(n)
            seen.append((n, len(inside)))
            inside.discard(n)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(200)))
    assert len(seen) == 200
    assert all(count == 1 for n, count in seen if n % 5 == 0)
    assert gate.inside == 0


def test_a_scratch_folder_is_emptied_whatever_is_in_it(tmp_path: Path) -> None:
    """Folders too deep for a path, closed ones, names that a cleaner might want itself, and links, which are not followed."""
    scratch, outside = tmp_path / "scratch", tmp_path / "outside"
    (outside / "kept").mkdir(parents=True)
    (scratch / "closed/inner").mkdir(parents=True)
    (scratch / "closed/inner/file").write_text("x")
    (scratch / "closed").chmod(0)
    for name in (".1", ".2", "1"):
        (scratch / name / name).mkdir(parents=True)
    (scratch / "link").symlink_to(outside)
    at = os.open(scratch, os.O_RDONLY)
    for _ in range(2000):
        os.mkdir("d", dir_fd=at)
        below = os.open("d", os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    os.close(at)
    empty_folder(str(scratch))
    assert list(scratch.iterdir()) == []
    assert (outside / "kept").is_dir()


def broken_tests() -> Asserts:
    return Asserts("assert True", (), setup="this is no Python")


@pytest.mark.slow
def test_a_fault_of_the_sandbox_is_an_error_never_a_fail(sandbox: Sandbox) -> None:
    with pytest.raises(SandboxError, match="SyntaxError"):
        sandbox.run(ADD, broken_tests())
    assert sandbox.run(ADD, ADDS).passed


@pytest.mark.slow
def test_a_slot_that_dies_is_replaced_and_the_program_judged(sandbox: Sandbox) -> None:
    sandbox.run(ADD, ADDS)
    for slot in sandbox.pools[False].free:
        slot.control.close()
    while sandbox.pools[False].free:
        assert sandbox.run(ADD, ADDS).passed
        sandbox.pools[False].free.pop().close()


@pytest.mark.slow
def test_a_template_that_dies_is_replaced_and_the_program_judged() -> None:
    with Sandbox(SandboxConfig(workers=1)) as mine:
        assert mine.run(ADD, ADDS).passed
        first = mine.pools[False].template
        first.process.kill()
        first.control.close()
        first.process.wait()
        for slot in mine.pools[False].free:
            slot.control.close()
        assert mine.run(ADD, ADDS).passed
        assert mine.pools[False].template is not first


def test_after_it_is_closed_no_process_and_no_folder_is_left() -> None:
    with Sandbox(SandboxConfig(workers=1)) as mine:
        mine.run(ADD, ADDS)
        template = mine.pools[False].template
        assert Path(template.base).is_dir()
    assert template.process.returncode is not None
    assert not Path(template.base).exists()


def test_a_forked_process_may_not_use_its_parents_sandbox(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "owner", os.getpid() + 1)
    with pytest.raises(SandboxError, match="after a fork"):
        sandbox.run(ADD, ADDS)


def test_where_no_tier_works_each_ones_reason_and_the_ways_out_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiers, "unavailable_reason", lambda tier: f"{tier} is missing")
    with pytest.raises(SkilldeltaError, match=r"(?s)namespaces is missing.*landlock is missing.*unsafe-local-code"):
        Sandbox()


def test_an_unknown_tier_is_named() -> None:
    with pytest.raises(SkilldeltaError, match="There is no sandbox 'jail'"):
        Sandbox(SandboxConfig(tier="jail"))


def test_a_tier_whose_probe_succeeds_in_an_attack_is_not_used() -> None:
    """A template without any confinement passes for no tier: its probe can read the host's files."""
    from harness.sandbox import probe
    from harness.sandbox.process import SlotTemplate

    template = SlotTemplate("none", (), ProgramLimits())
    try:
        with probe.make_target() as target:
            found = tiers.run_probe(template, target, "landlock")
    finally:
        template.close()
    assert "a program could read a file of the host" in found
    assert "a program could fork" in found


def test_the_probe_is_one_process_also_where_it_can_fork() -> None:
    """A copy that went on would answer a second time, and stay behind under a tracer that is gone."""
    from harness.sandbox import probe

    with probe.make_target() as target:
        canary, port, pid, numbers = json.loads(target.tests()[0].inputs[0])
        told = f"print(attack({canary!r}, {port}, {pid}, {dict(numbers['v'])!r})['fork by a raw system call'])"
        command = [sys.executable, "-c", probe.PROBE + told]
        ended = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)  # a copy may stop for ever
    assert ended.stdout == "done\n"


def test_unsafe_is_stamped() -> None:
    with Sandbox(SandboxConfig(tier="none", workers=1)) as unsafe:
        assert unsafe.run(ADD, ADDS).tier == "none"
        assert unsafe.settings()["tier"] == "none"


def test_limits_are_recorded_and_wall_follows_from_cpu() -> None:
    assert ProgramLimits().settings()["wall_s"] == 20
    assert paper_limits().wall == 3
    assert ProgramLimits().settings()["memory_mb"] == 1024


@pytest.mark.slow
def test_hundreds_of_programs_leave_no_descriptor_process_or_file(sandbox: Sandbox) -> None:
    """The same with 10,000: SKILLDELTA_PROGRAMS=10000 pytest tests/sandbox -k hundreds."""

    dirty = "open('x', 'w').close()\n" + ADD
    sandbox.run(ADD, ADDS)
    before, first = open_files(), memory(sandbox)
    with ThreadPoolExecutor(sandbox.workers) as pool:
        programs = [dirty if i % 10 == 0 else ADD for i in range(int(os.environ.get("SKILLDELTA_PROGRAMS", "500")))]
        assert all(v.passed for v in pool.map(lambda p: sandbox.run(p, ADDS), programs))
    assert open_files() <= before + sandbox.workers
    assert memory(sandbox) <= 1.3 * first
    assert len(children(sandbox.pools[False].template.process.pid)) <= 2 + 2 * sandbox.workers


def open_files() -> int:
    gc.collect()
    return len(list(Path("/proc/self/fd").iterdir()))


def children(pid: int) -> list[int]:
    """All processes below `pid`."""
    below = [int(p.parent.name) for p in Path("/proc").glob("[0-9]*/stat") if parent(p) == pid]
    return below + [deeper for each in below for deeper in children(each)]


def parent(stat: Path) -> int:
    try:
        return int(stat.read_text().rpartition(")")[2].split()[1])
    except OSError:  # ended meanwhile
        return -1


def memory(sandbox: Sandbox) -> int:
    """Resident KiB of the template's processes."""
    pids = children(sandbox.pools[False].template.process.pid)
    return max(int(m[1]) for p in pids if (m := re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{p}/status").read_text())))


HEADERS = {
    "x86_64": Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    "aarch64": Path("/usr/include/asm-generic/unistd.h"),
}


@pytest.mark.parametrize("machine", HEADERS)
def test_system_call_numbers_are_the_kernels(machine: str) -> None:
    if not HEADERS[machine].is_file():
        pytest.skip(f"the kernel's header {HEADERS[machine]} is not installed")
    text = HEADERS[machine].read_text()
    known = {m[1]: int(m[2]) for m in re.finditer(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", text)}
    other = {"newfstatat": "fstatat", "fadvise64": "fadvise64", "sendfile": "sendfile"}
    for name, (number, _) in calls.system_calls(machine).items():
        assert known.get(name, known.get(other.get(name, ""))) in (number, None), name
    assert sum(name in known for name in calls.system_calls(machine)) > 130


def run_filter(machine: str, number: int, *arguments: int, own_files: bool = True) -> int:
    """What the filter answers, by a small interpreter of classic BPF."""
    return interpret(seccomp.build_filter(machine, own_files), machine, number, arguments)


def interpret(code: seccomp.Code, machine: str, number: int, arguments: Sequence[int]) -> int:
    words = {0: number, 4: calls.AUDIT[machine]} | {16 + 8 * i: a & 0xFFFFFFFF for i, a in enumerate(arguments)}
    at, value = 0, 0
    while True:
        operation, if_true, if_false, k = code[at]
        at += 1
        if operation == seccomp.LOAD:
            value = words.get(k, 0)
        elif operation == seccomp.RETURN:
            return k
        elif operation == seccomp.JUMP:
            at += k
        elif operation == seccomp.AND:
            value &= k
        else:
            tests = {seccomp.EQUAL: value == k, seccomp.AT_LEAST: value >= k, seccomp.ANY_BIT: bool(value & k)}
            at += if_true if tests[operation] else if_false


@pytest.mark.slow
@pytest.mark.parametrize("own_files", [True, False])
@pytest.mark.parametrize("machine", HEADERS)
def test_the_filter_decides_each_call_as_its_own_code_does(machine: str, own_files: bool) -> None:
    """Whatever of the code is shared, and wherever it stands: every number, with arguments that the rules know and others."""
    whole, each = seccomp.build_filter(machine, own_files), seccomp.call_decisions(machine, own_files)
    assert all(max(if_true, if_false) <= seccomp.MAX_BRANCH for _, if_true, if_false, _ in whole)
    chance = random.Random(machine)
    known = sorted({k for code in each.values() for operation, _, _, k in code if operation != seccomp.RETURN})
    for number in range(seccomp.NEWEST + 20):
        alone = each.get(number, seccomp.deny(errno.EPERM if number <= seccomp.NEWEST else errno.ENOSYS))
        for _ in range(60):
            arguments = [chance.choice([0, chance.getrandbits(32), chance.choice(known), -1]) for _ in range(6)]
            found, right = (interpret(code, machine, number, arguments) for code in (whole, alone))
            assert found == right, (number, arguments)


@pytest.mark.parametrize("machine", HEADERS)
def test_the_filter_allows_what_the_table_allows_and_nothing_else(machine: str) -> None:
    known = dict(calls.system_calls(machine).values())
    for number in range(600):
        allowed = run_filter(machine, number) == seccomp.ALLOW
        if known.get(number) in ("allow", "namespaces"):
            assert allowed, number
        elif number not in known or known[number] == "inner":
            assert not allowed, number


def test_nonsense_in_the_pipe_has_one_reason_whoever_ends_first() -> None:
    record = {"outcome": "gone", "detail": "malformed reply: a message of 9 bytes"}
    for status, killed in ((0, False), (1, False), (-9, True)):
        report = {"stopped": "", "grader": 3, "candidate": status, "killed": killed, "cpu": 0.0}
        assert decide_outcome(report, record, ProgramLimits()) == ("crash", record["detail"])


@pytest.mark.parametrize("machine", HEADERS)
def test_the_filter_reads_arguments(machine: str) -> None:
    n = {name: number for name, (number, _) in calls.system_calls(machine).items()}
    allow = seccomp.ALLOW
    assert run_filter(machine, n["clone"], 0x3D0F00) == allow  # a thread of glibc
    assert run_filter(machine, n["clone"], 17) != allow  # a fork
    assert run_filter(machine, n["clone"], 0x3D0F00 | 0x10000000) != allow  # a thread with a user namespace
    assert run_filter(machine, n["kill"], seccomp.OWN_NUMBER, 9) == allow
    assert run_filter(machine, n["kill"], 1, 9) != allow
    assert run_filter(machine, n["kill"], -1, 9) != allow
    assert run_filter(machine, n["futex"], 0, 128 | 9) == allow  # FUTEX_PRIVATE_FLAG | FUTEX_WAIT_BITSET
    assert run_filter(machine, n["futex"], 0, 0) == seccomp.DENY | errno.EAGAIN  # FUTEX_WAIT on memory that others may see
    assert run_filter(machine, n["futex"], 0, 1) == seccomp.DENY  # FUTEX_WAKE: nobody woken
    assert run_filter(machine, n["futex"], 0, 3) == seccomp.DENY | errno.EAGAIN  # FUTEX_REQUEUE
    assert run_filter(machine, n["statx"], 0, 0, 0, 0x7FF) == allow
    assert run_filter(machine, n["statx"], 0, 0, 0, 0x47FF) != allow  # STATX_MNT_ID_UNIQUE
    assert run_filter(machine, n["getsockopt"], 3, 1, 3) == allow  # SO_TYPE
    assert run_filter(machine, n["getsockopt"], 3, 1, 57) != allow  # SO_COOKIE
    assert run_filter(machine, n["getsockopt"], 3, 6, 3) != allow  # another level
    assert run_filter(machine, n["setsockopt"], 3, 1, 7) == allow  # SO_SNDBUF
    assert run_filter(machine, n["setsockopt"], 3, 1, 76) != allow  # SO_PASSPIDFD
    assert run_filter(machine, n["openat2"]) == seccomp.DENY | errno.ENOSYS
    assert run_filter(machine, n["fcntl"], 3, 8, 1) != allow  # F_SETOWN
    assert run_filter(machine, n["prctl"], 4, 1) != allow  # PR_SET_DUMPABLE
    assert run_filter(machine, n["ioctl"], 0, 0x5412) != allow  # TIOCSTI
    assert run_filter(machine, n["fchmod"], 3, own_files=False) != allow


@pytest.mark.parametrize(("work", "wants_processor"), [("spin", True), ("sleep", False)])
def test_the_clock_on_the_wall_waits_only_for_a_program_that_wants_the_processor(work: str, wants_processor: bool) -> None:
    """The test that decides it, on processes of this test's own."""
    code = {"spin": "print(1, flush=True)\nwhile True: pass", "sleep": "import time\nprint(1, flush=True)\ntime.sleep(99)"}[
        work
    ]
    processes = [
        subprocess.Popen([sys.executable, "-c", c], stdout=subprocess.PIPE) for c in (code, "print(1, flush=True)\ninput()")
    ]
    try:
        for process in processes:
            assert process.stdout
            process.stdout.readline()
        children = [Child(process.pid) for process in processes]
        with socket.socket() as control:
            pair = PairSupervision(*children, control, quota=None, own_table=True)
            assert pair.is_kept_waiting() == wants_processor
    finally:
        for process in processes:
            process.kill()
            process.communicate()
        for child in children:
            os.close(child.handle)


def test_only_the_usual_clock_is_patient() -> None:
    assert ProgramLimits().patience > 1
    assert ProgramLimits(wall_s=3).patience == paper_limits().patience == 1
