"""The first process of a sandbox: where there are namespaces it moves into them, and starts the template there.

The template is a fresh interpreter, not a fork: memory that a process has in common with ancestors makes each of its forks
slower.  In the other tiers this process itself becomes the template.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from typing import NoReturn

from harness.sandbox.inside import kernel, namespaces
from harness.sandbox.inside.refusal import refuse


def main(place: str, places: str | None = None) -> NoReturn:
    """`place`: the number of an open socket, or in a container a socket's path.

    `places`: in namespaces already; what the process outside knows of its thread's number, see kernel.thread_number_address.
    """
    if not place.isdigit() and kernel.fix_addresses():
        os.execv(sys.executable, sys.orig_argv)  # noqa: S606
    control = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, fileno=int(place) if place.isdigit() else None)
    if not place.isdigit():
        control.connect(place)
    if places is None and json.loads(control.recv(1 << 20, socket.MSG_PEEK))["tier"] == "namespaces":
        enter_namespaces(control)
    if places is None and place.isdigit() and kernel.fix_addresses():
        control.set_inheritable(True)
        os.execv(sys.executable, sys.orig_argv)  # noqa: S606
    from harness.sandbox.inside import template

    numbers = frozenset(map(int, (places or "").split()))
    template.serve(control, thread_number=kernel.thread_number_address(numbers))


def enter_namespaces(control: socket.socket) -> NoReturn:
    """Starts this program anew as number 1 of new namespaces; stays, so that the harness can wait for its end.

    Root moves directly; anybody else, and root without the right, through a user namespace.
    """
    try:
        try:
            namespaces.leave_host(user=os.geteuid() != 0)
        except PermissionError:
            if os.geteuid() != 0:
                raise
            namespaces.leave_host(user=True)
        control.set_inheritable(True)
        kernel.fix_addresses()
        command = [*sys.orig_argv, " ".join(map(str, sorted(kernel.thread_number_places())))]
        pid = os.posix_spawn(sys.executable, command, os.environ)
    except OSError as error:
        refuse(control, error)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    os.waitpid(pid, 0)
    os._exit(0)
