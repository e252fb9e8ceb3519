"""Memory of the device: how much there is, and smaller batches when it runs out."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch

CGROUP_LIMIT_FILES = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


@dataclass
class TokenBudget:
    """How many tokens one forward pass may take; it halves when memory runs out.

    `run_length`: so many neighbours in a packed row read the same keys (see packed_attention); 0: the whole row is masked by
    the model's own attention.  `windowed`: that mask has the sliding windows of the layers too.
    """

    tokens: int
    run_length: int = 0
    windowed: bool = False

    def halve(self, error: RuntimeError) -> None:
        """Halves `tokens` for all later passes; raises `error` unless it is about memory and there is a half."""
        self.tokens = halve_or_raise(self.tokens, error)


def halve_or_raise(size: int, error: RuntimeError) -> int:
    """Half of a size that did not fit in memory.

    Only the size of batches changes, so a retry is right and merely slower.  `error` is raised again where it is about
    something else, or where a single item is too large already.
    """
    # A processor's allocator raises a plain RuntimeError, so its message must be read.
    if not (isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)) or size == 1:
        raise error
    if torch.cuda.is_available():
        torch.cuda.empty_cache()  # the failed pass left fragments that a smaller one could not use
    return size // 2


def device_memory(device: torch.device) -> int:
    """All bytes of a device, free or not: by what is free now, the batches of two runs would differ, and so their rounding."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[1])
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for file in CGROUP_LIMIT_FILES:  # of a container or a batch system: beyond its limit a process is killed without an error
        with suppress(OSError, ValueError):  # no such file, or "max"
            limits.append(int(Path(file).read_text(encoding="ascii")))
    return min(limits)
