"""EvalPlus: *_eval_results.json, every solution with its verdict on HumanEval's or MBPP's own tests (base) and on all (plus).

Base and plus are two tasks.  Plus, which a solution passes when it passes both, counts for the skill; base is its variant.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from harness.interchange.imported_log import UNKNOWN, ExampleRows, ImportedLog, RefusedLog, describe_inputs, describe_task
from harness.interchange.recorded_answers import parse_answers
from harness.interchange.recorded_outputs import RecordedOutput
from harness.interchange.untrusted_files import UntrustedFile, load_json, require_field, require_object
from harness.types import Json, Response, Sample, Score, SkilldeltaError

BENCHMARKS = {"HumanEval": "humaneval", "Mbpp": "mbpp"}  # by the beginning of a task_id
NAME = re.compile(r"(?P<model>.+)_(?P<backend>[a-z0-9]+)_temp_(?P<temperature>[\d.]+?)(?P<rest>[-.]sanitized)?[._]eval_results")
VERDICTS = ("pass", "fail", "timeout")


def holds_outputs(file: UntrustedFile) -> bool:
    problems = file.content.get("eval") if isinstance(file.content, dict) else None
    return isinstance(problems, dict) and all(
        isinstance(solutions, list) and all("solution" in solution for solution in solutions) for solutions in problems.values()
    )


def read_outputs(file: UntrustedFile, model: str) -> Iterator[RecordedOutput]:
    """Every solution, by the problem's id."""
    for task_id, solutions in parse_solutions(file.content, str(file.path)).items():
        for solution in solutions:
            for response in parse_answers(solution.get("solution"), {}):
                yield RecordedOutput(response, id=task_id)


def holds_scores(file: UntrustedFile) -> bool:
    return file.suffix == ".json" and isinstance(file.first.get("eval"), dict) and "status" not in file.first


def read_scores(files: Sequence[UntrustedFile]) -> Iterator[ImportedLog | RefusedLog]:
    """Both tasks of a file."""
    path = files[0].path
    content = load_json(path)
    problems = parse_solutions(content, str(path))
    benchmark = str(next(iter(problems), "")).partition("/")[0]
    if benchmark not in BENCHMARKS:
        raise SkilldeltaError(f"{path} holds no solutions to {' or '.join(BENCHMARKS)}; it has: {', '.join(problems)[:100]}.")
    model, settings, backend = parse_name(path.name)
    base_name = f"evalplus:{BENCHMARKS[benchmark]}"
    plus_name = f"{base_name}_plus"
    has_plus = any(solution.get("plus_status") for solutions in problems.values() for solution in solutions)
    version, program = content.get("hash") or UNKNOWN, f"EvalPlus, {BENCHMARKS[benchmark]}"
    for level in ("plus", "base") if has_plus else ("base",):
        name = plus_name if level == "plus" else base_name
        task = describe_task(name, version, program, f"EvalPlus's verdicts, {level} tests")
        task = replace(task, variant_of=plus_name if level == "base" and has_plus else "")
        samples, rows = make_samples(problems, level)
        inputs = describe_inputs(samples, None, settings)
        source = {"task": BENCHMARKS[benchmark], "filter": level, "metric": "pass@1"}
        yield ImportedLog(model, task, inputs, {"backend": f"evalplus:{backend}"}, samples, rows, source=source)


def parse_name(file_name: str) -> tuple[str, dict[str, Any], str]:
    """(model, settings, backend), as EvalPlus writes them into a file's name: {org--model}_{backend}_temp_{t}."""
    match = NAME.match(file_name)
    if not match:
        model = re.sub(r"[._-]?eval_results.*", "", file_name) or UNKNOWN
        return model, {"temperature": UNKNOWN, "sanitized": UNKNOWN}, UNKNOWN
    settings = {"temperature": float(match["temperature"].strip(".") or 0), "sanitized": bool(match["rest"])}
    return match["model"].replace("--", "/"), settings, match["backend"]


def parse_solutions(content: Any, where: str) -> dict[str, list[Json]]:
    """The solutions to each problem, by its task_id."""
    problems = require_field(require_object(content, where), "eval", dict, where)
    for task_id, solutions in problems.items():
        if not isinstance(solutions, list):
            old_format = "this is EvalPlus's format before version 0.2"
            raise SkilldeltaError(f"{where}, {task_id} holds no list of solutions: {old_format}.")
        for solution in solutions:
            require_object(solution, f"{where}, {task_id}")
    return dict(problems)


def make_samples(problems: Mapping[str, Sequence[Json]], level: str) -> tuple[list[Sample], Mapping[str, Json]]:
    """One sample a solution, in the order of the problems' numbers, and their rows.  An unknown verdict gives no score."""
    rows, samples = ExampleRows(), []
    for task_id in sorted(problems, key=lambda t: (int(t.rpartition("/")[2]) if t.rpartition("/")[2].isdigit() else 0, t)):
        example = rows.add({"task_id": task_id})
        for draw, solution in enumerate(problems[task_id]):
            verdicts = [solution.get("base_status"), *([solution.get("plus_status")] if level == "plus" else [])]
            has_verdicts = all(verdict in VERDICTS for verdict in verdicts)
            value = float(all(verdict == "pass" for verdict in verdicts)) if has_verdicts else None
            score = Score(value, ", ".join(map(str, verdicts)), {}, "" if has_verdicts else f"its verdict is {verdicts[-1]}")
            samples.append(Sample(example, UNKNOWN, Response(str(solution.get("solution") or "")), score, draw))
    return samples, rows.by_id
