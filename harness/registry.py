"""The folder is the registry: a plug-in is a file in its kind's folder, and nothing is imported until it is asked for.

A file is a plug-in of a kind if it defines the kind's hook, with the parameters that KINDS names; a file whose name begins with
an underscore, and a folder, is none.
"""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import ModuleType

from harness.bounded_files import read_bytes
from harness.own_packages import ROOT, import_own
from harness.own_tasks import run_task_file
from harness.types import SkilldeltaError, Task, unknown_name

LM_EVAL = "lm-eval:"  # lm-eval:NAME is any task or backend that lm-eval has
YAML = (".yaml", ".yml")
MAX_BELOW = 100_000  # files and folders below a folder of somebody's tasks; lm-eval's own has 15,000


@dataclass(frozen=True)
class PluginKind:
    """A kind of plug-in: its package, and its hook, a constant or a function whose first parameters are these."""

    package: str
    hook: str
    parameters: tuple[str, ...] | None = None  # None: the hook is a constant

    @property
    def folder(self) -> Path:
        return ROOT / self.package.replace(".", "/")

    def is_hook(self, node: ast.stmt) -> bool:
        """Whether a statement of a file is the kind's hook."""
        if isinstance(node, ast.FunctionDef) and self.parameters is not None:
            names = tuple(argument.arg for argument in (*node.args.posonlyargs, *node.args.args))
            return node.name == self.hook and names[: len(self.parameters)] == self.parameters
        if isinstance(node, ast.Assign | ast.AnnAssign) and self.parameters is None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            return any(isinstance(target, ast.Name) and target.id == self.hook for target in targets)
        return False


KINDS = {
    "tasks": PluginKind("tasks", "TASKS"),
    "task-bridges": PluginKind("tasks", "load_task", ("name",)),  # PREFIX:NAME is a task of another program, by the file PREFIX
    "backends": PluginKind("harness.backends", "load", ("checkpoint", "options")),
    "producers": PluginKind("harness.checkpoints", "find", ("path",)),
    "trainers": PluginKind("harness.trainers", "train", ("config",)),
    "reports": PluginKind("reports", "render", ("comparison", "folder")),
    "study-reports": PluginKind("reports", "render_study", ("report", "folder")),
    "judges": PluginKind("harness.judges", "load", ("where",)),
    "trackers": PluginKind("harness.trackers", "start", ("run", "where", "folder")),
    "importers": PluginKind("harness.formats", "read_scores", ("files",)),
    "exporters": PluginKind("harness.formats", "write", ("cells", "folder")),
    "recorded-outputs": PluginKind("harness.formats", "read_outputs", ("file",)),
}


def modules(kind: str) -> list[str]:
    """The plug-ins of a kind, by file name, in alphabetical order, without importing one."""
    plugin_kind = KINDS[kind]
    return [file.stem for file in sorted(plugin_kind.folder.glob("[!_]*.py")) if defines_hook(file, plugin_kind)]


def defines_hook(file: Path, kind: PluginKind) -> bool:
    """Whether a file defines a kind's hook.  SkilldeltaError for one that is no Python: it may be meant to."""
    try:
        text = file.read_text(encoding="utf-8")
        return kind.hook in text and any(map(kind.is_hook, parse_source(text, file.name).body))
    except (SyntaxError, ValueError) as error:
        raise SkilldeltaError(f"{file} is no Python: {error}.  Mend it, or take it out of the folder.") from None


@lru_cache(maxsize=256)
def parse_source(text: str, name: str) -> ast.Module:
    """A file's statements.  Kept by its text: a study asks hundreds of times which trainers there are."""
    return ast.parse(text, name)


def about(kind: str, name: str) -> str:
    """The first line of a plug-in's docstring, read without importing it."""
    file = KINDS[kind].folder / f"{name}.py"
    return (ast.get_docstring(parse_source(file.read_text(encoding="utf-8"), file.name)) or "").split("\n")[0]


def module(kind: str, name: str) -> ModuleType:
    """The plug-in `name`, imported.  SkilldeltaError, with the names that are near, where there is none."""
    stems = modules(kind)
    stem = name.replace("-", "_")
    if stem not in stems:
        raise unknown_name(kind.removesuffix("s"), name, [s.replace("_", "-") for s in stems])
    return import_own(f"{KINDS[kind].package}.{stem}")


def tasks(include: Iterable[Path] = ()) -> dict[str, Task]:
    """Every task by name: the project's own, and those of the folders or files in `include`."""
    tasks_by_name: dict[str, Task] = {task.name: task for stem in modules("tasks") for task in module("tasks", stem).TASKS}
    for path in include:
        for task in included_tasks(path):
            if task.name in tasks_by_name:
                raise SkilldeltaError(f"{path} defines the task {task.name!r}, which exists already: rename it.")
            tasks_by_name[task.name] = task
    return tasks_by_name


def included_tasks(path: Path) -> Iterator[Task]:
    """Tasks of somebody's own file, or of every file in a folder that defines some.  This runs the file: the user named it.

    YAML files are tasks of another program, which its bridge reads; Python files next to them hold its functions.
    """
    if not path.exists():
        raise SkilldeltaError(f"--include-path {path}: there is no such file or folder.")
    files = sorted(path.glob("*.py")) if path.is_dir() else [path] if path.suffix not in YAML else []
    task_files = [file for file in files if defines_tasks(file)]
    if not task_files and not any(foreign_task_files(path)):
        if files:
            raise SkilldeltaError(f"{files[0]} defines no TASKS: a task file ends with TASKS = (Task(...), ...).")
        raise SkilldeltaError(
            f"--include-path {path}: the folder holds no tasks, neither .py files with TASKS nor .yaml files."
        )
    for file in task_files:
        yield from run_task_file(file)


def defines_tasks(file: Path) -> bool:
    """Whether a Python file sets TASKS; one that cannot be read as Python is taken to, so that running it says why."""
    text = read_bytes(file).decode(errors="replace")  # a pipe would be waited for
    try:
        return "TASKS" in text and any(map(KINDS["tasks"].is_hook, ast.parse(text).body))
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # the last two: of an expression that is nested too deeply
        return file.suffix == ".py"


def foreign_task_files(path: Path) -> Iterator[Path]:
    """The YAML files at or below a path.  SkilldeltaError where so much lies below it that nobody would wait."""
    return (file for file in ([path] if path.is_file() else files_below(path)) if file.suffix in YAML)


def files_below(folder: Path) -> Iterator[Path]:
    """What lies below a folder but folders.  What cannot be listed is passed over, and no link to a folder is followed."""
    count = 0
    for place, _, names in os.walk(folder):
        count += 1 + len(names)
        if count > MAX_BELOW:
            raise SkilldeltaError(f"--include-path {folder}: more than {MAX_BELOW:,} files: name the tasks' own folder.")
        yield from (Path(place) / name for name in names)


@dataclass(frozen=True)
class PromptSettings:
    """How another program's tasks build their prompts; the defaults leave it to the task."""

    num_fewshot: int | None = None
    chat: bool = False  # as messages, for a chat template
    system: str = ""  # a system message
    multiturn: bool | None = None  # exemplars as turns of their own; None: where prompts are messages


def task(name: str, include: Iterable[Path] = (), prompts: PromptSettings = PromptSettings()) -> Task:
    """The task `name`; PREFIX:NAME comes through the bridge PREFIX, where alone `prompts` has an effect."""
    prefix, colon, foreign_name = name.partition(":")
    if colon and prefix.replace("-", "_") in modules("task-bridges"):
        for path in include:
            if not path.exists():
                raise SkilldeltaError(f"--include-path {path}: there is no such file or folder.")
        foreign_task: Task = module("task-bridges", prefix).load_task(foreign_name, tuple(include), prompts)
        return foreign_task
    tasks_by_name = tasks(include)
    if name not in tasks_by_name:
        raise SkilldeltaError(
            f"{unknown_name('task', name, tasks_by_name)} `skilldelta list tasks` describes them; any lm-eval task runs as "
            f"{LM_EVAL}NAME."
        )
    check_prompt_settings(name, prompts, tasks_by_name)
    return tasks_by_name[name]


def check_prompt_settings(name: str, prompts: PromptSettings, names: Iterable[str]) -> None:
    """Refuses settings of prompts for a task of this program: its prompts are part of it."""
    if prompts.num_fewshot is not None:
        variants = ", ".join(n for n in names if n.startswith(name.split("_")[0]))
        raise SkilldeltaError(
            f"The exemplars of {name!r} are part of the task: choose one by its name ({variants}), not by --num-fewshot."
        )
    if prompts.system or prompts.multiturn is not None:
        raise SkilldeltaError(
            f"--system-instruction and --fewshot-as-multiturn are for {LM_EVAL}NAME tasks; the messages of {name!r} are part "
            "of it.  Score it in a command of its own, without them."
        )


def command_line() -> list[str]:
    """The command that starts this program's command line; the working folder is not on its search path."""
    return [sys.executable, "-P", str(ROOT / "harness" / "__main__.py")]
