"""MT-Bench: 80 questions of two turns, each answer rated 1 to 10 by a judge (Zheng et al., arXiv 2306.05685).

The second turn follows on GPT-4's recorded first answer, not on the model's own, so that all checkpoints are asked the same and
pair item by item.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from harness import data
from harness.data import DataSource
from harness.grading.criteria import RATING
from harness.grading.questions import JudgeQuestion, ask_judge
from harness.judge_binding import unjudged_score
from harness.types import Example, Json, Judge, Message, Request, Response, Score, SkilldeltaError, Task

HUB = "HuggingFaceH4/mt_bench_prompts"
# The files of fastchat/llm_judge; the Hub has the questions alone, with their references.
QUESTIONS = DataSource("", "mt_bench/question.jsonl", ("question_id", "category", "turns"))
HUB_QUESTIONS = DataSource(HUB, QUESTIONS.local, ("prompt_id", "category", "prompt", "reference"), split="train")
REFERENCES = DataSource("", "mt_bench/reference_answer/gpt-4.jsonl", ("question_id", "choices"))
FIRST_ANSWERS = DataSource("", "mt_bench/model_answer/gpt-4.jsonl", ("question_id", "choices"))
TEMPERATURES = {"writing": 0.7, "roleplay": 0.7, "stem": 0.1, "humanities": 0.1}  # of FastChat; 0 for the others
NO_FOLDER = (
    "mt_bench_second_turn needs GPT-4's recorded answers, which the Hub does not have as rows.  Put FastChat's question.jsonl, "
    "model_answer/gpt-4.jsonl and reference_answer/gpt-4.jsonl into FOLDER/mt_bench, and name FOLDER with --data."
)


def rows(turn: int, folder: Path | None) -> list[Json]:
    """{id, category, turns, answers, reference}: the user's turns so far, the answers between them, and a right last answer."""
    if folder is None:
        if turn == 2:
            raise SkilldeltaError(NO_FOLDER)
        records = data.rows(HUB_QUESTIONS, None)
        questions = {str(r["prompt_id"]): (r["category"], r["prompt"]) for r in records}
        references = {str(r["prompt_id"]): list(r["reference"] or ()) for r in records}
        answers: Mapping[str, list[str]] = {}
    else:
        questions = {str(r["question_id"]): (r["category"], r["turns"]) for r in data.rows(QUESTIONS, folder)}
        references = recorded_turns(REFERENCES, folder)
        answers = recorded_turns(FIRST_ANSWERS, folder) if turn == 2 else {}
    return [
        {
            "id": f"{number}-{turn}",
            "category": category,
            "turns": list(turns[:turn]),
            "answers": answers[number][: turn - 1] if turn > 1 else [],
            "reference": (references.get(number) or [""] * turn)[turn - 1],
        }
        for number, (category, turns) in questions.items()
    ]


def recorded_turns(source: DataSource, folder: Path) -> dict[str, list[str]]:
    """A model's answers to both turns, by question."""
    records: list[dict[str, Any]] = data.rows(source, folder)
    return {str(record["question_id"]): list(record["choices"][0]["turns"]) for record in records}


def conversation(row: Json) -> tuple[Message, ...]:
    """The turns so far, which end with the user's."""
    users = [Message("user", turn) for turn in row["turns"]]
    assistants = [Message("assistant", answer) for answer in row["answers"]]
    return (*(m for pair in zip(users, assistants, strict=False) for m in pair), users[-1])


def ask(example: Example) -> Request:
    return Request(conversation(example.row), max_tokens=1024, temperature=TEMPERATURES.get(example.row["category"], 0.0))


def score_rating(judge: Judge, example: Example, response: Response) -> Score:
    """A tenth of the judge's rating, whose mean over both orders of the scale is taken; times ten it is MT-Bench's score."""
    messages = conversation(example.row)
    prompt = messages[0].content if len(messages) == 1 else "\n\n".join(f"{m.role.upper()}: {m.content}" for m in messages)
    (grade,) = ask_judge(judge, JudgeQuestion(prompt, response.text, example.row["reference"], RATING))
    if grade.value is None:
        return Score(None, why=grade.why)
    return Score(grade.value, extracted=f"{10 * grade.value:.1f} of 10", parts=grade.parts())


FIRST_TURN = Task(
    name="mt_bench",
    skill="instruction following",
    version=2,
    source="lm-sys/FastChat llm_judge: first turns, single-answer grading; the judge's words are ours",
    rows=partial(rows, 1),
    ask=ask,
    score=unjudged_score,
    ideal=lambda example: Response(example.row["reference"] or "A full and right answer."),
    group=lambda example: str(example.row["category"]),
    judge="llm:openai:gpt-4",
    judged=score_rating,
    scores_silence=True,
    summary="80 questions in 8 categories, answers rated 1 to 10 by a judge (of the first turn)",
)
TASKS = (
    FIRST_TURN,
    replace(
        FIRST_TURN,
        name="mt_bench_second_turn",
        source="lm-sys/FastChat llm_judge: second turns, after GPT-4's first answer; single-answer grading in words of ours",
        rows=partial(rows, 2),
        summary="MT-Bench's second turns, each after GPT-4's recorded answer to the first",
    ),
)
