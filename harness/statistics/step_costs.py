"""What decoding costs: a fixed part of each step, one for each row, one for what the rows attend to, one for each prompt."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from harness.statistics.answer_lengths import Work

PARTS = np.array([0.3, 0.4, 0.3, 0.0])  # of the seconds, where nothing tells them apart
PRIOR_WEIGHT = 1.0  # of PARTS, in observations
RECENT = 30  # observations, by which the present speed is known


def fit_costs(observations: Sequence[tuple[float, Work]]) -> NDArray[np.float64]:
    """[4] seconds of a step, of a token, of a thousand tokens of context and of a prompt, none below 0.

    `observations`: seconds, and the work that was done in them; one or more.  Least squares with a weak prior (ridge
    regression), as rows and context often grow together; then all are brought to the speed of the last observations.
    """
    seconds = np.array([took for took, _ in observations])
    work = np.stack([done.vector() for _, done in observations])
    scale = np.where(work.any(0), work.mean(0), np.inf)  # what never happened is taken to cost nothing
    weight = PRIOR_WEIGHT**0.5
    equations = np.vstack([work / scale, weight * np.eye(len(PARTS))])
    costs: NDArray[np.float64] = nnls(equations, np.concatenate([seconds, weight * PARTS * seconds.mean()]))[0] / scale
    forecast = float((work[-RECENT:] @ costs).sum())
    return costs * (float(seconds[-RECENT:].sum()) / max(forecast, 1e-12))
