"""pass@k: the draws of a problem as one score, the chance that one of k draws at least is right."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy import special

from harness.comparison.sample_table import Columns
from harness.statistics.estimate import Floats, Ints
from harness.types import SkilldeltaError


def pass_at(k: int, right: Floats, draws: Floats) -> Floats:
    """1 - C(n-c, k) / C(n, k) for c right ones of n draws: the unbiased estimate of Chen et al. (2021); NaN for n < k.

    Every element is a problem.
    """
    wrong = draws - right
    with np.errstate(divide="ignore", invalid="ignore"):
        none = np.exp(log_choose(wrong, k) - log_choose(draws, k))
    return np.where(draws < k, np.nan, np.where(wrong < k, 1.0, 1 - none))


def log_choose(n: Floats, k: int) -> Floats:
    found: Floats = special.gammaln(n + 1) - special.gammaln(k + 1) - special.gammaln(np.maximum(n - k, 0) + 1)
    return found


def collapse(columns: Columns, k: int) -> Columns:
    """One row an example: its pass@k as the score, the means of its draws' parts, and pass@1 among them."""
    examples: dict[str, int] = {}
    owner = np.array([examples.setdefault(example, len(examples)) for example, _ in columns.keys], np.int64)
    count = len(examples)
    there = ~np.isnan(columns.score)
    draws = np.bincount(owner[there], minlength=count).astype(np.float64)
    right = np.bincount(owner[there], weights=columns.score[there], minlength=count).astype(np.float64)
    most = int(np.bincount(owner).max()) if count else k
    if most < k:
        raise SkilldeltaError(f"pass@{k} needs {k} draws of each problem; there are {most}.  Score with --draws {k} or more.")
    first = np.unique(owner, return_index=True)[1]
    parts = {name: averaged(values, owner, count) for name, values in columns.parts.items()}
    return replace(
        columns,
        keys=[(example, 0) for example in examples],
        score=pass_at(k, right, draws),
        group=[columns.group[i] for i in first],
        cluster=[columns.cluster[i] for i in first],
        parts=parts | {"pass@1": averaged(columns.score, owner, count)},
        tokens=averaged(columns.tokens, owner, count),
    )


def averaged(values: Floats, owner: Ints, count: int) -> Floats:
    """[examples]: the mean over draws that have a value; NaN where none has."""
    there = ~np.isnan(values)
    number = np.bincount(owner[there], minlength=count)
    total = np.bincount(owner[there], weights=values[there], minlength=count)
    return np.where(number > 0, total / np.maximum(number, 1), np.nan)
