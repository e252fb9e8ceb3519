"""Are these the calls that are allowed?  The rules of the Berkeley Function Calling Leaderboard's AST evaluation, for Python.

`allowed` of a parameter is the list of its right values; "" in it says that the parameter may be left out.  Texts are compared
without case, blanks and the signs , . / - _ * ^; numbers and truth values exactly.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from harness.types import Json
from tasks.tool_calls.parsing import Call

TYPES: dict[str, type] = {
    "string": str, "integer": int, "float": float, "boolean": bool, "array": list, "tuple": list, "dict": dict, "any": str,
}  # fmt: skip
OPTIONAL = ""
MAX_FLOAT = int(sys.float_info.max)  # a larger integer is no number that a call takes


def explain_mismatch(functions: Sequence[Json], answers: Sequence[Json], calls: Sequence[Call]) -> str:
    """Why the calls are not the answers, in any order; "" where they are.

    An answer is {function: {parameter: allowed values}}.  Each answer needs a call of its own; the official scorer gives each
    the first call that fits, which can leave a later answer without one: here any assignment will do.
    """
    if len(calls) != len(answers):
        return f"{len(calls)} calls, where {len(answers)} are right"
    documents = {function["name"]: function for function in functions}
    reasons = [[explain_call(documents, answer, call) for call in calls] for answer in answers]
    owners: dict[int, int] = {}  # which answer has which call
    for place in range(len(answers)):
        if not assign(place, reasons, owners, set()):
            wrong = [reason for reason in reasons[place] if reason] or ["one call stands for two answers"]
            return next((reason for reason in wrong if not reason.startswith("calls ")), wrong[0])
    return ""


def assign(place: int, reasons: Sequence[Sequence[str]], owners: dict[int, int], tried: set[int]) -> bool:
    """Gives an answer a call of its own, moving others where they fit another (Kuhn's algorithm)."""
    for call, reason in enumerate(reasons[place]):
        if reason or call in tried:
            continue
        tried.add(call)
        if call not in owners or assign(owners[call], reasons, owners, tried):
            owners[call] = place
            return True
    return False


def explain_call(documents: Mapping[str, Json], answer: Json, call: Call) -> str:
    """Why a call is not the one answer; "" where it is."""
    [(name, allowed)] = answer.items()
    if call.name != name:
        return f"calls {call.name}, not {name}"
    schema = documents[name]["parameters"]
    if missing := [parameter for parameter in schema["required"] if parameter not in call.arguments]:
        return f"{name}: {', '.join(missing)} is missing"
    for parameter, value in call.arguments.items():
        if parameter not in schema["properties"] or parameter not in allowed:
            return f"{name}: no parameter {parameter}"
        if not allows(value, schema["properties"][parameter], allowed[parameter]):
            return f"{name}: {parameter} is {value!r}"
    left_out = [p for p, values in allowed.items() if p not in call.arguments and OPTIONAL not in values]
    return f"{name}: {', '.join(left_out)} is missing" if left_out else ""


def allows(value: Any, schema: Json, allowed: Sequence[Any]) -> bool:
    """Has the value the documented type, and is it one of the allowed ones?

    A value of another type may pass where the allowed ones have that type too: they name a variable, and are compared exactly.
    """
    kind, expected = schema["type"], TYPES[schema["type"]]
    if kind == "tuple" and isinstance(value, tuple):
        value = list(value)
    if kind == "float" and type(value) is int and abs(value) <= MAX_FLOAT:
        value = float(value)
    item_type = TYPES[schema["items"]["type"]] if kind in ("array", "tuple") else None
    example_type = type_of_first(allowed)
    is_typed = type(value) is expected
    if is_typed and item_type is not None and not items_fit(value, item_type, allowed):
        return False
    if not is_typed and type(value) is not example_type:
        return False
    if not is_typed or example_type not in (None, expected):
        return value in allowed
    if expected is dict:
        return any(fields_fit(value, option) for option in allowed if option != OPTIONAL)
    if item_type is dict:
        return any(fields_of_all_fit(value, option) for option in allowed)
    if expected is str:
        return normalize_text(value) in [normalize_text(option) for option in allowed if isinstance(option, str)]
    if expected is list:
        return normalize_items(value) in [normalize_items(option) for option in allowed]
    return value in allowed


def items_fit(items: Sequence[Any], item_type: type, allowed: Sequence[Any]) -> bool:
    """Have all items the documented type, or that of an allowed list's first item?  An optional list may hold any."""
    for option in allowed:
        if not isinstance(option, list):
            return True
        if all(type(item) in (item_type, type_of_first(option)) for item in items):
            return True
    return False


def type_of_first(options: Sequence[Any]) -> type | None:
    """The type of the first option that is a value; None where there is none."""
    return next((type(option) for option in options if option != OPTIONAL), None)


def fields_of_all_fit(items: Sequence[Any], option: Any) -> bool:
    """A list of objects against one of the same length; an optional list may be empty."""
    return len(items) == len(option) and all(fields_fit(item, wanted) for item, wanted in zip(items, option, strict=True))


def fields_fit(value: Any, option: Any) -> bool:
    """An object against {field: allowed values}: no other fields, none missing that is not optional."""
    if not isinstance(value, dict) or not isinstance(option, dict) or any(field not in option for field in value):
        return False
    for field, allowed in option.items():
        if field not in value:
            if OPTIONAL not in allowed:
                return False
        elif normalize_value(value[field]) not in [normalize_value(each) for each in allowed]:
            return False
    return True


def normalize_items(value: Any) -> list[Any]:
    """An optional list ("") is an empty one."""
    return [normalize_value(item) for item in value]


def normalize_value(value: Any) -> Any:
    return normalize_text(value) if isinstance(value, str) else value


def normalize_text(text: str) -> str:
    return re.sub(r"[ ,./\-_*^]", "", text).lower().replace("'", '"')
