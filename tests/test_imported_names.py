"""Every name that a file imports from the project exists: in tests and benches too, which mypy does not read."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("harness", "tasks", "reports", "tests")
FILES = sorted(file.relative_to(ROOT).as_posix() for package in PACKAGES for file in (ROOT / package).rglob("*.py"))


def find_module(name: str, root: Path = ROOT) -> Path | None:
    """The file of a module, or the __init__.py of a package."""
    place = root.joinpath(*name.split("."))
    return next((file for file in (place.with_suffix(".py"), place / "__init__.py") if file.is_file()), None)


@cache
def names_of(file: Path) -> frozenset[str] | None:
    """What a module has after its import; None where it makes names that cannot be read off (a star, __getattr__)."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names.update((alias.asname or alias.name).partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
    return None if {"*", "__getattr__"} & names else frozenset(names)


def missing_names(tree: ast.AST, root: Path = ROOT) -> Iterator[str]:
    """Names that a file imports from a module of the project that has none of that name."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.ImportFrom) or not node.module or node.module.partition(".")[0] not in PACKAGES:
            continue
        file = find_module(node.module, root)
        if file is None and not root.joinpath(*node.module.split(".")).is_dir():
            yield f"line {node.lineno}: no module {node.module}"
            continue
        known = names_of(file) if file else frozenset()
        for alias in node.names:
            if known is not None and alias.name not in known and not has_submodule(f"{node.module}.{alias.name}", root):
                yield f"line {node.lineno}: {node.module} has no {alias.name}"


def has_submodule(name: str, root: Path) -> bool:
    return find_module(name, root) is not None or root.joinpath(*name.split(".")).is_dir()


@pytest.mark.slow
@pytest.mark.parametrize("file", FILES)
def test_a_file_imports_only_what_there_is(file: str) -> None:
    assert list(missing_names(ast.parse((ROOT / file).read_text(encoding="utf-8")))) == []


def test_a_name_that_is_gone_is_seen_where_it_is_imported_late(tmp_path: Path) -> None:
    (tmp_path / "harness").mkdir()
    (tmp_path / "harness" / "kept.py").write_text("def there(): ...\nTABLE = {}\n")
    late = ["from harness.kept import there, TABLE, gone", "from harness.lost import x", "from harness import kept, no"]
    text = "\n    ".join(["def later():", *late])
    assert list(missing_names(ast.parse(text), tmp_path)) == [
        "line 2: harness.kept has no gone",
        "line 3: no module harness.lost",
        "line 4: harness has no no",
    ]
