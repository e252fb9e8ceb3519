"""Preferences that AlpacaEval's own program recorded: a judge that has judged already."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.interchange import alpaca_eval_annotations
from harness.judge_binding import parse_preference
from harness.types import Json, SkilldeltaError


@dataclass(frozen=True)
class AnnotationJudge:
    """What was preferred, 0..1, by instruction and answer."""

    preferences: Mapping[tuple[str, str], float | None]

    def grade(self, prompt: str, response: str, reference: str) -> float | None:
        """The recorded preference for exactly this answer; None where there is none."""
        return self.preferences.get((prompt, response))


def load(where: str) -> AnnotationJudge:
    """The annotations in a file, or in all files of a folder; the answers that they judge are its output_2."""
    rows = read_annotations(where)
    return AnnotationJudge({(r["instruction"], r["output_2"]): parse_preference(r["preference"]) for r in rows})


def identity(where: str) -> str:
    """Whose preferences they are: models judged by the same annotator can be compared, whatever files it wrote."""
    return "+".join(sorted({str(row["annotator"]) for row in read_annotations(where)}))


@functools.lru_cache(maxsize=4)
def read_annotations(where: str) -> tuple[Json, ...]:
    """All annotations in a file or folder."""
    path = Path(where)
    files = sorted(p for p in path.iterdir() if ".json" in p.suffixes) if path.is_dir() else [path]
    if not where or not files or not files[0].is_file():
        raise SkilldeltaError(f"There are no annotations in {where!r}; name an annotations.json of AlpacaEval's.")
    return tuple(row for file in files for row in alpaca_eval_annotations.read_annotations(file))
