"""The process that forks a slot's programs, each into namespaces of its own.

It learns nothing of any program: not its output, how it ended or when.  So a later program, whose memory is a copy of this
process's, learns nothing either.  Each finds a new /tmp, and process numbers that begin at 1 with the grader; both end with the
program.  System V objects and message queues need no namespace of their own: seccomp lets no program make one.

After a fork the kernel copies each page that this process writes to, and a Python object is written to when it is used.  So
the system calls are prepared here once, and the slot prepares what differs from program to program.  Each program also finds
free memory in the same order, or the addresses of its objects would tell how many were there before: there are tuples instead
of lists, and what was made last is given back first.
"""

from __future__ import annotations

import os
import socket
from typing import NoReturn

from harness.sandbox.inside import kernel, namespaces
from harness.sandbox.inside.landlock import ProgramRules
from harness.sandbox.inside.lockdown import close_descriptors
from harness.sandbox.inside.pair import SlotPlace, prepare_forks, start_pair, unpack_limits

# Of grader and candidate, in a program's own process table and in the slot's, where 1 and 2 are the slot and this process.
# They are always the same: the kernel's own count there goes on with every thread of a program, and what this process learns
# of it, every later program finds in its memory.
PROCESS_NUMBERS = ((1, 3), (2, 4))
PAIR_STARTS, PAIR_ENDED = b"the pair starts", b"the pair has ended"
DESCRIPTORS = socket.CMSG_SPACE(4 * 32)  # bytes


def serve_forks(control: socket.socket, place: SlotPlace) -> NoReturn:
    """Forks a grader and a candidate for each request, and answers PAIR_STARTS.

    They are children of the slot, with PROCESS_NUMBERS.  A request: the limits of the two (`pack_limits`), and the
    descriptors that `start_pair` needs.  PAIR_ENDED comes when both have ended; then all is made for the next program that does
    not depend on it, before anybody waits for it.
    """
    folder, uid = place.scratch.folder, place.confinement.uid
    rules = ProgramRules(["/"], namespaces.DEVICES) if place.confinement.own_rules else None
    leave_slot = kernel.SystemCall("unshare", kernel.CLONE_NEWPID)
    remove_folder = kernel.SystemCall("umount2", folder.encode(), kernel.MNT_DETACH)
    make_folder = namespaces.prepare_scratch(place.scratch, None if uid is None else uid + 1)
    fork_grader, fork_candidate = (kernel.NumberedClone(numbers, place.thread_number) for numbers in PROCESS_NUMBERS)
    restrict = rules.restrict if rules else None
    rejoin_slot = kernel.SystemCall("setns", os.pidfd_open(os.getppid()), kernel.CLONE_NEWPID)
    kernel.unshare(kernel.CLONE_NEWNS)
    prepare_forks(place.confinement)
    while True:
        make_folder()
        os.chdir(folder)
        own = (rules.make(folder),) if rules else ()
        leave_slot()  # the first child is number 1 of a new process table, which ends with it; the second is number 2
        message, ancillary, _, _ = control.recvmsg(1 << 16, DESCRIPTORS)
        if not message:
            os._exit(0)
        fds = (*memoryview(ancillary[0][2]).cast("i"), *own)
        limits = unpack_limits(message)
        start_pair(limits, fds, place.confinement, (fork_grader, fork_candidate, restrict))
        rejoin_slot()
        close_descriptors(fds)
        control.send(PAIR_STARTS)
        del limits, fds, own, ancillary, message
        if not control.recv(len(PAIR_ENDED)):
            os._exit(0)
        os.chdir("/")  # or the old folder would stay until the new one is there, and have another number
        remove_folder()  # the kernel waits here until no processor looks at it, while the harness reads the last verdict
