"""AlpacaEval's annotations.json: for each instruction the answer (output_2) and how an annotator preferred it."""

from __future__ import annotations

from pathlib import Path

from harness import data
from harness.interchange.untrusted_files import UntrustedFile
from harness.types import Json

COLUMNS = ("instruction", "output_2", "preference", "annotator")


def read_annotations(path: Path) -> list[Json]:
    """All annotations in a file, each with COLUMNS; SkilldeltaError names the first that lacks one."""
    return list(data.check_columns(UntrustedFile(path).rows, COLUMNS, str(path)))
