"""Searches random comparisons for contradictions: python -m tests.bench.contradictions [comparisons [first]].

A verdict must not stand against its own interval or its p-value, no interval may be without width or outside of its range, the
gate must not let a regression pass that the table shows, and the decision's sentence must not claim what the rows deny.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import harness
from harness.comparison.gate import Policy, gate
from harness.comparison.result import Comparison, Family, MetricValue, Row
from harness.statistics.aggregates import Floats
from harness.types import Sample
from tests.bench.sentences import sentence_faults
from tests.support.results_folder import about, sample, store

COMPARISONS = 10_000
SIZES = (1, 2, 3, 5, 12, 20, 40, 100)
CORRECTIONS: tuple[Family, ...] = ("auto", "auto", "auto", "holm", "bh", "none")
SHARES = (0.0, 0.01, 0.05, 0.3, 0.5, 0.9, 0.99, 1.0)
CHANGES = (0.0, 0.02, 0.05, 0.15, 0.5)
METRICS = [
    {"name": "mean", "part": "value", "over": "", "group": "", "lower_is_better": False},
    {"name": "ratio", "part": "top", "over": "bottom", "group": "", "lower_is_better": True},
    {"name": "in a group", "part": "value", "over": "", "group": "a", "lower_is_better": True},
]
ROUNDING = 1e-6  # points


def write_results(folder: Path, rng: np.random.Generator) -> None:
    """A random results folder: a baseline and one to three candidates on one to four tasks of up to three skills."""
    candidates = int(rng.choice([1, 2, 3, 6]))
    for number in range(int(rng.integers(1, 5))):
        aggregate = str(rng.choice(["mean", "mean", "mean", "macro", "f1"]))
        task = {"aggregate": aggregate, "positive": "a", "metrics": METRICS}
        facts = about(f"task {number}", str(rng.choice(["reasoning", "safety", "coding"])), task=task)
        if rng.random() < 0.3:
            facts["inputs"]["data"] = "the same rows"
        items, fractional, clusters = int(rng.choice(SIZES)), rng.random() < 0.3, rng.random() < 0.3
        scores = draw_scores(rng, items, fractional)
        may_be_absent, unscored = rng.random() < 0.1, float(rng.choice([0, 0.02, 0.02, 0.3]))
        for name in ("base", *(f"candidate {i}" for i in range(candidates))):
            if name != "base":
                if may_be_absent and rng.random() < 0.5:
                    continue
                changed = rng.random(items) < rng.choice(CHANGES)
                new = np.where(changed, draw_scores(rng, items, fractional), scores)
            else:
                new = scores
            missing = unscored if name != "base" else 0.02
            store(folder, name, facts, [make_sample(rng, i, float(s), clusters, missing) for i, s in enumerate(new)])


def draw_scores(rng: np.random.Generator, items: int, fractional: bool) -> Floats:
    right = (rng.random(items) < rng.choice(SHARES)).astype(float)
    return np.where(rng.random(items) < 0.5, right, rng.random(items)) if fractional else right


def make_sample(rng: np.random.Generator, row: int, score: float, clusters: bool, unscored: float) -> Sample:
    bottom = float(1 + row % 3)
    parts = {"value": score, "top": min(bottom, float(np.round(bottom * score))), "bottom": bottom}
    value = None if rng.random() < unscored else score
    more = {"cluster": f"c{row // 4}"} if clusters else {}
    return sample(row, value, parts=parts, group="ab"[row % 2], **more)


def faults(comparison: Comparison) -> Iterator[str]:
    """Every contradiction of a comparison, in words."""
    yield from sentence_faults(comparison)
    for row in comparison.rows:
        yield from row_faults(row, comparison.settings.margin)
        for metric in row.metrics:
            yield from metric_faults(row, metric)
    for best in comparison.best:
        own = comparison.row(best.checkpoint, best.level, best.name)
        if not own.score_low + ROUNDING >= best.low or best.high <= best.low:
            yield f"best of k narrower than its own interval: {best}"
        if not best.low - ROUNDING <= best.corrected <= best.high + ROUNDING:
            yield f"corrected score outside of its interval: {best}"
    for candidate in (name for name in comparison.checkpoints if name != comparison.baseline):
        result = gate(comparison, candidate, Policy())
        for rule in result.rule_results:
            difference = rule.row.difference if rule.row else None
            if rule.answer == "pass" and difference and difference.delta_low < -rule.rule.max_drop - ROUNDING:
                yield f"passes though a larger drop is open: {rule}"


def row_faults(row: Row, margin: float) -> Iterator[str]:
    if not np.isnan(row.score) and not is_sound((row.score_low, row.score, row.score_high), 0.0, 100.0):
        yield f"score's interval: {row}"
    difference = row.difference
    if difference is None or np.isnan(difference.delta):
        return
    low, high = difference.delta_low, difference.delta_high
    if not 0 < difference.mde <= 100:
        yield f"detectable beyond the range: {row}"
    if not is_sound((low, difference.delta, high), -100.0, 100.0):
        yield f"difference's interval: {row}"
    proven = difference.p_adjusted <= 0.05 and (low > 0 or high < 0)
    if (difference.verdict in ("better", "worse")) != proven:
        yield f"verdict without p-value and interval: {row}"
    if difference.verdict == "better" and not (low > 0 and difference.delta > 0):
        yield f"better against its interval: {row}"
    if difference.verdict == "worse" and not (high < 0 and difference.delta < 0):
        yield f"worse against its interval: {row}"
    if difference.verdict == "same" and not (-margin <= low and high <= margin):
        yield f"same beyond the margin: {row}"


def metric_faults(row: Row, metric: MetricValue) -> Iterator[str]:
    if not np.isnan(metric.value) and not is_sound((metric.low, metric.value, metric.high), 0.0, 100.0):
        yield f"metric's interval: {row.name} {metric}"
    if metric.delta is None or metric.delta_low is None or metric.delta_high is None or np.isnan(metric.delta):
        return
    if not is_sound((metric.delta_low, metric.delta, metric.delta_high), -100.0, 100.0):
        yield f"metric's difference: {row.name} {metric}"


def is_sound(interval: tuple[float, float, float], least: float, most: float) -> bool:
    """Whether low, value and high are in order, within the range, and the interval has a width."""
    low, value, high = interval
    return least <= low <= value + ROUNDING and value - ROUNDING <= high <= most and high - low > ROUNDING


def search(comparisons: int, first: int = 0) -> Counter[str]:
    """The kinds of contradictions in random comparisons, each with how often; `first` is the seed of the first of them."""
    kinds: Counter[str] = Counter()
    for number in range(first, first + comparisons):
        rng = np.random.default_rng(number)
        with tempfile.TemporaryDirectory() as folder:
            write_results(Path(folder), rng)
            family = CORRECTIONS[int(rng.integers(len(CORRECTIONS)))]
            for fault in faults(harness.compare(folder, "base", draws=199, family=family)):
                kinds[fault.partition(":")[0]] += 1
                print(f"{number}: {fault}", file=sys.stderr)
    return kinds


def main(comparisons: int = COMPARISONS, first: int = 0) -> int:
    kinds = search(comparisons, first)
    print(f"{sum(kinds.values())} contradictions in {comparisons} random comparisons {dict(kinds) or ''}".rstrip())
    return int(bool(kinds))


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
