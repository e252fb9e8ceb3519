"""lm-eval tasks of one's own, made for a test: YAML files, their rows, their Python functions."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.registry import PromptSettings
from harness.types import SkilldeltaError, Task
from tasks import lm_eval as bridge


def write_rows(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return str(path)


class OwnTasks:
    """A folder with tasks of one's own: YAML files, rows, Python functions."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def task(self, name: str, rows: list[dict[str, Any]], **changes: Any) -> None:
        """A task about `rows`: {q, choices, gold} weighs, {q, a} continues, unless `changes` say otherwise."""
        weighs = "choices" in rows[0]
        settings: dict[str, Any] = {
            "task": name,
            "dataset_path": "json",
            "dataset_kwargs": {"data_files": {"test": write_rows(self.folder / f"{name}.jsonl", rows)}},
            "test_split": "test",
            "output_type": "multiple_choice" if weighs else "generate_until",
            "doc_to_text": "{{q}}",
            "doc_to_target": "gold" if weighs else "{{a}}",
            "metric_list": [{"metric": "acc" if weighs else "exact_match", "aggregation": "mean", "higher_is_better": True}],
        } | ({"doc_to_choice": "choices"} if weighs else {"generation_kwargs": {"until": ["\n"], "max_gen_toks": 8}})
        self.write(name, settings | changes)

    def write(self, name: str, settings: dict[str, Any]) -> None:
        """YAML, where a text "!function x.y" is lm-eval's tag."""
        text = yaml.safe_dump(settings)
        (self.folder / f"{name}.yaml").write_text(re.sub(r"'!function ([\w.]+)'", r"!function \1", text))

    def bridge(self, name: str, **prompts: Any) -> Task:
        return bridge.load_task(name, (self.folder,), PromptSettings(**prompts))


def choices(number: int, mark: str = "") -> list[dict[str, Any]]:
    return [{"q": f"{mark}{i}+{i}=", "choices": [str(2 * i), str(i), "0"], "gold": 0} for i in range(1, number + 1)]


def refusal(task: Task) -> str:
    """Why a task cannot be asked: it fails alone, when its rows are read."""
    with pytest.raises(SkilldeltaError) as error:
        list(task.rows(None))
    return str(error.value)
