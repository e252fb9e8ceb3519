"""The scorer is the reward: on real recorded outputs a task's reward is the score of its adapter."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import registry
from harness.evaluation.questions import EvaluationSettings, make_questions
from harness.evaluation.scoring import score_response
from harness.prompts.reading import Reader
from harness.training.task_rewards import load_task_reward
from harness.types import Response

QUESTIONS = 60


def gsm8k_outputs(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """(question, the answers of four models)."""
    with gzip.open(folder / "gsm8k/golden/example_model_solutions.jsonl.gz", "rt", encoding="utf-8") as stream:
        for row in map(json.loads, stream):
            yield row["question"], [answer["solution"] for answer in row.values() if isinstance(answer, dict)]


def ifeval_outputs(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """(prompt, the answer of one model)."""
    with (folder / "ifeval/golden/input_response_data_gpt4_20231107_145030.jsonl").open(encoding="utf-8") as stream:
        for row in map(json.loads, stream):
            yield row["prompt"], [row["response"]]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "column", "read"), [("gsm8k", "question", gsm8k_outputs), ("ifeval", "prompt", ifeval_outputs)]
)
def test_reward_of_recorded_outputs_is_their_score(real_data: Path, name: str, column: str, read: object) -> None:
    assert callable(read)
    reward = load_task_reward(f"task:{name}", 1.0)
    assert reward.task.name == registry.task(name).name
    outputs = {question.strip(): answers for question, answers in read(real_data)}
    questions = make_questions(reward.task, EvaluationSettings(folder=real_data))[:QUESTIONS]
    pairs = []
    for question in questions:
        for text in outputs.get(question.example.row[column].strip(), ()):
            score = score_response(reward.task, question, Response(text, "stop"), Reader()).score
            pairs.append((reward.grade(question, text, True), score.value or 0.0))
    assert len(pairs) >= QUESTIONS - 10
    assert [grade for grade, _ in pairs] == [score for _, score in pairs]
    assert {score for _, score in pairs} == {0.0, 1.0}, "right and wrong ones are among them"
