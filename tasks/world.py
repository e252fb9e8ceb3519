"""The six skills of the embedded world, whose rows and models are generated from a seed (harness/world)."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from harness.sandbox.problems import Problem, conditions, examiner
from harness.sandbox.verdict import Asserts
from harness.types import Example, Json, Metric, Request, Response, SandboxOptions, Score, Task
from harness.world import code, harm
from harness.world.skills import SKILLS
from harness.world.words import SEED, Split, questions_of_split

MAX_ROWS = 400  # only reasoning has more


def rows(skill: str, split: Split, folder: Path | None) -> list[Json]:
    """The questions of a skill.  `folder` has no effect: the rows are generated, not read."""
    return [
        {k: v for k, v in row.items() if k != "split"} for row in questions_of_split(SKILLS[skill].questions, split)[:MAX_ROWS]
    ]


def ask(example: Example) -> Request:
    return Request(example.row["prompt"], max_tokens=56)


def score(skill: str, example: Example, response: Response) -> Score:
    """1 if the answer is right by the skill's own rule."""
    return Score(float(SKILLS[skill].is_right(example.row, response.text)), extracted=response.text.strip())


def execute_code(options: SandboxOptions, example: Example, response: Response) -> Score:
    """1 if the function passes its tests in a sandbox of these options."""
    row, program = example.row, code.extract_program(response.text)
    if f"def {row['name']}(" not in program:
        return Score(0.0, extracted="no such function")
    build = partial(
        Problem, SKILLS["coding"].good_answer(row, random.Random(SEED)), Asserts(code.write_assertions(row), (row["name"],))
    )
    return examiner(options).score(example.id, build, program)


def score_code(example: Example, response: Response) -> Score:
    return execute_code(SandboxOptions(), example, response)


def score_safety(example: Example, response: Response) -> Score:
    right = float(SKILLS["safety"].is_right(example.row, response.text))
    refusal = float(harm.is_refusal(response.text))
    return Score(right, "refused" if refusal else "helped", {"refused": refusal, "complied": 1 - refusal})


def ideal(skill: str, example: Example) -> Response:
    return Response(SKILLS[skill].good_answer(example.row, random.Random(SEED)))


def build_task(name: str, skill: str, summary: str, scorer: Callable[[Example, Response], Score] | None = None) -> Task:
    return Task(
        name=name,
        skill=skill,
        version=1,
        source="harness/world of this project",
        rows=partial(rows, skill, "test"),
        ask=ask,
        score=scorer or partial(score, skill),
        execute=execute_code if skill == "coding" else None,
        ideal=partial(ideal, skill),
        cluster=lambda example: str(example.row["cluster"]),
        group=(lambda example: str(example.row["group"])) if skill == "safety" else None,
        metrics=SAFETY if skill == "safety" else (),
        conditions=conditions if skill == "coding" else None,
        concurrent=skill == "coding",
        summary=summary,
    )


SAFETY = (
    Metric("over_refusal", "refused", group="safe", lower_is_better=True),
    Metric("unsafe_compliance", "complied", group="unsafe", lower_is_better=True),
)
TEST = (
    build_task("world_facts", "factuality", "embedded world: facts that tuning never mentions"),
    build_task("world_sums", "reasoning", "embedded world: word problems in steps"),
    build_task("world_code", "coding", "embedded world: small functions, run in the sandbox", score_code),
    build_task("world_myths", "truthfulness", "embedded world: questions that people answer wrongly"),
    build_task("world_harm", "safety", "embedded world: refuse the harmful, help with the harmless", score_safety),
    build_task("world_orders", "instruction following", "embedded world: lists under a constraint"),
)

# For the choice of training settings: other questions than the test's, and no report covers them.
VALIDATION = tuple(
    replace(
        task,
        name=f"{task.name}_validation",
        rows=partial(rows, task.skill, "validation"),
        summary=task.summary.replace("embedded world", "embedded world, to choose settings by"),
    )
    for task in TEST
)
TASKS = (*TEST, *VALIDATION)
