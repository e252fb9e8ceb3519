"""Third-party packages that programs may import; a template loads them once."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.sandbox.verdict import UnavailableError


def package_setup(names: Sequence[str]) -> dict[str, Any]:
    """The folders of packages and the modules to import; UnavailableError where one is not installed."""
    folders: list[str] = []
    for name in names:
        spec = importlib.util.find_spec(name)
        if spec is None or not spec.submodule_search_locations:
            raise UnavailableError(f"the package {name!r} that programs may import is not installed")
        folder = Path(next(iter(spec.submodule_search_locations)))
        folders += [str(p) for p in (folder, folder.with_name(f"{name}.libs")) if p.is_dir()]
    modules = [m for name in names for m in (name, *(("numpy.random", "numpy.linalg") if name == "numpy" else ()))]
    return {"packages": folders, "modules": modules, "site": sorted({str(Path(f).parent) for f in folders})}
