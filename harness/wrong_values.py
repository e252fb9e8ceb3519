"""Why a value does not fit its field, in plain words, for pydantic's many kinds of errors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from harness.types import unknown_name
from harness.visible_text import printable, show_value

MAX_SHOWN = 200  # characters of a wrong value
WISHES = {  # by the beginning of pydantic's name for an error; the first that fits; braces: from its context
    "float": "write a number",
    "finite_number": "write a finite number",
    "int": "write a whole number",
    "bool": "write true or false",
    "string": "write a text",
    "greater_than_equal": "write {ge} or more",
    "greater_than": "write more than {gt}",
    "less_than_equal": "write {le} or less",
    "less_than": "write less than {lt}",
    "literal_error": "write {expected}",
    "list": "write a list",
    "tuple": "write a list",
    "mapping": "write names and values",
    "dict": "write names and values",
    "model": "write names and values",
    "dataclass": "write names and values",
    "none_required": "leave it empty",
}


def explain_wrong_value(error: Mapping[str, Any], names_at: Callable[[int], Iterable[str]] = lambda _: ()) -> str:
    """One entry of pydantic's `ValidationError.errors()`: where it is, what to write, and what stands there.

    `names_at`: the names that there are at a depth, for one that is unknown.
    """
    place = ".".join(str(part) for part in error["loc"] if not str(part).startswith(("function-", "is-instance[")))
    where = f"{printable(place)}: " if place else ""
    if error["type"] == "extra_forbidden":
        *above, name = map(str, error["loc"])
        return f"{where}{unknown_name('key', name, names_at(len(above)))}".rstrip(".")
    if error["type"] == "missing":
        return f"{where}it is missing"
    wish = next((text for kind, text in WISHES.items() if str(error["type"]).startswith(kind)), "")
    value = show_value(error["input"], MAX_SHOWN)
    if wish:
        return f"{where}{wish.format_map(error.get('ctx', {}))}, not {value}"
    message = printable(str(error["msg"])).removeprefix("Value error, ").rstrip(".")
    return f"{where}{message}" if value in message else f"{where}{message}, not {value}"
