"""Adjusted p-values for a family of tests; all arrays are [tests] unless another shape is given."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from harness.statistics.aggregates import Floats


def holm(p: Floats) -> Floats:
    """Holm's (1979) step-down adjusted p-values: the largest of (m - j + 1) p_(j) over the j smallest p-values.

    The probability of any false alarm in the family is at most alpha, whatever the dependence.
    """
    order = np.argsort(p, kind="stable")
    steps = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted_p = np.empty(len(p))
    adjusted_p[order] = np.minimum(steps, 1.0)
    return adjusted_p


def benjamini_hochberg(p: Floats) -> Floats:
    """Benjamini and Hochberg's (1995) adjusted p-values, for exploring.

    They bound the expected share of false alarms among the alarms, not the probability of any false alarm.
    """
    order = np.argsort(p, kind="stable")[::-1]
    steps = np.minimum.accumulate(p[order] * len(p) / np.arange(len(p), 0, -1))
    adjusted_p = np.empty(len(p))
    adjusted_p[order] = np.minimum(steps, 1.0)
    return adjusted_p


def step_down_max_t(differences: Floats, null_sums: npt.NDArray[np.float32], null_sd: Floats) -> Floats:
    """Step-down max-T adjusted p-values of m differences (Westfall and Young 1993, algorithm 4.1).

    `differences` [m]; `null_sums` [m, draws]: the same differences under random signs, drawn jointly; `null_sd` [m]: their
    standard deviations.  A difference whose `null_sd` is 0 gets p = 1.  The joint draws know how the tests depend on each
    other (one baseline, the same samples), so this is sharper than Holm over many checkpoints of one run.
    """
    usable = null_sd > 0
    adjusted_p = np.ones(len(differences))
    if not usable.any():
        return adjusted_p
    statistics = np.abs(differences[usable]) / null_sd[usable]
    order = np.argsort(-statistics, kind="stable")
    exceedances = np.zeros(len(statistics), np.int64)
    running_max = np.zeros(null_sums.shape[1], np.float32)
    inverse = (1 / null_sd[usable]).astype(np.float32)
    rows = np.flatnonzero(usable)
    # Step down: the j-th largest statistic competes with the maximum over itself and all smaller ones, since the larger ones
    # are rejected by then.  Going up from the smallest makes that a running maximum, with one pass over the draws for each.
    for place in order[::-1]:
        np.maximum(running_max, np.abs(null_sums[rows[place]]) * inverse[place], out=running_max)
        exceedances[place] = int(np.sum(running_max >= statistics[place] * (1 - 1e-6)))
    p = (1 + exceedances[order]) / (1 + null_sums.shape[1])
    # No hypothesis may get a smaller p-value than one with a larger statistic.
    monotone = np.empty(len(statistics))
    monotone[order] = np.maximum.accumulate(p)
    adjusted_p[usable] = monotone
    return adjusted_p
