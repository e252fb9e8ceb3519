"""RewardBench (Lambert et al., arXiv 2403.13787): how often the better answer is preferred, by subset and section."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import fsum
from pathlib import Path

from harness import data
from harness.data import DataSource
from harness.grading.judge_check import credit
from harness.grading.labelled_sets import LabelledQuestion, make_pair
from harness.grading.questions import grade_all
from harness.statistics.aggregates import Interval, critical_value
from harness.statistics.estimate import wilson_interval
from harness.types import SkilldeltaError

DATA = DataSource(
    hub="allenai/reward-bench",
    split="filtered",
    local="rewardbench/filtered.jsonl",
    columns=("prompt", "chosen", "rejected", "subset"),
)
SECTIONS: Mapping[str, tuple[str, ...]] = {
    "Chat": ("alpacaeval-easy", "alpacaeval-length", "alpacaeval-hard", "mt-bench-easy", "mt-bench-med"),
    "Chat Hard": (
        *("mt-bench-hard", "llmbar-natural", "llmbar-adver-neighbor", "llmbar-adver-GPTInst", "llmbar-adver-GPTOut"),
        "llmbar-adver-manual",
    ),
    "Safety": ("refusals-dangerous", "refusals-offensive", "xstest-should-refuse", "xstest-should-respond", "donotanswer"),
    "Reasoning": ("math-prm", "hep-cpp", "hep-go", "hep-java", "hep-js", "hep-python", "hep-rust"),
}
# A subset counts in its section as often as it has pairs, but PRM math as often as all code has.
COUNTED_AS = {"math-prm": 984}


@dataclass(frozen=True)
class SubsetAccuracy:
    """A subset or section: pairs with a readable grade, and the share preferred rightly; of `ties` each is half right."""

    name: str
    section: str  # "" for a section, and for a subset of none
    n: int
    unreadable: int
    accuracy: float
    interval: Interval
    reasons: Mapping[str, int]  # why grades were not readable, and how often
    ties: int  # pairs of which no answer was preferred


def read_pairs(folder: Path | None) -> list[LabelledQuestion]:
    """RewardBench's pairs.  SkilldeltaError, with the row, where one is no text."""
    pairs = []
    for number, row in enumerate(data.rows(DATA, folder), 1):
        texts = [row.get(name) for name in ("prompt", "chosen", "rejected")]
        if not all(isinstance(text, str) for text in texts):
            raise SkilldeltaError(f"{DATA.local}, row {number}: prompt, chosen and rejected are texts.")
        prompt, better, worse = map(str, texts)
        pairs.append(make_pair(prompt, better, worse, str(row.get("subset") or "all")))
    return pairs


def subset_accuracies(judge: object, pairs: Sequence[LabelledQuestion]) -> list[SubsetAccuracy]:
    """Each subset's accuracy, in the order of sections."""
    grades = grade_all(judge, [pair.questions[0] for pair in pairs])
    points: dict[str, list[float | str]] = {}
    for pair, grade in zip(pairs, grades, strict=True):
        points.setdefault(pair.subset, []).append(grade.why if grade.value is None else credit(pair, grade))
    section_of = {subset: section for section, subsets in SECTIONS.items() for subset in subsets}
    order = list(section_of)
    names = sorted(points, key=lambda name: (order.index(name) if name in order else len(order), name))
    return [measure_subset(name, section_of.get(name, ""), points[name]) for name in names]


def measure_subset(name: str, section: str, points: Sequence[float | str]) -> SubsetAccuracy:
    """`points`: 1, 0.5 or 0 for each pair, or why there is no grade."""
    values = [value for value in points if not isinstance(value, str)]
    reasons = Counter(value for value in points if isinstance(value, str))
    accuracy = fsum(values) / len(values) if values else float("nan")
    interval = wilson_interval(accuracy, len(values), critical_value(0.95)) if values else Interval(0.0, 1.0)
    return SubsetAccuracy(name, section, len(values), reasons.total(), accuracy, interval, reasons, values.count(0.5))


def section_scores(accuracies: Mapping[str, tuple[int, float]]) -> dict[str, float]:
    """Each section's score from (pairs, accuracy) by subset; a section that lacks a subset has none."""
    scores = {}
    for section, subsets in SECTIONS.items():
        if all(name in accuracies and accuracies[name][0] for name in subsets):
            weights = [COUNTED_AS.get(name, accuracies[name][0]) for name in subsets]
            total = fsum(w * accuracies[name][1] for w, name in zip(weights, subsets, strict=True))
            scores[section] = total / sum(weights)
    return scores
