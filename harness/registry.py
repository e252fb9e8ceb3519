"""The folder is the registry: a plug-in is a file in its folder, and nothing is imported until asked for."""

from __future__ import annotations

import ast
import difflib
import importlib
import importlib.util
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from harness.types import SkilldeltaError, Task

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Kind:
    """A kind of plug-in: the package it lives in, and the name that every plug-in of this kind defines."""

    package: str
    defines: str


KINDS = {
    "tasks": Kind("tasks", "TASKS"),
    "task-bridges": Kind("tasks", "load_task"),  # PREFIX:NAME is a task of another program, through the file PREFIX
    "backends": Kind("harness.backends", "load"),
    "producers": Kind("harness.checkpoints", "find"),
    "trainers": Kind("harness.trainers", "train"),
    "reports": Kind("reports", "render"),
    "study-reports": Kind("reports", "render_study"),
    "judges": Kind("harness.judges", "load"),
    "importers": Kind("harness.formats", "read_scores"),
    "exporters": Kind("harness.formats", "write"),
    "recorded-outputs": Kind("harness.formats", "read_outputs"),
}
LM_EVAL = "lm-eval:"  # lm-eval:NAME is any task or backend that lm-eval has


def modules(kind: str) -> list[str]:
    """The plug-ins of a kind, by file name, without importing one: files that define what the kind asks for."""
    package, defines = KINDS[kind].package, KINDS[kind].defines
    marker = re.compile(rf"^(def {defines}\(|{defines}\b.*=)", re.MULTILINE)
    files = sorted((ROOT / package.replace(".", "/")).glob("*.py"))
    return [f.stem for f in files if not f.stem.startswith("_") and marker.search(f.read_text(encoding="utf-8"))]


def about(kind: str, name: str) -> str:
    """The first line of a plug-in's docstring, read without importing it."""
    text = (ROOT / KINDS[kind].package.replace(".", "/") / f"{name}.py").read_text(encoding="utf-8")
    return (ast.get_docstring(ast.parse(text)) or "").split("\n")[0]


def module(kind: str, name: str) -> ModuleType:
    """The plug-in `name`, imported; an error that names the near matches."""
    known = modules(kind)
    stem = name.replace("-", "_")
    if stem not in known:
        raise unknown(kind.removesuffix("s"), name, [k.replace("_", "-") if kind == "backends" else k for k in known])
    return importlib.import_module(f"{KINDS[kind].package}.{stem}")


def unknown(noun: str, name: str, known: Iterable[str]) -> SkilldeltaError:
    """What is said of a name that does not exist."""
    there = sorted(known)
    near = difflib.get_close_matches(name, there, n=3, cutoff=0.5)
    hint = f" Did you mean {' or '.join(repr(n) for n in near)}?" if near else ""
    return SkilldeltaError(f"There is no {noun} {name!r}.{hint} There are: {', '.join(there) or 'none'}.")


def tasks(include: Iterable[Path] = ()) -> dict[str, Task]:
    """Every task by name: the project's own, and those of the folders or files in `include`."""
    found: dict[str, Task] = {}
    for stem in modules("tasks"):
        found |= {task.name: task for task in importlib.import_module(f"tasks.{stem}").TASKS}
    for path in include:
        for task in outside(path):
            if task.name in found:
                raise SkilldeltaError(f"{path} defines the task {task.name!r}, which exists already: rename it.")
            found[task.name] = task
    return found


def outside(path: Path) -> Iterator[Task]:
    """Tasks of somebody's own file, or of every file in a folder.  This runs the file: the user named it."""
    files = sorted(path.glob("*.py")) if path.is_dir() else [path]
    if not path.exists() or not files:
        raise SkilldeltaError(f"--include-path {path}: there is no such file, and no folder with .py files.")
    for file in files:
        spec = importlib.util.spec_from_file_location(f"included_{file.stem}", file)
        if spec is None or spec.loader is None:
            raise SkilldeltaError(f"{file} is not a Python file.")
        loaded = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(loaded)
        if not hasattr(loaded, "TASKS"):
            raise SkilldeltaError(f"{file} defines no TASKS: a task file ends with TASKS = (Task(...), ...).")
        yield from loaded.TASKS


def task(name: str, include: Iterable[Path] = (), num_fewshot: int | None = None) -> Task:
    """The task `name`; `lm-eval:NAME` comes through the bridge, where alone the number of exemplars can be chosen."""
    prefix, colon, foreign_name = name.partition(":")
    if colon and prefix.replace("-", "_") in modules("task-bridges"):
        foreign_task: Task = module("task-bridges", prefix).load_task(foreign_name, tuple(include), num_fewshot)
        return foreign_task
    known = tasks(include)
    if name not in known:
        error = unknown("task", name, known)
        raise SkilldeltaError(f"{error} Any lm-eval task runs as {LM_EVAL}NAME.")
    if num_fewshot is not None:
        variants = ", ".join(n for n in known if n.startswith(name.split("_")[0]))
        raise SkilldeltaError(
            f"The exemplars of {name!r} are part of the task: choose one by its name ({variants}), not by --num-fewshot."
        )
    return known[name]
