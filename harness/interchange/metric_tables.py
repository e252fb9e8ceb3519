"""Samples with several metrics each, as harnesses log them: which are means over samples, and which of them is the score."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from harness.grouping import group_by
from harness.interchange.benchmarks import OTHER_SCALES
from harness.interchange.imported_log import ExampleRows, ImportedLog
from harness.interchange.untrusted_files import finite_number
from harness.records import Inputs, TaskRecord
from harness.types import Aggregate, Json, Metric, Response, Sample, Score, SkilldeltaError

TOLERANCE = 1e-6
MEANS = ("mean", "nanmean")
# lm-eval's aggregations over all documents at once, whatever single documents have.
NOT_MEANS = ("bleu", "brier_score", "bits_per_byte", "bypass", "chrf", "f1", "matthews_corrcoef", "mcc", "median", "perplexity",
             "pooled_sample_stderr", "ter", "weighted_perplexity")  # fmt: skip
# Names of metrics that are shares of something, and so between 0 and 1.
PROPORTIONS = re.compile(r"^(acc|exact_match|mc1|mc2|pass@\d+)(_|$)|_acc$|_accuracy$|^accuracy")
NO_NUMBER = "the log has no number"


@dataclass(frozen=True)
class LoggedDocument:
    """A document under one filter: its response, and the value of each metric."""

    place: int
    row: Json
    prompt: str  # the hash of the whole prompt
    response: Response
    answer: str
    values: Mapping[str, Any]
    settings: Json
    member: str = ""


@dataclass
class MetricTable:
    """A task under one filter: documents by metrics.  The results file calls a metric NAME + `suffix` (lm-eval: ",FILTER")."""

    filter_name: str
    suffix: str
    figures: Mapping[str, Any]  # the task's metrics in the results file
    lower_is_better: frozenset[str]
    aggregations: Mapping[str, str]  # how the task's own settings aggregate a metric, as far as the log tells it
    documents: list[LoggedDocument]
    member_column: str = "lm_eval_task"  # names the member of a group that a row is of, as the bridge to lm-eval does
    headline: str = ""
    refusal: str = ""
    is_uneven: dict[str, bool] = field(default_factory=dict)  # of each mean: may a document have several values?
    samples: list[Sample] = field(default_factory=list)
    rows: dict[str, Json] = field(default_factory=dict)
    prompts: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for metric in self.metric_names():
            values = [document.values.get(metric) for document in self.documents]
            sums = [self.parse(metric, value) for value in values]
            numbers = [pair for pair in sums if pair is not None]
            if (len(numbers) == len(sums) or self.is_declared_mean(metric)) and self.is_mean(metric, numbers):
                self.is_uneven[metric] = any(isinstance(value, list) for value in values)
        own_metrics = [metric for metric in self.aggregations if metric in self.is_uneven]
        others = [metric for metric in self.is_uneven if metric not in own_metrics]
        self.headline = next((metric for metric in [*own_metrics, *others] if self.is_score(metric)), "")
        if self.headline:
            self.fill_samples()
            return
        names = [name + " (lower is better)" * (name in self.lower_is_better) for name in self.metric_names()]
        where = f" under {self.filter_name}" if self.suffix else ""
        self.refusal = (
            f"no metric{where} is the mean of scores of 0 to 1, the higher the better, so that two models cannot be compared "
            f"document by document; it has: {', '.join(names) or 'none'}."
        )

    @property
    def settings(self) -> dict[str, Any]:
        return dict(self.documents[0].settings)

    def metric_names(self) -> list[str]:
        """The metrics of the documents, and those of the settings, which a scorer that failed everywhere did not give."""
        own_means = [metric for metric in self.aggregations if self.is_declared_mean(metric)]
        return list(dict.fromkeys([*(metric for document in self.documents for metric in document.values), *own_means]))

    def is_declared_mean(self, metric: str) -> bool:
        return self.aggregations.get(metric) in MEANS

    def parse(self, metric: str, value: Any) -> tuple[float, float] | None:
        """A value as parse_value() has it.  SkilldeltaError for an infinite one, and for a share that is none."""
        if self.aggregations.get(metric) in NOT_MEANS or OTHER_SCALES.search(metric):
            return parse_value(value)
        numbers = [n for each in (value if isinstance(value, list) else [value]) if (n := any_number(each)) is not None]
        is_share = PROPORTIONS.search(metric) and metric not in self.lower_is_better
        for number in numbers:
            if math.isinf(number) or (is_share and not 0 <= number <= 1):
                problem = "infinite" if math.isinf(number) else "outside of 0 to 1"
                raise SkilldeltaError(f"{metric}{self.suffix} has the value {number:g} for a document, which is {problem}.")
        return parse_value(value)

    def is_mean(self, metric: str, sums: Sequence[tuple[float, float]]) -> bool:
        """Whether the samples average to the figure in the results file.  Without one, any column of numbers is a mean."""
        count = sum(n for _, n in sums)
        mean = sum(total for total, _ in sums) / count if count else float("nan")
        figure = finite_number(self.figures.get(metric + self.suffix, self.figures.get(metric)))
        aggregation = self.aggregations.get(metric)
        if aggregation in NOT_MEANS:
            return False
        if not count:  # whatever it is, no document of this log has it
            return self.is_declared_mean(metric)
        if figure is None or abs(mean - figure) <= TOLERANCE * max(1.0, abs(figure)):
            return bool(count)
        if self.is_declared_mean(metric):
            raise SkilldeltaError(
                f"{metric}{self.suffix} is {figure:.4f} in the results file, but its samples add up to {mean:.4f}: "
                "are they of this run, and whole?"
            )
        return False

    def is_score(self, metric: str) -> bool:
        """One value in 0..1 a document, the higher the better."""
        if metric in self.lower_is_better or OTHER_SCALES.search(metric):
            return False
        values = [document.values.get(metric) for document in self.documents]
        numbers = [finite_number(value) for value in values if not isinstance(value, list)]
        return len(numbers) == len(values) and all(number is None or 0 <= number <= 1 for number in numbers)

    def metrics(self) -> list[Metric]:
        """Every mean, as a further metric."""
        keys = [(metric, metric + self.suffix) for metric in self.is_uneven]
        return [Metric(key, key, f"{key}:n" if self.is_uneven[m] else "", "", m in self.lower_is_better) for m, key in keys]

    def make_log(self, model: str, task: LoggedTask, record: TaskRecord, inputs: Inputs, backend: Json) -> ImportedLog:
        """The samples as a log.  Its note names the metrics that are left out."""
        names = [metric for metric in self.metric_names() if metric not in self.is_uneven]
        note = f"left out, as no means over documents: {', '.join(names)}" if names else ""
        source = {"task": task.name, "filter": self.filter_name or "none", "metric": self.headline}
        return ImportedLog(model, record, inputs, backend, self.samples, self.rows, note, source, task.members)

    def fill_samples(self) -> None:
        """The samples, with rows of the same content numbered in the order of the documents."""
        rows = ExampleRows()
        for document in sorted(self.documents, key=lambda each: (each.member, each.place)):
            row = {**document.row, self.member_column: document.member} if document.member else document.row
            example = rows.add(row)
            value = finite_number(document.values.get(self.headline))
            parts = dict(self.score_parts(document))
            score = Score(value, document.answer, parts, "" if value is not None else NO_NUMBER)
            self.samples.append(Sample(example, document.prompt, document.response, score, group=document.member))
            self.prompts[example] = document.prompt
        self.rows = rows.by_id

    def score_parts(self, document: LoggedDocument) -> Iterator[tuple[str, float]]:
        for metric, uneven in self.is_uneven.items():
            total, count = parse_value(document.values.get(metric)) or (0.0, 0.0)
            if not count:
                continue  # it has no part in the mean
            yield metric + self.suffix, total
            if uneven:
                yield f"{metric}{self.suffix}:n", count

    def mean(self, aggregate: Aggregate) -> float:
        """The score averaged over documents, or over members ("macro")."""
        with_score = [sample for sample in self.samples if sample.score.value is not None]
        groups = group_by(with_score, lambda sample: sample.group if aggregate == "macro" else "").values()
        return float(np.mean([np.mean([sample.score.value for sample in group]) for group in groups]))


@dataclass(frozen=True)
class LoggedTask:
    """A task, or a group of them (`members`): a table for each filter."""

    name: str
    tables: tuple[MetricTable, ...]
    members: tuple[str, ...] = ()


def parse_value(value: Any) -> tuple[float, float] | None:
    """A document's part in a mean, as (sum, number of values): (0, 0) for NaN, several for a list; None: no part in a mean."""
    if isinstance(value, list):
        numbers = [number for each in value if (number := finite_number(each)) is not None and 0 <= number <= 1]
        return (sum(numbers), float(len(numbers))) if len(numbers) == len(value) else None
    if value is None or value == "NaN" or (isinstance(value, float) and value != value):
        return 0.0, 0.0
    number = finite_number(value)
    return None if number is None else (number, 1.0)


def any_number(value: Any) -> float | None:
    """A number, also an infinite one and one that is written as text ("inf"); None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return None if math.isnan(number) else number


def combine_members(group: str, members: Sequence[LoggedTask]) -> LoggedTask | None:
    """The members of a group as one task; None where their filters or headline metrics differ, or there is no headline."""
    headlines = {tuple((table.filter_name, table.headline) for table in member.tables) for member in members}
    if len(headlines) != 1 or not all(headline for _, headline in next(iter(headlines))):
        return None
    tables = []
    for place, first in enumerate(members[0].tables):
        documents = [replace(each, member=member.name) for member in members for each in member.tables[place].documents]
        lower = first.lower_is_better
        tables.append(
            MetricTable(first.filter_name, first.suffix, {}, lower, first.aggregations, documents, first.member_column)
        )
    return LoggedTask(group, tuple(tables), tuple(member.name for member in members))
