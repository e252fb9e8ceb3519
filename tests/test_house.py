"""The layers of the house, read from the imports: each room imports downwards, heavy libraries sit behind one door."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LAYERS = {
    1: ["harness/types.py"],
    2: ["harness/registry.py", "harness/store.py", "harness/data.py", "harness/config.py", "harness/fingerprint.py",
        "harness/integrity.py", "harness/training_log.py", "harness/suites.py", "harness/judges/assignment.py", "harness/published.py",
        "harness/engine/", "harness/sandbox/", "harness/world/", "harness/recorded/", "harness/interchange/"],
    3: ["harness/evaluation/evaluate.py", "harness/evaluation/sequential.py", "harness/evaluation/repeatability.py", "harness/evaluation/watch.py", "harness/discovery.py",
        "harness/comparison/", "harness/claims/", "harness/studies/runner.py", "harness/study/", "harness/cluster.py",
        "harness/importing.py", "harness/exporting.py"],
    4: ["tasks/", "harness/models/", "harness/trainers/", "reports/", "harness/judges/", "harness/checkpoints/",
        "harness/imports/", "harness/exports/", "harness/api.py"],
    5: ["harness/cli/"],
    6: ["harness/__main__.py"],
}  # fmt: skip
ANYWHERE = {"harness/__init__.py"}
DOORS = {
    "torch": ["harness/models/", "harness/engine/", "harness/trainers/", "harness/judges/"],
    "transformers": ["harness/models/", "harness/engine/", "harness/trainers/", "harness/judges/"],
    "peft": ["harness/models/", "harness/trainers/"],
    "lm_eval": ["harness/backends/lm_eval.py", "harness/lm_eval_model.py", "tasks/lm_eval.py"],
    "datasets": ["harness/data.py"],
    "matplotlib": ["reports/"],
    "ray": ["harness/cluster.py"],
    "pickle": [],
    "dill": [],
}
FILES = sorted(p for top in ("harness", "tasks", "reports") for p in (ROOT / top).rglob("*.py"))


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def layer(file: str) -> int | None:
    return next(
        (n for n, rooms in LAYERS.items() for r in rooms if file == r or (r.endswith("/") and file.startswith(r))), None
    )


def room(file: str) -> str:
    return next(r for rooms in LAYERS.values() for r in rooms if file == r or (r.endswith("/") and file.startswith(r)))


def imports(path: Path) -> set[str]:
    """Modules that `path` imports, anywhere in it, as dotted names (relative imports resolved)."""
    package = name(path).removesuffix(".py").split("/")[:-1]
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            stem = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*stem, *(node.module or "").split(".")]).strip(".")
            found |= {base} | {f"{base}.{alias.name}" for alias in node.names}
    return found


def file_of(module: str) -> str | None:
    stem = module.replace(".", "/")
    return next((f for f in (f"{stem}.py", f"{stem}/__init__.py") if (ROOT / f).is_file()), None)


@pytest.mark.parametrize("path", FILES, ids=name)
def test_a_file_imports_only_downwards(path: Path) -> None:
    file = name(path)
    if file in ANYWHERE:
        return
    mine = layer(file)
    assert mine, f"{file} is in no layer: give it a room in LAYERS"
    for module in imports(path):
        other = file_of(module)
        if other is None or other in ANYWHERE or room(other) == room(file):
            continue
        theirs = layer(other)
        assert theirs is not None
        assert theirs < mine or (theirs == mine and mine in (2, 3)), f"{file} (layer {mine}) imports {other} (layer {theirs})"


@pytest.mark.parametrize("library", DOORS)
def test_a_heavy_library_stays_behind_its_door(library: str) -> None:
    for path in FILES:
        if any(m == library or m.startswith(library + ".") for m in imports(path)):
            file = name(path)
            assert any(file == d or (d.endswith("/") and file.startswith(d)) for d in DOORS[library]), (
                f"{file} imports {library}"
            )


def test_there_are_no_import_cycles() -> None:
    graph = {name(p): {f for m in imports(p) if (f := file_of(m)) and f != name(p)} - ANYWHERE for p in FILES}
    state: dict[str, int] = {}

    def visit(file: str, trail: tuple[str, ...]) -> None:
        if state.get(file) == 2:
            return
        assert state.get(file) != 1, f"a cycle: {' -> '.join([*trail, file])}"
        state[file] = 1
        for other in graph[file]:
            # A package's __init__ may re-export its own modules.
            if not other.endswith("__init__.py"):
                visit(other, (*trail, file))
        state[file] = 2

    for file in graph:
        visit(file, ())


def test_nouns_need_only_the_standard_library() -> None:
    import sys

    outside = {m.split(".")[0] for m in imports(ROOT / "harness/types.py")} - set(sys.stdlib_module_names)
    assert not outside


@pytest.mark.parametrize("path", FILES, ids=name)
def test_a_file_fits_in_the_head(path: Path) -> None:
    lines = path.read_text().count("\n")
    assert lines <= 400, f"{name(path)} has {lines} lines: split it by what changes together"
