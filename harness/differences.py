"""Where two JSON values, or the hashes of two checkpoints, differ, and how that is told."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

SAMPLING = ("backend.sampling", "null")  # of answers that a server gave to a version which stored nothing of it
LATER = (
    "end_tokens",
    "special_tokens",
    "code",
    "tokenizer_used",
    "tokenizer_files",
    "revision",
)  # parts that older results lack

# Values that say nothing to people: what they are the hash of, and which flags move them.
FLAGS_OF_HASHES = {
    "inputs.data": " (the rows: another file, --limit, --sample-seed or --suite)",
    "inputs.prompts": " (the requests: the rows, a task's wording, --gen-kwargs, --draws or --seed)",
}


def differences(left: Any, right: Any, where: str = "") -> list[tuple[str, str, str]]:
    """Where two JSON values differ, as (name, one side, other side), each side as short JSON."""
    if isinstance(left, dict) and isinstance(right, dict):
        return [
            difference
            for key in sorted({*left, *right})
            for difference in differences(left.get(key), right.get(key), f"{where}.{key}" if where else key)
        ]
    return [] if left == right else [(where, shorten_json(left), shorten_json(right))]


def shorten_json(value: Any, length: int = 60) -> str:
    """A value as JSON, cut to `length` characters."""
    text = json.dumps(value, ensure_ascii=False, sort_keys=True)
    return text if len(text) <= length else f"{text[: length - 1]}…"


def changed_parts(stored_hashes: Mapping[str, str], now: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """Where a checkpoint's hashes differ from stored ones.  Of parts that older results lack nothing is known."""
    return differences(
        dict(stored_hashes), {name: value for name, value in now.items() if name not in LATER or name in stored_hashes}
    )


def describe_differences(folder: Path, unlike: Sequence[tuple[str, str, str]]) -> str:
    """The differences side by side, with the ways out."""
    lines = "\n".join(
        f"  {name}: stored {old}, now {new}"
        + " (they may have the server's own penalties)" * ((name, old) == SAMPLING)
        + FLAGS_OF_HASHES.get(name, "")
        for name, old, new in unlike
    )
    is_other = any(name.startswith("fingerprint.") for name, *_ in unlike)
    way_out = "Give this checkpoint a --name" if is_other else "Replace them with --ask-again"
    return f"{folder} holds samples that were made differently:\n{lines}\n{way_out}, or score into another folder (-o)."
