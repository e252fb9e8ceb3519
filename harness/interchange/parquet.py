"""Rows of a parquet file of unknown origin, a few at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from harness.data import refuse_lfs_pointer
from harness.interchange.untrusted_files import MAX_BYTES
from harness.row_bounds import most_unpacked
from harness.types import Json, SkilldeltaError

BATCH, LEAST_BATCH = 256, 32  # rows
FREE_ROWS = 2_000_000  # that any file may have; more need a byte each


def read_parquet(path: Path) -> Iterator[Json]:
    """Every row, as JSON values where parquet's own are such."""
    refuse_lfs_pointer(path)
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            groups = range(file.metadata.num_row_groups)
            if (size := sum(file.metadata.row_group(i).total_byte_size for i in groups)) > MAX_BYTES:
                raise SkilldeltaError(f"{path} holds {size >> 20} MiB: more than {MAX_BYTES >> 20} is not read.")
            if (count := file.metadata.num_rows) > FREE_ROWS + (packed_size := path.stat().st_size):
                raise SkilldeltaError(f"{path} holds {count:,} rows in {packed_size:,} bytes: it is not read.")
            bytes_left = most_left = min(MAX_BYTES, most_unpacked(packed_size))
            for batch in file.iter_batches(batch_size=max(LEAST_BATCH, min(BATCH, MAX_BYTES // max(size, 1)))):
                bytes_left -= batch.nbytes  # a value that is stored once may stand in every row
                if bytes_left < 0:
                    raise SkilldeltaError(f"{path} unpacks to more than {most_left >> 20} MiB: it is not read.")
                yield from batch.to_pylist()
    except (pyarrow.ArrowException, OSError, ValueError, OverflowError, LookupError) as error:  # dates, and their zones
        raise SkilldeltaError(f"{path} cannot be read as parquet ({str(error)[:200]}): is the file whole?") from error
