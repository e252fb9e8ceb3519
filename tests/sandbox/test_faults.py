"""Faults of the machine and of the sandbox's own processes: retried, then the item has no score, and the run goes on."""

import errno
import os
import resource
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.sandbox import Asserts, Sandbox, SandboxConfig, SandboxError, process, tiers
from harness.sandbox.problems import MAX_FAILURES, Examiner, Problem
from harness.sandbox.tiers import ORDER, unavailable_reason

PROGRAM = "def f(): return 1"
PROBLEM = Problem(PROGRAM, Asserts("assert f() == 1", ("f",)))


def children(pid: int) -> list[int]:
    """The processes that `pid` has started, and theirs, the nearest first."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:  # ended meanwhile
            continue
    found = [pid]
    for each in found:
        found += [child for child, parent in parents.items() if parent == each]
    return found


def end_process(place: int) -> Callable[..., Any]:
    """Ends one of the sandbox's processes: 0 the first, then its child, and so on."""

    def end(original: Any, slot: process.Slot, *arguments: Any) -> Any:
        found = children(slot.template.process.pid)
        os.kill(found[min(place, len(found) - 1)], signal.SIGKILL)
        return original(slot, *arguments)

    return end


def refuse(number: int) -> Callable[..., Any]:
    def fail(original: Any, *arguments: Any, **others: Any) -> Any:
        raise OSError(number, os.strerror(number))

    return fail


def close_control(original: Any, slot: process.Slot, *arguments: Any) -> Any:
    slot.control.close()
    return original(slot, *arguments)


# Where the fault happens, and what it is.
FAULTS: dict[str, tuple[Any, str, Callable[..., Any]]] = {
    "the first process is ended": (process.Slot, "run", end_process(0)),
    "its child is ended": (process.Slot, "run", end_process(1)),
    "a slot or its forker is ended": (process.Slot, "run", end_process(2)),
    "the last process is ended": (process.Slot, "run", end_process(9)),
    "the connection is lost": (process.Slot, "run", close_control),
    "no descriptor for the program": (os, "memfd_create", refuse(errno.EMFILE)),
    "no descriptor for a slot": (process.socket, "socketpair", refuse(errno.ENFILE)),
    "no process": (process.subprocess, "Popen", refuse(errno.EAGAIN)),
    "no place on the disk": (process.tempfile, "mkdtemp", refuse(errno.ENOSPC)),
    "no memory": (process, "write_all", refuse(errno.ENOMEM)),
}


@pytest.mark.slow
@pytest.mark.parametrize("tier", ORDER)
@pytest.mark.parametrize("how_often", ["once", "always"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_retried_and_then_the_item_has_no_score(
    fault: str, how_often: str, tier: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    if reason := unavailable_reason(tier):
        pytest.skip(f"{tier} is not available here: {reason}")
    owner, name, act = FAULTS[fault]
    original, calls = getattr(owner, name), []

    def faulty(*arguments: Any, **others: Any) -> Any:
        calls.append(1)
        if how_often == "once" and len(calls) > 1:
            return original(*arguments, **others)
        return act(original, *arguments, **others)

    with Sandbox(SandboxConfig(workers=1, packages=(), tier=tier)) as sandbox:
        examiner = Examiner(sandbox)
        assert examiner.score("problem", lambda: PROBLEM, PROGRAM).value == 1
        if name in ("Popen", "mkdtemp", "socketpair"):  # which a new template needs
            sandbox.close()
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, faulty)
            score = examiner.score("problem", lambda: PROBLEM, PROGRAM)
        assert calls
        harmless = fault == "the first process is ended"  # it waits for its child, or for another slot to make
        assert score.value == (1 if how_often == "once" or harmless else None), score
        assert bool(score.why) == (score.value is None)
        assert examiner.score("problem", lambda: PROBLEM, PROGRAM).value == 1


@pytest.mark.slow
def test_a_sandbox_that_fails_every_time_ends_the_run(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    examiner = Examiner(sandbox)
    examiner.score("problem", lambda: PROBLEM, PROGRAM)
    monkeypatch.setattr(process, "write_all", lambda *_: refuse(errno.ENOSPC)(None))
    for _ in range(MAX_FAILURES - 1):
        assert examiner.score("problem", lambda: PROBLEM, PROGRAM).value is None
    with pytest.raises(SandboxError, match="No space left"):
        examiner.score("problem", lambda: PROBLEM, PROGRAM)


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ('Traceback (most recent call last):\n  File "x.py", line 3, in serve\n    os.fork()\nOSError: [Errno 12] no memory\n',
         "OSError: [Errno 12] no memory"),
        ("Traceback (most recent call last):\nBlockingIOError: [Errno 11] Resource temporarily unavailable\n",
         "BlockingIOError: [Errno 11] Resource temporarily unavailable  The system lends no further process: raise"
         " `ulimit -u`, or pids.max of the container."),
        ("bwrap: no such\n  option\n", "bwrap: no such option"),
        ("", ""),
    ],
)  # fmt: skip
def test_a_fault_is_told_in_a_line_without_code(output: str, words: str) -> None:
    assert process.last_words(output) == words


def test_a_system_without_a_process_for_the_sandbox_is_the_reason_of_each_tier(monkeypatch: pytest.MonkeyPatch) -> None:
    def fork(*_: object) -> None:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(tiers, "SlotTemplate", fork)
    assert {"ulimit -u" in tiers.examine_tier.__wrapped__(tier)[0] for tier in ORDER} == {True}


def test_a_limit_below_what_a_program_gets_is_told_beside_what_the_probe_said(monkeypatch: pytest.MonkeyPatch) -> None:
    allowed = {resource.RLIMIT_NPROC: 50, resource.RLIMIT_FSIZE: 1024}
    monkeypatch.setattr(resource, "getrlimit", lambda limit: (0, allowed.get(limit, resource.RLIM_INFINITY)))
    words = "; 50 processes and threads are allowed here and 65 needed: raise `ulimit -u`"
    assert tiers.explain_low_limits().startswith(f"{words}; 1,024 bytes in a file ")
    allowed.clear()
    assert tiers.explain_low_limits() == ""
