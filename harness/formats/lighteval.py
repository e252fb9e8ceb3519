"""lighteval: the details that --save-details writes, details_TASK|SHOTS_*.parquet, with the results_*.json of the same time.

Tasks of one benchmark (mmlu:anatomy, mmlu:virology ...) are one task, averaged as lighteval does: a mean over its parts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.grouping import group_by
from harness.interchange.imported_log import UNKNOWN, ImportedLog, RefusedLog, describe_inputs, describe_task
from harness.interchange.metric_tables import LoggedDocument, LoggedTask, MetricTable, combine_members
from harness.interchange.parquet import read_parquet
from harness.interchange.untrusted_files import UntrustedFile, finite_number, load_json, require_object
from harness.json_values import storable
from harness.types import Json, Response, SkilldeltaError, digest

COLUMNS = ("doc", "metric", "model_response")  # documented, and written by some versions, as __doc__ and so on
IDENTITY = ("model_name", "tokenizer", "revision", "base_url", "api_key", "device")
EXAMPLE_FIELDS = ("query", "choices", "gold_index", "instruction", "specific")  # of a document: they tell examples apart


def holds_scores(file: UntrustedFile) -> bool:
    if file.suffix == ".parquet":
        return file.name.startswith("details_")
    return {"config_general", "results"} <= set(file.first)


def group_by_run(files: Sequence[UntrustedFile]) -> list[list[UntrustedFile]]:
    """The files of one time."""
    return list(group_by(files, lambda file: file.path.stem.rpartition("_")[2]).values())


def read_scores(files: Sequence[UntrustedFile]) -> Iterator[ImportedLog | RefusedLog]:
    """Every task of a run."""
    details = [file.path for file in files if file.suffix == ".parquet"]
    results_path = next((file.path for file in files if file.suffix == ".json"), None)
    if not details:
        hint = "run lighteval with --save-details, and name its output folder"
        raise SkilldeltaError(f"{results_path} has no details_*.parquet: {hint}.")
    results_path = results_path or find_results(details[0])
    results = require_object(load_json(results_path), str(results_path)) if results_path else {}
    general = results.get("config_general") or {}
    model = str(general.get("model_name") or model_in_path(details[0]))
    tasks: dict[str, LoggedTask] = {}
    missing = {str(name) for name in results.get("config_tasks") or () if str(name) in (results.get("results") or {})}
    for path in details:
        name = path.stem.removeprefix("details_").rpartition("_")[0]
        try:
            tasks[name] = read_task(name, path, results)
        except SkilldeltaError as error:
            yield RefusedLog(model, f"lighteval:{name}", str(error), is_missing=True)
            missing.discard(name)
    for name in sorted(missing - set(tasks)):
        why = f"{results_path} names {name}, and no details_{name}_*.parquet is with it: get that file too."
        yield RefusedLog(model, f"lighteval:{name}", why, is_missing=True)
    for task in combine_benchmarks(tasks):
        yield make_log(model, task, results)


def find_results(details: Path) -> Path | None:
    """Where lighteval writes the results of the same time: results/MODEL next to details/MODEL."""
    parts = list(details.parent.parts)
    if "details" not in parts:
        return None
    place = len(parts) - 1 - parts[::-1].index("details")
    path = Path(*parts[:place], "results", *parts[place + 1 : -1]) / f"results_{parts[-1]}.json"
    return path if path.is_file() else None


def model_in_path(details: Path) -> str:
    """The model, from the folders between `details` and the time."""
    parts = details.parent.parts
    return "/".join(parts[parts.index("details") + 1 : -1]) if "details" in parts[:-2] else UNKNOWN


def read_task(name: str, path: Path, results: Json) -> LoggedTask:
    """The samples of one file."""
    documents = [parse_document(place, row, path.name) for place, row in enumerate(read_parquet(path))]
    if not documents:
        raise SkilldeltaError(f"{path.name} holds no samples.")
    config = task_config(name, results)
    metrics = [metric for metric in config.get("metrics") or config.get("metric") or () if isinstance(metric, dict)]
    lower = frozenset(str(metric["metric_name"]) for metric in metrics if metric.get("higher_is_better") is False)
    figures = (results.get("results") or {}).get(name) or {}
    return LoggedTask(name, (MetricTable("", "", figures, lower, {}, documents, "lighteval_task"),))


def parse_document(place: int, row: Json, where: str) -> LoggedDocument:
    """A row of details.  Settings of generation count only where a text was generated."""
    doc, metric, output = (
        require_object(row.get(column, row.get(f"__{column}__")), f"{where}, row {place}, {column}") for column in COLUMNS
    )
    prompt = output.get("input")
    response = parse_response(output)
    choices = doc.get("choices") if response.logprobs else None
    settings = {"max_tokens": "generation_size", "stop": "stop_sequences", "samples": "num_samples"}
    content = storable({field: doc[field] for field in EXAMPLE_FIELDS if doc.get(field) is not None})
    prompt_hash = UNKNOWN if prompt is None else digest(storable([prompt, choices]))
    values = {str(name): value for name, value in metric.items()}
    generation = {} if response.logprobs else storable({name: doc.get(field) for name, field in settings.items()})
    return LoggedDocument(place, content, prompt_hash, response, response.text.strip()[-200:], values, generation)


def parse_response(output: Json) -> Response:
    """The first text; or the log-probabilities, where there is one for each choice."""
    texts = [str(text) for text in output.get("text") or () if text is not None]
    if texts:
        tokens = next(iter(output.get("output_tokens") or ()), None) or ()
        return Response(texts[0], tokens_in=len(output.get("input_tokens") or ()), tokens_out=len(tokens))
    values = [finite_number(value) for value in output.get("logprobs") or ()]
    logprobs = tuple(value for value in values if value is not None)
    return Response(logprobs=logprobs if len(logprobs) == len(values) else ())


def combine_benchmarks(tasks: Mapping[str, LoggedTask]) -> Iterator[LoggedTask]:
    """The parts of one benchmark as one task, where their headline metrics agree."""
    for name, parts in group_by(tasks.values(), lambda task: benchmark_name(task.name)).items():
        combined_task = combine_members(name, parts) if len(parts) > 1 else None
        yield from [combined_task] if combined_task else parts


def benchmark_name(task: str) -> str:
    """BENCHMARK|SHOTS of the task BENCHMARK:PART|SHOTS; some versions write no number of shots."""
    part, bar, shots = task.rpartition("|") if "|" in task else (task, "", "")
    return part.partition(":")[0] + (bar + shots if shots else "")


def task_config(name: str, results: Json) -> Json:
    """The log's configuration of a task; only some versions have the number of exemplars in its key."""
    configs = results.get("config_tasks") or {}
    config = configs.get(name, configs.get(name.rpartition("|")[0]))
    return config if isinstance(config, dict) else {}


def make_log(model: str, task: LoggedTask, results: Json) -> ImportedLog | RefusedLog:
    (table,) = task.tables
    name = f"lighteval:{task.name}"
    if not table.headline:
        return RefusedLog(model, name, table.refusal)
    first = task.members[0] if task.members else task.name
    version = (results.get("versions") or {}).get(first, task_config(first, results).get("version", UNKNOWN))
    source, summary = f"lighteval, {task.name}", f"lighteval's {task.name}; headline {table.headline}"
    record = describe_task(name, version, source, summary, table.metrics(), "macro" if task.members else "mean")
    prompts = None if UNKNOWN in table.prompts.values() else table.prompts
    shots = task.name.rpartition("|")[2] if "|" in task.name else UNKNOWN
    inputs = describe_inputs(table.samples, prompts, table.settings | {"num_fewshot": shots})
    return table.make_log(model, task, record, inputs, describe_backend(results))


def describe_backend(results: Json) -> dict[str, Any]:
    general = results.get("config_general") or {}
    config = general.get("model_config") or {}
    settings = {name: v for name, v in config.items() if name not in IDENTITY} if isinstance(config, dict) else UNKNOWN
    return {
        "backend": "lighteval",
        "lighteval": general.get("lighteval_sha") or UNKNOWN,
        "dtype": str(general.get("model_dtype") or UNKNOWN),
        "model": storable(settings),
    }
