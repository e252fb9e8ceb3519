"""Memory that goes back to the system: freed heap, pages of a file of weights, slots of rows that ended, buffers."""

import ctypes
import mmap
import os
import re
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

from harness.engine import memory
from harness.engine.kv_cache import DecodingBatch
from harness.engine.tree_prefill import PathCache
from tests.engine.test_memory import SIZES

ROOT = Path(__file__).parents[2]
SMAPS = Path("/proc/self/smaps")
needs_smaps = pytest.mark.skipif(not SMAPS.exists(), reason="this system does not list its maps")


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="this C library has no malloc_trim")
def test_freed_memory_goes_back_to_the_system() -> None:
    library = ctypes.CDLL(None)
    library.malloc.restype, library.malloc.argtypes, library.free.argtypes = (
        ctypes.c_void_p,
        [ctypes.c_size_t],
        [ctypes.c_void_p],
    )
    size, count = 1 << 14, 6000  # about 100 MB, in pieces that the library keeps in its heap
    pieces = [library.malloc(size) for _ in range(count)]
    for piece in pieces:
        ctypes.memset(piece, 1, size)
    for piece in pieces[:-1]:  # the last one holds the heap open
        library.free(piece)
    before = resident_bytes()
    memory.return_freed_memory()
    assert before - resident_bytes() > size * count / 2
    library.free(pieces[-1])


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * resource.getpagesize()


def resident_part(values: torch.Tensor) -> int:
    """How much of the map that holds a tensor is in this process's memory."""
    start, size = values.data_ptr(), 0
    for line in SMAPS.read_text().splitlines():
        if match := re.match(r"([0-9a-f]+)-([0-9a-f]+) ", line):
            inside = int(match[1], 16) <= start < int(match[2], 16)
        elif line.startswith("Rss:") and inside:
            size = int(line.split()[1]) * 1024
    return size


@needs_smaps
def test_pages_of_a_file_leave_the_memory(tmp_path: Path) -> None:
    file = tmp_path / "weights"
    with file.open("wb") as out:
        out.write(bytes(range(256)) * 16_384)
        os.fsync(out)  # a page that is not on the disk yet stays
    in_file = torch.from_numpy(np.memmap(file, np.uint8, "c"))
    total, before = int(in_file.sum()), resident_part(in_file)
    part = in_file[5000:-5000]  # its first and last page are others' too
    if ctypes.CDLL(None).madvise(ctypes.c_void_p(in_file.data_ptr()), ctypes.c_size_t(mmap.PAGESIZE), memory.MADV_PAGEOUT):
        pytest.skip("this system has no such advice")
    memory.page_out(part, memory.mapped_files())
    assert resident_part(in_file) <= before - part.nbytes + 2 * mmap.PAGESIZE
    assert int(in_file.sum()) == total


def test_pages_of_no_file_are_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "weights").write_bytes(bytes(1 << 16))
    in_file, own = torch.from_numpy(np.memmap(tmp_path / "weights", np.uint8, "c")), torch.arange(1 << 20).clone()
    asked = list[int]()
    monkeypatch.setattr(memory, "advise_pages", lambda start, stop, advice: asked.append(max(stop - start, 0)))
    memory.page_out(own, memory.mapped_files())
    assert sum(asked) == 0
    memory.page_out(in_file, memory.mapped_files())
    assert sum(asked) == (in_file.nbytes if SMAPS.exists() else 0)


@needs_smaps
@pytest.mark.parametrize("first", [0, 1, 3])
def test_a_part_of_an_own_map_is_given_back_and_its_neighbours_keep_their_values(first: int) -> None:
    values = memory.lazy_zeros(torch.empty(0), (6, 5_000))  # a row is no whole number of pages
    values += 1
    before = resident_part(values)
    memory.forget_values(values[first : first + 2])
    assert resident_part(values) <= before - values[:2].nbytes + 2 * mmap.PAGESIZE
    others = [row for row in range(6) if row not in (first, first + 1)]
    assert bool((values[others] == 1).all())
    assert int(values[first : first + 2].sum()) < 2 * mmap.PAGESIZE / values.element_size()


def test_a_row_that_leaves_gives_its_memory_back() -> None:
    model = transformers.AutoModelForCausalLM.from_config(transformers.LlamaConfig(**SIZES))
    length = 1500
    rows = [
        [(torch.full((2, length, 8), float(n)), torch.full((2, length, 8), -float(n))) for _ in range(2)] for n in (1, 2, 3)
    ]
    batch = DecodingBatch(model, rows[0], 3, length)
    for row in rows:
        batch.add_row([(s[:, :0], s[:, :0]) for s, _ in row], row)
    assert batch.free_slot(0) == [0, 2]
    for layer in batch.layers:
        assert [float(s.unique()) for s in layer.read_slot(0, length)] == [3, -3]
        assert [float(s.unique()) for s in layer.read_slot(1, length)] == [2, -2]
        for buffer in layer.blocks[0]:
            assert int(buffer[2].count_nonzero()) < 2 * mmap.PAGESIZE / buffer.element_size()


def test_buffers_of_a_path_that_is_almost_forgotten_are_freed() -> None:
    cache = PathCache()
    states = torch.arange(96.0).view(1, 1, 96, 1)
    cache.update(states, -states)
    cache.keep_columns(2, torch.tensor([50, 70]))
    assert cache.keys.flatten().tolist() == [0, 1, 50, 70]
    assert cache.buffers[0].shape[2] == 4
    cache.update(states[:, :, :5], states[:, :, :5])
    assert cache.keys.flatten().tolist() == [0, 1, 50, 70, 0, 1, 2, 3, 4]
    assert cache.values.flatten().tolist() == [0, -1, -50, -70, 0, 1, 2, 3, 4]
    cache.keep_columns(0, torch.tensor([], dtype=torch.long))
    assert cache.length == 0
    cache.update(states, states)
    assert torch.equal(cache.keys, states)


GROWTH = """
import torch
from torch import nn
from harness.engine import memory, packed_linear
from tests.engine.test_memory_pages import resident_bytes
torch.set_num_threads(1)
layer = nn.Linear(576, 1536).requires_grad_(False)
packed_linear.use_fast_product(layer)
layer(torch.ones(400, 576))
before = resident_bytes()
for rows in range(1, 300):
    layer(torch.ones(rows, 576))
memory.return_freed_memory()
print((resident_bytes() - before) >> 20)
"""


@pytest.mark.slow
def test_products_of_many_numbers_of_rows_do_not_fill_the_memory() -> None:
    process = subprocess.run([sys.executable, "-c", GROWTH], capture_output=True, text=True, check=True, cwd=ROOT)
    assert int(process.stdout) < 40, "megabytes: 165 where oneDNN keeps the code of each"
