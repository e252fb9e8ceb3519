"""Files of a results folder, written whole or not at all: a reader never sees half of one."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any
from urllib.parse import quote

from harness.types import SkilldeltaError


def folder_name(name: str) -> str:
    """A checkpoint's or task's name as the name of a folder, never a path: anything unusual percent-encoded."""
    return quote(name, safe="@+=, -_.~:()") if name.strip(".") else name.replace(".", "%2E")


def write_json(path: Path, value: Any) -> None:
    """Writes JSON whole or not at all: a reader never sees half of it."""
    write_bytes(path, (json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True) + "\n").encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Writes a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(f".{path.name}.{os.getpid()}")
    half.write_bytes(content)
    half.replace(path)


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object of a file of the results folder."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SkilldeltaError(f"{path} cannot be read ({error}): the results folder is damaged there.") from error
    if not isinstance(content, dict):
        raise SkilldeltaError(f"{path} holds no JSON object: the results folder is damaged there.")
    return content
