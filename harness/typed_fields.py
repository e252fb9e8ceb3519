"""The fields of a dataclass checked against their annotations, by pydantic: where data from outside become our own types."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Annotated, Any, cast, get_args, get_type_hints

from harness.types import SkilldeltaError
from harness.visible_text import show_value

MAX_COUNT = 10**15  # of anything that is counted


@cache
def field_checks(kind: Hashable) -> Mapping[str, Any]:
    """A validator for each field of a dataclass but those that hold dataclasses, which are built and checked by themselves."""
    import pydantic

    count: Any = Annotated[int, pydantic.Field(ge=-MAX_COUNT, le=MAX_COUNT)]
    assert isinstance(kind, type)
    hints = get_type_hints(kind)
    plain_fields = [each.name for each in fields(kind) if not holds_dataclass(hints[each.name])]
    settings = pydantic.ConfigDict(allow_inf_nan=False)
    bounds = {int: count, int | None: count | None}
    return {name: pydantic.TypeAdapter(bounds.get(hints[name], hints[name]), config=settings) for name in plain_fields}


def holds_dataclass(hint: Any) -> bool:
    return is_dataclass(hint) or any(holds_dataclass(part) for part in get_args(hint))


def check_fields(kind: type[Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a dataclass's fields as their annotations have them (1 for a float is 1.0).  Others stay as they are.

    SkilldeltaError names the field, and what it holds.
    """
    import pydantic

    checks, checked = field_checks(cast(Hashable, kind)), dict(values)
    for name in checks.keys() & values.keys():
        try:
            checked[name] = checks[name].validate_python(values[name])
        except (pydantic.ValidationError, OverflowError) as error:
            reason = error.errors()[0]["msg"] if isinstance(error, pydantic.ValidationError) else str(error)
            raise SkilldeltaError(f"{name} is {show_value(values[name])}: {reason}.") from error
    return checked
