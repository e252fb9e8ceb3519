"""EvalPlus: *_eval_results.json, every solution with its verdict on HumanEval's or MBPP's own tests (base) and on all (plus).

Base and plus are two tasks.  Plus, which a solution passes when it passes both, counts for the skill; base stands beside it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness.interchange.log import UNKNOWN, Log, Refused, Rows, asked, task
from harness.interchange.reading import File, an_object, part, whole
from harness.types import Json, Response, Sample, Score, SkilldeltaError

BENCHMARKS = {"HumanEval": "humaneval", "Mbpp": "mbpp"}  # by the beginning of a task_id
NAME = re.compile(r"(?P<model>.+)_(?P<backend>[a-z0-9]+)_temp_(?P<temperature>[\d.]+?)(?P<rest>[-.]sanitized)?[._]eval_results")
GRADED = ("pass", "fail", "timeout")


def known(file: File) -> bool:
    return file.kind == ".json" and isinstance(file.first.get("eval"), dict) and "status" not in file.first


def read(files: Sequence[File]) -> Iterator[Log | Refused]:
    """Both tasks of a file."""
    path = files[0].path
    value = an_object(whole(path), str(path))
    verdicts = part(value, "eval", dict, str(path))
    model, settings, backend = named(path.name)
    start = str(next(iter(verdicts), "")).partition("/")[0]
    if start not in BENCHMARKS:
        raise SkilldeltaError(f"{path} holds no solutions to {' or '.join(BENCHMARKS)}; it has: {', '.join(verdicts)[:100]}.")
    name = f"evalplus:{BENCHMARKS[start]}"
    solutions = {task_id: each(found, f"{path}, {task_id}") for task_id, found in verdicts.items()}
    version = value.get("hash") or UNKNOWN
    levels = ("plus", "base") if any(s.get("plus_status") for found in solutions.values() for s in found) else ("base",)
    for level in levels:
        made, rows = samples(solutions, level)
        here = name + ("_plus" if level == "plus" else "")
        facts = task(here, version, f"EvalPlus, {BENCHMARKS[start]}", f"EvalPlus's verdicts, {level} tests")
        beside = {"beside": f"{name}_plus"} if level == "base" and len(levels) > 1 else {}
        yield Log(
            model, facts | beside, asked(made, None, settings), {"backend": f"evalplus:{backend}"}, made, rows,
            source={"task": BENCHMARKS[start], "filter": level, "metric": "pass@1"},
        )  # fmt: skip


def named(file: str) -> tuple[str, dict[str, Any], str]:
    """(model, settings, backend), as EvalPlus writes them into a file's name: {org--model}_{backend}_temp_{t}."""
    found = NAME.match(file)
    if not found:
        return re.sub(r"[._-]?eval_results.*", "", file) or UNKNOWN, {"temperature": UNKNOWN, "sanitized": UNKNOWN}, UNKNOWN
    settings = {"temperature": float(found["temperature"].strip(".") or 0), "sanitized": bool(found["rest"])}
    return found["model"].replace("--", "/"), settings, found["backend"]


def each(found: Any, where: str) -> list[Json]:
    """The solutions to one problem."""
    if not isinstance(found, list):
        raise SkilldeltaError(f"{where} holds no list of solutions: this is EvalPlus's format before version 0.2.")
    return [an_object(one, where) for one in found]


def samples(solutions: Mapping[str, Sequence[Json]], level: str) -> tuple[list[Sample], Mapping[str, Json]]:
    """One sample a solution, in the order of the problems' numbers; a verdict that is none gives no score."""
    rows, made = Rows(), []
    for task_id in sorted(solutions, key=lambda t: (int(t.rpartition("/")[2]) if t.rpartition("/")[2].isdigit() else 0, t)):
        example = rows.add({"task_id": task_id})
        for draw, one in enumerate(solutions[task_id]):
            states = [one.get("base_status"), *([one.get("plus_status")] if level == "plus" else [])]
            value = float(all(s == "pass" for s in states)) if all(s in GRADED for s in states) else None
            score = Score(value, ", ".join(map(str, states)), {}, "" if value is not None else f"its verdict is {states[-1]}")
            made.append(Sample(example, UNKNOWN, Response(str(one.get("solution", ""))), score, draw))
    return made, rows.kept
