"""Options in groups: a verb takes dataclasses, and typer sees one option for each of their fields."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from functools import wraps
from typing import Any, get_type_hints


def with_option_groups(verb: Callable[..., None]) -> Callable[..., None]:
    """The verb with each parameter that is a dataclass replaced by one option for each field; typer knows no such groups."""
    hints = get_type_hints(verb, include_extras=True)
    groups: dict[str, type[Any]] = {name: hint for name, hint in hints.items() if isinstance(hint, type) and is_dataclass(hint)}
    parameters = []
    for parameter in inspect.signature(verb).parameters.values():
        if group := groups.get(parameter.name):
            types = get_type_hints(group, include_extras=True)
            options = [(field.name, field.default, types[field.name]) for field in fields(group)]
        else:
            options = [(parameter.name, parameter.default, hints[parameter.name])]
        for name, default, annotation in options:
            parameters.append(inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation))

    @wraps(verb)
    def flat(**values: Any) -> None:
        values_by_group = {name: group(**{f.name: values.pop(f.name) for f in fields(group)}) for name, group in groups.items()}
        verb(**values, **values_by_group)

    flat.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    flat.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    del flat.__wrapped__  # typer would read the annotations of the verb itself
    return flat
