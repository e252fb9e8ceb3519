"""The problems that tasks of one family share."""

from __future__ import annotations

import re
from collections.abc import Mapping

from harness.types import Json


def problem_numbers(task: str, rows: Mapping[str, Json]) -> dict[str, str]:
    """By example, the number of its problem among those of its family: MBPP and MBPP+ write rows of one problem otherwise."""
    family = re.split(r"[_+-]", task.rpartition(":")[2])[0].lower()
    numbers = {example: re.search(r"(\d+)$", str(row.get("task_id", ""))) for example, row in rows.items()}
    return {example: f"{family} {number[1]}" for example, number in numbers.items() if number}
