"""Other harnesses' logs become cells of a results folder, with the scores that they gave."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from harness import registry
from harness.evaluation.evaluate import Outcome, now
from harness.interchange.log import Log, Refused
from harness.interchange.reading import File, plain
from harness.store import MARKER, Results, line, write_bytes
from harness.types import Checkpoint, Example, SkilldeltaError

KIND = "importers"
PRODUCER = "imported"
RESERVED = (MARKER, "_examples")  # what lies beside the checkpoints
LONGEST = 120  # characters of a name, so that it fits in a path
STEP = re.compile(r"(checkpoint-|step_?|global_step_?|iter_?)\d+")  # folder names that say nothing without the run's


@dataclass(frozen=True)
class Choices:
    """`format`: of all the files, or seen from their content; `name`: of the only model; `skills`: by task."""

    format: str = "auto"
    name: str = ""
    skills: Mapping[str, str] = field(default_factory=dict)


def bring(paths: Sequence[Path], results: Results, choices: Choices | None = None) -> list[Outcome]:
    """Every log in the files (or in all files of a folder) as a cell: each whole, or not at all with the reason."""
    chosen = choices or Choices()
    outcomes = []
    for plugin, files in units(paths, chosen.format):
        started = time.monotonic()
        try:
            for log in plugin.read(files):
                outcomes.append(keep(log, results, chosen, started))
                started = time.monotonic()
        except Exception as error:  # noqa: BLE001  a log of unknown origin may be anything: what it is not is told
            known = isinstance(error, SkilldeltaError)
            why = str(error) if known else f"{files[0].path} is not as {format_name(plugin)} writes it: {error!r}"[:500]
            outcomes.append(Outcome(files[0].name, format_name(plugin), "failed", why=why))
    return outcomes


def format_name(plugin: ModuleType) -> str:
    return plugin.__name__.rpartition(".")[2].replace("_", "-")


def units(paths: Sequence[Path], format_: str) -> Iterator[tuple[ModuleType, list[File]]]:
    """The files under the formats that know them, those of one run together."""
    names = registry.modules(KIND) if format_ == "auto" else [registry.module(KIND, format_).__name__.rpartition(".")[2]]
    plugins = [registry.module(KIND, name) for name in names]
    mine: dict[int, list[File]] = {}
    for path in paths:
        there = listed(path)
        known = [(i, f) for f in there if (i := next((i for i, p in enumerate(plugins) if p.known(f)), None)) is not None]
        if not known:
            formats = ", ".join(n.replace("_", "-") for n in names)
            held = f"; it has: {', '.join(map(str, there[0].first))[:200]}" if len(there) == 1 and there[0].first else ""
            raise SkilldeltaError(f"{path} holds no log that is known{held}.\nKnown are the logs of: {formats}.")
        for i, file in known:
            if file.path not in [f.path for f in mine.setdefault(i, [])]:
                mine[i].append(file)
    for i, files in sorted(mine.items()):
        apart = getattr(plugins[i], "units", lambda found: [[f] for f in found])
        yield from ((plugins[i], unit) for unit in apart(files))


def listed(path: Path) -> list[File]:
    """A file, or every file below a folder."""
    if not path.exists():
        raise SkilldeltaError(f"There is no file {path}.")
    return [File(p) for p in sorted(path.rglob("*")) if p.is_file()] if path.is_dir() else [File(path)]


def keep(log: Log | Refused, results: Results, choices: Choices, started: float) -> Outcome:
    """Writes one cell; what cannot be is its outcome, with the reason."""
    model, task = log.model, log.task if isinstance(log, Refused) else str(log.task["name"])
    try:
        if isinstance(log, Refused):
            raise SkilldeltaError(log.why)
        name = choices.name or short(model)
        for text in (name, task):
            checked(text)
        state = store(log, name, results, choices)
    except SkilldeltaError as error:
        return Outcome(choices.name or model, task, "failed", why=str(error))
    unscored = sum(s.score.value is None for s in log.samples)
    return Outcome(name, task, state, len(log.samples), unscored, log.note, time.monotonic() - started)


def store(log: Log, name: str, results: Results, choices: Choices) -> Any:
    """The cell on the disk: its samples first, task.json last, so that nobody finds half of it."""
    task = dict(log.task)
    own = str(log.source.get("task") or task["name"])  # by its program's own name
    task["skill"] = choices.skills.get(task["name"]) or choices.skills.get(own) or task["skill"] or own
    if len({(s.example, s.draw) for s in log.samples}) < len(log.samples):
        raise SkilldeltaError("two of its samples are of one example and draw: is one log there twice?")
    identity = {"imported": log.model}
    about = plain({"task": task, "asked": log.asked, "answered": log.answered, "fingerprint": identity})
    content = b"".join(map(line, log.samples))
    cell = results.cell(name, task["name"])
    if there := cell.about():
        old = cell.samples_file.read_bytes() if cell.samples_file.exists() else b""
        if old == content and all(there.get(k) == v for k, v in about.items()):
            return "already"
        raise SkilldeltaError(f"{cell.folder} holds this task of {name} already, and not the same: import into another folder.")
    vouched = results.checkpoints().get(name, {}) if choices.name else {}
    if vouched.get("producer") != PRODUCER:  # else the user says that it is the same model, whatever each program calls it
        results.add(Checkpoint(name, log.model, PRODUCER, content=log.model), identity)
    results.keep(task["name"], (Example(row) for row in log.rows.values()))
    write_bytes(cell.samples_file, content)
    ended = {"state": "done", "why": "", "note": log.note, "finished": now()}
    cell.note(about | {"scored": {}, "imported": dict(log.source)} | ended)
    return "done"


def short(model: str) -> str:
    """A model's name without the folders that it lies in: org/name as it is, of a path the last part that says something."""
    parts = [p for p in re.split(r"[/\\]+", model) if p not in ("", ".", "..")]
    if not parts or (len(parts) == 2 and not re.match(r"[./~\\]|[A-Za-z]:", model)):
        return model
    return "/".join(parts[-2:]) if STEP.fullmatch(parts[-1]) else parts[-1]


def checked(name: str) -> None:
    """A name that can be a folder's and a table's."""
    if not name.strip() or len(name) > LONGEST or not name.isprintable() or name in RESERVED:
        shown = repr(name[:40])
        raise SkilldeltaError(f"{shown} cannot be a name here (1 to {LONGEST} printable characters): give the model a --name.")
