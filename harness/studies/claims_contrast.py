"""A hypothesis as a contrast of recipes: runs with weights, paired by labels, and their weighted sum with its variance."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from harness.grouping import group_by
from harness.statistics import training_variance
from harness.statistics.aggregates import Floats, Interval
from harness.statistics.pseudo_observations import student_p
from harness.statistics.training_variance import RecipeContrast, RecipeScores
from harness.studies.claims_file import ACCURACY, COSTS, LEVEL, REWARD_MEASURES, Comparand, Hypothesis, Selection
from harness.studies.trained_model import NOT_APPLICABLE, Column, NotInStudy, TrainedModel, sort_labels

if TYPE_CHECKING:
    from harness.studies.claims_measures import StudyMeasures
    from harness.studies.record import StudyRecord

SINGLE_NUMBERS = (*COSTS, ACCURACY)  # columns with one number a run
Weights = Mapping[Column, Mapping[TrainedModel, float]]


def contrast(measures: StudyMeasures, hypothesis: Hypothesis) -> tuple[Weights, int]:
    """The weight of each run in each measured column, over all differences of a hypothesis; and how many pairs there are."""
    weights: dict[Column, dict[TrainedModel, float]] = defaultdict(lambda: defaultdict(float))
    pairs = 0
    for sign, comparand in hypothesis.comparands():
        models, count = pair_recipes(measures.record, comparand)
        pairs = pairs or count
        for column, share in measures.columns(comparand.measure).items():
            for model, weight in models.items():
                weights[column][model] += sign * share * weight
    return weights, pairs


def pair_recipes(study: StudyRecord, comparand: Comparand) -> tuple[dict[TrainedModel, float], int]:
    """Weights of `these` minus `those`, paired by every label that applies to both and in which the selections do not differ.

    The weights of either side add up to 1 and -1.  The pairs weigh the same; of several recipes on one side of a pair each
    weighs the same, and so does each of its runs.
    """
    models = study.rewards if set(comparand.measure) & set(REWARD_MEASURES) else study.policies
    sides = [select(models, selection) for selection in (comparand.these, comparand.those)]
    apply = [{label for m in side for label, value in m.labels.items() if value != NOT_APPLICABLE} for side in sides]
    differing = {label for label, values in comparand.these.items() if comparand.those.get(label, values) != values}
    labels = sorted((apply[0] & apply[1]) - differing)
    these, those = (group_by(side, lambda m: tuple(m.labels.get(label, NOT_APPLICABLE) for label in labels)) for side in sides)
    contexts = [context for context in these if context in those]
    if not contexts:
        raise NotInStudy(f"nothing that pairs {describe(comparand.these)} with {describe(comparand.those)}")
    weights: dict[TrainedModel, float] = defaultdict(float)
    for sign, side in ((1.0, these), (-1.0, those)):
        for context in contexts:
            recipes = group_by(side[context], lambda m: m.recipe).values()
            for runs in recipes:
                for run in runs:
                    weights[run] += sign / (len(contexts) * len(recipes) * len(runs))
    return weights, len(contexts)


def select(models: Iterable[TrainedModel], selection: Selection) -> list[TrainedModel]:
    """The models that have one of the selected values for every label."""
    matches = [m for m in models if all(m.labels.get(k, NOT_APPLICABLE) in values for k, values in selection.items())]
    if not matches:
        raise NotInStudy(f"no {describe(selection)}")
    return matches


def describe(selection: Selection) -> str:
    return ", ".join(f"{label} {' or '.join(selection[label])}" for label in sort_labels(selection)) or "anything"


def combine(measures: StudyMeasures, weights: Weights, shrink: bool = True) -> RecipeContrast:
    """The weighted sum of all columns over all runs, and how its items and its runs make it vary.

    `shrink`: a recipe's variance of few runs is moved towards that of the method's other recipes (Smyth 2004).
    """
    values = {c: dict(zip(runs, measures.values(c, list(runs)), strict=True)) for c, runs in weights.items()}

    def weighted(runs: Sequence[TrainedModel], column: Column) -> Floats:
        """[clusters]: what bound runs contribute to a column."""
        contributions = [weights[column][r] * values[column][r] for r in runs if r in weights[column]]
        return np.sum(contributions, axis=0) if contributions else np.zeros_like(next(iter(values[column].values())))

    parts = []
    for group in independent_groups(dict.fromkeys(m for runs in weights.values() for m in runs)):
        # A part is the mean over its groups, so each group's share of the sum is scaled up by their number.
        tasks = tuple(len(group) * np.stack([weighted(runs, column) for runs in group]) for column in weights)
        name = " with ".join(dict.fromkeys(f"({m.description})" for m in group[0]))
        prior = None
        if shrink and len(group) > 1 and all(len(runs) == 1 for runs in group):
            first = group[0][0]
            prior = measures.prior(first, {c: len(group) * runs[first] for c, runs in weights.items() if first in runs})
        parts.append(RecipeScores(name, tasks, len(group) == 1 and all(m.is_start for m in group[0]), prior))
    more = sum(measures.sampling_variance(column, runs) for column, runs in weights.items())
    items = [None if column[0] in SINGLE_NUMBERS else measures.items(column, list(runs)) for column, runs in weights.items()]
    contrast = training_variance.recipe_sum(parts, np.ones(len(weights)), LEVEL, items)
    return training_variance.cut_interval(training_variance.add_item_variance(contrast, more, LEVEL), reach(weights))


def reach(weights: Weights) -> Interval:
    """The lowest and the highest value of a weighted sum of scores in 0..1; without ends where a cost is among them."""
    if any(column[0] in COSTS for column in weights):
        return Interval(-math.inf, math.inf)
    shares = [weight for runs in weights.values() for weight in runs.values()]
    return Interval(sum(min(w, 0.0) for w in shares), sum(max(w, 0.0) for w in shares))


def independent_groups(models: Iterable[TrainedModel]) -> list[list[list[TrainedModel]]]:
    """Runs that are not independent together, and such groups that differ by their seeds alone side by side.

    Policies that one reward model has tuned share its errors.  An equal seed alone binds nothing: another recipe draws other
    numbers with it.
    """
    groups = group_by(models, lambda m: m.reward_key or (id(m),))
    return list(group_by(groups.values(), lambda runs: tuple(sorted(m.recipe for m in runs))).values())


def region_p_values(difference: RecipeContrast, low: float, high: float) -> tuple[float, float]:
    """Two-sided p-values of lying inside a region, and outside: below 1 - level exactly where the interval does."""

    def beyond(distance: float) -> float:
        """Of a difference that lies `distance` beyond an end."""
        if not difference.error or distance <= 0:
            return 1.0  # without an error nothing is known of how it varies
        return 0.0 if distance == math.inf else student_p(distance, difference.error, difference.freedom, difference.least_p)

    delta = difference.delta
    return max(beyond(delta - low), beyond(high - delta)), min(beyond(low - delta), beyond(delta - high))
