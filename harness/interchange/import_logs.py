"""Other harnesses' logs become cells of a results folder, with the scores that they gave."""

from __future__ import annotations

import logging
import re
import shutil
import time
from collections.abc import Sequence, Set
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Literal

from harness import json_values, registry
from harness.atomic_files import sole_writer, write_bytes
from harness.evaluation.outcome import Outcome
from harness.evaluation.result_names import check_name
from harness.interchange.import_options import ImportOptions, task_names
from harness.interchange.imported_log import UNKNOWN, ImportedLog, RefusedLog, describe_task
from harness.interchange.untrusted_files import UntrustedFile, require_file
from harness.json_lines import encode_lines
from harness.records import CellRecord, State, utc_now
from harness.redaction import redact_settings
from harness.sample_lines import imported_to_json, sample_to_json
from harness.store import Results
from harness.system_errors import explain_system_error
from harness.types import Checkpoint, Example, SkilldeltaError
from harness.visible_text import printable

KIND = "importers"
PRODUCER = "imported"
LOG = logging.getLogger("skilldelta")
DATA_SUFFIXES = (".json", ".jsonl", ".csv", ".parquet", ".eval")
MODEL_FILES = re.compile(
    r"(?:config|generation_config|preprocessor_config|processor_config|adapter_config|tokenizer|tokenizer_config|vocab|added_tokens"
    r"|special_tokens_map|trainer_state|.*\.index|run|training_log|skilldelta)\.jsonl?"
)
Run = tuple[ModuleType, list[UntrustedFile]]  # a format, and the files of one run
WITHOUT_SAMPLES: tuple[State, State] = ("failed", "not comparable")
STEP = re.compile(r"(checkpoint-|step_?|global_step_?|iter_?)\d+")  # folders' names that need the run's name before them
# A name that ends with its step: RUN/checkpoint-200, RUN__checkpoint-200, RUN-step_200, RUN_iter200.
NAMED_STEP = re.compile(
    r"(?P<run>.*?)[/_.-]*(?<![a-z])(?:checkpoint|ckpt|global[-_]?step|step|iter)[-_]?(?P<step>\d+)", re.IGNORECASE
)


def import_logs(paths: Sequence[Path], results: Results, options: ImportOptions | None = None) -> list[Outcome]:
    """Stores every log in the files (or in all files of a folder) as a cell: completely, or not at all, with the reason."""
    options = options or ImportOptions()
    outcomes, names = [], dict[str, None]()
    runs, unread = group_files(paths, options.format)
    for plugin, files in runs:
        start = time.monotonic()
        try:
            for log in plugin.read_scores(files):
                outcomes.append(store_outcome(log, results, options, start))
                names |= dict.fromkeys(task_names(log))
                start = time.monotonic()
        except Exception as error:  # noqa: BLE001  a log of unknown origin may hold anything: the other logs go on
            surprise = f"{files[0].path} is not as {format_name(plugin)} writes it: {error!r}"[:500]
            why = str(error) if isinstance(error, SkilldeltaError) else explain_system_error(error) or surprise
            outcomes.append(Outcome(files[0].name, format_name(plugin), "failed", why=why))
    for sentence in options.describe_unused(names):
        LOG.warning(printable(sentence))
    return outcomes + [Outcome(file.name, "unknown format", "failed", why=file.problem) for file in unread]


def format_name(plugin: ModuleType) -> str:
    return plugin.__name__.rpartition(".")[2].replace("_", "-")


def group_files(paths: Sequence[Path], format_: str) -> tuple[list[Run], list[UntrustedFile]]:
    """The runs, and the files that no format recognises because they cannot be read (cut, empty, Git LFS pointers).

    Each file goes to the first format that recognises it, and no file is read twice.
    """
    names = registry.modules(KIND) if format_ == "auto" else [format_]
    plugins = [registry.module(KIND, name) for name in names]
    files_by_plugin: list[dict[Path, UntrustedFile]] = [{} for _ in plugins]
    unread: dict[Path, UntrustedFile] = {}
    for path in paths:
        files = list_files(path)
        fitting = [(next((i for i, p in enumerate(plugins) if p.holds_scores(file)), None), file) for file in files]
        matches = [(place, file) for place, file in fitting if place is not None]
        problems = {file.path: file for place, file in fitting if place is None and file.problem}
        unread |= problems
        if not matches and not problems:
            columns = ", ".join(map(str, files[0].first))[:200] if len(files) == 1 else ""
            raise SkilldeltaError(
                f"{path} holds no log of a known format{f'; it has: {columns}' if columns else ''}.\n"
                f"Known are the logs of: {', '.join(map(format_name, plugins))}."
            )
        for place, file in matches:
            files_by_plugin[place].setdefault(file.path, file)
        name_strangers(path, files, {file.path for _, file in matches} | problems.keys())
    runs = []
    for plugin, own_files in zip(plugins, files_by_plugin, strict=True):
        group_by_run = getattr(plugin, "group_by_run", lambda files: [[file] for file in files])
        runs += [(plugin, run) for run in group_by_run(list(own_files.values()))]
    return runs, list(unread.values())


def name_strangers(path: Path, files: Sequence[UntrustedFile], logs: Set[Path]) -> None:
    """Says which data files below a folder belong to no known format: another program's results must not vanish in silence.

    What lies in the folder of a log is taken for a part of it, and a model's own files for none.
    """
    places = {log.parent for log in logs}
    strangers = [
        str(file.path.relative_to(path))
        for file in files
        if file.suffix in DATA_SUFFIXES and not MODEL_FILES.fullmatch(file.name) and file.path.parent not in places
    ]
    if strangers:
        first = ", ".join(map(printable, strangers[:4])) + (", ..." if len(strangers) > 4 else "")
        LOG.warning("Not imported from %s: %d files of no known format (%s).", printable(str(path)), len(strangers), first)


def list_files(path: Path) -> list[UntrustedFile]:
    """A file, or every file below a folder."""
    if not path.exists():
        raise SkilldeltaError(f"There is no file {path}.")
    if not path.is_dir():
        require_file(path)
    return [UntrustedFile(p) for p in sorted(path.rglob("*")) if p.is_file()] if path.is_dir() else [UntrustedFile(path)]


def store_outcome(log: ImportedLog | RefusedLog, results: Results, options: ImportOptions, start: float) -> Outcome:
    """Stores one cell; a log that cannot become one is a failure, with the reason."""
    task = log.task if isinstance(log, RefusedLog) else log.task.name
    try:
        name = options.name or shorten_model(log.model)
        if isinstance(log, RefusedLog):
            store_failure(log, name, results, options)
            raise SkilldeltaError(log.why)
        for text in (name, task):
            check_name(text)
        state = store_log(log, name, results, options)
    except SkilldeltaError as error:
        return Outcome(options.name or log.model, task, "failed", why=str(error))
    missing_scores = sum(sample.score.value is None for sample in log.samples)
    return Outcome(name, task, state, len(log.samples), missing_scores, log.note, time.monotonic() - start)


def store_log(log: ImportedLog, name: str, results: Results, options: ImportOptions) -> Literal["done", "already"]:
    """Writes the cell: its samples first, task.json last, so that nobody reads half of it.

    Raises SkilldeltaError where the results hold something else for this task of this checkpoint.
    """
    named_skill, logged_task = options.named_skill(log), task_names(log)[-1]
    if len({sample.key for sample in log.samples}) < len(log.samples):
        raise SkilldeltaError("two of its samples are of one example and draw: is one log there twice?")
    fingerprint = {"imported": log.model}
    task = replace(log.task, skill=named_skill or log.task.skill or logged_task)
    inputs = replace(log.inputs, settings=redact_settings(log.inputs.settings))  # logs keep the keys of their command lines
    record = CellRecord(task=task, inputs=inputs, backend=redact_settings(log.backend), fingerprint=fingerprint)
    record = CellRecord.from_json(json_values.storable(record.to_json()))  # without anything that JSON or UTF-8 cannot hold
    content = encode_lines(map(imported_to_json, log.samples))
    cell = results.cell(name, log.task.name)
    before = cell.record()
    if before and before.state not in WITHOUT_SAMPLES:
        # Written anew for the comparison: earlier versions stored samples under other keys.
        with sole_writer(cell.samples_file, cell.record_file):
            old_content = encode_lines(map(sample_to_json, cell.samples()))
        # A skill is the user's word for a task, and no fact of the log: it may be named later.
        old, new = (replace(r, task=replace(r.task, skill=named_skill or before.task.skill)) for r in (before, record))
        if old_content == content and old.identity() == new.identity():
            if old == before:
                return "already"
            cell.write_record(old)
            return "done"
        other = before.fingerprint.get("imported")
        whose = "another log of that model" if other == log.model else f"{other!r}, and this log is of {log.model!r}"
        raise SkilldeltaError(
            f"{cell.folder} holds this task of {name} already, and not the same: it is from {whose}.  Leave one out, or import "
            "one alone, under a --name of its own."
        )
    add_checkpoint(log.model, program_name(log.task.name), name, results, options)
    drop_failures(log, name, results)
    results.keep(log.task.name, (Example(row) for row in log.rows.values()))
    with sole_writer(cell.samples_file, cell.record_file):
        write_bytes(cell.samples_file, content)
        cell.write_record(replace(record, note=log.note, finished=utc_now(), imported=redact_settings(dict(log.source))))
    return "done"


def add_checkpoint(model: str, program: str, name: str, results: Results, options: ImportOptions) -> None:
    """The checkpoint's record.  With a --name, the user says that this is the stored model, whatever each program calls it.

    SkilldeltaError where one program's logs under that name are of two models.
    """
    checkpoint = results.checkpoints().get(name) if options.name else None
    if checkpoint is None or checkpoint.producer != PRODUCER:
        match = NAMED_STEP.fullmatch(name)
        run, step = (match["run"], int(match["step"])) if match else ("", None)
        new_checkpoint = Checkpoint(name, model, PRODUCER, run=run, step=step, content=model)
        results.add(new_checkpoint, {"imported": model})
        return
    for who, record, _ in results.cells():
        other = record.fingerprint.get("imported", model)
        if who == name and record.imported and program_name(record.task.name) == program and other != model:
            raise SkilldeltaError(
                f"{name} is the name of two models: the {program} logs of {other!r} are stored under it, and this one is of "
                f"{model!r}.\nImport each under a --name of its own."
            )


def program_name(task: str) -> str:
    """The program that a task's name begins with."""
    return task.partition(":")[0]


def store_failure(log: RefusedLog, name: str, results: Results, options: ImportOptions) -> None:
    """Writes a cell without samples, so that every comparison says of the task that it was run, and what is wrong."""
    for text in (name, log.task):
        check_name(text)
    cell = results.cell(name, log.task)
    before = cell.record()
    if before and before.state not in WITHOUT_SAMPLES:
        return  # what is stored already stays
    add_checkpoint(log.model, program_name(log.task), name, results, options)
    task = describe_task(log.task, UNKNOWN, f"imported, {log.task}")
    logged_task = task_names(log)[-1]
    skill = options.named_skill(log) or (before.task.skill if before else "") or task.skill or logged_task
    source = {"task": logged_task, "filter": "", "metric": ""}
    fingerprint = {"imported": log.model}
    state = WITHOUT_SAMPLES[not log.is_missing]
    record = CellRecord(task=replace(task, skill=skill), fingerprint=fingerprint, state=state, why=log.why, imported=source)
    cell.write_record(CellRecord.from_json(json_values.storable(record.to_json())))


def drop_failures(log: ImportedLog, name: str, results: Results) -> None:
    """Removes the cells of earlier imports that failed to read what this log holds now."""
    for task in (str(log.source.get("task") or ""), *log.members):
        cell = results.cell(name, f"{program_name(log.task.name)}:{task}")
        record = cell.record()
        if record and record.state in WITHOUT_SAMPLES and not cell.samples_file.exists():
            shutil.rmtree(cell.folder)


def shorten_model(model: str) -> str:
    """A model's name: org/name as it is; of a path the last folder, with its run's where the last is only a step."""
    parts = [p for p in re.split(r"[/\\]+", model) if p not in ("", ".", "..")]
    if not parts or (len(parts) == 2 and not re.match(r"[./~\\]|[A-Za-z]:", model)):
        return model
    return "/".join(parts[-2:]) if STEP.fullmatch(parts[-1]) else parts[-1]
