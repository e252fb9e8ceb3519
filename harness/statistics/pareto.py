"""The Pareto front: points that no other point beats in every respect."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from harness.statistics.aggregates import Floats


def pareto_front(points: Floats) -> npt.NDArray[np.bool_]:
    """[n]: which of the points [n, d] no other point dominates; more is better in each of the d coordinates.

    A point dominates another if it is at least as good everywhere and better somewhere.  Equal points are both on the front or
    both off it.  A point with a NaN is never on the front, and dominates nothing.
    """
    finite: npt.NDArray[np.bool_] = np.all(np.isfinite(points), axis=1)
    at_least = (points[:, None] >= points[None]).all(axis=2)
    better_somewhere = (points[:, None] > points[None]).any(axis=2)
    is_dominated = (at_least & better_somewhere & finite[:, None]).any(axis=0)
    return finite & ~is_dominated
