"""Reading Protocol Buffers without their schema: fields by number.  TensorBoard and W&B write their logs in them.

Format: https://protobuf.dev/programming-guides/encoding
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
Value = int | float | bytes


def read_varint(data: bytes, place: int) -> tuple[int, int]:
    """A number of seven bits a byte, and the place behind it.  ValueError where it does not end."""
    value = shift = 0
    while place < len(data) and shift < 70:
        byte = data[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            return value, place
    raise ValueError("a number without an end")


def read_fields(data: bytes) -> Iterator[tuple[int, Value]]:
    """(number, value) for each field of a message.  ValueError where it is damaged."""
    place = 0
    while place < len(data):
        key, place = read_varint(data, place)
        number, kind = key >> 3, key & 7
        if kind == VARINT:
            value, place = read_varint(data, place)
            yield number, value
            continue
        size = {FIXED64: 8, FIXED32: 4}.get(kind, 0)
        if kind == BYTES:
            size, place = read_varint(data, place)
        elif not size:
            raise ValueError(f"a field of the unknown kind {kind}")
        if place + size > len(data):
            raise ValueError("a field that is longer than its message")
        content = data[place : place + size]
        yield number, content if kind == BYTES else struct.unpack("<d" if kind == FIXED64 else "<f", content)[0]
        place += size


def first_field(data: bytes, number: int) -> Value | None:
    """The value of the first field with that number; None where there is none."""
    return next((value for field, value in read_fields(data) if field == number), None)
