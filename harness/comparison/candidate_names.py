"""Which checkpoint may be compared with a baseline."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path

from harness.types import SkilldeltaError, unknown_name
from harness.visible_text import printable


def check_candidate(candidate: str, baseline: str, checkpoints: Iterable[str]) -> None:
    """SkilldeltaError for a candidate that the results do not hold, or that is the baseline itself."""
    others = [name for name in checkpoints if name != baseline]
    if candidate in others:
        return
    if candidate != baseline:
        raise unknown_name("candidate", candidate, others)
    choices = f"the others are: {', '.join(map(printable, others))}" if others else "the results hold no other checkpoint"
    raise SkilldeltaError(f"{printable(baseline)} is the baseline: it cannot be compared with itself; {choices}.")


def refuse_baseline(folders: Iterable[Path | str], baseline: str, candidates: Collection[str]) -> None:
    """SkilldeltaError where the baseline is named as a candidate; says what else the results hold."""
    if baseline in candidates:
        from harness.store import Results

        checkpoints = {name for folder in folders for name in Results(folder).checkpoints()}
        if baseline in checkpoints:
            check_candidate(baseline, baseline, sorted(checkpoints))
