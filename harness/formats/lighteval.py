"""lighteval: the details that --save-details writes, details_TASK|SHOTS_*.parquet, with the results_*.json of the same time.

Tasks of one benchmark (mmlu:anatomy, mmlu:virology ...) are one task, averaged as lighteval does: a mean over its parts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from harness.interchange.imported_log import UNKNOWN, ImportedLog, RefusedLog, describe_inputs, describe_task
from harness.interchange.metric_tables import LoggedDocument, LoggedTask, MetricTable, combine_members
from harness.interchange.parquet import read_parquet
from harness.interchange.untrusted_files import UntrustedFile, finite_number, load_json, require_object, storable
from harness.types import Json, Response, SkilldeltaError, digest

COLUMNS = ("doc", "metric", "model_response")  # documented, and written by some versions, as __doc__ and so on
IDENTITY = ("model_name", "tokenizer", "revision", "base_url", "api_key", "device")
ASKED = ("query", "choices", "gold_index", "instruction", "specific")  # what of a document says which example it is


def holds_scores(file: UntrustedFile) -> bool:
    if file.suffix == ".parquet":
        return file.name.startswith("details_")
    return {"config_general", "results"} <= set(file.first)


def group_by_run(files: Sequence[UntrustedFile]) -> list[list[UntrustedFile]]:
    """The files of one time."""
    runs: dict[str, list[UntrustedFile]] = {}
    for file in files:
        runs.setdefault(file.path.stem.rpartition("_")[2], []).append(file)
    return list(runs.values())


def read_scores(files: Sequence[UntrustedFile]) -> Iterator[ImportedLog | RefusedLog]:
    """Every task of a run."""
    details = [f.path for f in files if f.suffix == ".parquet"]
    told = next((f.path for f in files if f.suffix == ".json"), None)
    if not details:
        raise SkilldeltaError(
            f"{told} has no details_*.parquet: run lighteval with --save-details, and name its output folder."
        )
    told = told or beside(details[0])
    results = require_object(load_json(told), str(told)) if told else {}
    general = results.get("config_general") or {}
    model = str(general.get("model_name") or between(details[0]))
    tables: dict[str, LoggedTask] = {}
    for path in details:
        name = path.stem.removeprefix("details_").rpartition("_")[0]
        try:
            tables[name] = table(name, path, results)
        except SkilldeltaError as error:
            yield RefusedLog(model, f"lighteval:{name}", str(error))
    for one in together(tables):
        yield log(model, one, results)


def beside(details: Path) -> Path | None:
    """Where lighteval writes the results of the same time: results/MODEL beside details/MODEL."""
    parts = list(details.parent.parts)
    if "details" not in parts:
        return None
    place = len(parts) - 1 - parts[::-1].index("details")
    found = Path(*parts[:place], "results", *parts[place + 1 : -1]) / f"results_{parts[-1]}.json"
    return found if found.is_file() else None


def between(details: Path) -> str:
    """The model, from the folders between `details` and the time."""
    parts = details.parent.parts
    return "/".join(parts[parts.index("details") + 1 : -1]) if "details" in parts[:-2] else UNKNOWN


def table(name: str, path: Path, results: Json) -> LoggedTask:
    """The samples of one file."""
    found = [line(place, row, path.name) for place, row in enumerate(read_parquet(path))]
    if not found:
        raise SkilldeltaError(f"{path.name} holds no samples.")
    listed = settings(name, results).get("metrics") or settings(name, results).get("metric") or ()
    lower = frozenset(str(m["metric_name"]) for m in listed if isinstance(m, dict) and m.get("higher_is_better") is False)
    told = (results.get("results") or {}).get(name) or {}
    return LoggedTask(name, (MetricTable("", "", told, lower, frozenset(), found, "lighteval_task"),))


def line(place: int, row: Json, where: str) -> LoggedDocument:
    doc, metric, said = (
        require_object(row.get(c, row.get(f"__{c}__")), f"{where}, row {place}, {c}") for c in COLUMNS
    )  # fmt: skip
    shown = said.get("input")
    response = answer(said)
    row = storable({k: doc[k] for k in ASKED if doc.get(k) is not None})
    prompt = UNKNOWN if shown is None else digest(storable([shown, doc.get("choices") if response.logprobs else None]))
    values = {str(k): v for k, v in metric.items() if v is not None}
    asked_for = {"max_tokens": doc.get("generation_size"), "stop": doc.get("stop_sequences"), "samples": doc.get("num_samples")}
    return LoggedDocument(
        place, row, prompt, response, response.text.strip()[-200:], values, {} if response.logprobs else storable(asked_for)
    )


def answer(said: Json) -> Response:
    """The first text; or the log-probabilities, where there is one for each choice."""
    texts = [str(t) for t in said.get("text") or () if t is not None]
    if texts:
        written = next(iter(said.get("output_tokens") or ()), None) or ()
        return Response(texts[0], tokens_in=len(said.get("input_tokens") or ()), tokens_out=len(written))
    weights = [finite_number(v) for v in said.get("logprobs") or ()]
    known_all = tuple(v for v in weights if v is not None)
    return Response(logprobs=known_all if len(known_all) == len(weights) else ())


def together(tables: dict[str, LoggedTask]) -> Iterator[LoggedTask]:
    """The parts of one benchmark as one table, where they were measured alike."""
    parts: dict[tuple[str, str], list[LoggedTask]] = {}
    for name, found in tables.items():
        own, _, shots = name.rpartition("|") if "|" in name else (name, "", "")
        parts.setdefault((own.partition(":")[0], shots), []).append(found)
    for (own, shots), members in parts.items():
        one = combine_members(f"{own}|{shots}" if shots else own, members) if len(members) > 1 else None
        yield from [one] if one else members


def settings(name: str, results: Json) -> Any:
    """What the log says of a task's configuration; its key has the number of exemplars in some versions only."""
    known_tasks = results.get("config_tasks") or {}
    found = known_tasks.get(name, known_tasks.get(name.rpartition("|")[0]))
    return found if isinstance(found, dict) else {}


def log(model: str, found: LoggedTask, results: Json) -> ImportedLog | RefusedLog:
    (reading,) = found.tables
    name = f"lighteval:{found.name}"
    if not reading.headline:
        return RefusedLog(model, name, reading.refusal)
    first = found.members[0] if found.members else found.name
    version = (results.get("versions") or {}).get(first, settings(first, results).get("version", UNKNOWN))
    facts = describe_task(
        name, version, f"lighteval, {found.name}", f"lighteval's {found.name}; headline {reading.headline}", reading.metrics(),
        "macro" if found.members else "mean",
    )  # fmt: skip
    prompts = None if UNKNOWN in reading.prompts.values() else reading.prompts
    shots = found.name.rpartition("|")[2] if "|" in found.name else UNKNOWN
    return ImportedLog(
        model, facts, describe_inputs(reading.samples, prompts, reading.settings | {"num_fewshot": shots}), answered(results),
        reading.samples, reading.rows, reading.note_left_out(),
        {"task": found.name, "filter": "none", "metric": reading.headline},
    )  # fmt: skip


def answered(results: Json) -> dict[str, Any]:
    general = results.get("config_general") or {}
    config = general.get("model_config") or {}
    kept = {k: v for k, v in config.items() if k not in IDENTITY} if isinstance(config, dict) else UNKNOWN
    return {
        "backend": "lighteval",
        "lighteval": general.get("lighteval_sha") or UNKNOWN,
        "dtype": str(general.get("model_dtype") or UNKNOWN),
        "model": storable(kept),
    }
