"""What a flag that was left out could have named: the checkpoints, tasks and skills of the results that were named."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.types import SkilldeltaError
from harness.visible_text import printable

MAX_CHOICES = 20  # names that are written out


def list_choices(flag: str, values: Mapping[str, Any]) -> str:
    """The names that a missing flag may take, behind two spaces, or why the results cannot be read.

    "" where results do not decide it.  `values`: the arguments that were read before it, by name.
    """
    place = values.get("results")
    folders = place if isinstance(place, list | tuple) else [place] if place else []  # some commands take one folder
    if flag not in ("baseline", "candidate", "task") or not folders:
        return ""
    try:
        names = list(dict.fromkeys(name for folder in folders for name in stored_names(folder, flag)))
    except (SkilldeltaError, OSError) as error:
        return f"  {error}"
    names = [name for name in names if name != values.get("baseline")]
    choices = ", ".join(map(printable, names[:MAX_CHOICES])) or "none"
    return f"  There are: {choices}{', ...' if len(names) > MAX_CHOICES else ''}."


def stored_names(folder: Any, flag: str) -> list[str]:
    """The names in one results folder: for `task` average, skills and tasks, else checkpoints."""
    from harness.store import Results

    results = Results(folder)
    if flag != "task":
        return list(results.checkpoints())
    tasks = [record.task for _, record, _ in results.cells()]
    return ["average", *sorted({t.skill for t in tasks}), *sorted({t.name for t in tasks})]
