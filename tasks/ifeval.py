"""IFEval: instructions that a program can verify, 25 kinds in 541 prompts (Zhou et al., arXiv 2311.07911)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from harness import data
from harness.data import DataSource
from harness.types import Example, Json, Metric, Request, Response, Score, SkilldeltaError, Task
from tasks import ifeval_rules
from tasks.ifeval_rules import text_features
from tasks.ifeval_rules.contradictions import find_contradictions
from tasks.ifeval_rules.verdicts import METRICS, score_instructions

DATA = DataSource(
    hub="google/IFEval",
    split="train",
    local="ifeval/input_data.jsonl",
    columns=("key", "prompt", "instruction_id_list", "kwargs"),
)


def rows(folder: Path | None) -> list[Json]:
    """The rows, the same from the Hub and from Google's file.

    SkilldeltaError, which names the row, where an instruction is unknown or lacks an argument.
    """
    valid_rows: list[Json] = []
    for row in data.rows(DATA, folder):
        kwargs = [ifeval_rules.drop_nulls(arguments) for arguments in row["kwargs"]]
        valid_rows.append({column: row[column] for column in DATA.columns} | {"kwargs": kwargs})
        check_row(valid_rows[-1])
    return valid_rows


def check_row(row: Json) -> None:
    try:
        for instruction, kwargs in instructions(row):
            ifeval_rules.find_rule(instruction, kwargs)
    except SkilldeltaError as error:
        raise SkilldeltaError(f"IFEval row {row['key']}: {error}") from error


def instructions(row: Json) -> list[tuple[str, Json]]:
    """The instructions of a row, each with its arguments."""
    if len(row["instruction_id_list"]) != len(row["kwargs"]):
        raise SkilldeltaError(f"{len(row['instruction_id_list'])} instructions, but kwargs for {len(row['kwargs'])}.")
    return list(zip(row["instruction_id_list"], row["kwargs"], strict=True))


def score(example: Example, response: Response) -> Score:
    """1 if some loose reading follows every instruction: the study's headline (open-instruct's "loose Accuracy")."""
    rules = instructions(example.row)
    strict = [ifeval_rules.follows(name, kwargs, response.text) for name, kwargs in rules]
    loose = [ifeval_rules.follows_loosely(name, kwargs, response.text) for name, kwargs in rules]
    verdict = score_instructions([name for name, _ in rules], strict, loose)
    contradictions = find_contradictions(example.row["prompt"], rules)
    remark = f" (the row contradicts itself: {'; '.join(contradictions)})" if contradictions else ""
    parts = dict(verdict.parts) | {"contradictory": float(bool(contradictions))}
    return replace(verdict, extracted=verdict.extracted + remark, parts=parts)


def ideal(example: Example) -> Response:
    from tasks.ifeval_rules.ideal import write_response

    return Response(write_response(instructions(example.row)))


TASKS = (
    Task(
        name="ifeval",
        skill="instruction following",
        version=2,
        source="google-research/instruction_following_eval: all 25 instructions, strict and loose",
        rows=rows,
        ask=lambda example: Request(example.row["prompt"], max_tokens=2048),
        score=score,
        ideal=ideal,
        conditions=lambda options: {"rules": text_features.library_versions()},
        metrics=(
            *METRICS,
            Metric(
                "contradictory",
                part="contradictory",
                warn_above=0.0,
                warning="of the prompts contradict the arguments of their own row, which the rules follow (see `extracted`)",
            ),
        ),
        summary="541 prompts with instructions that a program verifies; all followed, loosely read",
    ),
)
