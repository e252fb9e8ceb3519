"""Preferences that AlpacaEval's own program recorded: a judge that has judged already."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness import data
from harness.types import SkilldeltaError

COLUMNS = ("instruction", "output_2", "preference")


@dataclass(frozen=True)
class Annotations:
    """What was preferred, 0..1, by instruction and answer."""

    preferences: Mapping[tuple[str, str], float | None]

    def grade(self, prompt: str, response: str, reference: str) -> float | None:
        """The recorded preference for exactly this answer; None where there is none."""
        return self.preferences.get((prompt, response))


def load(where: str) -> Annotations:
    """The annotations in a file (annotations.json); the answers that they judge are its output_2."""
    path = Path(where)
    if not path.is_file():
        raise SkilldeltaError(f"There is no file {where} of annotations; name AlpacaEval's annotations.json.")
    found = data.checked(data.read(path), COLUMNS, where)
    return Annotations({(row["instruction"], row["output_2"]): preference(row["preference"]) for row in found})


def preference(recorded: float | None) -> float | None:
    """From 1 (the reference) to 2 (the answer), or 0 for a draw, as AlpacaEval writes it; given as 0..1."""
    if recorded is None or math.isnan(recorded):
        return None
    return 0.5 if recorded == 0 else recorded - 1.0
