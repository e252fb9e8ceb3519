"""What a step of decoding costs: a fixed part, one for each row, and one for what the rows attend to."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from harness.statistics.answer_lengths import Work

PARTS = np.array([0.3, 0.4, 0.3])  # of a step's seconds, where nothing tells the three apart
PRIOR_WEIGHT = 1.0  # of PARTS, in observations
RECENT = 30  # observations, by which the present speed is known


def fit_costs(observations: Sequence[tuple[float, Work]]) -> NDArray[np.float64]:
    """[3] seconds of a step, of a token and of a thousand tokens of context, none below 0.

    `observations`: seconds, and the work that was done in them; one or more.  Least squares with a weak prior (ridge
    regression), as rows and context often grow together; then all three are brought to the speed of the last observations.
    """
    seconds = np.array([took for took, _ in observations])
    work = np.stack([done.vector() for _, done in observations])
    scale = work.mean(0) + 1e-9
    weight = PRIOR_WEIGHT**0.5
    equations = np.vstack([work / scale, weight * np.eye(len(PARTS))])
    costs: NDArray[np.float64] = nnls(equations, np.concatenate([seconds, weight * PARTS * seconds.mean()]))[0] / scale
    forecast = float((work[-RECENT:] @ costs).sum())
    return costs * (float(seconds[-RECENT:].sum()) / max(forecast, 1e-12))
