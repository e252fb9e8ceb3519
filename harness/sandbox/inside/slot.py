"""A slot: supervises programs, one after another, each in two fresh processes, a grader and a candidate.

It never reads a program, a test, an output or a verdict: they pass as descriptors.  In namespaces `forker` forks the
processes, so that no candidate is a copy of a process that has seen an earlier one.  Elsewhere a slot serves one program.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from pathlib import Path
from typing import Any

from harness.sandbox.inside import forker, kernel, landlock, namespaces
from harness.sandbox.inside.lockdown import Confinement, close_descriptors
from harness.sandbox.inside.pair import SlotPlace, open_lines, pack_limits, pair_limits, prepare_forks, start_pair
from harness.sandbox.inside.scratch import ScratchFolder, empty_folder
from harness.sandbox.inside.seccomp import SeccompFilter
from harness.sandbox.inside.supervision import Child, PairSupervision

REHEARSAL = {"cpu_s": 5, "wall_s": 20.0, "memory_mb": 1024, "stack_mb": 64, "grader_cpu_s": 60, "file_mb": 16, "open_files": 64}


def confine_slot(setup: dict[str, Any], request: dict[str, Any], resident: int, processes: int | None) -> SlotPlace:
    """Confines the calling process with the locks that hold for all its children, and chooses their scratch folder.

    `request` has the slot's number, for users of its own, and the name of its folder, which nobody can guess.  OSError where
    the machine forbids something.
    """
    tier, uid = setup["tier"], setup["uid"]
    slot_uid = None if uid is None else uid + 2 * request["number"]  # the grader's; the candidate's is the next
    inside = tier == "namespaces"
    folder = setup["scratch"] if inside else f"{setup['base']}/{request['folder']}"
    if not inside:
        Path(folder).mkdir(mode=0o700)
        if slot_uid is not None:
            os.chown(folder, slot_uid + 1 if setup["file_uid"] is None else setup["file_uid"], slot_uid + 1)
        os.chdir(folder)
    os.environ.update(HOME=folder, TMPDIR=folder)
    has_landlock = tier == "landlock" or (tier != "none" and setup["landlock"])
    if has_landlock and not inside:  # in namespaces each program has a new folder, and so rules of its own
        ruleset = landlock.make_ruleset(setup["library"], setup["readable"], [folder], namespaces.DEVICES)
        landlock.restrict(ruleset)
        os.close(ruleset)
    kernel.NO_NEW_PRIVILEGES()
    locks = None if tier == "none" else SeccompFilter(own_files=inside)
    confinement = Confinement(tier, slot_uid, locks, resident, has_landlock and inside, processes, setup["file_uid"])
    scratch = ScratchFolder(folder, setup["scratch_mb"], setup["scratch_files"], own_filesystem=inside)
    return SlotPlace(confinement, scratch, setup.get("thread_number", 0))


def serve_programs(control: socket.socket, place: SlotPlace) -> None:
    """Runs a program for each request, until the harness hangs up; without a forker one program alone."""
    if not place.scratch.own_filesystem:
        serve_one_program(control, place)
        return
    forks = start_forker(place, control)
    rehearse(place, control, forks)
    lines = open_lines(place.confinement)
    control.send(b"{}")
    while request := receive_request(control):
        settings, files = request
        send_report(control, run_program(settings, [*files, *lines], place, control, forks), reusable=True)
        forks.send(forker.PAIR_ENDED)  # after the report: the harness reads it while the next folder is made
        lines = open_lines(place.confinement)  # for the next program: nobody waits for it yet


def serve_one_program(control: socket.socket, place: SlotPlace) -> None:
    """Forks its processes itself, after which it knows of that program."""
    lines = open_lines(place.confinement)
    prepare_forks(place.confinement)
    control.send(b"{}")
    if request := receive_request(control):
        settings, files = request
        report = run_program(settings, [*files, *lines], place, control, None)
        empty_folder(place.scratch.folder)
        send_report(control, report, reusable=False)


def receive_request(control: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """The settings of a program and its descriptors; None where the harness has hung up."""
    message, files, _, _ = socket.recv_fds(control, 1 << 16, 4)
    return (json.loads(message), files) if message else None


def send_report(control: socket.socket, report: dict[str, Any], reusable: bool) -> None:
    report |= {"reusable": reusable, "stamps": [*report["stamps"], time.monotonic()]}
    control.send(json.dumps(report).encode())


def rehearse(place: SlotPlace, control: socket.socket, forks: socket.socket) -> None:
    """An empty program, so that also the first one finds the forker's memory as all later ones do, at the same addresses."""
    files = [os.memfd_create("rehearsal", os.MFD_CLOEXEC) for _ in range(4)]
    run_program({"limits": REHEARSAL, "patience": 1}, [*files, *open_lines(place.confinement)], place, control, forks)
    forks.send(forker.PAIR_ENDED)


def start_forker(place: SlotPlace, control: socket.socket) -> socket.socket:
    """Forks the forker; gives the connection to it."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if kernel.fork() == 0:
        try:
            kernel.DIE_WITH_PARENT()
            control.close()
            ours.close()
            forker.serve_forks(theirs, place)
        except BaseException as error:  # noqa: BLE001  the process must end here, whatever happens; the harness reads the reason
            sys.stderr.write(f"{type(error).__name__}: {error}\n")
            sys.stderr.flush()
        finally:
            os._exit(1)
    theirs.close()
    return ours


def run_program(
    request: dict[str, Any], fds: list[int], place: SlotPlace, control: socket.socket, forks: socket.socket | None
) -> dict[str, Any]:
    """One program: starts its two processes, waits for the grader, ends both; gives the report.  Times in seconds.

    Closes `fds`, the descriptors of the program, its tests, output and verdict, then those of `open_lines`.
    """
    start = time.monotonic()
    limits = pair_limits(request["limits"], place.confinement)
    if forks:
        socket.send_fds(forks, [pack_limits(limits)], fds)
        pids = [number for _, number in forker.PROCESS_NUMBERS] if forks.recv(1 << 12) == forker.PAIR_STARTS else []
    else:
        pids = start_pair(limits, fds, place.confinement, (kernel.fork, kernel.fork, None))
    close_descriptors(fds)
    if not pids:
        raise RuntimeError("the process that forks programs has ended")
    start_end = time.monotonic()
    own = place.scratch.own_filesystem
    quota = None if own or place.confinement.tier == "none" else place.scratch
    pair = PairSupervision(Child(pids[0]), Child(pids[1]), control, quota, own_table=own)
    why = pair.wait(start + request["limits"]["wall_s"], request["patience"])
    pair.end(why)
    return {
        "stamps": [start, start_end, time.monotonic()],
        "stopped": why,
        "grader": pair.grader.status,
        "candidate": pair.candidate.status,
        "killed": pair.candidate.was_killed,
        "cpu": pair.candidate.cpu_s,
        "wall": time.monotonic() - start,
    }
