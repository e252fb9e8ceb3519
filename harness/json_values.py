"""Values of a record's fields as JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass
from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class SupportsJson(Protocol):
    """A value that knows its own JSON."""

    def to_json(self) -> dict[str, Any]: ...


def plain(value: Any, later_fields: Mapping[type, tuple[str, ...]]) -> Any:
    """A field's value as JSON; `later_fields` of a dataclass are left out where they have their default."""
    if isinstance(value, SupportsJson):
        return value.to_json()
    if isinstance(value, tuple):
        return [plain(element, later_fields) for element in value]
    if isinstance(value, Mapping):
        return dict(value)
    if not is_dataclass(value) or isinstance(value, type):
        return value
    later = {each.name: each.default for each in fields(value) if each.name in later_fields.get(type(value), ())}
    return {name: part for name, part in asdict(value).items() if name not in later or part != later[name]}


def storable(value: Any) -> Any:
    """A value as JSON that can be hashed and stored: what is none (NaN, dates, bytes) becomes text."""
    if isinstance(value, dict):
        return {str(k): storable(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [storable(v) for v in value]
    if value is None or isinstance(value, str | bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    return str(value)
