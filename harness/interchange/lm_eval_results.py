"""lm-eval's results_TIME.json, as it is written here: tasks and groups are added one by one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from harness.atomic_files import folder_name
from harness.interchange.imported_log import UNKNOWN
from harness.records import TaskRecord
from harness.registry import LM_EVAL

if TYPE_CHECKING:
    from harness.interchange.export_results import ExportedCell
    from harness.interchange.lm_eval_documents import FilteredPart

UNSAFE = '"<>:/|\\?*[]'  # characters that lm-eval replaces in the name of a model's folder


def sanitize_model(name: str) -> str:
    """A model's name as lm-eval writes it into a folder's; never a path that leads elsewhere."""
    return folder_name("".join("__" if character in UNSAFE else character for character in name))


def name_in_lm_eval(task: str) -> str:
    """TASK of lm-eval:TASK@FILTER; other programs' tasks keep their names."""
    return task.removeprefix(LM_EVAL).partition("@")[0] if task.startswith(LM_EVAL) else task


def start_results(name: str, cell: ExportedCell, date: float) -> dict[str, Any]:
    """The file without tasks.  `date` is in seconds since 1970."""
    backend = cell.record.backend
    template = backend.get("template")
    return {
        "results": {}, "groups": {}, "group_subtasks": {}, "configs": {}, "versions": {}, "n-shot": {},
        "higher_is_better": {}, "n-samples": {},
        "config": {
            "model": str(backend.get("backend", UNKNOWN)).removeprefix(LM_EVAL),
            "model_args": {"pretrained": cell.checkpoint.path or name},
            "model_dtype": backend.get("dtype", UNKNOWN), "batch_size": None, "device": backend.get("device"),
            "limit": None, "bootstrap_iters": 0, "gen_kwargs": {},
        },
        "git_hash": None, "date": date, "task_hashes": {},
        "transformers_version": backend.get("transformers", UNKNOWN), "lm_eval_version": backend.get("lm-eval", UNKNOWN),
        "max_length": backend.get("window"), "model_source": "skilldelta", "model_name": name,
        "model_name_sanitized": sanitize_model(name), "system_instruction": None, "system_instruction_sha": None,
        "fewshot_as_multiturn": None, "chat_template": None,
        "chat_template_sha": None if template in (None, "none") else template, "total_evaluation_time_seconds": "0",
    }  # fmt: skip


def add_task(results: dict[str, Any], name: str, filters: Sequence[FilteredPart]) -> None:
    """A task's metrics under every filter, and its settings."""
    record = filters[0].cell.record
    count = len(filters[0].documents)
    entry: dict[str, Any] = {"name": name, "alias": name, "sample_len": count}
    higher_is_better: dict[str, bool] = {}
    for part in filters:
        for metric in part.metrics:
            mean, error = part.mean(metric)
            entry |= {f"{metric},{part.filter}": mean, f"{metric}_stderr,{part.filter}": "N/A" if error is None else error}
            higher_is_better[metric] = metric not in part.lower_is_better
    version = record.task.version
    results["results"][name] = entry
    results["higher_is_better"][name] = higher_is_better
    results["versions"][name] = version
    results["n-samples"][name] = {"original": count, "effective": count}
    results["configs"][name] = {"task": name, "metadata": {"version": version}, "description": record.task.source}
    num_fewshot = record.inputs.settings.get("num_fewshot")
    if isinstance(num_fewshot, int):
        results["n-shot"][name] = num_fewshot


def add_group(results: dict[str, Any], name: str, task: TaskRecord, parts: Sequence[FilteredPart]) -> None:
    """A group over its members, which are in `results` already: weighted by size, or each alike for a macro mean."""
    members = list(dict.fromkeys(part.name for part in parts))
    entry: dict[str, Any] = {"name": name, "alias": name, "sample_len": sum(len(part.documents) for part in parts)}
    for key in dict.fromkeys(f"{metric},{part.filter}" for part in parts for metric in part.metrics):
        total = weights = 0.0
        for part in (part for part in parts if part.filter == key.partition(",")[2]):
            mean, weight = results["results"][part.name].get(key), part.weight(key)
            if mean is not None and weight:
                weight = 1.0 if task.aggregate == "macro" else weight
                total, weights = total + mean * weight, weights + weight
        entry[key] = total / weights if weights else None
        entry[key.replace(",", "_stderr,", 1)] = "N/A"
    results["results"][name] = entry
    results["groups"][name] = entry
    results["group_subtasks"][name] = members
    results["versions"][name] = task.version
    results["higher_is_better"][name] = results["higher_is_better"][members[0]]
    if len(fewshots := {results["n-shot"].get(member) for member in members}) == 1 and None not in fewshots:
        results["n-shot"][name] = fewshots.pop()
