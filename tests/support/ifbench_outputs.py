"""The sample outputs with verdicts of github.com/allenai/IFBench, where it lies in the data folder as `ifbench`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness import data
from tasks import ifbench
from tasks.ifbench_rules import wording

NEEDS_TAGGER = "words:start_verb"


def has_ifbench_outputs(folder: Path) -> bool:
    return (folder / "ifbench/eval").is_dir()


def read_ifbench_outputs(folder: Path, kind: str) -> Iterator[tuple[str, dict[str, Any], str, bool]]:
    """(instruction, arguments, response, verdict), "strict" or "loose"; without those that need a tagger which is not here."""
    rows = {row["prompt"].strip(): row for row in ifbench.rows(folder)}
    for line in data.read(folder / f"ifbench/eval/eval_results_{kind}.jsonl"):
        row = rows.get(line["prompt"].strip())
        if row is None or row["instruction_id_list"] != line["instruction_id_list"]:
            continue  # the outputs are of an earlier version of some rows
        for name, kwargs, verdict in zip(
            row["instruction_id_list"], row["kwargs"], line["follow_instruction_list"], strict=True
        ):
            if name != NEEDS_TAGGER or wording.has_tagger():
                yield name, kwargs, line["response"], verdict
