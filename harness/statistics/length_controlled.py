"""Length-controlled win rate: what it would be if both answers were of the same length (Dubois et al., arXiv 2404.04475).

A logistic model of the preference y for the model's answer to instruction i,

    P(y = 1) = sigmoid(a tanh(dlen_i / std(dlen)) + b difficulty_i + c),

is fitted with an L1 penalty; the win rate is its mean with a set to 0.  `dlen` is the reference's length minus the answer's,
in characters.  Two models whose length was gamed on purpose join the fit with a total weight of 0.2 and without c.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

Floats = NDArray[np.float64]
PENALTIES = np.logspace(-4, 4, 10)  # C of the loss, as scikit-learn's default grid
FOLDS = 5
GAMED_WEIGHT = 0.2 / 2  # of each of the two gamed models
EDGE = 1e-15


@dataclass(frozen=True)
class PreferencePairs:
    """Arrays [instructions]."""

    preference: Floats  # 0..1, of the model's answer over the reference; no NaN
    longer: Floats  # the reference's length minus the answer's; for gamed models already divided by its standard deviation
    difficulty: Floats


@dataclass(frozen=True)
class WinRate:
    """In points.  `standard_error` is that of the mean of what the fitted model predicts, as on AlpacaEval's leaderboard."""

    value: float
    standard_error: float


def win_rate(pairs: PreferencePairs, baselines: PreferencePairs) -> WinRate:
    """The length-controlled win rate."""
    scale = float(pairs.longer.std(ddof=1)) or 1.0
    own_features = np.column_stack([np.tanh(pairs.longer / scale), pairs.difficulty, np.ones(len(pairs.longer))])
    gamed_features = np.column_stack([np.tanh(baselines.longer), baselines.difficulty, np.zeros(len(baselines.longer))])
    data = LogisticData(
        np.concatenate([gamed_features, own_features]),
        np.concatenate([baselines.preference, pairs.preference]),
        np.concatenate([np.full(len(gamed_features), GAMED_WEIGHT), np.ones(len(own_features))]),
    )
    _, b, c = fit_logistic(data, choose_penalty(data))
    return mean_win_rate(expit(b * pairs.difficulty + c))


def mean_win_rate(preference: Floats) -> WinRate:
    """The mean of preferences [instructions]: of those as judged, the win rate without any correction."""
    return WinRate(100 * float(preference.mean()), 100 * float(preference.std(ddof=1) / np.sqrt(len(preference))))


@dataclass(frozen=True)
class LogisticData:
    """Features [n, 3], targets [n] in 0..1, weights [n]."""

    x: Floats
    y: Floats
    weight: Floats

    def subset(self, mask: NDArray[np.bool_]) -> LogisticData:
        return LogisticData(self.x[mask], self.y[mask], self.weight[mask])


def fit_logistic(data: LogisticData, penalty: float) -> Floats:
    """[3]: argmin of |w|_1 + penalty * sum of weighted log losses."""
    # |w|_1 has a kink at 0; written as w = up - down with both at least 0 it is smooth, which L-BFGS-B needs.
    size = data.x.shape[1]

    def objective(halves: Floats) -> tuple[float, Floats]:
        z = data.x @ (halves[:size] - halves[size:])
        loss = float(np.sum(data.weight * (np.logaddexp(0, z) - data.y * z)))
        slope = data.x.T @ (data.weight * (expit(z) - data.y))
        return halves.sum() / penalty + loss, np.concatenate([slope, -slope]) + 1 / penalty

    start, bounds = np.zeros(2 * size), [(0.0, np.inf)] * (2 * size)
    solution = minimize(
        objective, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 1000, "ftol": 1e-15, "gtol": 1e-9}
    )
    halves: Floats = solution.x
    return halves[:size] - halves[size:]


def choose_penalty(data: LogisticData) -> float:
    """The penalty with the least log loss on held-out rows, over five folds (row i in fold i mod 5)."""
    fold = np.arange(len(data.y)) % FOLDS

    def loss(penalty: float) -> float:
        return sum(log_loss(data.subset(fold == k), fit_logistic(data.subset(fold != k), penalty)) for k in range(FOLDS))

    return float(min(PENALTIES, key=loss))


def log_loss(data: LogisticData, w: Floats) -> float:
    p = np.clip(expit(data.x @ w), EDGE, 1 - EDGE)
    return -float(np.mean(data.weight * (data.y * np.log(p) + (1 - data.y) * np.log(1 - p))))
