"""Imports this project's `tasks` and `reports`, also where a package of the same name comes first on the search path.

A user's project often has a package `tasks` of its own, and Python finds the one in the working folder first.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parent.parent
GENERIC_NAMES = ("tasks", "reports")
OWN_MODULES: dict[str, ModuleType] = {}  # this project's, by name, while the user's have these names in sys.modules


def import_own(name: str) -> ModuleType:
    """The module `name` of this project.  A user's package of that name stays what `import` gives to everybody else."""
    if name.partition(".")[0] not in GENERIC_NAMES:
        return importlib.import_module(name)
    with own_imports():
        return importlib.import_module(name)


def own_imports() -> AbstractContextManager[None]:
    """Within it, `import reports` and `import tasks` give this project's packages: for imports whose types are checked."""
    return nullcontext() if all(map(comes_first, GENERIC_NAMES)) else own_packages_first()


def comes_first(package: str) -> bool:
    """Whether `import PACKAGE` gives this project's package."""
    if package in sys.modules:
        folders = getattr(sys.modules[package], "__path__", ())
    else:
        spec = importlib.util.find_spec(package)
        folders = spec.submodule_search_locations if spec and spec.submodule_search_locations else ()
    return next((Path(folder).resolve() for folder in folders), None) == ROOT / package


@contextmanager
def own_packages_first() -> Iterator[None]:
    """Within it, `tasks` and `reports` are this project's; afterwards the user's again."""
    others = remove_generic_modules()
    sys.modules.update(OWN_MODULES)
    sys.path.insert(0, str(ROOT))
    try:
        yield
    finally:
        sys.path.remove(str(ROOT))
        OWN_MODULES.update(remove_generic_modules())
        sys.modules.update(others)


def remove_generic_modules() -> dict[str, ModuleType]:
    """Takes every module of a generic name out of sys.modules."""
    names = [name for name in sys.modules if name.partition(".")[0] in GENERIC_NAMES]
    return {name: sys.modules.pop(name) for name in names}
