"""BFCL's own checker against the metric `official` of the task bfcl, on responses made from right calls by random changes.

pip download bfcl-eval --no-deps && unzip bfcl_eval*.whl -d FOLDER
python -m tests.bench.tool_calls FOLDER --count 30000
"""

from __future__ import annotations

import argparse
import ast
import importlib
import random
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from harness import data
from harness.types import Example
from tasks import bfcl
from tasks.tool_calls.matching import OPTIONAL

Arguments = dict[str, Any]
Calls = list[tuple[str, Arguments]]


class EveryModel(dict[str, Any]):
    """Stands for the leaderboard's list of models, which imports a client of each provider: no name is rewritten."""

    def __missing__(self, name: str) -> SimpleNamespace:
        return SimpleNamespace(underscore_to_dot=False)


def official_checker(folder: Path) -> Callable[[Example, str], bool]:
    """The verdict of the leaderboard's own ast_checker, and of its own reading of Python's syntax."""
    sys.path.insert(0, str(folder))
    models = ModuleType("bfcl_eval.constants.model_config")
    vars(models)["MODEL_CONFIG_MAPPING"] = EveryModel()
    sys.modules[models.__name__] = models
    converters = "bfcl_eval.eval_checker.ast_eval.type_convertor"
    for language in ("java", "js"):  # of other languages' rows; they import parsers that are not needed here
        name = f"{language}_type_converter"
        sys.modules[f"{converters}.{name}"] = module = ModuleType(name)
        vars(module)[name] = None
    checker = importlib.import_module("bfcl_eval.eval_checker.ast_eval.ast_checker")
    resolve = resolver(folder / "bfcl_eval" / "model_handler" / "utils.py")

    def is_right(example: Example, text: str) -> bool:
        row = example.row
        try:
            listed = text.strip("`\n ")
            listed = ("" if listed.startswith("[") else "[") + listed + ("" if listed.endswith("]") else "]")
            calls = resolve(listed)
        except Exception:  # noqa: BLE001  as the leaderboard: what it cannot decode is wrong
            return False
        language = checker.Language.PYTHON
        verdict = checker.ast_checker(row["functions"], calls, row["answers"], language, row["category"], "any")
        return bool(verdict["valid"])

    return is_right


def resolver(file: Path) -> Callable[[str], list[Any]]:
    """ast_parse() of a file that also imports clients of providers: its functions that read Python alone."""
    names = ("ast_parse", "resolve_ast_call", "resolve_ast_by_type")
    tree = ast.parse(file.read_text())
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name in names]
    python = SimpleNamespace(PYTHON="python")
    scope: dict[str, Any] = {"ast": ast, "ReturnFormat": python, "list": list}
    exec(compile(ast.Module(functions, []), str(file), "exec", dont_inherit=True), scope)  # the reference's own code
    parse: Callable[[str], list[Any]] = scope["ast_parse"]
    return parse


def right_calls(example: Example, source: random.Random) -> Calls:
    """Calls with any of the allowed values."""
    calls = []
    for answer in example.row["answers"]:
        [(name, allowed)] = answer.items()
        chosen = {parameter: source.choice(values) for parameter, values in allowed.items()}
        calls.append((name, {p: pick_fields(value, source) for p, value in chosen.items() if value != OPTIONAL}))
    return calls


def pick_fields(value: Any, source: random.Random) -> Any:
    if isinstance(value, dict):
        chosen = {field: source.choice(options) for field, options in value.items()}
        return {field: pick_fields(option, source) for field, option in chosen.items() if option != OPTIONAL}
    return [pick_fields(item, source) for item in value] if isinstance(value, list) else value


def change_value(value: Any, source: random.Random) -> Any:
    """A value that is the same by the rules, or nearly so."""
    if isinstance(value, bool):
        return source.choice([not value, int(value), str(value)])
    if isinstance(value, int | float):
        return source.choice([value + 1, float(value), str(value), -value, [value], int(value)])
    if isinstance(value, str):
        forms = [value.upper(), value.replace(" ", ""), f"{value}.", value.replace(",", "-"), f"{value} x", "", [value]]
        return source.choice([*forms, value.replace("'", '"'), value[:-1]])
    if isinstance(value, list):
        place = source.randrange(len(value) + 1)
        items = [change_value(item, source) if at == place else item for at, item in enumerate(value)]
        return source.choice([items, value[::-1], value[:-1], [*value, *value[:1]], tuple(value), value[0] if value else None])
    if isinstance(value, dict):
        fields = {name: change_value(item, source) if source.random() < 0.5 else item for name, item in value.items()}
        return source.choice([fields, {**value, "other": 1}, dict(list(value.items())[1:]), list(value)])
    return source.choice([None, 0, "x"])


def change_calls(calls: Calls, source: random.Random) -> Calls:
    """One random change of a call, or of the list of calls."""
    place = source.randrange(len(calls))
    name, arguments = calls[place]
    parameter = source.choice([*arguments, "other"])
    rest = {p: value for p, value in arguments.items() if p != parameter}
    changes = [arguments | {parameter: change_value(arguments.get(parameter), source)}] * 6 + [rest, arguments | {"other": 1}]
    changed = (f"{name}x" if source.random() < 0.03 else name, source.choice(changes))
    one_changed = [changed if at == place else call for at, call in enumerate(calls)]
    shuffled = source.sample(calls, len(calls))
    return source.choice([one_changed, one_changed, one_changed, shuffled, [*calls, calls[place]], calls[:-1] or calls])


def write_calls(calls: Calls, source: random.Random) -> str:
    text = ", ".join(f"{name}({', '.join(f'{p}={value!r}' for p, value in arguments.items())})" for name, arguments in calls)
    forms = ["[{}]", "{}", "[{}]\n", "`[{}]`", "```\n[{}]\n```", "```python\n[{}]\n```", "Sure: [{}]"]
    return source.choice(forms).format(text)


def responses(examples: list[Example], count: int, seed: int) -> Iterator[tuple[Example, str]]:
    source = random.Random(seed)
    for number in range(count):
        example = examples[number % len(examples)]
        calls = right_calls(example, source)
        for _ in range(source.choice([0, 1, 1, 1, 2])):
            calls = change_calls(calls, source)
        yield example, write_calls(calls, source)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=30_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    is_right = official_checker(arguments.folder)
    with tempfile.TemporaryDirectory() as scratch:
        (Path(scratch) / "bfcl").symlink_to((arguments.folder / "bfcl_eval" / "data").resolve())
        examples = data.examples(bfcl.TASKS[0], Path(scratch))
    right = differences = 0
    for example, text in responses(examples, arguments.count, arguments.seed):
        theirs, reason = is_right(example, text), bfcl.official_reason(example, text)
        right += theirs
        if theirs != (reason == ""):
            differences += 1
            print(f"theirs {theirs}, ours {reason!r}: {text[:300]}")
    print(f"{arguments.count} responses to {len(examples)} questions, {right} of them right: {differences} verdicts differ")


if __name__ == "__main__":
    main()
