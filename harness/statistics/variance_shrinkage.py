"""Shrinking the variance of training runs towards that of all recipes (empirical Bayes; Smyth 2004, limma).

Three seeds give a variance with two degrees of freedom, and an interval whose width is mostly luck.  The variances of many
recipes are modelled as draws around a common one.  Their scatter gives the weight of the common one, as prior degrees of
freedom: many where the recipes vary alike, few where they do not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize, special

from harness.statistics.estimate import Variance

MIN_RECIPES = 3  # with fewer there is no common variance
FREEDOM_PER_RECIPE = 0.5  # prior degrees of freedom for each recipe, at most
FLOOR_SHARE = 1e-5  # of the median variance: smaller variances are raised to it before their logarithm is taken


@dataclass(frozen=True)
class VariancePrior:
    """The common variance of a run's score with its prior degrees of freedom; `max_freedom` is that of all recipes."""

    variance: float
    freedom: float
    max_freedom: float

    def shrink(self, own: Variance) -> Variance:
        """(d0 s0^2 + d s^2) / (d0 + d) with d0 + d degrees of freedom (Smyth 2004, equation 3.1)."""
        freedom = self.freedom + own.freedom
        variance = (self.freedom * self.variance + own.freedom * own.value) / freedom
        return Variance(variance, min(freedom, self.max_freedom))


def fit_prior(variances_of_runs: Sequence[Variance]) -> VariancePrior | None:
    """The prior from the variances of several recipes; None where there are too few, or all are 0.

    By the moments of log variances (Smyth 2004, section 6.2): alike variances with d degrees of freedom scatter by
    trigamma(d/2), and the excess scatter is trigamma(d0/2), which gives the prior degrees of freedom d0.
    """
    # d0 is limited because the scatter of so few recipes is itself uncertain.  In `make calibrate`, a higher limit takes the
    # coverage for recipes that vary unlike below 93 %.
    variances, freedom = np.array([s.value for s in variances_of_runs]), np.array([s.freedom for s in variances_of_runs])
    if len(variances_of_runs) < MIN_RECIPES or not np.any(variances > 0):
        return None
    half = freedom / 2
    log_variance = np.log(np.maximum(variances, FLOOR_SHARE * (float(np.median(variances)) or float(variances.max()))))
    log_ratio = log_variance - special.digamma(half) + np.log(half)
    excess = float(np.var(log_ratio, ddof=1) - np.mean(special.polygamma(1, half)))
    prior_limit, max_freedom = FREEDOM_PER_RECIPE * len(variances), float(freedom.sum())
    if excess <= 0:
        return VariancePrior(float(np.average(variances, weights=freedom)), prior_limit, max_freedom)
    prior_freedom = 2 * inverse_trigamma(excess)
    common = float(np.exp(log_ratio.mean() + special.digamma(prior_freedom / 2) - np.log(prior_freedom / 2)))
    return VariancePrior(common, min(prior_freedom, prior_limit), max_freedom)


def inverse_trigamma(value: float) -> float:
    """The x > 0 with trigamma(x) = value; trigamma falls from infinity to 0."""
    return float(optimize.brentq(lambda x: float(special.polygamma(1, x)) - value, 1e-8, 1e8))
