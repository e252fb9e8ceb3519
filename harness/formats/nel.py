"""NeMo Evaluator: a folder for each model and benchmark, with a bundle eval-*.json and its records, results.jsonl.

Reading: its rewards are the scores.  A problem whose solver failed has no score, though NeMo Evaluator writes 0 for it.  It
knows problems by their place alone, so the question and the expected answer are part of an example too.

Writing, for `nel compare` and `nel gate`: both pair problems by number, so the number comes from the content of the example
here.  A record needs a reward, so a sample without a score has none: the bundle says how many there are.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from harness.atomic_files import folder_name, write_bytes, write_json
from harness.grouping import group_by
from harness.interchange import untrusted_files
from harness.interchange.export_results import ExportedCell, find_target
from harness.interchange.imported_log import UNKNOWN, ImportedLog, RefusedLog, describe_inputs, describe_task
from harness.interchange.untrusted_files import UntrustedFile, finite_number, load_json, require_field
from harness.json_lines import encode_lines
from harness.json_values import storable
from harness.types import Json, Response, Sample, Score, SkilldeltaError, digest

RESULTS = "results.jsonl"
AGGREGATES = ("mean",)  # that its bundle can tell
IDENTITY = ("model", "model_url", "model_id", "api_key", "output_dir", "benchmark")  # settings that move no answer


def holds_scores(file: UntrustedFile) -> bool:
    if file.suffix == ".jsonl":
        return {"problem_idx", "reward"} <= set(file.first)
    return isinstance(file.first.get("benchmark"), dict) and "scores" in file.first["benchmark"]


def group_by_run(files: Sequence[UntrustedFile]) -> list[list[UntrustedFile]]:
    """The files of one folder."""
    return list(group_by(files, lambda file: file.path.parent).values())


def read_scores(files: Sequence[UntrustedFile]) -> Iterator[ImportedLog | RefusedLog]:
    """The one benchmark of a folder."""
    bundles = [file.path for file in files if file.suffix == ".json"]
    records = next((file.path for file in files if file.suffix == ".jsonl"), files[0].path.parent / RESULTS)
    if len(bundles) > 1:
        raise SkilldeltaError(f"{bundles[0].parent} holds {len(bundles)} bundles, and one {RESULTS}: whose samples are they?")
    bundle = untrusted_files.require_object(load_json(bundles[0]), str(bundles[0])) if bundles else {}
    benchmark, config = bundle.get("benchmark") or {}, bundle.get("config") or {}
    name = str(benchmark.get("name") or config.get("benchmark") or records.parent.name)
    model = str(config.get("model") or records.parent.parent.name)
    if not records.is_file():
        why = f"there is no {records}: only means, which cannot be compared problem by problem."
        yield RefusedLog(model, f"nel:{name}", why, is_missing=True)
        return
    rows: dict[str, Json] = {}
    prompts: dict[str, str] = {}
    lines = untrusted_files.read_objects(records)
    samples = [parse_record(record, rows, prompts, f"{records}, line {n}") for n, record in lines]
    if outside := [s.score.value for s in samples if s.score.value is not None and not 0 <= s.score.value <= 1]:
        why = f"its rewards are no scores of 0 to 1: {len(outside)} of {len(samples)}, the first {outside[0]:g}."
        yield RefusedLog(model, f"nel:{name}", why)
        return
    settings = {key: value for key, value in config.items() if key not in IDENTITY}
    version, source = config.get("version", UNKNOWN), f"NeMo Evaluator, {name}"
    task = describe_task(f"nel:{name}", version, source, f"NeMo Evaluator's rewards on {name}")
    inputs = describe_inputs(samples, prompts if len(prompts) == len(rows) else None, settings)
    backend = {"backend": "nel", "nemo_evaluator": bundle.get("sdk_version") or UNKNOWN}
    names = {"task": name, "filter": "none", "metric": "reward"}
    yield ImportedLog(model, task, inputs, backend, samples, rows, note_failures(samples), names)


def parse_record(record: Json, rows: dict[str, Json], prompts: dict[str, str], where: str) -> Sample:
    """A line of results.jsonl; adds its row and its prompt's hash under the example.  Repeats are draws of one example."""
    place, repeat = require_field(record, "problem_idx", int, where), record.get("repeat", 0)
    if not isinstance(repeat, int) or "reward" not in record:
        columns = ", ".join(record)[:200]
        raise SkilldeltaError(f"{where}: a record needs a reward, and a whole number as repeat; it has: {columns}.")
    details = record["scoring_details"] if isinstance(record.get("scoring_details"), dict) else {}
    metadata = record["metadata"] if isinstance(record.get("metadata"), dict) else {}
    row = storable({"problem_idx": place} | {name: record.get(name) for name in ("prompt", "expected_answer")})
    example = digest(row)
    rows[example] = row
    if record.get("prompt"):
        prompts[example] = digest(row["prompt"])
    failure = str(details.get("error") or "the solver failed") if details.get("method") == "solve_failed" else ""
    if isinstance(record["reward"], float) and math.isinf(record["reward"]):
        raise SkilldeltaError(f"{where}: the reward is infinite, which is no score.")
    reward = None if failure else finite_number(record["reward"])
    answer_text = str(record.get("extracted_answer") or "")[-200:]
    score = Score(reward, answer_text, {}, "" if reward is not None else failure or "its reward is no number")
    tokens = int(finite_number(record.get("tokens")) or 0)
    text = str(record.get("model_response") or "")
    response = Response(text, "error" if failure else "stop", tokens_out=tokens, error=failure[:500])
    group = str(metadata.get("category") or details.get("category") or "")
    return Sample(example, prompts.get(example, UNKNOWN), response, score, repeat, group)


def note_failures(samples: Sequence[Sample]) -> str:
    failures = sum(sample.response.finish == "error" for sample in samples)
    return f"{failures} problems whose solver failed have no score here, and 0 in NeMo Evaluator's mean" if failures else ""


def write(cells: Sequence[ExportedCell], folder: Path) -> list[Path]:
    """A bundle and its records for each cell; gives the paths of all files."""
    paths = []
    for cell in cells:
        place = folder / folder_name(cell.checkpoint.name) / folder_name(cell.name)
        bundle = place / f"eval-{folder_name(cell.name)}.json"
        write_bytes(place / RESULTS, encode_lines(make_records(cell)))
        write_json(bundle, make_bundle(cell))
        paths += [bundle, place / RESULTS]
    return paths


def make_records(cell: ExportedCell) -> Iterator[dict[str, Any]]:
    """A line of results.jsonl for each sample with a score."""
    for sample in cell.samples:
        if sample.score.value is not None:
            yield {
                "problem_idx": number_example(sample.example),
                "repeat": sample.draw,
                "reward": sample.score.value,
                "expected_answer": find_target(cell.rows.get(sample.example, {})),
                "model_response": sample.response.text,
                "extracted_answer": sample.score.extracted,
                "metadata": {"category": sample.group} if sample.group else {},
                "tokens": sample.response.tokens_out,
            }


def number_example(example: str) -> int:
    """A number for an example, of 52 bits: any program's JSON holds it exactly."""
    return int(digest(example, 13), 16)


def make_bundle(cell: ExportedCell) -> dict[str, Any]:
    """The bundle.  `mean_reward` is the mean of the records, as NeMo Evaluator has it; `score` ours (macro, F1, pass@k)."""
    with_score = [sample for sample in cell.samples if sample.score.value is not None]
    estimate, inputs = cell.measures[0], cell.record.inputs
    bounds = {"value": estimate.score, "ci_lower": estimate.interval.low, "ci_upper": estimate.interval.high}
    return {
        "run_id": f"eval-{folder_name(cell.name)}",
        "config_hash": f"sha256:{digest(list(cell.record.comparable().values()), 64)}",
        "timestamp": cell.record.finished,
        "config": {"benchmark": cell.name, "model": cell.checkpoint.name, **inputs.to_json()},
        "benchmark": {
            "name": cell.name,
            "samples": len({sample.example for sample in with_score}),
            "repeats": inputs.draws,
            "scores": average_rewards(with_score) | {"score": {k: v if np.isfinite(v) else None for k, v in bounds.items()}},
            "categories": average_categories(with_score),
        },
        "n_results": len(with_score),
        "n_unscored": cell.n_unscored,
    }


def average_rewards(with_score: Sequence[Sample]) -> dict[str, Any]:
    """The mean reward; as pass@1 too, where every reward is 0 or 1."""
    rewards = np.array([sample.score.value for sample in with_score], np.float64)
    mean = {"value": float(rewards.mean()) if len(rewards) else None}
    return {"mean_reward": mean} | ({"pass@1": mean} if bool(np.all((rewards == 0) | (rewards == 1))) else {})


def average_categories(with_score: Sequence[Sample]) -> dict[str, Any]:
    by_category = group_by((sample for sample in with_score if sample.group), lambda sample: sample.group)
    rewards = {name: [sample.score.value or 0.0 for sample in samples] for name, samples in by_category.items()}
    return {name: {"mean_reward": sum(values) / len(values), "n": len(values)} for name, values in rewards.items()}
