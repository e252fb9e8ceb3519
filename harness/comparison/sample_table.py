"""A cell's samples as columns of numbers: two million lines fit in memory, and are read in one pass."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.bounded_files import read_bytes
from harness.json_texts import refuse_constant
from harness.sample_lines import are_plain, sample_to_json
from harness.statistics.pass_at_k import pass_at
from harness.types import SkilldeltaError

if TYPE_CHECKING:
    from harness.statistics.aggregates import Floats, Ints
    from harness.store import Cell, SampleKey

MAX_BYTES = 1 << 34  # of the samples of one cell


@dataclass(frozen=True)
class SampleTable:
    """The samples of one cell: a row for each (example, draw), in the order of the file."""

    keys: list[SampleKey]
    score: Floats  # NaN: unscored
    group: list[str]
    cluster: list[str]  # samples that are not independent share a name
    parts: Mapping[str, Floats]  # NaN: the sample lacks this part
    tokens: Floats  # tokens of the response
    health: Mapping[str, int] = field(default_factory=dict)
    reasons: Mapping[str, int] = field(default_factory=dict)  # why there is no score, with how often
    requests: Sequence[str] = ()  # hashes of what was asked


def read_table(cell: Cell, part: Callable[[str], bool] | None = None) -> SampleTable:
    """A cell's samples, or those of some examples.  Of several lines for one example and draw, the last counts."""
    lines = {(v["example"], v["draw"]): v for v in read_lines(cell) if part is None or part(v["example"])}
    return make_table(lines)


def read_lines(cell: Cell) -> list[dict[str, Any]]:
    """The lines as JSON.  SkilldeltaError with the number of a damaged line; a torn last line is passed over.

    Lines of one sample with scores that differ are damaged too.
    """
    try:
        content = read_bytes(cell.samples_file, MAX_BYTES) if os.path.lexists(cell.samples_file) else b""
        lines = content.split(b"\n")[:-1]  # what follows the last newline is a torn line
        # Read as one array: half the time of reading two million lines one by one.
        samples: list[dict[str, Any]] = json.loads(b"[" + b",".join(lines) + b"]", parse_constant=refuse_constant)
        if (
            len(samples) == len(lines)
            and are_plain(samples)
            and len({(v["example"], v["draw"]) for v in samples}) == len(lines)
        ):
            return samples
    except (ValueError, RecursionError):  # cell.samples() says where, unless it is something that it can pass over
        pass
    return [sample_to_json(sample) for sample in cell.samples()]


def make_table(lines: Mapping[SampleKey, dict[str, Any]]) -> SampleTable:
    """A table from the lines of samples.jsonl by example and draw."""
    samples = list(lines.values())
    names = sorted({name for v in samples if "parts" in v for name in v["parts"]})
    return SampleTable(
        keys=list(lines),
        score=float_array([v["score"] for v in samples]),
        group=[v.get("group", "") for v in samples],
        cluster=[v.get("cluster") or v["example"] for v in samples],
        parts={name: float_array(v.get("parts", {}).get(name) for v in samples) for name in names} | reading_parts(samples),
        tokens=float_array([v["tokens_out"] for v in samples]),
        health=count_health(samples),
        reasons=Counter(v.get("why", "") for v in samples if v["score"] is None),
        requests=[v.get("request", "") for v in samples],
    )


def reading_parts(samples: Sequence[Mapping[str, Any]]) -> dict[str, Floats]:
    """What was seen of the reasoning in texts, next to the parts of scores; {} where nothing was read."""
    readings = [(v.get("reading") or None, v["finish"]) for v in samples]
    if not any(reading for reading, _ in readings):
        return {}
    lengths = {name: [r and r[name] for r, _ in readings] for name in ("reasoning", "answer")}
    shares = {name: [r and float(r.get(name, 0) > 0) for r, _ in readings] for name in ("unclosed", "loop")}
    cuts = {"truncated": [r and float(finish == "length") for r, finish in readings]}
    return {f"reading.{name}": float_array(values) for name, values in (lengths | shares | cuts).items()}


def float_array(numbers: Iterable[float | None]) -> Floats:
    return np.array(list(numbers), np.float64)  # None becomes NaN


def count_health(lines: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """How many responses were truncated, over-long (never sent), failed, empty, unreadable, refusals or unscored."""
    ends = Counter([v["finish"] for v in lines])
    text_samples = [v for v in lines if isinstance(v["response"], str) and v["finish"] in ("stop", "length")]
    return {
        "truncated": ends["length"],
        "overlong": ends["overlong"],
        "failed": ends["error"],
        "empty": sum(not v["response"].strip() for v in text_samples),
        "unreadable": count_unreadable(text_samples),
        "refused": sum(v["parts"].get("refused", 0) > 0 for v in lines if "parts" in v),
        "unscored": [v["score"] for v in lines].count(None),
        **{name: count for name, count in count_readings(lines).items() if count},
    }


def count_unreadable(text_samples: Sequence[Mapping[str, Any]]) -> int:
    """How many texts nothing was taken from.  A task that gives points for such texts does not say what it takes: none."""
    texts = [v for v in text_samples if v["response"].strip() and not (v.get("extracted") or v.get("read_as"))]
    return 0 if any((v["score"] or 0) > 0 for v in texts) else len(texts)


def count_readings(lines: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """How many texts have reasoning, how many never close it, and how many end in a loop."""
    readings = [v["reading"] for v in lines if "reading" in v]
    return {
        "with reasoning": sum(r["reasoning"] > 0 for r in readings),
        "unclosed": sum(r.get("unclosed", 0) > 0 for r in readings),
        "beginning with an unknown block": sum(r.get("unknown_block", 0) > 0 for r in readings),
        "ending in a loop": sum(r.get("loop", 0) > 0 for r in readings),
    }


def collapse_draws(columns: SampleTable, k: int) -> SampleTable:
    """One row for each example: pass@k as its score, and the means of its draws' parts with pass@1 among them.

    SkilldeltaError where no example has k draws.
    """
    examples: dict[str, int] = {}
    owner = np.array([examples.setdefault(example, len(examples)) for example, _ in columns.keys], np.int64)
    count = len(examples)
    has_score = ~np.isnan(columns.score)
    draws = np.bincount(owner[has_score], minlength=count).astype(np.float64)
    right = np.bincount(owner[has_score], weights=columns.score[has_score], minlength=count).astype(np.float64)
    max_draws = int(np.bincount(owner).max()) if count else k
    if max_draws < k:
        raise SkilldeltaError(
            f"pass@{k} needs {k} draws of each problem; there are {max_draws}.  Score with --draws {k} or more."
        )
    first = np.unique(owner, return_index=True)[1]
    parts = {name: mean_over_draws(values, owner, count) for name, values in columns.parts.items()}
    return replace(
        columns,
        keys=[(example, 0) for example in examples],
        score=pass_at(k, right, draws),
        group=[columns.group[i] for i in first],
        cluster=[columns.cluster[i] for i in first],
        parts=parts | {"pass@1": mean_over_draws(columns.score, owner, count)},
        tokens=mean_over_draws(columns.tokens, owner, count),
        requests=[columns.requests[i] for i in first] if columns.requests else (),
    )


def mean_over_draws(values: Floats, owner: Ints, count: int) -> Floats:
    """[examples]: the mean over draws that have a value; NaN where none has."""
    present = ~np.isnan(values)
    number = np.bincount(owner[present], minlength=count)
    total = np.bincount(owner[present], weights=values[present], minlength=count)
    return np.where(number > 0, total / np.maximum(number, 1), np.nan)
