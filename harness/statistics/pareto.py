"""The Pareto front: what cannot be had better in one respect without being worse in another."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from harness.statistics.aggregates import Floats


def pareto_front(points: Floats) -> npt.NDArray[np.bool_]:
    """[n]: which of [n, d] points no other dominates; more is better in each of the d.

    A point dominates another that it equals or exceeds everywhere and exceeds somewhere; equals stand or fall together.
    A point with a NaN is on no front, and dominates nothing.
    """
    finite: npt.NDArray[np.bool_] = np.all(np.isfinite(points), axis=1)
    at_least = (points[:, None] >= points[None]).all(axis=2)
    better_somewhere = (points[:, None] > points[None]).any(axis=2)
    is_dominated = (at_least & better_somewhere & finite[:, None]).any(axis=0)
    return finite & ~is_dominated
