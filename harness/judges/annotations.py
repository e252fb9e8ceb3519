"""Preferences that AlpacaEval's own program recorded: a judge that has judged already.

Where several annotators, or one of them several times, have judged an answer, the grade is the mean of their preferences, and
the sample keeps how many there are and which share of them decides as most do.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import fsum
from pathlib import Path
from typing import Any, NamedTuple

from harness.grading.questions import NO_VERDICT, Grade, JudgeQuestion
from harness.grouping import group_by
from harness.interchange import alpaca_eval_annotations
from harness.interchange.untrusted_files import shorten
from harness.judge_binding import parse_preference
from harness.types import Json, SkilldeltaError


class Annotation(NamedTuple):
    """One recorded verdict: the answer that was compared with ("" where the file does not say), and the preference, 0..1."""

    reference: str
    preference: float | None


@dataclass(frozen=True)
class AnnotationJudge:
    """The recorded verdicts by instruction and answer."""

    annotations: Mapping[tuple[str, str], Sequence[Annotation]]

    def grade(self, prompt: str, response: str, reference: str) -> float | None:
        """The recorded preference for exactly this answer; None where there is none."""
        return self.grade_all([JudgeQuestion(prompt, response, reference)])[0].value

    def grade_all(self, questions: Sequence[JudgeQuestion]) -> list[Grade]:
        return [grade_recorded(self.annotations.get((q.prompt, q.response), ()), q.reference) for q in questions]


def grade_recorded(annotations: Sequence[Annotation], reference: str) -> Grade:
    """The mean preference of the annotations of one answer.

    Where they compared it with several references, those with exactly `reference` count.  The texts of one reference may
    differ from the data's, as they do in AlpacaEval 1's files.
    """
    if not annotations:
        return Grade(None, why="no annotation is of exactly this instruction and answer")
    if len({each.reference for each in annotations}) > 1:
        annotations = [each for each in annotations if each.reference == reference]
        if not annotations:
            return Grade(None, why="the answer was judged against several references, and none of them is this one")
    values = [each.preference for each in annotations if each.preference is not None]
    if not values:
        return Grade(None, why=NO_VERDICT)
    grade = Grade(fsum(values) / len(values))
    if len(annotations) == 1:
        return grade
    decisions = Counter(Grade(value).decision for value in values)
    agreement = decisions.most_common(1)[0][1] / len(values)
    return Grade(grade.value, measures={"annotators": float(len(values)), "annotators_agree": agreement})


def load(where: str) -> AnnotationJudge:
    """The annotations in a file, or in all files of a folder; the answers that they judge are its output_2."""
    rows = group_by(read_annotations(where), lambda row: (row["instruction"], row["output_2"]))
    return AnnotationJudge({key: [make_annotation(row, where) for row in of_answer] for key, of_answer in rows.items()})


def make_annotation(row: Json, where: str) -> Annotation:
    """SkilldeltaError for a preference that AlpacaEval does not write: with a sound one it could have a sound mean."""
    preference = row["preference"]
    if not is_preference(preference):
        raise SkilldeltaError(
            f"annotations:{where}: a preference is {shorten(preference)}; AlpacaEval writes numbers from 1 (the reference is "
            "better) to 2, 0 for a draw, and null for no verdict."
        )
    return Annotation(row.get("output_1") or "", parse_preference(preference))


def is_preference(value: Any) -> bool:
    """Whether a value is one of AlpacaEval's preferences; NaN is pandas' word for null."""
    if isinstance(value, bool) or not isinstance(value, int | float | None):
        return False
    return value is None or value == 0 or 1 <= value <= 2 or value != value


def identity(where: str) -> str:
    """Whose preferences they are: models judged by the same annotator can be compared, whatever files it wrote."""
    return "+".join(sorted({row["annotator"] for row in read_annotations(where)}))


@functools.lru_cache(maxsize=4)
def read_annotations(where: str) -> tuple[Json, ...]:
    """All annotations in a file or folder."""
    path = Path(where)
    files = sorted(p for p in path.iterdir() if ".json" in p.suffixes) if path.is_dir() else [path] if path.is_file() else []
    if not where or not files:
        raise SkilldeltaError(f"There are no annotations in {where!r}; name an annotations.json of AlpacaEval's.")
    return tuple(row for file in files for row in alpaca_eval_annotations.read_annotations(file))
