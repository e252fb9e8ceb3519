"""The samples of one lm-eval task: a reading for each filter, with the metrics that its samples add up to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from harness.interchange.log import UNKNOWN, Rows
from harness.interchange.names import OTHER_SCALES
from harness.interchange.reading import brief, lines, number, part, plain
from harness.recorded import formats
from harness.types import Aggregate, Json, Metric, Response, Sample, Score, SkilldeltaError, digest

FIELDS = {"doc_id", "doc", "target", "arguments", "resps", "filtered_resps", "filter", "metrics",
          "doc_hash", "prompt_hash", "target_hash"}  # fmt: skip
CLOSE = 1e-6
NO_NUMBER = "lm-eval gave no number"


@dataclass(frozen=True)
class Line:
    """What is kept of a line: a document under one filter."""

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
    """A task under one filter."""

    filter: str
    told: Mapping[str, Any]  # the task's metrics in the results file
    lower: frozenset[str]  # metrics that are better when lower
    stated: frozenset[str]  # metrics that the task's own settings call means
    found: list[Line]
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
            self.why = (
                f"under {self.filter} no metric is the mean of scores of 0 to 1, the higher the better, so that two models "
                f"cannot be compared document by document; it has: {there or 'none'}."
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
        told = number(self.told.get(f"{metric},{self.filter}", self.told.get(metric)))
        if told is None or abs(mean - told) <= CLOSE * max(1.0, abs(told)):
            return bool(count)
        if metric in self.stated:
            raise SkilldeltaError(
                f"{metric},{self.filter} is {told:.4f} in the results file, but its samples add up to {mean:.4f}: "
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
        """Every mean under this filter, as a metric beside the score."""
        keys = [(m, f"{m},{self.filter}") for m in self.sparse]
        return [Metric(key, key, f"{key}:n" if self.sparse[m] else "", "", m in self.lower) for m, key in keys]

    def left_out(self) -> str:
        """The metrics that are no means over documents, in words."""
        rest = [m for m in self.names() if m not in self.sparse]
        return f"left out, as no means over documents: {', '.join(rest)}" if rest else ""

    def fill(self) -> None:
        """The samples, with rows of the same content numbered in the order of the documents."""
        rows = Rows()
        for line in sorted(self.found, key=lambda one: (one.member, one.place)):
            row = {**line.row, "lm_eval_task": line.member} if line.member else line.row
            identity = rows.add(row)
            value = number(line.values.get(self.headline))
            score = Score(value, line.read_as, dict(self.parts(line)), "" if value is not None else NO_NUMBER)
            self.samples.append(Sample(identity, line.prompt, line.response, score, group=line.member))
            self.prompts[identity] = line.prompt
        self.rows = rows.kept

    def parts(self, line: Line) -> Iterator[tuple[str, float]]:
        for metric, sparse in self.sparse.items():
            total, count = pieces(line.values.get(metric)) or (0.0, 0.0)
            yield f"{metric},{self.filter}", total
            if sparse:
                yield f"{metric},{self.filter}:n", count

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


def table(name: str, path: Path, results: Json) -> Table:
    """The samples of one file; as many of them as the results file says, under every filter."""
    filters: dict[str, list[Line]] = {}
    seen: set[tuple[str, int]] = set()
    for count, row in lines(path):
        which, found = line(row, f"{path.name}, line {count}")
        if (which, found.place) in seen:
            raise SkilldeltaError(
                f"{path.name} has document {found.place} twice" + (f" under {which}" if "filter" in row else
                ", without saying under which filter: lm-eval 0.4.9 and later tell")
            )  # fmt: skip
        seen.add((which, found.place))
        filters.setdefault(which, []).append(found)
    expected = ((results.get("n-samples") or {}).get(name) or {}).get("effective")
    for which, found_lines in filters.items():
        if isinstance(expected, int) and len(found_lines) != expected:
            raise SkilldeltaError(f"{path.name} holds {len(found_lines)} of {expected} samples under {which}: is it whole?")
    if not filters:
        raise SkilldeltaError(f"{path.name} holds no samples.")
    return Table(name, tuple(reading(name, which, found, results) for which, found in filters.items()))


def reading(name: str, which: str, found: list[Line], results: Json) -> Reading:
    better = (results.get("higher_is_better") or {}).get(name) or {}
    settings = (results.get("configs") or {}).get(name) or {}
    listed = [m for m in settings.get("metric_list") or () if isinstance(m, dict)]
    return Reading(
        which,
        (results.get("results") or {}).get(name) or {},
        frozenset(m for m, higher in better.items() if higher is False),
        frozenset(str(m.get("metric")) for m in listed if m.get("aggregation") == "mean"),
        found,
    )


def line(row: Json, where: str) -> tuple[str, Line]:
    """(filter, what is kept)."""
    place = part(row, "doc_id", int, where)
    doc = row.get("doc")
    known = doc if isinstance(doc, dict) else {"doc_hash": row["doc_hash"]} if row.get("doc_hash") else {"doc": doc}
    names = row["metrics"] if isinstance(row.get("metrics"), list) else [k for k in row if k not in FIELDS]
    try:
        said = next(iter(formats.lm_eval_records({**row, "doc": known})), None)
        given = formats.arguments(row.get("arguments") or ())
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise SkilldeltaError(f"{where}, is not as lm-eval writes it ({error!r}): it has {brief(row.get('resps'))}.") from error
    settings = given[0][1] if given and len(given[0]) > 1 and isinstance(given[0][1], dict) else {}
    prompt = digest(plain(given)) if given else str(row.get("prompt_hash") or UNKNOWN)
    response = finite(said.response if said else Response(error="no response was logged", finish="error"))
    values = {str(m): row.get(m) for m in names}
    return str(row.get("filter", "none")), Line(place, plain(known), prompt, response, read_as(row), values, plain(settings))


def finite(response: Response) -> Response:
    """The response, without log-probabilities that are no numbers."""
    return response if all(np.isfinite(response.logprobs)) else replace(response, logprobs=(), greedy=())


def read_as(row: Json) -> str:
    """What the filter read in a text; "" where it found nothing."""
    found = row.get("filtered_resps")
    first = found[0] if isinstance(found, list) and found else found
    text = first if isinstance(first, str) else ""
    return "" if text == "[invalid]" else text.strip()[-200:]


def combined(group: str, tables: Sequence[Table]) -> Table | None:
    """The members of a group as one table; None where they were not read and measured alike."""
    alike = {tuple((r.filter, r.headline) for r in t.readings) for t in tables}
    if len(alike) != 1 or not all(headline for _, headline in next(iter(alike))):
        return None
    readings = []
    for number_, first in enumerate(tables[0].readings):
        found = [replace(one, member=t.name) for t in tables for one in t.readings[number_].found]
        readings.append(Reading(first.filter, {}, first.lower, frozenset(), found))
    return Table(group, tuple(readings), tuple(t.name for t in tables))
