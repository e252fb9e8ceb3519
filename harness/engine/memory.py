"""Memory of the device: how much there is, and what is done when it runs out."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch

CONTAINER = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


@dataclass
class Budget:
    """How many tokens a forward pass may take; halved when memory runs out.  `run`: tokens of a packed row that read the same
    keys, 0: all, by the model's own attention."""

    tokens: int
    run: int = 0

    def halve(self, error: RuntimeError) -> None:
        """Takes less from now on."""
        self.tokens = halved(self.tokens, error)


def halved(size: int, error: RuntimeError) -> int:
    """Half of what was too much; raises `error` where it is about something else, or there is no less."""
    if not out_of_memory(error) or size == 1:
        raise error
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return size // 2


def out_of_memory(error: RuntimeError) -> bool:
    """A processor's allocator raises a plain RuntimeError."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def total(device: torch.device) -> int:
    """Bytes that the device has in all: what is free now would make the batches of two runs differ."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[1])
    return min([os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), *given(CONTAINER)])


def given(files: Sequence[str]) -> Iterator[int]:
    """The limits that a container (or a batch system) sets: beyond them, processes are killed without an error."""
    for file in files:
        with suppress(OSError, ValueError):  # no such file, or "max"
            yield int(Path(file).read_text(encoding="ascii"))
