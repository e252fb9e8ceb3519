"""What hypotheses measure: values of runs, for each column [runs, clusters of items], from stored answers and run.json."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.comparison import recipes
from harness.comparison.alignment import TaskPanel
from harness.comparison.load import LoadedResults, StoredCell, load_results, weights_by_level
from harness.comparison.sample_table import SampleTable, make_table, read_lines
from harness.comparison.shared_rows import number_rows
from harness.grouping import group_by
from harness.interchange.untrusted_files import finite_number
from harness.statistics.aggregates import Floats, Ints
from harness.statistics.estimate import Variance
from harness.statistics.pseudo_observations import shrunk_mean
from harness.statistics.training_variance import TaskItems
from harness.statistics.variance_shrinkage import VariancePrior, fit_prior
from harness.studies.claims_file import ACCURACY, AVERAGE, BEST_OF_N, COSTS, STEPS
from harness.studies.trained_model import Column, NotInStudy, TrainedModel

if TYPE_CHECKING:
    from harness.studies.record import StudyRecord

SCORE = "score"
OTHER_ROWS = 1 << 40  # more than there are rows
# A sum that is worked out in the answer: "7 + 5 = 12", "3 * (2 + 1) = 9", "$12/3 = $4".
WORKED_STEP = re.compile(r"\d\s*[)%]?\s*[-+*/x×÷−]\s*[($]*\d[^=\n]{0,40}=\s*\$?\d")


def shown_steps(stored_cell: StoredCell) -> SampleTable:
    """1 for each answer that shows a step of calculation, 0 for each that does not; choices by likelihood have none."""
    lines = {}
    for value in read_lines(stored_cell.cell):
        text = value["response"]
        is_text = isinstance(text, str) and value["finish"] in ("stop", "length")
        lines[value["example"], value["draw"]] = {**value, "score": float(bool(WORKED_STEP.search(text))) if is_text else None}
    return make_table(lines)


class StudyMeasures:
    """Everything of a study that can be measured; each stored file is read once."""

    def __init__(self, record: StudyRecord) -> None:
        self.record = record
        self.tables: dict[tuple[str, Column], SampleTable] = {}
        self.arrays: dict[tuple[Column, tuple[TrainedModel, ...]], Floats] = {}
        self.scores: dict[tuple[Column, tuple[TrainedModel, ...]], recipes.RecipeTask] = {}

    @cached_property
    def answers(self) -> LoadedResults:
        """The policies' answers; raises where results were made unlike."""
        return self.load(self.record.results, self.record.baseline)

    @cached_property
    def best_of_n(self) -> LoadedResults:
        """The answers that reward models chose out of n, and the first of the n as the baseline."""
        if self.record.best_of is None:
            raise NotInStudy("no best of n")
        return self.load(self.record.best_of.results, self.record.best_of.baseline)

    def load(self, results: str, baseline: str) -> LoadedResults:
        stored = load_results([self.record.folder / results], baseline)
        stored.accept_differences(())
        return stored

    def columns(self, measure: Sequence[str]) -> dict[Column, float]:
        """The columns of a measure with their weights: of several skills or tasks the mean."""
        first = measure[0]
        if first in COSTS or first == ACCURACY:
            return {(first, ""): 1.0}
        kind = first if first in (BEST_OF_N, STEPS) else SCORE
        stored = self.best_of_n if kind == BEST_OF_N else self.answers
        names = {BEST_OF_N: [AVERAGE], STEPS: ["reasoning"]}.get(first, measure)
        skills = stored.skills()
        weights_by_name = {
            name: weights for _, name, weights in weights_by_level(skills, stored.tasks, stored.rule)
        }  # a skill before a task
        shares: dict[Column, float] = {}
        for name in names:
            if name not in weights_by_name:
                raise NotInStudy(f"no {name} among what was asked ({', '.join(skills)})")
            for task, weight in weights_by_name[name].items():
                shares[kind, task] = shares.get((kind, task), 0.0) + weight / len(names)
        return shares

    def values(self, column: Column, runs: Sequence[TrainedModel]) -> Floats:
        """[runs, clusters]; of a cost its logarithm, and of a reward model's accuracy, one number a run."""
        key = (column, tuple(runs))
        if key not in self.arrays:
            kind, task = column
            if kind in COSTS:
                self.arrays[key] = np.log([[self.cost(run, kind)] for run in runs])
            elif kind == ACCURACY:
                self.arrays[key] = np.array([[self.accuracy(run)] for run in runs])
            else:
                self.scores[key] = self.align_runs(kind, task, [run.checkpoint for run in runs])
                self.arrays[key] = self.scores[key].values
        return self.arrays[key]

    def items(self, column: Column, runs: Sequence[TrainedModel]) -> TaskItems:
        """What the clusters of a column's values are."""
        self.values(column, runs)
        return self.scores[column, tuple(runs)].items

    def align_runs(self, kind: str, task: str, checkpoints: Sequence[str]) -> recipes.RecipeTask:
        """The checkpoints on the items that all of them have a score for."""
        tables = [self.table(name, (kind, task)) for name in checkpoints]
        stored = self.stored(kind)
        panel = TaskPanel(stored.tasks[task], self.table(stored.baseline, (kind, task)))
        rows = [recipes.scores_along(panel, table) for table in tables]
        if np.isnan(rows).any(axis=0).all():
            raise NotInStudy(f"no item of {task} that all of {', '.join(checkpoints)} have a score for")
        return recipes.align_scores(panel, rows, self.row_numbers(kind)[task])

    def row_numbers(self, kind: str) -> Mapping[str, Ints]:
        """By task the numbers of its rows; the choices of reward models are taken for rows of their own."""
        if kind == BEST_OF_N:
            return {task: numbers + OTHER_ROWS for task, numbers in self.best_of_rows.items()}
        return self.answer_rows

    @cached_property
    def answer_rows(self) -> Mapping[str, Ints]:
        return number_rows(self.answers).numbers

    @cached_property
    def best_of_rows(self) -> Mapping[str, Ints]:
        return number_rows(self.best_of_n).numbers

    def stored(self, kind: str) -> LoadedResults:
        return self.best_of_n if kind == BEST_OF_N else self.answers

    def table(self, checkpoint: str, column: Column) -> SampleTable:
        """A checkpoint's samples of one task."""
        kind, task = column
        if (checkpoint, column) not in self.tables:
            cell = self.stored(kind).cells.get((checkpoint, task))
            if cell is None:
                raise NotInStudy(f"no answers of {checkpoint or 'a reward model'} to {task}")
            self.tables[checkpoint, column] = shown_steps(cell) if kind == STEPS else cell.columns()
        return self.tables[checkpoint, column]

    def prior(self, run: TrainedModel, weights: Mapping[Column, float]) -> VariancePrior | None:
        """How much runs that differ by their seed vary in a weighted sum of columns, over the recipes of the run's method."""
        models = self.record.rewards if run in self.record.rewards else self.record.policies
        alike = group_by((m for m in models if m.labels.get("method") == run.labels.get("method")), lambda m: m.recipe)
        variances = []
        for runs in alike.values():
            try:
                sums = sum(weight * self.values(c, runs).mean(axis=1) for c, weight in weights.items())
            except NotInStudy:  # one of them was not asked everything
                continue
            if len(runs) > 1:
                variances.append(Variance(float(np.var(sums, ddof=1)), len(runs) - 1))
        return fit_prior(variances)

    def reward_models(self, policies: Sequence[TrainedModel], measure: str) -> list[TrainedModel]:
        """Those that tuned these policies.  Policies without one stand for the choice of the first of n answers."""
        rewards = [r for policy in policies if (r := self.record.reward_of(policy))]
        if not rewards and measure == BEST_OF_N and self.record.best_of:
            return [TrainedModel(self.record.best_of.baseline, "", {}, 0)]
        if not rewards:
            raise NotInStudy("no reward model")
        return rewards

    def cost(self, run: TrainedModel, kind: str) -> float:
        """FLOPs or seconds that a run took, its reward model's included."""
        parts = [run, self.record.reward_of(run)] if run.reward_key else [run]
        costs = [read_cost(self.record.run_facts(part), kind) if part else 0.0 for part in parts]
        if not all(costs):
            raise NotInStudy(f"no {kind} in the run.json of {run.run}{' or of its reward model' * bool(run.reward_key)}")
        return sum(costs)

    def accuracy(self, run: TrainedModel) -> float:
        if run.accuracy is None:
            raise NotInStudy(f"no accuracy of {run.run}")
        return run.accuracy.share

    def sampling_variance(self, column: Column, weights: Mapping[TrainedModel, float]) -> float:
        """The variance that the items add to a column of single numbers, which do not show it.

        Of a reward model's accuracy: p (1 - p) / n of its n pairs, with two pseudo-observations.  A recipe's runs are asked the
        same pairs, which do not count anew.  So are all recipes, so that a difference varies less than said here: the interval
        is on the wide side.
        """
        total = 0.0
        for runs in group_by(weights, lambda m: m.recipe).values() if column[0] == ACCURACY else ():
            weighted = [(weights[run], run.accuracy) for run in runs if run.accuracy]
            share, pairs = sum(a.share for _, a in weighted) / len(weighted), min(a.n for _, a in weighted)
            _, error = shrunk_mean(share, share * (1 - share) / max(pairs - 1, 1), pairs)
            total += (sum(w for w, _ in weighted) * error) ** 2
        return total


def read_cost(facts: Mapping[str, Any], kind: str) -> float:
    """FLOPs or seconds of a run.json; 0 where it does not say."""
    amount = facts.get(kind)
    parts = amount.values() if isinstance(amount, Mapping) else [amount]  # seconds are a mapping by phase
    total = sum(math.nan if (number := finite_number(part)) is None else number for part in parts)
    return total if 0 < total < math.inf else 0.0
