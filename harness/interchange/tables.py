"""Samples with several metrics each, as harnesses log them: which are means over samples, and which of them is the score."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from harness.interchange.log import Rows
from harness.interchange.names import OTHER_SCALES
from harness.interchange.reading import number
from harness.types import Aggregate, Json, Metric, Response, Sample, Score, SkilldeltaError

CLOSE = 1e-6
NO_NUMBER = "the log has no number"


@dataclass(frozen=True)
class Line:
    """What is kept of a sample: a document, read in one way."""

    place: int
    row: Json
    prompt: str  # the hash of all that was asked
    response: Response
    read_as: str
    values: Mapping[str, Any]
    settings: Json
    member: str = ""


@dataclass
class Reading:
    """A task, its answers read in one way; `suffix` is what its metrics bear in the results file (",FILTER" for lm-eval)."""

    name: str
    suffix: str
    told: Mapping[str, Any]  # the task's metrics in the results file
    lower: frozenset[str]  # metrics that are better when lower
    stated: frozenset[str]  # metrics that the task's own settings call means
    found: list[Line]
    member_key: str = "lm_eval_task"  # the column that tells members of a group apart, as the bridge to lm-eval names it
    headline: str = ""
    why: str = ""
    sparse: dict[str, bool] = field(default_factory=dict)  # the means: has a document none, or several values?
    samples: list[Sample] = field(default_factory=list)
    rows: dict[str, Json] = field(default_factory=dict)
    prompts: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for metric in self.names():
            column = [pieces(line.values.get(metric)) for line in self.found]
            if all(p is not None for p in column) and self.is_mean(metric, [p for p in column if p is not None]):
                self.sparse[metric] = any(p is None or p[1] != 1 for p in column)
        self.headline = next((m for m in self.sparse if self.is_score(m)), "")
        if not self.headline:
            there = ", ".join(m + (" (lower is better)" if m in self.lower else "") for m in self.names())
            where = f" under {self.name}" if self.suffix else ""
            self.why = (
                f"no metric{where} is the mean of scores of 0 to 1, the higher the better, so that two models cannot be "
                f"compared document by document; it has: {there or 'none'}."
            )
        else:
            self.fill()

    @property
    def settings(self) -> dict[str, Any]:
        return dict(self.found[0].settings)

    def names(self) -> list[str]:
        return list(dict.fromkeys(m for line in self.found for m in line.values))

    def is_mean(self, metric: str, column: Sequence[tuple[float, float]]) -> bool:
        """Do the samples add up to what the results file says?  Without one, any column of numbers is taken for a mean."""
        count = sum(n for _, n in column)
        mean = sum(total for total, _ in column) / count if count else float("nan")
        told = number(self.told.get(metric + self.suffix, self.told.get(metric)))
        if told is None or abs(mean - told) <= CLOSE * max(1.0, abs(told)):
            return bool(count)
        if metric in self.stated:
            raise SkilldeltaError(
                f"{metric}{self.suffix} is {told:.4f} in the results file, but its samples add up to {mean:.4f}: "
                "are they of this run, and whole?"
            )
        return False

    def is_score(self, metric: str) -> bool:
        """One value in 0..1 a document, the higher the better."""
        if metric in self.lower or OTHER_SCALES.search(metric):
            return False
        values = [line.values.get(metric) for line in self.found]
        known = [number(v) for v in values if not isinstance(v, list)]
        return len(known) == len(values) and all(v is None or 0 <= v <= 1 for v in known)

    def metrics(self) -> list[Metric]:
        """Every mean, as a metric beside the score."""
        keys = [(m, m + self.suffix) for m in self.sparse]
        return [Metric(key, key, f"{key}:n" if self.sparse[m] else "", "", m in self.lower) for m, key in keys]

    def left_out(self) -> str:
        """The metrics that are no means over documents, in words."""
        rest = [m for m in self.names() if m not in self.sparse]
        return f"left out, as no means over documents: {', '.join(rest)}" if rest else ""

    def fill(self) -> None:
        """The samples, with rows of the same content numbered in the order of the documents."""
        rows = Rows()
        for line in sorted(self.found, key=lambda one: (one.member, one.place)):
            row = {**line.row, self.member_key: line.member} if line.member else line.row
            identity = rows.add(row)
            value = number(line.values.get(self.headline))
            score = Score(value, line.read_as, dict(self.parts(line)), "" if value is not None else NO_NUMBER)
            self.samples.append(Sample(identity, line.prompt, line.response, score, group=line.member))
            self.prompts[identity] = line.prompt
        self.rows = rows.kept

    def parts(self, line: Line) -> Iterator[tuple[str, float]]:
        for metric, sparse in self.sparse.items():
            total, count = pieces(line.values.get(metric)) or (0.0, 0.0)
            yield metric + self.suffix, total
            if sparse:
                yield f"{metric}{self.suffix}:n", count

    def mean(self, how: Aggregate) -> float:
        """The score over documents, or over members."""
        known = [(s.group, s.score.value) for s in self.samples if s.score.value is not None]
        groups = {g: [v for h, v in known if h == g] for g in dict.fromkeys(g for g, _ in known)}
        return float(np.mean([np.mean(v) for v in groups.values()] if how == "macro" else [v for _, v in known]))


@dataclass(frozen=True)
class Table:
    """A task, or a group of them."""

    name: str
    readings: tuple[Reading, ...]
    members: tuple[str, ...] = ()


def pieces(value: Any) -> tuple[float, float] | None:
    """A document's part in a mean, as (sum, number of values): none for NaN, several for a list; None: no part in a mean."""
    if isinstance(value, list):
        each = [number(v) for v in value]
        known = [v for v in each if v is not None and 0 <= v <= 1]
        return (sum(known), float(len(known))) if len(known) == len(value) else None
    if value is None or value == "NaN" or (isinstance(value, float) and value != value):
        return 0.0, 0.0
    found = number(value)
    return None if found is None else (found, 1.0)


def combined(group: str, tables: Sequence[Table]) -> Table | None:
    """The members of a group as one table; None where they were not read and measured alike."""
    alike = {tuple((r.name, r.headline) for r in t.readings) for t in tables}
    if len(alike) != 1 or not all(headline for _, headline in next(iter(alike))):
        return None
    readings = []
    for number_, first in enumerate(tables[0].readings):
        found = [replace(one, member=t.name) for t in tables for one in t.readings[number_].found]
        readings.append(Reading(first.name, first.suffix, {}, first.lower, frozenset(), found, first.member_key))
    return Table(group, tuple(readings), tuple(t.name for t in tables))
