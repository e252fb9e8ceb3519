"""Arena-Hard: 500 hard prompts of the Chatbot Arena; better than GPT-4's answers, to a judge? (Li et al., arXiv 2406.11939)"""

from __future__ import annotations

from pathlib import Path

from harness import data
from harness.data import DataSource
from harness.grading.criteria import BETTER
from harness.judge_binding import unjudged_score
from harness.types import Example, Json, Judge, Metric, Request, Response, Score, SkilldeltaError, Task
from tasks import alpaca_eval

# The files of lmarena/arena-hard-auto, version 0.1, by the names that they have there.
QUESTIONS = DataSource(
    "lmarena-ai/arena-hard-auto",
    "arena_hard/question.jsonl",
    ("question_id", "cluster", "turns"),
    file="data/arena-hard-v0.1/question.jsonl",
)
BASELINE = DataSource(
    "lmarena-ai/arena-hard-auto",
    "arena_hard/model_answer/gpt-4-0314.jsonl",
    ("question_id", "choices"),
    file="data/arena-hard-v0.1/model_answer/gpt-4-0314.jsonl",
)


def rows(folder: Path | None) -> list[Json]:
    """{index, instruction, reference, cluster} of every question that the baseline has answered."""
    questions = data.rows(QUESTIONS, folder)
    answers = {row["question_id"]: row["choices"][0]["turns"][0]["content"] for row in data.rows(BASELINE, folder)}
    if missing := [row["question_id"] for row in questions if row["question_id"] not in answers]:
        raise SkilldeltaError(f"{BASELINE.local} lacks answers to {len(missing)} questions, such as {missing[0]}.")
    return [
        {
            "index": index,
            "instruction": row["turns"][0]["content"],
            "reference": answers[row["question_id"]],
            "cluster": row["cluster"],
        }
        for index, row in enumerate(questions)
    ]


def score_against_baseline(judge: Judge, example: Example, response: Response) -> Score:
    """The probability that the answer is preferred to the baseline's, with lengths, as AlpacaEval has it."""
    if not response.text.strip():
        return Score(None, why="the response is empty: there is nothing to compare")
    return alpaca_eval.score_preference(judge, example, response)


TASKS = (
    Task(
        name="arena_hard",
        skill="instruction following",
        version=1,
        source="lmarena/arena-hard-auto v0.1: win rate against gpt-4-0314 in both orders; the judge's words are ours",
        rows=rows,
        ask=lambda example: Request(example.row["instruction"], max_tokens=4096),
        score=unjudged_score,
        ideal=lambda example: Response(example.row["reference"] + "\n\nIs there anything else that you would like to know?"),
        cluster=lambda example: str(example.row["cluster"]),
        judge="llm:openai:gpt-4-1106-preview",
        criterion=BETTER,
        judged=score_against_baseline,
        metrics=(
            Metric("discrete_win_rate", part="won"),
            Metric("relative_length", part="length", over="reference_length"),
            Metric("orders_agree", part="orders_agree"),
        ),
        summary="500 hard prompts, win rate against GPT-4 (0314) by a judge, with length",
    ),
)
