"""lm-eval: what --log_samples writes, samples_*.jsonl with their results_*.json.

Reading: every filter of a task is a result of its own, never averaged with another.  The first counts for the skill, the others
are its variants.  The score is the first metric of a filter that is a mean of values in 0..1 and better when higher; the other
means are further metrics.  A metric is a mean if its samples average to the figure in the results file.  A group whose
members are all there is one task, its members the groups of its examples, averaged as lm-eval averaged it.

Writing: metrics named "metric,filter" are lm-eval's own, and go back under their filter; for any other task the score is the
metric `score`.  A macro mean is a group whose members count alike.  Draws of one example are one document.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from harness.atomic_files import folder_name, write_bytes, write_json
from harness.grouping import group_by
from harness.interchange.export_results import ExportedCell, group_by_checkpoint
from harness.interchange.imported_log import UNKNOWN, ImportedLog, RefusedLog, describe_inputs, describe_task
from harness.interchange.lm_eval_documents import document_lines, split_task
from harness.interchange.lm_eval_results import add_group, add_task, name_in_lm_eval, sanitize_model, start_results
from harness.interchange.lm_eval_samples import parse_outputs, read_task
from harness.interchange.metric_tables import TOLERANCE, LoggedTask, MetricTable, combine_members
from harness.interchange.recorded_outputs import RecordedOutput
from harness.interchange.untrusted_files import UntrustedFile, load_json, read_objects, require_object
from harness.json_lines import encode_lines
from harness.json_values import storable
from harness.registry import LM_EVAL
from harness.types import Aggregate, Json, SkilldeltaError, digest

AGGREGATES = ("mean", "macro")  # that its results file can tell
IDENTITY = ("pretrained", "peft", "delta", "path", "model", "engine", "revision", "subfolder", "tokenizer", "base_url")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d")
MODEL_ARGUMENTS = ("peft", "delta", "pretrained", "model", "path", "engine")  # the first names the model, as lm-eval has it
# The name of a file of samples; before lm-eval 0.4.3 it began with the arguments of the model.
SAMPLES_NAME = re.compile(rf"samples_|(?:{'|'.join((*MODEL_ARGUMENTS, 'dtype', 'parallelize'))})(?:=|__)")


def holds_outputs(file: UntrustedFile) -> bool:
    return {"doc_id", "doc", "resps"} <= set(file.first)


def read_outputs(file: UntrustedFile, model: str) -> Iterator[RecordedOutput]:
    """The responses to each document, once: they are the same under every filter."""
    documents = set()
    for row in file.rows:
        if (document := (row["doc_id"], digest(storable(row["doc"])))) not in documents:
            documents.add(document)
            yield from parse_outputs(row)


def holds_scores(file: UntrustedFile) -> bool:
    if file.suffix == ".jsonl":
        return {"doc_id", "resps"} <= set(file.first) or (bool(file.problem) and bool(SAMPLES_NAME.match(file.name)))
    if file.problem:
        time = time_in_name(file.name)
        return bool(file.name.startswith("results") and time and list(file.path.parent.glob(f"samples_*_{time}.jsonl*")))
    return {"results", "configs", "versions"} <= set(file.first) and "config_general" not in file.first


def group_by_run(files: Sequence[UntrustedFile]) -> list[list[UntrustedFile]]:
    """The files of one run: of one folder and one time.  Files of lm-eval before 0.4.3 have no time in their names."""
    return list(group_by(files, lambda file: (file.path.parent, time_in_name(file.name))).values())


def time_in_name(name: str) -> str:
    """The time in a file's name, after the last underscore; "" where it has none."""
    text = name.removesuffix(".gz").rpartition(".")[0].rpartition("_")[2]
    return text if TIME.match(text) else ""


def read_scores(files: Sequence[UntrustedFile]) -> Iterator[ImportedLog | RefusedLog]:
    """Every task of a run.  Where its results file is there and cannot be read, nobody knows what its samples are: all fail."""
    results_files = [file.path for file in files if file.suffix == ".json"]
    if len(results_files) > 1:
        raise SkilldeltaError(f"{results_files[0]} and {results_files[1]} are of one run: which one belongs to its samples?")
    if opaque := next((file for file in files if file.suffix == ".json" and file.problem), None):
        names = [task_in_name(file.name, ()) for file in files if file is not opaque]
        yield from (RefusedLog(opaque.path.parent.name, f"{LM_EVAL}{name}", opaque.problem, is_missing=True) for name in names)
        return
    results = require_object(load_json(results_files[0]), str(results_files[0])) if results_files else {}
    arguments = model_arguments(results)  # older versions do not write the model's name
    model_argument = next((str(arguments[name]) for name in MODEL_ARGUMENTS if name in arguments), "")
    model = str(results.get("model_name") or model_argument or files[0].path.parent.name)
    task_names = list_tasks(results)
    tasks: dict[str, LoggedTask] = {}
    refusals: dict[str, str] = {}
    for file in (file for file in files if file.suffix == ".jsonl"):
        name = task_in_name(file.name, task_names)
        try:
            tasks[name] = read_task(name, file.path.name, read_objects(file.path), results)
        except SkilldeltaError as error:
            refusals[name] = str(error)
    for name, rows in list_own_samples(results):
        if name not in tasks and name not in refusals:
            try:
                tasks[name] = read_task(name, f"{results_files[0].name}, samples of {name}", enumerate(rows, 1), results)
            except SkilldeltaError as error:
                refusals[name] = str(error)
    for name in task_names:
        if name not in tasks and name not in refusals:
            refusals[name] = (
                f"{results_files[0].name} names {name}, and no file of its samples is with it: only a mean, which cannot be "
                "compared item by item.  Get that file too, or run lm-eval with --log_samples, and name the whole output "
                "folder here."
            )
    yield from (RefusedLog(model, f"{LM_EVAL}{name}", why, is_missing=True) for name, why in refusals.items())
    for task in combine_groups(tasks, results):
        yield from make_logs(model, task, results)


def list_own_samples(results: Json) -> Iterator[tuple[str, list[Json]]]:
    """(task, rows) of the samples in a results file itself: what lm-eval's own function returns, stored as it is."""
    samples = results.get("samples")
    for name, rows in (samples if isinstance(samples, dict) else {}).items():
        if isinstance(rows, list) and all(isinstance(row, dict) for row in rows):
            yield str(name), rows


def list_tasks(results: Json) -> list[str]:
    """The tasks of a results file, without groups."""
    parts = [results.get(part) for part in ("results", "n-samples")]
    names = dict.fromkeys(str(name) for part in parts if isinstance(part, dict) for name in part)
    facts = ("groups", "group_subtasks", "configs")
    groups, tree, configs = (part if isinstance(part := results.get(name), dict) else {} for name in facts)
    return [name for name in names if not tree.get(name) and (name not in groups or name in configs)]


def task_in_name(file_name: str, tasks: Sequence[str]) -> str:
    """The task of a file of samples: samples_TASK_TIME.jsonl, or ARGUMENTS_TASK.jsonl before lm-eval 0.4.3."""
    stem = file_name.removesuffix(".gz").rpartition(".")[0]
    if time := time_in_name(file_name):
        return stem.removeprefix("samples_").removesuffix(f"_{time}")
    fitting = [task for task in tasks if stem == task or stem.endswith(f"_{task}")]
    return max(fitting, key=len, default=stem.removeprefix("samples_"))


def combine_groups(tasks: Mapping[str, LoggedTask], results: Json) -> Iterator[LoggedTask]:
    """The tasks, those of a group as one."""
    single_tasks = dict(tasks)
    tree = results.get("group_subtasks") or {}
    subtasks = {child for children in tree.values() for child in children}
    for group in (name for name in tree if name not in subtasks and tree[name]):
        members = list_leaves(group, tree)
        whole = combine_members(group, [tasks[name] for name in members]) if all(name in tasks for name in members) else None
        if whole and all(find_aggregate(table, group, results) for table in whole.tables):
            yield whole
            single_tasks = {name: task for name, task in single_tasks.items() if name not in members}
    yield from single_tasks.values()


def list_leaves(group: str, tree: Mapping[str, Sequence[str]]) -> list[str]:
    """The tasks under a group, at any depth.  Each group is entered once: they may lie in one another, or in a circle."""
    names, leaves, left = set(), [], [group]
    while left:
        if (name := left.pop()) in names:
            continue
        names.add(name)
        if children := tree.get(name):
            left += reversed(children)
        else:
            leaves.append(name)
    return leaves


def find_aggregate(table: MetricTable, group: str, results: Json) -> Aggregate | None:
    """How a group was averaged, from its figure: over documents, over members, or in no known way (None)."""
    figure = (results.get("groups") or {}).get(group, {}).get(table.headline + table.suffix)
    if not isinstance(figure, float | int):
        return None
    ways: tuple[Aggregate, ...] = ("mean", "macro")
    return next((way for way in ways if abs(table.mean(way) - figure) <= TOLERANCE), None)


def make_logs(model: str, task: LoggedTask, results: Json) -> Iterator[ImportedLog | RefusedLog]:
    """One log for each filter."""
    main_name = ""
    for table in task.tables:
        name = f"lm-eval:{task.name}@{table.filter_name}" if len(task.tables) > 1 else f"lm-eval:{task.name}"
        if not table.headline:
            yield RefusedLog(model, name, table.refusal)
            continue
        version = (results.get("versions") or {}).get(task.name, UNKNOWN)
        source = f"lm-eval {results.get('lm_eval_version', UNKNOWN)}, {task.name}, version {version}"
        summary = f"lm-eval's {task.name}; headline {table.headline}{table.suffix}"
        aggregate = find_aggregate(table, task.name, results) if task.members else "mean"
        record = describe_task(name, version, source, summary, table.metrics(), aggregate or "mean")
        settings = table.settings | {"num_fewshot": (results.get("n-shot") or {}).get(task.name, UNKNOWN)}
        record, inputs = replace(record, variant_of=main_name), describe_inputs(table.samples, table.prompts, settings)
        yield table.make_log(model, task, record, inputs, describe_backend(results))
        main_name = main_name or name


def model_arguments(results: Json) -> dict[str, object]:
    """--model_args; older versions wrote them as the text that the user gave."""
    arguments = (results.get("config") or {}).get("model_args")
    if isinstance(arguments, str):
        return dict(pair.partition("=")[::2] for pair in arguments.split(","))
    return dict(arguments or {})


def describe_backend(results: Json) -> dict[str, object]:
    """The log's facts about the backend; `template` is "none" where the log says that there was none."""
    config = results.get("config") or {}
    facts = {
        "lm-eval": results.get("lm_eval_version"),
        "transformers": results.get("transformers_version"),
        "dtype": config.get("model_dtype"),
        "window": results.get("max_length"),
    }
    prompt_settings = {
        "template": "chat_template_sha", "system": "system_instruction_sha", "fewshot_as_multiturn": "fewshot_as_multiturn"
    }  # fmt: skip
    return {
        "backend": f"lm-eval:{config.get('model') or UNKNOWN}",
        **{name: UNKNOWN if value is None else value for name, value in facts.items()},
        **{name: (results[key] or "none") if key in results else UNKNOWN for name, key in prompt_settings.items()},
        "args": {name: value for name, value in sorted(model_arguments(results).items()) if name not in IDENTITY},
    }


def write(cells: Sequence[ExportedCell], folder: Path) -> list[Path]:
    """A folder for each checkpoint: MODEL/results_TIME.json and MODEL/samples_TASK_TIME.jsonl."""
    return [path for name, group in group_by_checkpoint(cells).items() for path in write_run(name, group, folder)]


def write_run(name: str, cells: Sequence[ExportedCell], folder: Path) -> list[Path]:
    """The samples of every task, and the results; TIME is when the last cell was finished."""
    place = folder / sanitize_model(name)
    time = datetime.fromisoformat(max(cell.record.finished or "1970-01-01T00:00:00Z" for cell in cells))
    stamp = time.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds").replace(":", "-")
    paths, results = [], start_results(name, cells[0], time.timestamp())
    for task, variants in group_by(cells, lambda cell: name_in_lm_eval(cell.name)).items():
        parts = [part for cell in variants for part in split_task(cell, task)]
        for member, filters in group_by(parts, lambda part: part.name).items():
            paths.append(place / f"samples_{folder_name(member)}_{stamp}.jsonl")
            write_bytes(paths[-1], encode_lines(line for part in filters for line in document_lines(part)))
            add_task(results, member, filters)
        if any(part.name != task for part in parts):
            add_group(results, task, variants[0].record.task, parts)
    results_path = place / f"results_{stamp}.json"
    write_json(results_path, results)
    return [results_path, *paths]
