"""The pipes between the grader and the candidate."""

from __future__ import annotations

import json
import os
import struct
from typing import Any

from harness.sandbox.inside import wire

HEADER = struct.Struct(">I")


def write_all(descriptor: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]


class Channel:
    """Messages over two pipes: four bytes of length, then JSON.  EOFError at the end of file, MalformedError for nonsense."""

    def __init__(self, reading: int, writing: int) -> None:
        self.reading, self.writing = reading, writing

    def send(self, text: str) -> None:
        content = text.encode("ascii")
        if len(content) > wire.MAX_MESSAGE_BYTES:
            raise wire.UnsendableError(f"a message of {len(content)} bytes; {wire.MAX_MESSAGE_BYTES} may pass")
        write_all(self.writing, HEADER.pack(len(content)) + content)

    def receive(self) -> Any:
        (length,) = HEADER.unpack(self.exactly(HEADER.size))
        if length > wire.MAX_MESSAGE_BYTES:
            raise wire.MalformedError(f"a message of {length} bytes")
        try:
            return json.loads(self.exactly(length))
        except (ValueError, RecursionError) as error:
            raise wire.MalformedError(f"not JSON: {type(error).__name__}") from error

    def exactly(self, count: int) -> bytes:
        parts = []
        while count:
            part = os.read(self.reading, min(count, 1 << 20))
            if not part:
                raise EOFError
            parts.append(part)
            count -= len(part)
        return b"".join(parts)
