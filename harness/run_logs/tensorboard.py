"""TensorBoard's event files (OpenRLHF, verl, TRL, transformers): scalars by step.

Format: records of 8 bytes length, 4 bytes checksum, the message, 4 bytes checksum.  Messages are Event of TensorFlow's
event.proto.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.run_logs.protobuf import read_fields

PATTERN = "events.out.tfevents*"
MAX_BYTES = 1 << 30  # of a file
MAX_RECORD = 1 << 26  # bytes: scalars are small, pictures and graphs are passed over
STEP, SUMMARY, VALUE, TAG, SIMPLE_VALUE, TENSOR = 2, 5, 1, 1, 2, 8  # fields of Event, Summary and Summary.Value
FLOAT_VALUES, CONTENT = 5, 4  # fields of TensorProto


def read_events(file: Path) -> list[dict[str, Any]]:
    """One mapping a step: its scalars by tag, and `step`.  A record that was torn off ends the log.

    ValueError for a file that is too long to be a log.
    """
    if file.stat().st_size > MAX_BYTES:
        raise ValueError(f"{file.name} has more than {MAX_BYTES:,} bytes")
    by_step: dict[int, dict[str, Any]] = {}
    try:
        for record in read_records(file):
            step, scalars = read_event(record)
            if scalars:
                by_step.setdefault(step, {"step": step}).update(scalars)
    except ValueError:  # damaged from here on: what was read before it is good
        return list(by_step.values())
    return list(by_step.values())


def read_records(file: Path) -> Iterator[bytes]:
    """The messages of a file of TensorFlow records."""
    with file.open("rb") as stream:
        while len(head := stream.read(12)) == 12:
            length = struct.unpack("<Q", head[:8])[0]
            if not 0 < length <= MAX_RECORD:
                raise ValueError("an empty record, as where there is nothing but zeros, or one that is too long")
            content = stream.read(length)
            if len(content) < length or len(stream.read(4)) < 4:
                return
            yield content


def read_event(record: bytes) -> tuple[int, dict[str, float]]:
    """The step of an event, and its scalars by tag."""
    step, scalars = 0, {}
    for number, value in read_fields(record):
        if number == STEP and isinstance(value, int):
            step = value
        elif number == SUMMARY and isinstance(value, bytes):
            for field, entry in read_fields(value):
                if field == VALUE and isinstance(entry, bytes) and (scalar := read_scalar(entry)):
                    scalars[scalar[0]] = scalar[1]
    return step, scalars


def read_scalar(entry: bytes) -> tuple[str, float] | None:
    """The tag and value of an entry of a summary; None for what is no scalar."""
    tag, number = "", None
    for field, value in read_fields(entry):
        if field == TAG and isinstance(value, bytes):
            tag = value.decode("utf-8", "replace")
        elif field == SIMPLE_VALUE and isinstance(value, float):
            number = value
        elif field == TENSOR and isinstance(value, bytes):
            number = read_tensor(value)
    return (tag, number) if tag and number is not None else None


def read_tensor(tensor: bytes) -> float | None:
    """The value of a tensor with one float32, as TensorBoard's second version writes scalars."""
    for field, value in read_fields(tensor):
        if field in (FLOAT_VALUES, CONTENT) and isinstance(value, bytes) and len(value) == 4:
            return float(struct.unpack("<f", value)[0])
        if field == FLOAT_VALUES and isinstance(value, float):
            return value
    return None
