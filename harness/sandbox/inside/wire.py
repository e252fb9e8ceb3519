"""Plain values between the grader and the candidate: JSON after a length, never pickle.

Exact built-in types travel by value; a subclass travels as its base's value, so an overridden `__eq__` stays behind.
Anything else is a reference, which equals nothing but itself.  Both ends check every message: a malformed one ends the
conversation, as a guess at its meaning could turn an attack into a pass.
"""

from __future__ import annotations

import array
import collections
import datetime
import decimal
import fractions
import json
import operator
import random
from collections.abc import Callable
from typing import Any

MAX_MESSAGE_BYTES = 16 << 20
MAX_DEPTH = 200
MAX_ITEMS = 1_000_000
MAX_SHUFFLES, MAX_SHUFFLE_ITEMS = 300, 64  # attempts to restore the order of a set, and the size up to which they are made
INT64_BOUND = 1 << 63
SCALARS = frozenset({type(None), bool, int, float, str})
SIMPLE = frozenset({type(None), bool, float, str})

Referrer = Callable[[Any], int]
Resolver = Callable[[int], Any]
TYPES = {t.__name__: t for t in (int, float, str, bool, bytes, list, tuple, dict, set, frozenset, complex, object, type(None))}
NAMES = {t: name for name, t in TYPES.items()}
NOTHING: dict[str, str] = {}
VIEWS = {type(NOTHING.keys()): "keys", type(NOTHING.values()): "values", type(NOTHING.items()): "items"}
STREAMS = (
    *(type(i) for i in (iter([]), iter(()), iter({}), iter(set()), iter(""), iter(range(0)), iter(b""), reversed([]))),
    *(type(iter(view)) for view in (NOTHING.keys(), NOTHING.values(), NOTHING.items())),
    *(map, filter, zip, enumerate, reversed, type(_ for _ in ())),
)


class UnsendableError(ValueError):
    """A value that is too deep, too long or too large to travel."""


class MalformedError(ValueError):
    """A message that no honest encoder writes."""


def encode_value(value: Any, refer: Referrer | None = None, depth: int = 0) -> Any:
    """`value` as JSON: scalars and lists as themselves, all else as {"t": type, "v": ...}.

    `refer` numbers an object without a plain value.  UnsendableError for values too deep or too long, and without `refer` for
    such objects.
    """
    kind = type(value)
    if kind in SIMPLE:
        return value
    if kind is int:
        return value if -INT64_BOUND <= value < INT64_BOUND else {"t": "int", "v": hex(value)}
    if depth > MAX_DEPTH:
        raise UnsendableError(f"a value nested deeper than {MAX_DEPTH}")
    if kind is list:
        if all(type(item) in SIMPLE for item in value):
            return value[:]
        return [encode_value(item, refer, depth + 1) for item in value]
    return encode_other(value, refer, depth)


def encode_other(value: Any, refer: Referrer | None, depth: int) -> Any:
    """Encodes any value but scalars and lists."""

    def each(items: Any) -> list[Any]:
        values = []
        for item in items:
            values.append(encode_value(item, refer, depth + 1))
            if len(values) > MAX_ITEMS:  # a stream may never end
                raise UnsendableError(f"more than {MAX_ITEMS} items")
        return values

    for base in (tuple, dict, set, frozenset, list, str, int, float, complex, bytes, bytearray, collections.deque):
        if isinstance_really(value, base):
            return ENCODERS[base](value, each)
    kind = type(value)
    if kind is range:
        return {"t": "range", "v": [hex(value.start), hex(value.stop), hex(value.step)]}
    if kind in VIEWS:
        return {"t": VIEWS[kind], "v": each(value)}
    if kind in STREAMS:
        return {"t": "iter", "v": each(value)}
    if kind is type and value in NAMES:
        return {"t": "type", "v": NAMES[value]}
    special = encode_special(value, kind)
    if special is not None:
        return special
    if refer is None:
        raise UnsendableError(f"a {kind.__name__} has no plain value")
    return {"t": "ref", "v": refer(value)}


def isinstance_really(value: Any, base: type) -> bool:
    """Does the type itself derive from `base`?  A program can spoof `__class__`, but not `type()`."""
    return base in type.__dict__["__mro__"].__get__(type(value))


ENCODERS: dict[type, Callable[[Any, Callable[[Any], list[Any]]], Any]] = {
    tuple: lambda v, each: {"t": "tuple", "v": each(tuple.__iter__(v))},
    dict: lambda v, each: {"t": "dict", "v": each([k, dict.__getitem__(v, k)] for k in list(dict.__iter__(v)))},
    set: lambda v, each: {"t": "set", "v": each(set.__iter__(v))},
    frozenset: lambda v, each: {"t": "frozenset", "v": each(frozenset.__iter__(v))},
    list: lambda v, each: each(list.__iter__(v)),
    str: lambda v, each: str.__str__(v) if type(v) is str else "".join(str.__iter__(v)),
    int: lambda v, each: encode_value(int.__add__(v, 0)),
    float: lambda v, each: float.__add__(v, 0.0) if v == v else float("nan"),
    complex: lambda v, each: {"t": "complex", "v": [complex.__getattribute__(v, "real"), complex.__getattribute__(v, "imag")]},
    bytes: lambda v, each: {"t": "bytes", "v": bytes.hex(v)},
    bytearray: lambda v, each: {"t": "bytearray", "v": bytearray.hex(v)},
    collections.deque: lambda v, each: {"t": "deque", "v": each(collections.deque.__iter__(v))},
}


def encode_special(value: Any, kind: type) -> Any:
    """Decimal, Fraction, dates, array.array and numpy's scalars and arrays; None for anything else."""
    if kind is decimal.Decimal:
        return {"t": "decimal", "v": str(value)}
    if kind is fractions.Fraction:
        return {"t": "fraction", "v": [hex(value.numerator), hex(value.denominator)]}
    if kind in (datetime.date, datetime.time, datetime.datetime) and getattr(value, "tzinfo", None) is None:
        return {"t": kind.__name__, "v": value.isoformat()}
    if kind is datetime.timedelta:
        return {"t": "timedelta", "v": [value.days, value.seconds, value.microseconds]}
    if kind is array.array:
        return {"t": "array", "v": [value.typecode, value.tobytes().hex()]}
    if kind.__module__ == "numpy" and hasattr(value, "dtype"):
        dtype = value.dtype
        if dtype.kind in "biufcUS" and value.nbytes <= MAX_MESSAGE_BYTES // 4:
            return {"t": "numpy", "v": [dtype.str, list(value.shape), value.tobytes().hex(), kind.__name__ == "ndarray"]}
    return None


def decode_value(value: Any, resolve: Resolver | None = None, depth: int = 0) -> Any:
    """The value that `encode_value` wrote; MalformedError for anything that it cannot have written.

    `resolve` gives the object of a reference; without it a reference is malformed.
    """
    kind = type(value)
    if kind in SCALARS:
        return value
    if depth > MAX_DEPTH + 1:
        raise MalformedError("nested too deeply")
    if kind is list:
        if all(type(item) in SCALARS for item in value):
            return value
        return [decode_value(item, resolve, depth + 1) for item in value]
    if kind is not dict or set(value) != {"t", "v"} or type(value["t"]) is not str:
        raise MalformedError("not a tagged value")
    tag, body = value["t"], value["v"]
    try:
        if tag == "ref":
            if resolve is None or type(body) is not int:
                raise MalformedError("a reference where none can be")
            return resolve(body)
        if tag in ITERABLES:
            return ITERABLES[tag]([decode_value(item, resolve, depth + 1) for item in expect_list(body)])
        return DECODERS[tag](body)
    except MalformedError:
        raise
    except Exception as error:  # no honest encoder wrote a value that cannot be built
        raise MalformedError(f"{tag[:40]}: {type(error).__name__}") from error


def expect_list(body: Any) -> list[Any]:
    if type(body) is not list:
        raise MalformedError("not a list")
    return body


def rebuild_set(items: list[Any], kind: type[set[Any]] | type[frozenset[Any]]) -> Any:
    """A set that also goes through its items in the order of `items`, as the set did that was sent.

    The order depends on the size of the table and on the order of insertion: several ways of building are tried, then shuffled
    insertions.  Where none gives the order (rare: many items of nearly the same hash), the set is right and its order is not.
    """
    order = list(items)
    chance = random.Random(0)
    other = frozenset if kind is set else set  # of which Python builds the set of a literal
    for attempt in range(2 + MAX_SHUFFLES * (len(items) <= MAX_SHUFFLE_ITEMS)):
        rebuilt = kind(other(order) if attempt % 2 else order)
        if len(rebuilt) != len(items) or all(map(operator.is_, rebuilt, items)):
            return rebuilt
        if attempt:
            chance.shuffle(order)
    return kind(items)


def parse_hex(body: Any) -> int:
    if type(body) is not str:
        raise MalformedError("not a hexadecimal number")
    return int(body, 16)


def numpy_value(body: Any) -> Any:
    import numpy

    dtype, shape, content, is_array = body
    array = numpy.frombuffer(bytes.fromhex(content), numpy.dtype(dtype)).reshape(shape).copy()
    if array.dtype.kind not in "biufcUS":
        raise MalformedError("an array of objects")
    return array if is_array else array[()]


def array_value(body: Any) -> array.array[Any]:
    value: array.array[Any] = array.array(body[0])
    value.frombytes(bytes.fromhex(body[1]))
    return value


ITERABLES: dict[str, Callable[[list[Any]], Any]] = {
    "tuple": tuple,
    "dict": dict,
    "set": lambda items: rebuild_set(items, set),
    "frozenset": lambda items: rebuild_set(items, frozenset),
    "iter": iter,
    "deque": collections.deque,
    "keys": lambda items: dict.fromkeys(items).keys(),
    "values": lambda items: dict(enumerate(items)).values(),
    "items": lambda items: dict(items).items(),
}
DECODERS: dict[str, Callable[[Any], Any]] = {
    "int": parse_hex,
    "complex": lambda v: complex(float(v[0]), float(v[1])),
    "bytes": bytes.fromhex,
    "bytearray": bytearray.fromhex,
    "range": lambda v: range(*(parse_hex(part) for part in v)),
    "type": TYPES.__getitem__,
    "decimal": decimal.Decimal,
    "fraction": lambda v: fractions.Fraction(parse_hex(v[0]), parse_hex(v[1])),
    "date": datetime.date.fromisoformat,
    "time": datetime.time.fromisoformat,
    "datetime": datetime.datetime.fromisoformat,
    "timedelta": lambda v: datetime.timedelta(*v),
    "array": array_value,
    "numpy": numpy_value,
}


def dumps(value: Any) -> str:
    """JSON text; NaN and infinities as Python's json writes them."""
    return json.dumps(value, separators=(",", ":"))
