"""Imports among somebody's own files of tasks: a folder with `__init__.py` is a package, others' files find each other.

Such modules have names of their own in sys.modules, below one of their folder.  So nothing of the folder stands for a module
that is installed, or of this project, and two folders may have files of one name.  A plain `import helper` finds a file beside
the importing one only where nothing else has that name.
"""

from __future__ import annotations

import builtins
import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

PREFIX = "own_tasks_"  # of the names in sys.modules
LOOSE = f"{PREFIX}loose_"  # where the files are of no package
INIT = "__init__.py"


class FolderLoader(SourceFileLoader):
    """Runs a file whose plain imports also find the files beside it, also those inside functions, which run later."""

    def exec_module(self, module: ModuleType) -> None:
        vars(module)["__builtins__"] = vars(builtins) | {"__import__": import_beside(module)}
        super().exec_module(module)


class FolderFinder:
    """Finds modules below the name of a folder, and none else."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path, target) if name.startswith(PREFIX) else None
        if spec and type(spec.loader) is SourceFileLoader:
            spec.loader = FolderLoader(spec.loader.name, spec.loader.path)
        return spec


def run_beside(file: Path) -> ModuleType | None:
    """The module of a file, run anew with all that it imports from its folder.  None where it is no Python file.

    Raises whatever the file does.
    """
    folder, packages = file.absolute().parent, list[str]()
    while (folder / INIT).is_file():
        folder, packages = folder.parent, [folder.name, *packages]
    root = (PREFIX if packages else LOOSE) + hashlib.sha256(str(folder).encode(errors="surrogateescape")).hexdigest()[:16]
    for name in [name for name in sys.modules if name == root or name.startswith(f"{root}.")]:
        del sys.modules[name]
    sys.modules[root] = ModuleType(root)
    sys.modules[root].__path__ = [str(folder)]
    if FolderFinder not in sys.meta_path:
        sys.meta_path.insert(0, FolderFinder)
    importlib.invalidate_caches()  # a file may be newer than the last look at its folder
    package = ".".join([root, *packages])
    if packages and file.name == INIT:
        return importlib.import_module(package)
    importlib.import_module(package)
    name = f"{package}.{file.stem.replace('.', '_')}"
    spec = importlib.util.spec_from_file_location(name, file.absolute())
    if spec is None or type(spec.loader) is not SourceFileLoader:
        return None
    spec.loader = FolderLoader(spec.loader.name, spec.loader.path)
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def import_beside(module: ModuleType) -> Callable[..., Any]:
    """The import statement of a module in somebody's folder."""
    package = module.__name__ if hasattr(module, "__path__") else module.__name__.rpartition(".")[0]
    root, *packages = package.split(".")

    def run_import(name: str, *arguments: Any, **keywords: Any) -> Any:
        level = keywords.get("level", arguments[3] if len(arguments) > 3 else 0)
        names = keywords.get("fromlist", arguments[2] if len(arguments) > 2 else ())
        first = name.partition(".")[0]
        if level or is_known(first):
            return builtins.__import__(name, *arguments, **keywords)
        places = [package, *([root] if root.startswith(LOOSE) or first in packages[:1] else [])]  # a package may name itself
        place = next((place for place in places if importlib.util.find_spec(f"{place}.{first}")), None)
        if place is None:
            return builtins.__import__(name, *arguments, **keywords)
        whole = builtins.__import__(f"{place}.{name}", *arguments, **keywords)
        return whole if names else sys.modules[f"{place}.{first}"]

    return run_import


def is_known(name: str) -> bool:
    """Whether `import NAME` finds a module outside of the folder: it goes first."""
    return name in sys.modules or importlib.util.find_spec(name) is not None
