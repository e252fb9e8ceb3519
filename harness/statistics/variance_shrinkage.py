"""The variance of runs where each recipe has few: what all recipes together tell of it is weighed in (Smyth 2004, limma).

Three seeds give a variance with two degrees of freedom, and an interval that is ruled by luck.  The variances of many recipes
are taken as draws around a common one, and how far they lie apart says how much the common one is worth: prior degrees of
freedom, many where the recipes are alike in this, few where they are not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize, special

from harness.statistics.estimate import Variance

MIN_RECIPES = 3  # recipes from which a common variance is told
FREEDOM_PER_RECIPE = 0.5  # degrees of freedom that a recipe lends to the common variance at most
FLOOR_SHARE = 1e-5  # of the median: variances below are taken as this, since logarithms are


@dataclass(frozen=True)
class VariancePrior:
    """The common variance of a run's score, what it is worth in degrees of freedom, and how many there are in all."""

    variance: float
    freedom: float
    max_freedom: float

    def shrink(self, own: Variance) -> Variance:
        """A recipe's variance and the common one, weighed by their degrees of freedom."""
        freedom = self.freedom + own.freedom
        variance = (self.freedom * self.variance + own.freedom * own.value) / freedom
        return Variance(variance, min(freedom, self.max_freedom))


def fit_prior(variances_of_runs: Sequence[Variance]) -> VariancePrior | None:
    """From the variances of some recipes; None where they are too few, or all nothing.

    Their logarithms scatter by the trigamma function of half the degrees of freedom even where all are alike; the rest of
    their scatter is the recipes' own, and gives the prior's degrees of freedom (equations in Smyth's section 6.2): at most
    WORTH for each recipe, since the scatter of so few is itself uncertain (`make calibrate`: with more, intervals of recipes
    that vary unlike hold the truth less than 93 % of the time).
    """
    variances, freedom = np.array([s.value for s in variances_of_runs]), np.array([s.freedom for s in variances_of_runs])
    if len(variances_of_runs) < MIN_RECIPES or not np.any(variances > 0):
        return None
    median = float(np.median(variances))
    half = freedom / 2
    log_variance = np.log(np.maximum(variances, FLOOR_SHARE * (median or float(variances.max()))))
    log_ratio = log_variance - special.digamma(half) + np.log(half)
    excess = float(np.var(log_ratio, ddof=1) - np.mean(special.polygamma(1, half)))
    max_freedom = float(freedom.sum())
    if excess <= 0:
        return VariancePrior(
            float(np.average(variances, weights=freedom)), FREEDOM_PER_RECIPE * len(variances_of_runs), max_freedom
        )
    prior_freedom = 2 * inverse_trigamma(excess)
    common = float(np.exp(log_ratio.mean() + special.digamma(prior_freedom / 2) - np.log(prior_freedom / 2)))
    return VariancePrior(common, min(prior_freedom, FREEDOM_PER_RECIPE * len(variances_of_runs)), max_freedom)


def inverse_trigamma(value: float) -> float:
    """The x > 0 with trigamma(x) = value; trigamma falls from infinity to 0."""
    return float(optimize.brentq(lambda x: float(special.polygamma(1, x)) - value, 1e-8, 1e8))
