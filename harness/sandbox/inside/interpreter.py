"""The folders of this interpreter."""

from __future__ import annotations

import sys
from pathlib import Path


def library_folders() -> list[str]:
    """The folders of the standard library, as this interpreter names them."""
    return [path for path in sys.path if Path(path).is_dir()]


def third_party_folders(library: list[str]) -> list[str]:
    """Folders below the standard library with third-party packages: hidden, as they may hold a benchmark's answers."""
    names = ("site-packages", "dist-packages")
    return [f"{folder}/{name}" for folder in library for name in names if Path(folder, name).is_dir()]
