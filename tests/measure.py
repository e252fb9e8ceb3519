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
HOOKS = {
    "load", "read", "score", "ask", "ideal", "find", "render", "train", "rows",
    "write", "main", "read_outputs", "read_scores", "holds_outputs", "holds_scores", "group_by_run",
    "render_study", "draw_figure", "execute", "start", "identity",
}  # fmt: skip
# Preference rows have the columns "chosen" and "rejected" wherever they are published.
PREFERENCE_ROOMS = ("harness/trainers/", "harness/training/", "harness/world/")
IRREGULAR = {
    "found", "told", "known", "seen", "made", "given", "held", "kept", "said", "taken", "written", "drawn", "shown",
    "paid", "meant", "begun", "done", "gone", "got", "sent", "spent", "lost", "won", "built", "bought", "chosen",
    "broken", "spoken", "hidden", "grown", "laid", "fed", "felt", "heard", "led", "met", "struck", "thrown",
}  # fmt: skip
IMPORTERS = {"import_module", "__import__", "import_own", "run_module"}  # functions that import a module by its name
COMPUTED_NAME = "a module of a computed name"  # stands for an import that only running the program could resolve
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
    """Modules that `path` imports anywhere in it, as dotted names; so do calls such as `import_module("literal")`.

    A call with anything but a literal counts as COMPUTED_NAME.
    """
    package = name_of(path).removesuffix(".py").split("/")[:-1]
    tree = tree or ast.parse(path.read_text(encoding="utf-8"))
    aliases = [alias for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names]
    importers = IMPORTERS | {alias.asname for alias in aliases if alias.name in IMPORTERS and alias.asname}
    modules: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            stem = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*stem, *(node.module or "").split(".")]).strip(".")
            names = {f"{base}.{alias.name}" for alias in node.names}
            # `from package import module` needs the module; the package itself only where one of its own names is meant.
            modules |= names if all(file_of(name) for name in names) else names | {base}
        elif isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in importers:
            named = [*node.args[:1], *(keyword.value for keyword in node.keywords if keyword.arg == "name")]
            values = [v for n in named for v in ([n.body, n.orelse] if isinstance(n, ast.IfExp) else [n])]
            modules |= {str(value.value) if isinstance(value, ast.Constant) else COMPUTED_NAME for value in values}
    return modules


def file_of(module: str) -> str | None:
    """The project's file of a dotted module name; None for other people's modules."""
    stem = module.replace(".", "/")
    return next((file for file in (f"{stem}.py", f"{stem}/__init__.py") if (ROOT / file).is_file()), None)


def holds_code(path: Path) -> bool:
    """Is there more than a docstring?"""
    return len(ast.parse(path.read_text(encoding="utf-8")).body) > 1


def module_level(tree: ast.Module) -> ast.Module:
    """The imports that run when a module is loaded: not those inside functions, nor those for the type checker alone."""

    def statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
        for node in body:
            if isinstance(node, ast.If):
                yield from statements(node.orelse if "TYPE_CHECKING" in ast.unparse(node.test) else [*node.body, *node.orelse])
            elif isinstance(node, ast.Try | ast.With):
                yield from statements(node.body)
            elif isinstance(node, ast.Import | ast.ImportFrom):
                yield node

    return ast.Module(list(statements(tree.body)), [])


def import_graph(paths: Iterable[Path] | None = None, when_loaded: bool = False) -> dict[str, set[str]]:
    """File -> files of the project that it imports anywhere, or (`when_loaded`) at once when it is loaded itself."""
    graph: dict[str, set[str]] = {}
    for path in paths or source_files():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        modules = imported_modules(path, module_level(tree) if when_loaded else tree)
        graph[name_of(path)] = {file for module in modules if (file := file_of(module)) and file != name_of(path)}
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


def code_lines(text: str) -> int:
    """Lines that hold code: no blank lines, comments or docstrings."""
    skipped = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    lines: set[int] = set()
    previous = tokenize.NEWLINE
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        begins_statement = previous in (tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT)
        if token.type not in skipped and not (token.type == tokenize.STRING and begins_statement):
            lines |= set(range(token.start[0], token.end[0] + 1))
        if token.type not in (tokenize.COMMENT, tokenize.NL):
            previous = token.type
    return len(lines)


def share(part: int, whole: int) -> str:
    return f"{part} of {whole} ({100 * part / max(whole, 1):.2f} %)"


def spread(counts: Iterable[int]) -> str:
    """Median, 95th percentile and maximum."""
    values = sorted(counts)
    return f"{statistics.median(values):.0f}, {values[int(0.95 * len(values))]}, {values[-1]}"


def table(result: Measures, cycle: list[str], chain: list[str]) -> list[tuple[str, str]]:
    """The measures as labels and values."""
    harness = {file: count for file, count in result.lines.items() if file.startswith("harness/")}
    code = sum(code_lines((ROOT / file).read_text(encoding="utf-8")) for file in harness)
    parameters = [count for label, count in result.parameters.items() if not label.startswith("harness/cli/")]
    total = sum(result.lines.values())
    return [
        ("files", f"{len(result.lines)}"),
        ("lines", f"{total}"),
        ("lines of harness/", f"{sum(harness.values())}"),
        ("lines of harness/ that hold code", f"{code}"),
        ("lines a file: median, p95, max", spread(result.lines.values())),
        ("lines a function: median, p95, max", spread(result.function_lines.values())),
        ("parameters: max outside of the command line", f"{max(parameters, default=0)}"),
        ("longest chain of imports when loaded", f"{len(chain)}"),
        ("import cycles", " -> ".join(cycle) or "none"),
        ("classes that share a name", share(sum(map(len, result.shared_classes.values())), result.classes)),
        (
            "functions that share a name with two others",
            share(sum(map(len, result.shared_functions.values())), result.functions),
        ),
        ("bare participles among stored names", share(sum(result.participles.values()), result.stored)),
        ("lines with a comment", share(result.comments, total)),
    ]


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
    cycle, chain = find_cycle(import_graph(paths)), longest_chain(import_graph(paths, when_loaded=True))
    for label, value in table(measure(paths), cycle, chain):
        print(f"{label:45} {value}")
    if options.list:
        print("chain: " + " > ".join(chain))


if __name__ == "__main__":
    main()
