"""Arena-Hard: 500 hard prompts of the Chatbot Arena; better than GPT-4's answers, to a judge? (Li et al., arXiv 2406.11939)"""

from __future__ import annotations

from pathlib import Path

from harness import data
from harness.data import DataSource
from harness.grading.criteria import BETTER
from harness.grading.preferences import METRICS
from harness.judge_binding import unjudged_score
from harness.types import Json, Request, Response, SkilldeltaError, Task
from tasks import alpaca_eval

# The files of lmarena/arena-hard-auto, version 0.1, by the names that they have there.  The Hub has them in the layout of
# version 2: "uid", "prompt" and "messages", where the authors' repository had "question_id", "turns" and "choices" at first.
QUESTIONS = DataSource(
    "lmarena-ai/arena-hard-auto",
    "arena_hard/question.jsonl",
    ("cluster",),
    file="data/arena-hard-v0.1/question.jsonl",
)
BASELINE = DataSource(
    "lmarena-ai/arena-hard-auto",
    "arena_hard/model_answer/gpt-4-0314.jsonl",
    (),
    file="data/arena-hard-v0.1/model_answer/gpt-4-0314.jsonl",
)


def rows(folder: Path | None) -> list[Json]:
    """{index, instruction, reference, cluster} of every question that the baseline has answered."""
    questions = [(row["cluster"], *read_turn(row, QUESTIONS)) for row in data.rows(QUESTIONS, folder)]
    answers = dict(read_turn(row, BASELINE) for row in data.rows(BASELINE, folder))
    if missing := [key for _, key, _ in questions if key not in answers]:
        raise SkilldeltaError(f"{BASELINE.local} lacks answers to {len(missing)} questions, such as {missing[0]}.")
    return [
        {"index": index, "instruction": instruction, "reference": answers[key], "cluster": cluster}
        for index, (cluster, key, instruction) in enumerate(questions)
    ]


def read_turn(row: Json, source: DataSource) -> tuple[str, str]:
    """(id, text) of a question or an answer, in either layout.  SkilldeltaError for a row in neither."""
    text: object
    try:
        if "uid" in row:
            text = row["prompt"] if source is QUESTIONS else row["messages"][-1]["content"]
            text = text["answer"] if isinstance(text, dict) else text
        else:
            text = (row if source is QUESTIONS else row["choices"][0])["turns"][0]["content"]
        key = str(row.get("uid") or row["question_id"])
    except (KeyError, IndexError, TypeError):
        text = None
    if not isinstance(text, str):
        raise SkilldeltaError(
            f"{source.local} has a row in neither layout of Arena-Hard; its columns: {', '.join(map(str, row))}.\n"
            "Is it the right file, and version 0.1?"
        )
    return key, text


TASKS = (
    Task(
        name="arena_hard",
        skill="instruction following",
        version=2,
        source="lmarena/arena-hard-auto v0.1: win rate against gpt-4-0314 in both orders; the judge's words are ours",
        rows=rows,
        ask=lambda example: Request(example.row["instruction"], max_tokens=4096),
        score=unjudged_score,
        ideal=lambda example: Response(example.row["reference"] + "\n\nIs there anything else that you would like to know?"),
        cluster=lambda example: str(example.row["cluster"]),
        judge="llm:openai:gpt-4-1106-preview",
        criterion=BETTER,
        judged=alpaca_eval.score_preference,
        scores_silence=True,
        metrics=METRICS,
        summary="500 hard prompts, win rate against GPT-4 (0314) by a judge, with length",
    ),
)
