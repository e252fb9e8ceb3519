"""What libraries log and warn, which may quote a stranger's file: printed without what moves a terminal's cursor."""

from __future__ import annotations

import logging
import warnings
from typing import Any

from harness.visible_text import printable


class PrintableRecord(logging.LogRecord):
    """A record whose message is for a terminal."""

    def getMessage(self) -> str:  # noqa: N802
        return printable_lines(super().getMessage())


def make_libraries_printable() -> None:
    """For all that is logged or warned from now on in this process."""
    if logging.getLogRecordFactory() is PrintableRecord:
        return
    logging.setLogRecordFactory(PrintableRecord)
    original = warnings.formatwarning

    def format_printable(*arguments: Any, **names: Any) -> str:
        return printable_lines(original(*arguments, **names))

    warnings.formatwarning = format_printable


def printable_lines(text: str) -> str:
    return "\n".join(map(printable, text.split("\n")))
