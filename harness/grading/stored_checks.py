"""The errors of judges, as judge-check measured them: kept by the judge's identity, next to the replies of judges."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.atomic_files import write_json
from harness.bounded_files import read_json
from harness.grading.criteria import NOT
from harness.grading.reply_cache import replies_folder
from harness.statistics.judge_error import ClassMean, ErrorRates
from harness.types import Json, SkilldeltaError, digest

SIDES = ("hit", "miss")


def check_file(identity: str) -> Path | None:
    """Where a judge's check is kept; None where nothing is."""
    folder = replies_folder()
    return folder / "checks" / f"{digest(identity, 32)}.json" if folder else None


def store_check(identity: str, rates: Mapping[str, tuple[str, ErrorRates]]) -> Path | None:
    """Keeps (set, error rates) by criterion; those of other criteria stay.  Returns the file."""
    if (file := check_file(identity)) is None:
        return None
    errors = {criterion: {"set": name, **rates_to_json(each)} for criterion, (name, each) in rates.items()}
    write_json(file, {"judge": identity, "errors": {**read_errors(file), **errors}})
    return file


def read_errors(file: Path) -> dict[str, Any]:
    """The errors by criterion in a file; {} where there is none, or it is damaged: they are measured again."""
    try:
        errors = read_json(file).get("errors")
    except (SkilldeltaError, ValueError):
        return {}
    return errors if isinstance(errors, dict) else {}


def has_check(identity: str) -> bool:
    """Whether anything is kept of a judge."""
    file = check_file(identity)
    return file is not None and file.is_file()


def find_errors(identity: str, criterion: str) -> Json:
    """What was measured of a judge for a criterion, for task.json; {} where nothing was.

    For "not CRITERION" they are the rates where the opposite scores 1.
    """
    file = check_file(identity)
    errors = read_errors(file).get(criterion.removeprefix(NOT)) if file and has_check(identity) else None
    if not isinstance(errors, dict) or (rates := rates_from_json(errors)) is None:
        return {}
    return {**errors, **rates_to_json(rates.reverse())} if criterion.startswith(NOT) else errors


def rates_to_json(rates: ErrorRates) -> dict[str, Any]:
    sides: Sequence[ClassMean] = (rates.hit, rates.miss)
    return {name: {"n": s.n, "mean": s.mean, "variance": s.variance} for name, s in zip(SIDES, sides, strict=True)}


def rates_from_json(content: Json) -> ErrorRates | None:
    """The error rates of a record; None where it holds none that can be used."""
    try:
        hit, miss = (ClassMean(int(s["n"]), float(s["mean"]), float(s["variance"])) for s in (content[side] for side in SIDES))
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    is_sound = all(0 <= s.mean <= 1 and 0 <= s.variance <= 1 and s.n >= 0 and math.isfinite(s.mean) for s in (hit, miss))
    return ErrorRates(hit, miss) if is_sound else None
