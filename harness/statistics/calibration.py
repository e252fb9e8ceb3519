"""Calibration: are answers right as often as a model is sure of them?  ECE: Naeini et al. (2015), Guo et al. (2017).

    ECE = sum over bins b of |S_b| / n,   S_b = sum over i in b of (confidence_i - right_i),   10 bins of equal width

Chance makes |S_b| too large, and most so for a calibrated model, so ECE itself is no ground for a difference.  With the sign of
a bin taken from other samples than those that are summed, chance adds nothing (cross-fitting, in two halves by cluster):

    d = sum over i of sign(S_b(i) in the other half) (confidence_i - right_i) / n

d is a mean over samples, and agrees with ECE where n is large; a bin whose sign is in doubt draws it towards 0.  A bin that is
calibrated, with halves of variance v, has var(sign(S2) S1 + sign(S1) S2) = 2 v (1 + 2 / pi): the factor is taken for all bins.
In simulations 95 % intervals held the true difference in 89 to 100 % of 400 draws, of 100 to 1,500 samples each.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.statistics.aggregates import Design, Floats, Interval, Ints, critical_value
from harness.statistics.paired import paired_difference
from harness.statistics.pseudo_observations import student_p

BINS = 10
HALVES = 2
INFLATION = 1 + 2 / np.pi  # see above


@dataclass(frozen=True)
class Calibration:
    """`error`: ECE, 0..1; `confidence` and `accuracy`: means; `gaps` [samples]: the terms of d, times n, in -1..1."""

    error: float
    confidence: float
    accuracy: float
    gaps: Floats


@dataclass(frozen=True)
class CalibrationDifference:
    """Calibration error after minus before, on the same samples, by d.  Units: 0..1."""

    value: float
    interval: Interval
    p: float


def confidence_of(logprobs: Floats) -> float:
    """The probability of the likeliest choice, from the log-probabilities [choices] of all."""
    return float(1 / np.sum(np.exp(logprobs - logprobs.max())))


def measure_calibration(confidence: Floats, right: Floats, cluster: Ints) -> Calibration:
    """The calibration of confidences [samples] in 0..1 about answers that are right (1) or wrong (0).

    `cluster` [samples], numbers from 0 on: samples of one are not independent, and are never in two parts.
    """
    places = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
    gap, halves = confidence - right, cluster % HALVES
    sums = np.zeros((HALVES, BINS))
    np.add.at(sums, (halves, places), gap)
    others = (sums.sum(axis=0) - sums)[halves, places]
    error = float(np.abs(sums.sum(axis=0)).sum() / len(confidence))
    return Calibration(error, float(confidence.mean()), float(right.mean()), np.sign(others) * gap)


def calibration_difference(
    before: Calibration, after: Calibration, cluster: Ints, level: float = 0.95
) -> CalibrationDifference:
    """The paired difference; `cluster` as above."""
    design = Design(cluster, np.zeros_like(cluster))
    # paired_difference() takes scores in 0..1: the terms are moved there, and the difference comes back twice as large.
    delta = paired_difference((before.gaps + 1) / 2, (after.gaps + 1) / 2, design, level)
    error = 2 * float(np.sqrt(INFLATION * delta.variance))
    value, half_width = 2 * delta.value, critical_value(level, delta.freedom) * error
    return CalibrationDifference(
        value, Interval(value - half_width, value + half_width), student_p(value, error, delta.freedom)
    )
