"""NeMo Evaluator: for each checkpoint and task a folder with eval-TASK.json and results.jsonl (`nel compare`, `nel gate`).

It pairs problems by number.  The number here comes from the content of the example, so that bundles pair by content,
whatever was exported when.  A sample without a score has no record, which needs a reward: the bundle says how many.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from harness.exporting import Kept
from harness.store import encode, folder_name, write_bytes, write_json
from harness.types import Sample, digest

ANSWERS = ("answer", "target", "expected_answer", "label")  # columns that hold what is expected
RESULTS = "results.jsonl"


def write(cells: Sequence[Kept], folder: Path) -> list[Path]:
    paths = []
    for cell in cells:
        place = folder / folder_name(str(cell.checkpoint["name"])) / folder_name(cell.name)
        bundle = place / f"eval-{folder_name(cell.name)}.json"
        write_bytes(place / RESULTS, b"".join(encode(one) for one in records(cell)))
        write_json(bundle, about(cell))
        paths += [bundle, place / RESULTS]
    return paths


def problem(example: str) -> int:
    """A number for an example, of 52 bits: any program's JSON holds it exactly."""
    return int(digest(example, 13), 16)


def records(cell: Kept) -> Iterator[dict[str, Any]]:
    for s in cell.samples:
        if s.score.value is None:
            continue
        row = cell.rows.get(s.example, {})
        expected = next((str(row[name]) for name in ANSWERS if row.get(name) is not None), None)
        yield {
            "problem_idx": problem(s.example),
            "repeat": s.draw,
            "reward": s.score.value,
            "expected_answer": expected,
            "model_response": s.response.text,
            "extracted_answer": s.score.extracted,
            "metadata": {"category": s.group} if s.group else {},
            "tokens": s.response.tokens_out,
        }


def about(cell: Kept) -> dict[str, Any]:
    """The bundle.  `mean_reward` is the mean of the records, as NeMo Evaluator has it; `score` ours (macro, F1, pass@k)."""
    there = [s for s in cell.samples if s.score.value is not None]
    own, asked = cell.measured[0], cell.about["asked"]
    return {
        "run_id": f"eval-{folder_name(cell.name)}",
        "config_hash": f"sha256:{digest([cell.about['task'], asked, cell.about['answered']], 64)}",
        "timestamp": cell.about.get("finished", ""),
        "config": {"benchmark": cell.name, "model": cell.checkpoint["name"], **asked},
        "benchmark": {
            "name": cell.name,
            "samples": len({s.example for s in there}),
            "repeats": asked["draws"],
            "scores": scores(there) | {"score": value(own.score, own.interval.low, own.interval.high)},
            "categories": categories(there),
        },
        "n_results": len(there),
        "n_unscored": cell.unscored,
    }


def scores(there: Sequence[Sample]) -> dict[str, Any]:
    rewards = np.array([s.score.value for s in there], np.float64)
    mean = float(rewards.mean()) if len(rewards) else None
    binary = bool(np.all((rewards == 0) | (rewards == 1)))
    return {"mean_reward": {"value": mean}} | ({"pass@1": {"value": mean}} if binary else {})


def value(score: float, low: float, high: float) -> dict[str, float | None]:
    named = {"value": score, "ci_lower": low, "ci_upper": high}
    return {name: v if np.isfinite(v) else None for name, v in named.items()}


def categories(there: Sequence[Sample]) -> dict[str, Any]:
    groups: dict[str, list[float]] = {}
    for s in there:
        if s.group and s.score.value is not None:
            groups.setdefault(s.group, []).append(s.score.value)
    return {name: {"mean_reward": sum(v) / len(v), "n": len(v)} for name, v in groups.items()}
