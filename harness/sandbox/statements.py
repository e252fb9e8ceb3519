"""A program's top-level statements: which of them a function needs, and which only show how to use it."""

from __future__ import annotations

import ast
import builtins
import re
import threading
import types
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

WARNINGS_LOCK = threading.Lock()  # the warning filters belong to the whole process, and programs are read by several threads
LINE_END = re.compile(r"\r\n|\r|\n")
DYNAMIC = {"globals", "eval", "exec", "vars", "__import__"}  # a program with these may use names that it does not spell out
# Calls at the margin that run tests, end the program, or read its input.
DRIVERS = {"print", "input", "exit", "quit", "main", "unittest", "doctest", "pytest", "testmod", "breakpoint"}
BUILTIN_NAMES = frozenset(dir(builtins)) | {"__name__", "__file__", "__doc__"}


@dataclass(frozen=True)
class Statement:
    """One statement at the margin, or several that share a line.  Names: those that it binds, and those that it may look up."""

    text: str
    kind: Literal["import", "definition", "assignment", "action"]
    binds: frozenset[str]
    uses: frozenset[str]
    stub: bool = False  # a function without a body
    call: str = ""  # of an action that is one call: the first name in it, and the last


def parse_statements(code: str) -> list[Statement] | int:
    """The statements of `code` in their order; where it is no Python, the number of lines before the one that is wrong.

    The compiler's warnings do not matter.
    """
    with WARNINGS_LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            lines = LINE_END.split(code)
            return [make_statement(lines, group) for group in group_by_line(ast.parse(code).body)]
        except SyntaxError as error:
            line: int | None = error.lineno
            return max((line or 1) - 1, 0)
        except (ValueError, RecursionError, MemoryError, OverflowError):
            return 0


def group_by_line(nodes: Sequence[ast.stmt]) -> Iterator[list[ast.stmt]]:
    """The statements, those that share a line together."""
    group: list[ast.stmt] = []
    for node in nodes:
        if group and first_line(node) > (group[-1].end_lineno or 0):
            yield group
            group = []
        group.append(node)
    if group:
        yield group


def first_line(node: ast.stmt) -> int:
    """Its number, from 1; decorators belong to a definition."""
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return min([node.lineno, *(decorator.lineno for decorator in decorators)])


def make_statement(lines: Sequence[str], group: list[ast.stmt]) -> Statement:
    """The nodes of `group`; SyntaxError for what no module may hold at its margin (a return, for example)."""
    text = "\n".join(lines[first_line(group[0]) - 1 : group[-1].end_lineno])
    uses = frozenset(names_in(compile(ast.Module(group, []), "<program>", "exec", dont_inherit=True)))
    binds = frozenset(name for node in group for name in bound_names(node))
    kinds = {statement_kind(node) for node in group}
    kind = kinds.pop() if len(kinds) == 1 else "action"
    return Statement(text, kind, binds, uses, is_stub(group[-1]), called_name(group[0]))


def names_in(code: types.CodeType) -> Iterator[str]:
    """Every global name and attribute that the code mentions, at any depth; not a function's own variables."""
    stack = [code]
    while stack:
        current = stack.pop()
        yield from current.co_names
        stack += [constant for constant in current.co_consts if isinstance(constant, types.CodeType)]


def bound_names(node: ast.AST) -> Iterator[str]:
    """The names that a statement binds at the margin."""
    stack = [node]
    while stack:
        current = stack.pop()
        if isinstance(current, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield current.name
        elif isinstance(current, ast.alias):
            yield (current.asname or current.name).partition(".")[0]
        elif isinstance(current, ast.Name):
            if isinstance(current.ctx, ast.Store):
                yield current.id
        elif not isinstance(current, ast.Lambda | ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
            stack += ast.iter_child_nodes(current)


def statement_kind(node: ast.stmt) -> Literal["import", "definition", "assignment", "action"]:
    """A try or an if around imports alone is an import."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        return "import"
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return "definition"
    if isinstance(node, ast.Assign | ast.AnnAssign) and any(True for _ in bound_names(node)):
        return "assignment"
    if isinstance(node, ast.Try | ast.If) and all(
        isinstance(inner, ast.Import | ast.ImportFrom | ast.Pass | ast.Assign | ast.ExceptHandler | ast.expr)
        for inner in ast.iter_child_nodes(node)
    ):
        return "import" if any(isinstance(inner, ast.Import | ast.ImportFrom) for inner in node.body) else "action"
    return "action"


def is_stub(node: ast.stmt) -> bool:
    """A function whose body is a docstring, `pass`, `...` or `raise NotImplementedError`, and nothing else."""
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and all(
        isinstance(inner, ast.Pass)
        or (isinstance(inner, ast.Expr) and isinstance(inner.value, ast.Constant))
        or (isinstance(inner, ast.Raise) and "NotImplementedError" in ast.dump(inner))
        for inner in node.body
    )


def called_name(node: ast.stmt) -> str:
    """The names of an expression statement's call, as "sys.setrecursionlimit"; "" for any other statement."""
    names = []
    current: ast.AST = node.value.func if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) else node
    while isinstance(current, ast.Attribute):
        names.append(current.attr)
        current = current.value
    return ".".join([current.id, *reversed(names)]) if isinstance(current, ast.Name) else ""


def reachable(names: Iterable[str], edges: Mapping[str, Iterable[str]]) -> frozenset[str]:
    """`names`, and all that the edges lead to from them."""
    reach: set[str] = set()
    stack = list(names)
    while stack:
        name = stack.pop()
        if name not in reach:
            reach.add(name)
            stack += edges.get(name, ())
    return frozenset(reach)


def uses_by_name(statements: Iterable[Statement]) -> dict[str, list[str]]:
    """For each name that the statements bind, the names that its statements use."""
    edges: dict[str, list[str]] = {}
    for statement in statements:
        for name in statement.binds:
            edges.setdefault(name, []).extend(statement.uses)
    return edges


def needed_statements(statements: Sequence[Statement], names: Sequence[str]) -> list[Statement]:
    """The statements that the functions `names` need: imports, definitions and assignments in reach, and their preparation.

    Usage, assertions and tests fall away, as in EvalPlus's sanitizer.  Of several definitions of a name, stubs fall away.
    """
    with_body = {name for s in statements if not s.stub for name in s.binds}
    statements = [s for s in statements if not (s.stub and s.binds <= with_body)]
    edges = uses_by_name(statements)
    reach = reachable(names, edges)
    if reach & DYNAMIC:
        reach |= {name for s in statements if s.kind == "definition" for name in s.binds}
    users: dict[str, list[str]] = {}
    for user, uses in edges.items():
        for name in uses:
            users.setdefault(name, []).append(user)
    callers = reachable(names, users)  # what leads to the functions themselves
    modules = {name for s in statements if s.kind == "import" for name in s.binds}

    def is_needed(statement: Statement) -> bool:
        if statement.kind == "import":
            return True
        if statement.binds & reach:
            return statement.kind != "action" or "__name__" not in statement.uses
        return (
            statement.kind == "action" and not statement.uses & callers and prepares(statement, reach & edges.keys(), modules)
        )

    return [s for s in statements if is_needed(s)]


def prepares(action: Statement, reach: frozenset[str], modules: set[str]) -> bool:
    """Does it change something that a function needs, or the setting of a module?  Assertions and output do not."""
    parts = action.call.split(".")
    if action.text.startswith("assert") or {parts[0], parts[-1]} & DRIVERS:
        return False
    return bool(action.uses & reach) or parts[0] in modules


def missing_statements(
    program: Sequence[Statement], before: Sequence[Statement], after: Sequence[Statement], names: Sequence[str]
) -> list[Statement]:
    """Imports, definitions and assignments of other blocks that bind a name which `program` uses and nothing binds.

    The last of those `before` it counts, then the first `after` it.  What calls the functions `names` is usage, and stays out.
    """
    others = [*before, *after]
    usable = [i for i, s in enumerate(others) if s.kind != "action" and not s.stub and not s.uses & (set(names) - s.binds)]
    provider = {name: i for i in usable if i < len(before) for name in others[i].binds}
    for i in usable:
        for name in others[i].binds:
            provider.setdefault(name, i)
    edges = uses_by_name(program)
    positions: set[int] = set()
    closed_set = set(BUILTIN_NAMES)
    stack = list(names)
    while stack:
        name = stack.pop()
        if name in closed_set:
            continue
        closed_set.add(name)
        if name in edges:
            stack += edges[name]
        elif name in provider:
            positions.add(provider[name])
            stack += others[provider[name]].uses
    return [others[i] for i in sorted(positions)]
