"""lm-eval's layout: MODEL/results_TIME.json and MODEL/samples_TASK_TIME.jsonl, as --log_samples writes them.

Metrics named "metric,filter" are lm-eval's own, and go back under their filter; for any other task the score is the metric
`score`.  A macro mean is a group whose members count alike.  Draws of one example are one document, with all its responses.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.exporting import Kept
from harness.exports.lm_eval_documents import Part, document_lines, parts
from harness.interchange.log import UNKNOWN
from harness.registry import LM_EVAL
from harness.store import encode, folder_name, write_bytes, write_json
from harness.types import Json

SAFE = '"<>:/|\\?*[]'  # characters that lm-eval replaces in the name of a model's folder


def write(cells: Sequence[Kept], folder: Path) -> list[Path]:
    """A folder for each checkpoint."""
    models: dict[str, list[Kept]] = {}
    for cell in cells:
        models.setdefault(str(cell.checkpoint["name"]), []).append(cell)
    return [path for name, mine in models.items() for path in model(name, mine, folder)]


def model(name: str, cells: Sequence[Kept], folder: Path) -> list[Path]:
    """One run: the samples of every task, and the results."""
    place = folder / sanitized(name)
    ended = max(str(c.about.get("finished") or "1970-01-01T00:00:00Z") for c in cells)
    when = datetime.fromisoformat(ended)
    stamp = when.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds").replace(":", "-")
    tasks: dict[str, list[Kept]] = {}
    for cell in cells:
        tasks.setdefault(own(cell), []).append(cell)
    paths, found = [], head(name, cells[0], when.timestamp())
    for task, mine in tasks.items():
        members = [p for cell in mine for p in parts(cell, task)]
        for member in dict.fromkeys(p.name for p in members):
            readings = [p for p in members if p.name == member]
            paths.append(place / f"samples_{folder_name(member)}_{stamp}.jsonl")
            write_bytes(paths[-1], b"".join(encode(line) for p in readings for line in document_lines(p)))
            describe(found, member, readings)
        if any(p.name != task for p in members):
            group(found, task, mine[0], members)
    path = place / f"results_{stamp}.json"
    write_json(path, found)
    return [path, *paths]


def sanitized(name: str) -> str:
    """A model's name as lm-eval writes it into a folder's; never a path that leads elsewhere."""
    return folder_name("".join("__" if c in SAFE else c for c in name))


def own(cell: Kept) -> str:
    """The task by lm-eval's name of it; another's by its own, its filters apart."""
    return cell.name.removeprefix(LM_EVAL).partition("@")[0] if cell.name.startswith(LM_EVAL) else cell.name


def head(name: str, cell: Kept, date: float) -> dict[str, Any]:
    """results_*.json without the tasks."""
    answered = cell.about.get("answered") or {}
    where = cell.checkpoint.get("path") or name
    template = answered.get("template")
    return {
        "results": {}, "groups": {}, "group_subtasks": {}, "configs": {}, "versions": {}, "n-shot": {},
        "higher_is_better": {}, "n-samples": {},
        "config": {
            "model": str(answered.get("backend", UNKNOWN)).removeprefix(LM_EVAL), "model_args": {"pretrained": where},
            "model_dtype": answered.get("dtype", UNKNOWN), "batch_size": None, "device": answered.get("device"),
            "limit": None, "bootstrap_iters": 0, "gen_kwargs": {},
        },
        "git_hash": None, "date": date, "task_hashes": {},
        "transformers_version": answered.get("transformers", UNKNOWN), "lm_eval_version": answered.get("lm-eval", UNKNOWN),
        "max_length": answered.get("window"), "model_source": "skilldelta", "model_name": name,
        "model_name_sanitized": sanitized(name), "system_instruction": None, "system_instruction_sha": None,
        "fewshot_as_multiturn": None, "chat_template": None,
        "chat_template_sha": None if template in (None, "none") else template, "total_evaluation_time_seconds": "0",
    }  # fmt: skip


def describe(found: dict[str, Any], name: str, readings: Sequence[Part]) -> None:
    """Enters a task: its metrics under every filter, and what is known of it."""
    about = readings[0].cell.about
    documents = readings[0].documents
    entry: dict[str, Any] = {"name": name, "alias": name, "sample_len": len(documents)}
    better: dict[str, bool] = {}
    for one in readings:
        for metric in one.metrics:
            value, error = one.mean(metric)
            entry |= {f"{metric},{one.filter}": value, f"{metric}_stderr,{one.filter}": "N/A" if error is None else error}
            better[metric] = metric not in one.lower
    found["results"][name] = entry
    found["higher_is_better"][name] = better
    found["versions"][name] = about["task"]["version"]
    found["n-samples"][name] = {"original": len(documents), "effective": len(documents)}
    found["configs"][name] = {"task": name, "metadata": {"version": about["task"]["version"]}, "description": source(about)}
    shots = about["asked"].get("settings", {}).get("num_fewshot")
    if isinstance(shots, int):
        found["n-shot"][name] = shots


def source(about: Json) -> str:
    return str(about["task"].get("source", ""))


def group(found: dict[str, Any], name: str, cell: Kept, members: Sequence[Part]) -> None:
    """Enters a group over its members: weighted by size for a mean, each alike for a macro mean."""
    about = cell.about["task"]
    names = list(dict.fromkeys(p.name for p in members))
    entry: dict[str, Any] = {"name": name, "alias": name, "sample_len": sum(len(p.documents) for p in members)}
    for key in dict.fromkeys(f"{m},{p.filter}" for p in members for m in p.metrics):
        mine = [(found["results"][p.name].get(key), p.weight(key)) for p in members if key.partition(",")[2] == p.filter]
        known = [(v, 1.0 if about["aggregate"] == "macro" else w) for v, w in mine if v is not None and w]
        entry[key] = sum(v * w for v, w in known) / sum(w for _, w in known) if known else None
        entry[key.replace(",", "_stderr,", 1)] = "N/A"
    found["results"][name] = entry
    found["groups"][name] = entry
    found["group_subtasks"][name] = names
    found["versions"][name] = about["version"]
    found["higher_is_better"][name] = found["higher_is_better"][names[0]]
    if len(shots := {found["n-shot"].get(n) for n in names}) == 1 and None not in shots:
        found["n-shot"][name] = shots.pop()
