"""Many tests at once: what each p-value is worth when so many were looked at."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from harness.statistics.estimate import Floats


def holm(p: Floats) -> Floats:
    """Holm's (1979) adjusted p-values: any false alarm in the family has probability alpha at most, whatever the dependence."""
    order = np.argsort(p, kind="stable")
    steps = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(steps, 1.0)
    return adjusted


def benjamini_hochberg(p: Floats) -> Floats:
    """Benjamini and Hochberg's (1995) adjusted p-values: the expected share of false alarms among the alarms; for exploring."""
    order = np.argsort(p, kind="stable")[::-1]
    steps = np.minimum.accumulate(p[order] * len(p) / np.arange(len(p), 0, -1))
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(steps, 1.0)
    return adjusted


def max_t(seen: Floats, sums: npt.NDArray[np.float32], scale: Floats) -> Floats:
    """Step-down max-T adjusted p-values of m differences (Westfall and Young 1993, algorithm 4.1).

    `seen` [m] are the differences, `sums` [m, draws] what they come to under random signs, drawn jointly, `scale` [m] the
    standard deviations of those.  Knows how the tests depend on each other (one baseline, the same samples), so it is
    sharper than Holm over many checkpoints of one run.
    """
    usable = scale > 0
    adjusted = np.ones(len(seen))
    if not usable.any():
        return adjusted
    size = np.abs(seen[usable]) / scale[usable]
    order = np.argsort(-size, kind="stable")
    reached = np.zeros(len(size), np.int64)
    largest = np.zeros(sums.shape[1], np.float32)
    inverse = (1 / scale[usable]).astype(np.float32)
    columns = np.flatnonzero(usable)
    for place in order[::-1]:  # from the smallest: the running maximum is over the hypotheses not yet rejected
        np.maximum(largest, np.abs(sums[columns[place]]) * inverse[place], out=largest)
        reached[place] = int(np.sum(largest >= size[place] * (1 - 1e-6)))
    p = (1 + reached[order]) / (1 + sums.shape[1])
    steps = np.empty(len(size))
    steps[order] = np.maximum.accumulate(p)
    adjusted[usable] = steps
    return adjusted
