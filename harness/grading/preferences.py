"""A preference between two texts as a number and as a score: the same in every task that compares, and for every judge."""

from __future__ import annotations

import math
from collections.abc import Mapping

from harness.grading.questions import Grade
from harness.types import Metric, Score

WIN_RATE = Metric("discrete_win_rate", part="won")
RELATIVE_LENGTH = Metric("relative_length", part="length", over="reference_length")
ORDERS_AGREE = Metric("orders_agree", part="orders_agree")
METRICS = (WIN_RATE, RELATIVE_LENGTH, ORDERS_AGREE)
PREFERENCE_METRIC = "preferred to "  # before the name of the checkpoint whose answers are the reference, as a metric's name
VERDICTS = {0.0: "worse", 0.5: "as good", 1.0: "better"}
MAX_EXPONENT = 700.0  # beyond it e^x is no float


def first_probability(first: float, second: float) -> float:
    """1 / (1 + exp(second - first)).

    Of two rewards it is the Bradley-Terry probability that the first answer is the better one; of the log-probabilities of two
    words, the share of the first.
    """
    return 1.0 / (1.0 + math.exp(min(second - first, MAX_EXPONENT)))


def preference_score(grade: Grade, measures: Mapping[str, float]) -> Score:
    """The probability that a response is preferred to its reference: the mean is the win rate.

    Its parts are `won` (1, 0.5 or 0), the task's own `measures` (lengths in characters, which judges like), and whether both
    orders agree.  Without a grade there is no score.
    """
    if grade.value is None:
        return Score(None, why=grade.why)
    return Score(grade.value, VERDICTS[grade.decision], {"won": grade.decision, **measures, **grade.parts()})
