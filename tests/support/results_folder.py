"""Makes results folders for tests: scores go in, a folder as `skilldelta score` writes it comes out."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.records import CellRecord
from harness.store import Results
from harness.types import Checkpoint, Response, Sample, Score, digest

ABOUT: dict[str, Any] = {
    "task": {"version": 1, "source": "", "aggregate": "mean", "positive": "", "chance": 0.0, "summary": "", "metrics": []},
    "inputs": {"data": "d1", "prompts": "p1", "examples": 0, "draws": 1, "kind": "generate", "settings": {}},
    "backend": {"backend": "scripted"},
    "state": "done",
}


def sample(example: object, score: float | None, **more: Any) -> Sample:
    """A sample of the row `example`; `more`: text, finish, parts, group, cluster, draw, why."""
    response = Response(more.pop("text", "an answer"), more.pop("finish", "stop"), tokens_out=3)
    value = Score(score, "read" if score is not None else "", more.pop("parts", {}), more.pop("why", ""))
    return Sample(digest(example), "request", response, value, **more)


def about(task: str, skill: str, /, **changes: Mapping[str, Any]) -> dict[str, Any]:
    """task.json, with some of its parts changed."""
    whole = copy.deepcopy(ABOUT)
    whole["task"] |= {"name": task, "skill": skill}
    whole["inputs"] |= {"data": f"rows of {task}"}
    for part, values in changes.items():
        whole[part] = values if part == "state" else whole[part] | dict(values)
    return whole


def store(folder: Path, checkpoint: str, facts: Mapping[str, Any], samples: Sequence[Sample]) -> None:
    """Stores one cell."""
    results = Results.make(folder)
    results.add(Checkpoint(checkpoint, "", "recorded"), {"outputs": checkpoint})
    record = CellRecord.from_json(facts)
    cell = results.cell(checkpoint, record.task.name)
    cell.write_record(record)
    cell.rewrite(samples)


def store_scores(folder: Path, checkpoint: str, task: str, scores: Sequence[float | None], skill: str = "") -> None:
    """Stores a plain task: one sample a score, the n-th of row n."""
    store(folder, checkpoint, about(task, skill or task), [sample(i, s) for i, s in enumerate(scores)])
