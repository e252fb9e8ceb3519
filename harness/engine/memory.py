"""Memory of the device: how much there is, and smaller batches when it runs out."""

from __future__ import annotations

import ctypes
import math
import mmap
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

# In a forward pass on a processor.  512 took up to 30 MB more for SmolLM2 and was no faster; 256 was 2 to 3 % slower.
PASS_TOKENS = {"cpu": 384}
# Elsewhere so many, by memory.  More would not be faster: a packed row's tokens meet all its keys, whoever's they are.
MIN_PASS_TOKENS, MAX_PASS_TOKENS = 256, 4096
PASS_MEMORY_SHARE = 0.1  # of what is free, for the activations of a pass
BATCH_MEMORY_SHARE = 0.3  # the same for a plain batch with its keys and values
TYPICAL_SIZE, TYPICAL_LAYERS = 4096, 32  # of a model whose config has other names for them
EIGHTHS = 8  # of a device's memory are counted, so that two runs on one device have the same batches, and the same rounding
CACHE_MEMORY_SHARE = {"cpu": 0.2, "elsewhere": 0.4}  # for the own keys and values of rows that are decoded
MAPS = Path("/proc/self/maps")
MADV_DONTNEED, MADV_PAGEOUT = 4, 21  # Linux's numbers of advice
CGROUP_LIMIT_FILES = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


@dataclass
class TokenBudget:
    """How many tokens one forward pass may take; it halves when memory runs out.

    `run_length`: so many neighbours in a packed row read the same keys (see packed_attention); 0: the whole row is masked by
    the model's own attention.  `has_windows`: that mask has the sliding windows of the layers too.
    """

    tokens: int
    run_length: int = 0
    has_windows: bool = False

    def halve(self, error: RuntimeError) -> None:
        """Halves `tokens` for all later passes; raises `error` unless it is about memory and there is a half."""
        self.tokens = halve_or_raise(self.tokens, error)


def halve_or_raise(size: int, error: RuntimeError) -> int:
    """Half of a size that did not fit in memory.

    Only the size of batches changes, so a retry is right and merely slower.  `error` is raised again where it is about
    something else, or where a single item is too large already.
    """
    if not is_out_of_memory(error) or size == 1:
        raise error
    if torch.cuda.is_available():
        torch.cuda.empty_cache()  # the failed pass left fragments that a smaller one could not use
    return size // 2


def is_out_of_memory(error: Exception) -> bool:
    """Whether a device or the system had no memory left."""
    # A processor's allocator raises a plain RuntimeError, so its message must be read.
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or "can't allocate memory" in str(error)


def return_freed_memory() -> None:
    """Gives the system back what the C library keeps of freed memory; does nothing where that library has no such call.

    After the weights of a model were replaced one by one, glibc keeps a quarter of them (SmolLM2 in bfloat16: 200 MB).
    """
    with suppress(OSError, AttributeError, TypeError):  # musl, macOS and Windows have no malloc_trim
        ctypes.CDLL(None).malloc_trim(0)


def lazy_zeros(like: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    """Zeros of the type of `like`, on its device; on a processor pages that take memory only when they are written to.

    Raises torch.OutOfMemoryError where the system refuses the pages.
    """
    size = math.prod(shape) * like.element_size()
    if like.device.type != "cpu" or not size:
        return like.new_zeros(shape)
    try:
        pages = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except OSError as error:
        raise torch.OutOfMemoryError(f"{size} bytes for keys and values of rows that are decoded") from error
    return torch.frombuffer(pages, dtype=like.dtype).view(shape)


def mapped_files() -> list[tuple[int, int]]:
    """The addresses, from and up to, where files lie mapped in this process; none where the system does not tell."""
    try:
        lines = MAPS.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    addresses = [line.split(maxsplit=1)[0].split("-") for line in lines if "/" in line]
    return [(int(start, 16), int(stop, 16)) for start, stop in addresses]


def page_out(values: torch.Tensor, files: Sequence[tuple[int, int]]) -> None:
    """Takes the pages of a tensor that lie in `files` out of memory; whoever reads them reads the file again.

    A hint to the system; does nothing where it has no such call.  Other pages would be written to the swap space.
    """
    first, last = values.data_ptr(), values.data_ptr() + values.nbytes
    for start, stop in files:
        advise_pages(max(first, start), min(last, stop), MADV_PAGEOUT)


def forget_values(values: torch.Tensor) -> None:
    """Gives back the memory of a contiguous part of an anonymous map of the process's own; its whole pages are zeros then."""
    advise_pages(values.data_ptr(), values.data_ptr() + values.nbytes, MADV_DONTNEED)


def advise_pages(start: int, stop: int, advice: int) -> None:
    """Tells the system what becomes of the whole pages between two addresses; does nothing where it has no such call."""
    first, last = -(-start // mmap.PAGESIZE) * mmap.PAGESIZE, stop // mmap.PAGESIZE * mmap.PAGESIZE
    if first < last:
        with suppress(OSError, AttributeError, TypeError):
            ctypes.CDLL(None).madvise(ctypes.c_void_p(first), ctypes.c_size_t(last - first), advice)


def device_memory(device: torch.device) -> int:
    """Bytes that a device has for a model's work: on a GPU those that are free, in whole eighths of all.

    What this process holds for later use counts as free.
    """
    if device.type == "cuda":
        free, everything = torch.cuda.mem_get_info(device)
        free += torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return whole_eighths(int(free), int(everything))
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for file in CGROUP_LIMIT_FILES:  # of a container or a batch system: beyond its limit a process is killed without an error
        with suppress(OSError, ValueError):  # no such file, or "max"
            limits.append(int(Path(file).read_text(encoding="ascii")))
    return min(limits)


def whole_eighths(free: int, everything: int) -> int:
    """The free bytes in whole eighths of all, at least one."""
    return max(1, EIGHTHS * free // everything) * everything // EIGHTHS


def power_of_two(number: float) -> int:
    """The largest power of two that is no larger; at least 1."""
    return int(2 ** math.floor(math.log2(max(number, 1))))


def activation_bytes(text: Any, item_bytes: int) -> int:
    """About the bytes of one token in a forward pass, at the widest place of a layer.

    `text`: the model's text config.
    """
    inner = getattr(text, "intermediate_size", None) or 4 * hidden_size(text)
    widest = max(inner) if isinstance(inner, list | tuple) else inner
    return int((8 * hidden_size(text) + 3 * widest) * item_bytes)


def state_bytes(text: Any, item_bytes: int) -> int:
    """The bytes of one token's keys and values, in all layers."""
    heads = getattr(text, "num_attention_heads", None) or 1
    own_heads = getattr(text, "num_key_value_heads", None) or heads
    layers = getattr(text, "num_hidden_layers", None) or TYPICAL_LAYERS
    return int(2 * hidden_size(text) * own_heads / heads * layers * item_bytes)


def hidden_size(text: Any) -> int:
    return getattr(text, "hidden_size", None) or TYPICAL_SIZE


def pass_tokens(model: Any) -> int:
    """How many tokens one forward pass of a packed row takes at first."""
    device = model.device
    if device.type in PASS_TOKENS:
        return PASS_TOKENS[device.type]
    text = model.config.get_text_config()
    token_bytes = activation_bytes(text, model.dtype.itemsize) + 4 * text.vocab_size  # each may need its logits, in float32
    fitting = power_of_two(PASS_MEMORY_SHARE * device_memory(device) / token_bytes)
    return min(max(fitting, MIN_PASS_TOKENS), MAX_PASS_TOKENS)


def batch_tokens(model: Any) -> float:
    """How many tokens all rows of a plain batch may have together; infinity where only the rows are counted."""
    device, text = model.device, model.config.get_text_config()
    if device.type in PASS_TOKENS:
        return math.inf
    token_bytes = activation_bytes(text, model.dtype.itemsize) + state_bytes(text, model.dtype.itemsize)
    return power_of_two(BATCH_MEMORY_SHARE * device_memory(device) / token_bytes)


def layer_token_bytes(layer: tuple[torch.Tensor, torch.Tensor]) -> int:
    """The bytes of one token's keys and values in a layer that has them as [heads, tokens, d]."""
    return sum(t.shape[0] * t.shape[2] * t.element_size() for t in layer)


def rows_that_fit(like: Sequence[tuple[torch.Tensor, torch.Tensor]], longest: int, max_rows: int) -> int:
    """How many rows' keys and values fit in their share of the memory, each of `longest` tokens behind its prefix.

    `like`: keys and values [heads, tokens, d] of each layer.
    """
    token_bytes = sum(map(layer_token_bytes, like))
    device = like[0][0].device
    share = CACHE_MEMORY_SHARE.get(device.type, CACHE_MEMORY_SHARE["elsewhere"])
    return int(max(1, min(max_rows, share * device_memory(device) / (token_bytes * longest))))
