"""Why a folder holds no checkpoint, and where one may be."""

from __future__ import annotations

from pathlib import Path

from harness import registry
from harness.results_marker import MARKER
from harness.visible_text import printable

MAX_NAMES = 8  # entries of the folder that are named


def explain_no_checkpoint(folder: Path, limits: str) -> str:
    """What the folder holds instead.  `limits`: what was not searched, "" where all was."""
    if (folder / MARKER).is_file():
        return (
            f"{printable(str(folder))} is a results folder: it holds answers, no checkpoints.  Name the folder of the "
            f"checkpoint or of its run here, and the results by --output {printable(str(folder))} where a command takes both."
        )
    contents = ", ".join(printable(p.name) for p in sorted(folder.iterdir())[:MAX_NAMES]) or "nothing"
    producers = ", ".join(p.replace("_", "-") for p in registry.modules("producers"))
    bound = f"  {limits}" if limits else ""
    return f"There is no checkpoint in {folder}; it holds: {contents}.{bound}\nRecognised are the folders of: {producers}."
