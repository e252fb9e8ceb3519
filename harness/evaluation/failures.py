"""What becomes of a cell that failed: its reason in words, and in task.json where that can be written."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from harness.bounded_files import is_listed
from harness.system_errors import explain_system_error
from harness.types import SkilldeltaError

if TYPE_CHECKING:
    from harness.store import Cell


def describe_failure(error: BaseException, place: Path | str = "") -> str:
    """Why a cell failed, in words for people where they are known; `place`: what it wrote into."""
    if isinstance(error, SkilldeltaError):
        return str(error)
    return explain_system_error(error, place) or f"{type(error).__name__}: {error}"


def store_failure_reason(error: BaseException, why: str, cell: Cell) -> None:
    """Writes why a cell that was begun failed, where it can be written: on a full disk the outcome alone tells it."""
    trace = "" if why == str(error) else "".join(traceback.format_exception(error))
    try:
        if is_listed(cell.record_file) and cell.read().state != "done":
            cell.update(state="failed", why=why, traceback=trace)
    except SkilldeltaError:  # task.json is damaged, which is why the cell failed: it stays as it is
        if not isinstance(error, SkilldeltaError):
            raise
    except OSError as refusal:
        if not explain_system_error(refusal):
            raise
