"""What a process of the sandbox says where this machine refuses something that the tier needs."""

from __future__ import annotations

import json
import os
import socket
from typing import NoReturn


def refuse(control: socket.socket, error: OSError | ImportError) -> NoReturn:
    """Tells the harness why the set-up failed, and ends."""
    control.send(json.dumps({"error": error_reason(error)}).encode())
    os._exit(1)


def error_reason(error: OSError | ImportError) -> str:
    """The reason of a failed set-up, without the error's number."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return str(error)
