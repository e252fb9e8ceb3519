"""Samples as lm-eval's documents, as they are written here: one line for each document and filter."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from harness.grouping import group_by
from harness.interchange.export_results import ExportedCell, find_target
from harness.records import TaskRecord
from harness.statistics.pass_at_k import pass_at
from harness.types import Sample

MEMBER = "lm_eval_task"  # the column by which the bridge to lm-eval tells the members of a group apart
SCORE = "score"


@dataclass(frozen=True)
class ExportedDocument:
    """An example with all its draws."""

    place: int
    example: str
    draws: tuple[Sample, ...]


@dataclass(frozen=True)
class FilteredPart:
    """A task, or a member of one, under one filter.  `metrics`: by lm-eval's name, the part of a sample's score."""

    cell: ExportedCell
    name: str
    filter: str
    metrics: dict[str, str]
    documents: tuple[ExportedDocument, ...]

    @cached_property
    def lower_is_better(self) -> set[str]:
        return {metric.name.partition(",")[0] for metric in self.cell.record.task.metrics if metric.lower_is_better}

    def value(self, metric: str, document: ExportedDocument) -> Any:
        """A document's value: one number (the mean of draws, or their pass@k), a list where it has several, or None."""
        key = self.metrics[metric]
        if key == SCORE:
            return score_document(document, self.cell.record.task.pass_at)
        parts = [draw.score.parts for draw in document.draws]
        sums = [(part[key], part.get(f"{key}:n")) for part in parts if part.get(key) is not None]
        if len(document.draws) == 1 and sums and sums[0][1] not in (None, 1.0):  # lm-eval logs a list of verdicts
            total, count = int(sums[0][0]), int(sums[0][1] or 0)
            return [True] * total + [False] * (count - total) if count else None
        return float(np.mean([total for total, _ in sums])) if sums else None

    def values(self, metric: str) -> list[float]:
        """The values of all documents, lists spread out: their mean is the metric."""
        values = [self.value(metric, document) for document in self.documents]
        return [float(v) for each in values if each is not None for v in (each if isinstance(each, list) else [each])]

    def mean(self, metric: str) -> tuple[float | None, float | None]:
        """The mean, and its standard error as lm-eval has it (sample deviation over the root of n)."""
        values = self.values(metric)
        error = float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else None
        return (float(np.mean(values)) if values else None), error

    def weight(self, key: str) -> float:
        """The number of values behind "metric,filter"."""
        metric = key.partition(",")[0]
        return float(len(self.values(metric))) if metric in self.metrics else 0.0


def score_document(document: ExportedDocument, k: int) -> float | None:
    """The mean score of the draws, or their pass@k; None where no draw has a score, or fewer than k."""
    scores = np.array([draw.score.value for draw in document.draws if draw.score.value is not None], np.float64)
    if not len(scores):
        return None
    value = float(pass_at(k, scores.sum(keepdims=True), np.array([float(len(scores))]))[0]) if k else float(scores.mean())
    return None if np.isnan(value) else value


def split_task(cell: ExportedCell, task: str) -> Iterator[FilteredPart]:
    """The task under each filter; a macro mean, or a group of lm-eval's, in its members."""
    is_lm_eval_group = any(MEMBER in row for row in cell.rows.values())
    has_members = is_lm_eval_group or cell.record.task.aggregate == "macro"
    for member, samples in group_by(cell.samples, lambda sample: sample.group if has_members else "").items():
        name = task if not member else member if is_lm_eval_group else f"{task}_{member}"
        by_example = group_by(samples, lambda sample: sample.example)
        documents = tuple(ExportedDocument(i, example, tuple(draws)) for i, (example, draws) in enumerate(by_example.items()))
        for filter_name, metrics in metrics_by_filter(cell.record.task).items():
            yield FilteredPart(cell, name, filter_name, metrics, documents)


def metrics_by_filter(task: TaskRecord) -> dict[str, dict[str, str]]:
    """The metrics under each filter: lm-eval's own by their names, or the score and whatever is a mean over samples."""
    by_filter: dict[str, dict[str, str]] = {}
    for metric in task.metrics:
        name, comma, filter_name = metric.name.partition(",")
        if comma and metric.part == metric.name:
            by_filter.setdefault(filter_name, {})[name] = metric.part
    means = {metric.name: metric.part for metric in task.metrics if not metric.over and not metric.group}
    return by_filter or {"none": {SCORE: SCORE} | means}


def document_lines(part: FilteredPart) -> Iterator[dict[str, Any]]:
    """The lines of a samples file.  Prompts are not stored: their place is empty, and their hash that of the request."""
    for document in part.documents:
        row = part.cell.rows.get(document.example, {"example": document.example})
        doc = {column: value for column, value in row.items() if column != MEMBER}
        target = find_target(doc) or ""
        responses, answers = list_responses(document.draws)
        yield {
            "doc_id": document.place, "doc": doc, "target": target, "arguments": {}, "resps": responses,
            "filtered_resps": answers, "filter": part.filter, "metrics": list(part.metrics),
            "doc_hash": hash_text(json.dumps(doc, indent=2, ensure_ascii=False)),
            "prompt_hash": document.draws[0].request, "target_hash": hash_text(target),
        } | {metric: part.value(metric, document) for metric in part.metrics}  # fmt: skip


def list_responses(draws: Sequence[Sample]) -> tuple[list[Any], list[Any]]:
    """(resps, filtered_resps): texts of all draws, or a pair of log-probability and greedy flag for each choice, as text."""
    first = draws[0].response
    if first.logprobs:
        greedy = first.greedy or (False,) * len(first.logprobs)
        pairs = [[str(p), str(g)] for p, g in zip(first.logprobs, greedy, strict=True)]
        return [[pair] for pair in pairs], pairs
    return [[draw.response.text for draw in draws]], [draw.score.extracted or "[invalid]" for draw in draws]


def hash_text(text: str) -> str:
    """As lm-eval hashes documents and targets."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
