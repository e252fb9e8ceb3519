"""W&B's offline folders: wandb/offline-run-*/run-ID.wandb, the history by step.

Format: LevelDB's log (blocks of 32 KiB; 4 bytes checksum, 2 bytes length, 1 byte kind) behind W&B's own 7 bytes; messages are
Record of wandb_internal.proto.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from os import SEEK_CUR
from pathlib import Path
from typing import Any, BinaryIO

from harness.run_logs.protobuf import first_field, read_fields

PATTERN = "run-*.wandb"
BLOCK, IDENT = 32768, b":W&B"
MAX_BYTES, MAX_RECORD = 1 << 30, 1 << 26  # of a file, and of one record
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4
HISTORY, ITEM, STEP, STEP_NUMBER, KEY, NESTED_KEY, VALUE_JSON = 2, 1, 2, 1, 1, 2, 16


def read_history_records(file: Path) -> list[dict[str, Any]]:
    """One mapping a logged step, with `step`.  What follows a damaged record is left out.

    ValueError for a file that is too long to be a log.
    """
    if file.stat().st_size > MAX_BYTES:
        raise ValueError(f"{file.name} has more than {MAX_BYTES:,} bytes")
    entries = []
    with file.open("rb") as stream:
        try:
            for record in read_log(stream):
                history = first_field(record, HISTORY)
                if isinstance(history, bytes):
                    entries.append(read_history_entry(history))
        except ValueError:
            return entries
    return entries


def read_log(stream: BinaryIO) -> Iterator[bytes]:
    """The records of a LevelDB log.  ValueError for one that is longer than any of W&B's."""
    stream.seek(7 if stream.read(7).startswith(IDENT) else 0)
    record = bytearray()
    while True:
        if (room := BLOCK - stream.tell() % BLOCK) < 7:
            stream.seek(room, SEEK_CUR)
        if len(head := stream.read(7)) < 7:
            return
        length, kind = struct.unpack("<HB", head[4:])
        content = stream.read(length)
        if kind not in (FULL, FIRST, MIDDLE, LAST) or len(content) < length:
            return
        if kind in (FULL, FIRST):
            record.clear()
        record += content
        if len(record) > MAX_RECORD:
            raise ValueError("a record that is too long")
        if kind in (FULL, LAST):
            yield bytes(record)
            record.clear()


def read_history_entry(history: bytes) -> dict[str, Any]:
    """The values of one logged step."""
    entry: dict[str, Any] = {}
    for number, value in read_fields(history):
        if number == ITEM and isinstance(value, bytes):
            key, text = read_item(value)
            try:
                entry[key] = json.loads(text)
            except ValueError:  # NaN and Infinity are read by json; anything else is no number anyway
                continue
        elif number == STEP and isinstance(value, bytes):
            step = first_field(value, STEP_NUMBER)
            entry["step"] = step if isinstance(step, int) else 0
    trainer_step = entry.get("train/global_step", entry.get("global_step"))  # W&B counts its own calls of log()
    if isinstance(trainer_step, int | float) and not isinstance(trainer_step, bool):
        entry["step"] = int(trainer_step)
    return entry


def read_item(item: bytes) -> tuple[str, str]:
    """The key of an item, nested keys joined by dots, and its value as JSON."""
    parts, text = [], ""
    for number, value in read_fields(item):
        if isinstance(value, bytes) and number in (KEY, NESTED_KEY):
            parts.append(value.decode("utf-8", "replace"))
        elif isinstance(value, bytes) and number == VALUE_JSON:
            text = value.decode("utf-8", "replace")
    return ".".join(parts), text
