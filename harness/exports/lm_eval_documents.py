"""Samples as lm-eval's documents: one line for each document and filter."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from harness.comparison.pass_at_k import pass_at
from harness.exporting import Kept
from harness.types import Json, Sample

MEMBER = "lm_eval_task"  # the column by which the bridge to lm-eval tells the members of a group apart
TARGETS = ("answer", "target", "expected_answer", "label", "gold")
SCORE = "score"


@dataclass(frozen=True)
class Document:
    """An example with all its draws."""

    place: int
    example: str
    draws: tuple[Sample, ...]


@dataclass(frozen=True)
class Part:
    """A task, or a member of one, under one filter; `metrics`: by lm-eval's name the part of a sample that holds it."""

    cell: Kept
    name: str
    filter: str
    metrics: dict[str, str]
    documents: tuple[Document, ...]

    @cached_property
    def lower(self) -> set[str]:
        return {m["name"].partition(",")[0] for m in self.cell.about["task"]["metrics"] if m["lower_is_better"]}

    def value(self, metric: str, document: Document) -> Any:
        """A document's value: one number (the mean of draws, or their pass@k), a list where it has several, or None."""
        key = self.metrics[metric]
        if key == SCORE:
            return score(document.draws, self.cell.about["task"].get("pass_at", 0))
        sums = [s.score.parts.get(key) for s in document.draws]
        counts = [s.score.parts.get(f"{key}:n") for s in document.draws]
        known = [(v, n) for v, n in zip(sums, counts, strict=True) if v is not None]
        if len(document.draws) == 1 and known and known[0][1] not in (None, 1.0):
            total, count = int(known[0][0]), int(known[0][1] or 0)
            return [True] * total + [False] * (count - total) if count else None
        return float(np.mean([v for v, _ in known])) if known else None

    def values(self, metric: str) -> list[float]:
        """Every value there is, lists spread out: their mean is the metric."""
        found = [self.value(metric, d) for d in self.documents]
        return [float(v) for one in found if one is not None for v in (one if isinstance(one, list) else [one])]

    def mean(self, metric: str) -> tuple[float | None, float | None]:
        """The mean, and its standard error as lm-eval has it (sample deviation over the root of n)."""
        values = self.values(metric)
        error = float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else None
        return (float(np.mean(values)) if values else None), error

    def weight(self, key: str) -> float:
        metric = key.partition(",")[0]
        return float(len(self.values(metric))) if metric in self.metrics else 0.0


def score(draws: Sequence[Sample], k: int) -> float | None:
    there = np.array([s.score.value for s in draws if s.score.value is not None], np.float64)
    if not len(there):
        return None
    value = float(pass_at(k, there.sum(keepdims=True), np.array([float(len(there))]))[0]) if k else float(there.mean())
    return None if np.isnan(value) else value


def parts(cell: Kept, task: str) -> Iterator[Part]:
    """The task under each filter; a macro mean, or a group of lm-eval's, in its members."""
    split = cell.about["task"]["aggregate"] == "macro" or any(MEMBER in row for row in cell.rows.values())
    members: dict[str, list[Sample]] = {}
    for s in cell.samples:
        members.setdefault(s.group if split else "", []).append(s)
    bridged = any(MEMBER in row for row in cell.rows.values())
    for member, mine in members.items():
        name = task if not member else member if bridged else f"{task}_{member}"
        documents = tuple(gathered(mine))
        for filter_, metrics in filters(cell.about["task"]).items():
            yield Part(cell, name, filter_, metrics, documents)


def gathered(samples: Sequence[Sample]) -> Iterator[Document]:
    draws: dict[str, list[Sample]] = {}
    for s in samples:
        draws.setdefault(s.example, []).append(s)
    yield from (Document(i, example, tuple(mine)) for i, (example, mine) in enumerate(draws.items()))


def filters(task: Json) -> dict[str, dict[str, str]]:
    """The metrics under each filter: lm-eval's own by their names, or the score and whatever is a mean over samples."""
    theirs: dict[str, dict[str, str]] = {}
    for m in task["metrics"]:
        metric, comma, filter_ = m["name"].partition(",")
        if comma and m["part"] == m["name"]:
            theirs.setdefault(filter_, {})[metric] = m["part"]
    plain = {m["name"]: m["part"] for m in task["metrics"] if not m["over"] and not m["group"]}
    return theirs or {"none": {SCORE: SCORE} | plain}


def document_lines(part: Part) -> Iterator[dict[str, Any]]:
    """The lines of a samples file.  Prompts are not stored: their place is empty, and their hash that of the request."""
    for d in part.documents:
        row = part.cell.rows.get(d.example, {"example": d.example})
        doc = {k: v for k, v in row.items() if k != MEMBER}
        target = next((str(doc[name]) for name in TARGETS if doc.get(name) is not None), "")
        said, read = responses(d.draws)
        yield {
            "doc_id": d.place,
            "doc": doc,
            "target": target,
            "arguments": {},
            "resps": said,
            "filtered_resps": read,
            "filter": part.filter,
            "metrics": list(part.metrics),
            "doc_hash": hashed(json.dumps(doc, indent=2, ensure_ascii=False)),
            "prompt_hash": d.draws[0].request,
            "target_hash": hashed(target),
        } | {metric: part.value(metric, d) for metric in part.metrics}


def responses(draws: Sequence[Sample]) -> tuple[list[Any], list[Any]]:
    """(resps, filtered_resps): texts of all draws, or a pair of log-probability and greedy flag for each choice, as text."""
    first = draws[0].response
    if first.logprobs:
        greedy = first.greedy or (False,) * len(first.logprobs)
        pairs = [[str(p), str(g)] for p, g in zip(first.logprobs, greedy, strict=True)]
        return [[p] for p in pairs], pairs
    return [[s.response.text for s in draws]], [s.score.extracted or "[invalid]" for s in draws]


def hashed(text: str) -> str:
    """As lm-eval hashes documents and targets."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
