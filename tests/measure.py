"""Measures of the house: sizes, names, imports, comments.  `python -m tests.measure [FOLDER...]` prints the table.

Every figure is read from the source text alone; `tests/test_house.py` holds the budgets.  `--list` names what exceeds them.
"""

from __future__ import annotations

import argparse
import ast
import io
import statistics
import tokenize
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TOPS = ("harness", "tasks", "reports")
Function = ast.FunctionDef | ast.AsyncFunctionDef

FILE_LINES, FUNCTION_LINES, TRAIN_LINES, PARAMETERS, CHAIN = 250, 50, 80, 6, 8
PARTICIPLE_SHARE = 0.005
# Functions that every plug-in of a kind defines: the same name in each file is the point.
HOOKS = {"load", "read", "score", "ask", "ideal", "find", "render", "train", "rows", "write", "main"} | {
    "read_outputs", "read_scores", "render_study",
}  # fmt: skip
# Preference rows have the columns "chosen" and "rejected" wherever they are published.
PREFERENCE_ROOMS = ("harness/trainers/", "harness/training/", "harness/world/")
IRREGULAR = set(
    ["found", "told", "known", "seen", "made", "given", "held", "kept", "said", "taken", "written", "drawn", "shown", "left", "paid", "meant", "begun", "done", "gone", "got", "sent", "put", "cut", "spent", "lost", "won", "built", "bought", "chosen", "broken", "spoken", "hidden", "grown", "laid", "fed", "felt", "heard", "led", "met", "run", "split", "struck", "thrown"]
) - {"run", "split", "left", "cut", "put"}  # nouns and verbs of the field as well
NOT_PARTICIPLES = {"seed", "need", "feed", "speed", "embed", "red", "bed", "hundred", "breed", "exceed", "shed", "indeed"}


def source_files(folders: Iterable[str] = TOPS) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def stored_names(tree: ast.AST) -> Iterator[str]:
    """Every identifier that the code binds: variables, parameters, attributes, functions, classes."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=identifier, ctx=ast.Store()) | ast.Attribute(attr=identifier, ctx=ast.Store()):
                yield identifier
            case ast.arg(arg=identifier) if identifier not in ("self", "cls"):
                yield identifier
            case ast.FunctionDef(name=identifier) | ast.AsyncFunctionDef(name=identifier) | ast.ClassDef(name=identifier):
                yield identifier


def is_participle(identifier: str, file: str) -> bool:
    """Is the name a past participle alone ("found", "asked"), which says nothing of what it holds?"""
    word = identifier.strip("_").lower()
    if word in ("chosen", "rejected") and file.startswith(PREFERENCE_ROOMS):
        return False
    return word in IRREGULAR or (word.endswith("ed") and len(word) > 3 and word.isalpha() and word not in NOT_PARTICIPLES)


def functions(tree: ast.AST) -> Iterator[Function]:
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def line_count(node: Function) -> int:
    """Lines of a function without its decorators."""
    return (node.end_lineno or node.lineno) - node.lineno + 1


def parameter_count(node: Function) -> int:
    every = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    return len([a for a in every if a.arg not in ("self", "cls")])


def imported_modules(path: Path, tree: ast.AST | None = None) -> set[str]:
    """Modules that `path` imports anywhere in it, as dotted names; `import_module("literal")` counts as an import."""
    package = name_of(path).removesuffix(".py").split("/")[:-1]
    modules: set[str] = set()
    for node in ast.walk(tree or ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            stem = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*stem, *(node.module or "").split(".")]).strip(".")
            names = {f"{base}.{alias.name}" for alias in node.names}
            # `from package import module` needs the module; the package itself only where one of its own names is meant.
            modules |= names if all(file_of(name) for name in names) else names | {base}
        elif isinstance(node, ast.Call) and node.args and ast.unparse(node.func).endswith("import_module"):
            if isinstance(node.args[0], ast.Constant):
                modules.add(str(node.args[0].value))
    return modules


def file_of(module: str) -> str | None:
    """The project's file of a dotted module name; None for other people's modules."""
    stem = module.replace(".", "/")
    return next((file for file in (f"{stem}.py", f"{stem}/__init__.py") if (ROOT / file).is_file()), None)


def import_graph(paths: Iterable[Path] | None = None) -> dict[str, set[str]]:
    """File -> files of the project that it imports; a package's __init__ counts only where it holds code of its own."""
    graph: dict[str, set[str]] = {}
    for path in paths or source_files():
        targets = {file for module in imported_modules(path) if (file := file_of(module)) and file != name_of(path)}
        graph[name_of(path)] = {
            t for t in targets if not t.endswith("__init__.py") or len(ast.parse((ROOT / t).read_text()).body) > 1
        }
    return graph


def find_cycle(graph: dict[str, set[str]]) -> list[str]:
    """One import cycle as a list of files, or []."""
    state: dict[str, int] = {}

    def visit(file: str, trail: list[str]) -> list[str]:
        if state.get(file) == 2:
            return []
        if state.get(file) == 1:
            return [*trail[trail.index(file) :], file]
        state[file] = 1
        for other in sorted(graph.get(file, ())):
            if cycle := visit(other, [*trail, file]):
                return cycle
        state[file] = 2
        return []

    for file in sorted(graph):
        if cycle := visit(file, []):
            return cycle
    return []


def longest_chain(graph: dict[str, set[str]]) -> list[str]:
    """The longest path of imports, from the file that nobody needs to the one that needs nobody."""
    best: dict[str, list[str]] = {}

    def chain(file: str, above: frozenset[str] = frozenset()) -> list[str]:
        if file not in best:
            below = [chain(other, above | {file}) for other in sorted(graph.get(file, ())) if other not in above]
            best[file] = [file, *max(below, key=len, default=[])]
        return best[file]

    return max((chain(file) for file in sorted(graph)), key=len, default=[])


def comment_lines(text: str) -> int:
    """Lines that are a comment, or end in one."""
    return sum(token.type == tokenize.COMMENT for token in tokenize.generate_tokens(io.StringIO(text).readline))


@dataclass
class Measures:
    """What was read from the files."""

    lines: dict[str, int]
    function_lines: dict[str, int]
    parameters: dict[str, int]
    comments: int
    stored: int
    participles: Counter[str]
    places: dict[str, list[str]]  # participle -> files
    shared_functions: dict[str, list[str]]  # top-level name -> three files or more
    shared_classes: dict[str, list[str]]
    functions: int
    classes: int


def measure(paths: Iterable[Path] | None = None) -> Measures:
    """Reads every file once."""
    result = Measures({}, {}, {}, 0, 0, Counter(), defaultdict(list), {}, {}, 0, 0)
    homes: dict[str, list[str]] = defaultdict(list)
    class_homes: dict[str, list[str]] = defaultdict(list)
    for path in paths or source_files():
        file, text = name_of(path), path.read_text(encoding="utf-8")
        tree = ast.parse(text)
        result.lines[file] = text.count("\n")
        result.comments += comment_lines(text)
        for identifier in stored_names(tree):
            result.stored += 1
            if is_participle(identifier, file):
                result.participles[identifier] += 1
                result.places[identifier].append(file)
        for node in functions(tree):
            label = f"{file}:{node.lineno} {node.name}"
            result.function_lines[label] = line_count(node)
            result.parameters[label] = parameter_count(node)
        for node in tree.body:
            if isinstance(node, Function):
                homes[node.name].append(file)
            elif isinstance(node, ast.ClassDef):
                class_homes[node.name].append(file)
    result.functions, result.classes = sum(map(len, homes.values())), sum(map(len, class_homes.values()))
    result.shared_functions = {n: f for n, f in homes.items() if len(f) > 2 and n not in HOOKS}
    result.shared_classes = {n: f for n, f in class_homes.items() if len(f) > 1}
    return result


def over_budget(result: Measures) -> Iterator[str]:
    """One line for each thing beyond its budget (parameters of command-line verbs aside)."""
    for file, count in result.lines.items():
        if count > FILE_LINES:
            yield f"file       {count:4d} lines       {file}"
    for label, count in result.function_lines.items():
        train = label.endswith(" train") and label.startswith("harness/trainers/")
        if count > (TRAIN_LINES if train else FUNCTION_LINES):
            yield f"function   {count:4d} lines       {label}"
    for label, count in result.parameters.items():
        if count > PARAMETERS and not label.startswith("harness/cli/"):
            yield f"function   {count:4d} parameters  {label}"
    for kind, shared in (("class", result.shared_classes), ("function", result.shared_functions)):
        for identifier, files in sorted(shared.items()):
            yield f"{kind:10} {len(files):4d} times       {identifier}: {', '.join(files)}"
    for identifier, count in result.participles.most_common():
        where = ", ".join(f"{file} x{n}" for file, n in Counter(result.places[identifier]).most_common())
        yield f"participle {count:4d} times       {identifier}: {where}"


def table(result: Measures, graph: dict[str, set[str]]) -> list[tuple[str, str]]:
    sizes, lengths = sorted(result.lines.values()), sorted(result.function_lines.values())
    total = sum(sizes)
    colliding = sum(map(len, result.shared_functions.values()))
    participles = sum(result.participles.values())
    return [
        ("files", f"{len(sizes)}"),
        ("lines", f"{total}"),
        ("lines of harness/", f"{sum(n for f, n in result.lines.items() if f.startswith('harness/'))}"),
        ("lines a file: median, p95, max", f"{statistics.median(sizes):.0f}, {sizes[int(0.95 * len(sizes))]}, {sizes[-1]}"),
        ("lines a function: median, p95, max", f"{statistics.median(lengths):.0f}, {lengths[int(0.95 * len(lengths))]}, {lengths[-1]}"),
        ("parameters: max outside of the command line", f"{max((n for f, n in result.parameters.items() if not f.startswith('harness/cli/')), default=0)}"),
        ("longest chain of imports", f"{len(longest_chain(graph))}"),
        ("import cycles", "none" if not (cycle := find_cycle(graph)) else " -> ".join(cycle)),
        ("class names that stand twice", f"{len(result.shared_classes)} ({sum(map(len, result.shared_classes.values()))} of {result.classes} classes)"),
        ("top-level functions that share a name with two others", f"{colliding} of {result.functions} ({100 * colliding / max(result.functions, 1):.1f} %)"),
        ("bare participles among stored names", f"{participles} of {result.stored} ({100 * participles / max(result.stored, 1):.2f} %)"),
        ("lines with a comment", f"{result.comments} ({100 * result.comments / max(total, 1):.1f} %)"),
    ]  # fmt: skip


def main() -> None:
    reader = argparse.ArgumentParser(description=__doc__)
    reader.add_argument("folders", nargs="*", default=list(TOPS))
    reader.add_argument("--list", action="store_true", help="name everything that is beyond its budget")
    options = reader.parse_args()
    paths = [p for f in options.folders for p in ([ROOT / f] if f.endswith(".py") else source_files([f.rstrip("/")]))]
    if options.list:
        # Names collide across folders: collisions are looked for everywhere, and told where a named folder takes part.
        whole = measure()
        part = measure(paths)
        inside = {name_of(p) for p in paths}
        for attribute in ("shared_classes", "shared_functions"):
            setattr(part, attribute, {n: f for n, f in getattr(whole, attribute).items() if inside & set(f)})
        for line in over_budget(part):
            print(line)
    for label, value in table(measure(paths), import_graph(paths)):
        print(f"{label:55} {value}")


if __name__ == "__main__":
    main()
