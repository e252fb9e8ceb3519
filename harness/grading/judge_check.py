"""How far to trust a judge: its grades of labelled questions against the labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import fsum, nan
from typing import Any

from harness.grading.criteria import BETTER
from harness.grading.labelled_sets import LabelledQuestion, LabelledSet
from harness.grading.questions import Grade, grade_all
from harness.statistics.aggregates import Interval, critical_value
from harness.statistics.estimate import wilson_interval
from harness.statistics.judge_error import ClassMean, ErrorRates


@dataclass(frozen=True)
class SetCheck:
    """A judge on one labelled set.  Shares 0..1, NaN where nothing says; `n`: questions with a label and a readable grade."""

    name: str
    criterion: str
    n: int
    unreadable: int
    accuracy: float  # a grade in between, as of two orders that disagree, is half right
    interval: Interval
    balance: float  # the mean of the accuracies where the label is 1, and where it is 0
    kappa: float  # Cohen's, of decisions and labels
    agreement: float  # of the two orders
    first_place: float  # position bias: the mean value for the first place; 0.5 is none
    longer: tuple[float, float] = (nan, nan)  # accuracy where the right answer is the longer one, and the shorter one
    repeats: float = nan  # share of decisions that stay when it is asked again
    by_subset: Mapping[str, tuple[int, float]] = field(default_factory=dict)  # questions, accuracy
    rates: ErrorRates | None = None

    @property
    def is_better_than_guessing(self) -> bool:
        """Whether it is shown to tell the labels apart: their rarer one may not be neglected."""
        return self.interval.low > 0.5 and (self.rates is None or self.rates.power > 0)

    @property
    def verdict(self) -> str:
        """How far to trust it on such questions, in words."""
        if not self.n:
            return "it gave no readable grade: not to be used"
        if not self.is_better_than_guessing:
            return "no better than guessing, as far as these labels show: not to be used"
        return "well" if self.interval.low > 0.8 else "with care: measure its errors on your own answers"


def check_judge(
    judge: object, each: LabelledSet, questions: Sequence[LabelledQuestion], again: object | None = None
) -> SetCheck:
    """A judge's grades of a labelled set, asked at once; `again`: the same judge, asked anew."""
    grades = grade_labelled(judge, questions)
    repeats = same_share(grades, grade_labelled(again, questions)) if again is not None else nan
    with_label = [(q, g) for q, g in zip(questions, grades, strict=True) if q.truth != 0.5]
    readable = [(q, g) for q, g in with_label if g.value is not None]
    points = [credit(q, g) for q, g in readable]
    count = len(points)
    accuracy = fsum(points) / count if count else nan
    by_subset: dict[str, list[float]] = {}
    for (question, _), value in zip(readable, points, strict=True):
        by_subset.setdefault(question.subset, []).append(value)
    first_places = [g.first_place for _, g in readable if g.first_place is not None]
    agreements = [float(g.agreement) for _, g in readable if g.agreement is not None]
    return SetCheck(
        name=each.name,
        criterion=each.criterion,
        n=count,
        unreadable=len(with_label) - count,
        accuracy=accuracy,
        interval=wilson_interval(accuracy, count, critical_value(0.95)) if count else Interval(0.0, 1.0),
        balance=mean([mean([credit(q, g) for q, g in readable if q.truth == truth]) for truth in (0.0, 1.0)]),
        kappa=cohens_kappa([(q.truth, g.decision) for q, g in readable]),
        agreement=mean(agreements),
        first_place=mean(first_places),
        longer=length_accuracy(readable),
        repeats=repeats,
        by_subset={name: (len(values), mean(values)) for name, values in sorted(by_subset.items())},
        rates=error_rates(readable, is_hard=each.criterion != BETTER) if each.criterion else None,
    )


def grade_labelled(judge: object, questions: Sequence[LabelledQuestion]) -> list[Grade]:
    """One grade for each labelled question; where that asks several things, all of them must hold."""
    flat = grade_all(judge, [question for item in questions for question in item.questions])
    remaining = iter(flat)
    return [join_criteria([next(remaining) for _ in item.questions]) for item in questions]


def join_criteria(grades: Sequence[Grade]) -> Grade:
    if len(grades) == 1:
        return grades[0]
    if unclear := [grade for grade in grades if grade.holds is None]:
        return Grade(None, why=unclear[0].reason)
    return Grade(float(all(grade.holds for grade in grades)))


def credit(question: LabelledQuestion, grade: Grade) -> float:
    """1 for a right decision, 0.5 for none of both, 0 for a wrong one."""
    return 1.0 - abs(question.truth - grade.decision)


def mean(values: Sequence[float]) -> float:
    return fsum(values) / len(values) if values else nan


def same_share(first: Sequence[Grade], second: Sequence[Grade]) -> float:
    """The share of questions with the same decision twice, of those that have one at least once."""
    pairs = [(a, b) for a, b in zip(first, second, strict=True) if a.value is not None or b.value is not None]
    return mean([float(a.holds == b.holds) for a, b in pairs])


def cohens_kappa(pairs: Sequence[tuple[float, float]]) -> float:
    """Agreement beyond chance of labels and decisions; decisions of neither are left out."""
    clear = [(a, b) for a, b in pairs if b != 0.5]
    if not clear:
        return nan
    right = mean([float(a == b) for a, b in clear])
    first, second = mean([a for a, _ in clear]), mean([b for _, b in clear])
    chance = first * second + (1 - first) * (1 - second)
    return (right - chance) / (1 - chance) if chance < 1 else nan


def length_accuracy(readable: Sequence[tuple[LabelledQuestion, Grade]]) -> tuple[float, float]:
    """Accuracy on pairs whose right answer is the longer one, and the shorter one; NaN where there is no pair."""
    longer: list[float] = []
    shorter: list[float] = []
    for question, grade in readable:
        (first, *_) = question.questions
        difference = len(first.response) - len(first.reference)
        if len(question.questions) == 1 and first.criterion == BETTER and difference:
            (longer if (difference > 0) == (question.truth == 1) else shorter).append(credit(question, grade))
    return mean(longer), mean(shorter)


def error_rates(readable: Sequence[tuple[LabelledQuestion, Grade]], is_hard: bool) -> ErrorRates | None:
    """The mean grades of true and of false items; None where one kind is missing.

    `is_hard`: a task with this criterion scores decisions; otherwise it scores the grades themselves.
    """
    values = [(q.truth, g.decision if is_hard else float(g.value or 0.0)) for q, g in readable]
    hits, misses = ([value for truth, value in values if truth == side] for side in (1.0, 0.0))
    return ErrorRates(ClassMean.of(hits), ClassMean.of(misses)) if hits and misses else None


def check_to_json(check: SetCheck) -> dict[str, Any]:
    """The check as JSON; None for what nothing says."""

    def number(value: float) -> float | None:
        return None if value != value else round(value, 6)

    return {
        "set": check.name, "n": check.n, "unreadable": check.unreadable, "accuracy": number(check.accuracy),
        "low": round(check.interval.low, 6), "high": round(check.interval.high, 6), "balanced_accuracy": number(check.balance),
        "kappa": number(check.kappa), "orders_agree": number(check.agreement), "first_place": number(check.first_place),
        "right_is_longer": number(check.longer[0]), "right_is_shorter": number(check.longer[1]),
        "repeats": number(check.repeats), "verdict": check.verdict,
        "subsets": {name: {"n": n, "accuracy": number(value)} for name, (n, value) in check.by_subset.items()},
    }  # fmt: skip
