"""IFBench: 58 kinds of instruction that a program verifies, none of them IFEval's (Pyatkin et al., arXiv 2507.02833)."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

from harness import data
from harness.data import DataSource
from harness.types import Example, Json, Request, Response, SandboxOptions, Score, SkilldeltaError, Task
from tasks import ifbench_rules
from tasks.ifbench_rules import wording
from tasks.ifeval_rules import rule_with_arguments, text_features
from tasks.ifeval_rules.verdicts import METRICS, score_instructions

DATA = DataSource(
    hub="allenai/IFBench_test",
    split="train",
    local="ifbench/data/IFBench_test.jsonl",
    columns=("key", "prompt", "instruction_id_list", "kwargs"),
)


def rows(folder: Path | None) -> list[Json]:
    """The rows, the same from the Hub and from the authors' file.

    SkilldeltaError, which names the row, where an instruction is unknown or lacks an argument.
    """
    return [prepare_row(row) for row in data.rows(DATA, folder)]


def prepare_row(row: Json) -> Json:
    """The row without arguments that are null; whole numbers are integers."""
    names, kwargs = row["instruction_id_list"], row["kwargs"]
    try:
        if len(names) != len(kwargs):
            raise SkilldeltaError(f"{len(names)} instructions, but kwargs for {len(kwargs)}.")
        for name, arguments in zip(names, kwargs, strict=True):
            rule_with_arguments("IFBench", ifbench_rules.RULES, name, ifbench_rules.arguments_of(arguments))
    except SkilldeltaError as error:
        raise SkilldeltaError(f"IFBench row {row['key']}: {error}") from error
    return {
        "key": str(row["key"]),
        "prompt": row["prompt"],
        "instruction_id_list": list(names),
        "kwargs": [ifbench_rules.plain_arguments(arguments) for arguments in kwargs],
    }


def score(example: Example, response: Response) -> Score:
    """1 if some loose reading follows every instruction: the paper's headline (prompt-level loose accuracy)."""
    rules = list(zip(example.row["instruction_id_list"], example.row["kwargs"], strict=True))
    try:
        strict = [ifbench_rules.follows_ifbench(name, kwargs, response.text) for name, kwargs in rules]
        loose = [ifbench_rules.follows_ifbench(name, kwargs, response.text, is_loose=True) for name, kwargs in rules]
    except SkilldeltaError as error:  # a rule lacks what it needs: that says nothing about the response
        return Score(None, why=str(error))
    return score_instructions([name for name, _ in rules], strict, loose)


def ideal(example: Example) -> Response:
    from tasks.ifbench_rules.ideal import write_response

    return Response(write_response(list(zip(example.row["instruction_id_list"], example.row["kwargs"], strict=True))))


def conditions(options: SandboxOptions) -> Json:
    """The libraries that decide what words, sentences, syllables and emoji are, and whether the tagger of verbs is here."""
    versions = {name: metadata.version(name) for name in ("emoji", "syllapy")}
    return {"rules": text_features.library_versions() | versions, "tagger": wording.has_tagger()}


TASKS = (
    Task(
        name="ifbench",
        skill="instruction following",
        version=1,
        source="allenai/IFBench: all 58 instructions, strict and loose; single-turn test rows",
        rows=rows,
        ask=lambda example: Request(example.row["prompt"], max_tokens=2048),
        score=score,
        ideal=ideal,
        conditions=conditions,
        group=lambda example: str(example.row["instruction_id_list"][0].split(":")[0]),
        metrics=METRICS,
        summary="300 prompts with new kinds of instruction that a program verifies; all followed, loosely read",
    ),
)
