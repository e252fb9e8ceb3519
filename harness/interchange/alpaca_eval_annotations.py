"""AlpacaEval's annotations.json: for each instruction the answer (output_2) and how an annotator preferred it."""

from __future__ import annotations

from pathlib import Path

from harness import data
from harness.interchange.untrusted_files import UntrustedFile, require_field, require_file, require_object, shorten
from harness.types import Json, SkilldeltaError

COLUMNS = ("instruction", "output_2", "preference", "annotator")
TEXTS = ("instruction", "output_2", "annotator")
OPTIONAL_TEXTS = ("output_1",)


def read_annotations(path: Path) -> list[Json]:
    """All annotations in a file, each with COLUMNS; SkilldeltaError names the first that lacks one, or holds no texts."""
    require_file(path)
    content = UntrustedFile(path).content
    if not isinstance(content, list):
        raise SkilldeltaError(f"{path} holds {shorten(content)}, not a list of annotations: is it AlpacaEval's file?")
    rows = [require_object(value, f"{path}, annotation {number}") for number, value in enumerate(content, 1)]
    for number, row in enumerate(data.check_columns(rows, COLUMNS, str(path)), 1):
        require_texts(row, f"{path}, annotation {number}")
    return rows


def require_texts(row: Json, where: str) -> None:
    """SkilldeltaError for what is no text where one belongs: it would be an annotation of no answer, without a word."""
    for name in TEXTS:
        require_field(row, name, str, where)
    for name in OPTIONAL_TEXTS:
        if row.get(name) is not None:
            require_field(row, name, str, where)
