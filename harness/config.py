"""Dataclass <-> flags <-> YAML.  An unknown key is an error that lists the known ones."""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
import types
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cache
from types import ModuleType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from harness.name_value_pairs import parse_pairs as parse_pairs
from harness.name_value_pairs import split_names as split_names
from harness.types import SkilldeltaError, unknown_name
from harness.visible_text import show_value
from harness.wrong_values import explain_wrong_value
from harness.yaml_files import load_yaml as load_yaml

T = TypeVar("T")
MAX_WHOLE = 1 << 64  # of whole numbers: seeds have 64 bits


def build_config(kind: type[T], values: Mapping[str, Any]) -> T:
    """A `kind` (a dataclass) from names and values; text is read as the field's type ("8" for an int, "a,b" for a tuple)."""
    import pydantic

    if not isinstance(values, Mapping):
        raise SkilldeltaError(f"{show_value(values, 80)} stands where names and values were expected.")
    hints, validator = field_types(kind)  # type: ignore[arg-type]
    ready = {}
    for key, value in values.items():
        name = str(key).replace("-", "_")
        if name not in hints:
            raise unknown_name("setting", name, hints)
        ready[name] = build_nested(split_text(value, hints[name]), hints[name])
    try:
        config: T = validator.validate_python(ready, strict=False)
    except pydantic.ValidationError as error:
        faults = "; ".join(map(explain_wrong_value, error.errors()[:20]))
        raise SkilldeltaError(f"These settings do not fit: {faults}.") from error
    if no_numbers := [name for name in ready if (value := getattr(config, name)) != value]:
        raise SkilldeltaError(f"{', '.join(no_numbers)} is NaN: write a number.")
    if boundless := [name for name in ready if is_boundless(getattr(config, name))]:
        raise SkilldeltaError(f"{', '.join(boundless)} is more than anybody counts: write a number of at most 2^64.")
    return config


def is_boundless(value: object) -> bool:
    """Whether a whole number, or one in a tuple, is larger than any count or seed: as a float it might be none."""
    if isinstance(value, tuple):
        return any(map(is_boundless, value))
    return isinstance(value, int) and abs(value) > MAX_WHOLE


@cache
def field_types(kind: Any) -> tuple[dict[str, Any], Any]:
    """The types of a dataclass's fields, and what validates it: made once, as a suite may have thousands of entries."""
    import pydantic

    return get_type_hints(kind), pydantic.TypeAdapter(kind)


def build_nested(value: Any, hint: Any) -> Any:
    """Mappings that stand where `hint` has a dataclass, built as one: an unknown key deep inside is an error too."""
    if dataclasses.is_dataclass(hint) and isinstance(hint, type) and isinstance(value, Mapping):
        return build_config(hint, value)
    kinds = get_args(hint)
    if get_origin(hint) in (Union, types.UnionType):
        return next((build_nested(value, kind) for kind in kinds if dataclasses.is_dataclass(kind)), value)
    if get_origin(hint) is tuple and isinstance(value, list):
        return [build_nested(entry, kinds[0]) for entry in value]
    if get_origin(hint) is Mapping and isinstance(value, Mapping):
        return {name: build_nested(entry, kinds[1]) for name, entry in value.items()}
    return value


def options_type(load: Callable[..., object]) -> type[Any]:
    """The dataclass of a plug-in's settings: the annotation of the `options` parameter of its `load`."""
    kind: type[Any] = get_type_hints(load)["options"]
    return kind


def settings_class(trainer: ModuleType) -> type[Any]:
    """The dataclass of a trainer's settings: what its `train` is annotated to take."""
    kind: type[Any] = next(hint for name, hint in get_type_hints(trainer.train).items() if name != "return")
    return kind


def field_comments(kind: type[Any]) -> dict[str, str]:
    """Field -> the comment next to it in the source of its class, else of the nearest base class that has one.

    The comment that explains a field to readers of the code is also its line of help: there is one text to keep true.
    """
    comments: dict[str, str] = {}
    for base in reversed(kind.__mro__[:-1]):
        comments |= re.findall(r"^    (\w+): [^#\n]*  # (.+)$", inspect.getsource(base), re.MULTILINE)
    return comments


def split_text(value: Any, hint: Any) -> Any:
    """Text for a tuple or list field, split at commas; text "none" for a field that may be None."""
    kinds = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    if isinstance(value, str) and type(None) in kinds and value.lower() in ("none", "null"):
        return None
    if isinstance(value, str) and any(get_origin(k) in (tuple, list) for k in kinds):
        return split_names([value])
    return value


def parse_json_pairs(text: str) -> dict[str, Any]:
    """ "a=1;b=true;c=word" as names and values, each read as JSON where it is some."""
    values: dict[str, Any] = {}
    for name, value in parse_pairs(text.split(";")).items():
        try:
            values[name] = json.loads(value)
        except json.JSONDecodeError:
            values[name] = value
    return values


def parse_flags(arguments: Sequence[str]) -> dict[str, str]:
    """["--lr", "1e-4", "--bf16", "--beta=0.1"] as names and values; a flag without a value is "true"."""
    values: dict[str, str] = {}
    left = list(arguments)
    while left:
        head = left.pop(0)
        if not head.startswith("--"):
            raise SkilldeltaError(f"{head!r} is not a flag: settings are written --name value.")
        key, equals, value = head[2:].partition("=")
        if not equals:
            value = left.pop(0) if left and not left[0].startswith("--") else "true"
        values[key.replace("-", "_")] = value
    return values


def changed_settings(options: Any, ignore: Collection[str]) -> dict[str, Any]:
    """The settings of a dataclass that are not at their defaults, but those to ignore."""
    default = dataclasses.asdict(type(options)())
    return {name: value for name, value in to_plain(options).items() if value != default[name] and name not in ignore}


def to_plain(value: Any) -> dict[str, Any]:
    """A dataclass as plain names and values, for YAML or JSON."""
    return dataclasses.asdict(value)
