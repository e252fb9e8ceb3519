"""TL;DR: is a summary of a post better than its author's own, to a judge, and how long is it? (Stiennon et al., 2009.01325)"""

from __future__ import annotations

from pathlib import Path

from harness import data
from harness.data import DataSource
from harness.grading.criteria import SUMMARY
from harness.grading.preferences import ORDERS_AGREE, RELATIVE_LENGTH, WIN_RATE, preference_score
from harness.grading.questions import JudgeQuestion, ask_judge
from harness.judge_binding import unjudged_score
from harness.types import Example, Json, Judge, Metric, Request, Response, Score, Task

DATA = DataSource(hub="trl-lib/tldr", split="test", local="tldr/test.jsonl", columns=("prompt", "completion"))
INSTRUCTION = "Summarize the following post in one or two sentences.\n\n"
END = "TL;DR:"


def rows(folder: Path | None) -> list[Json]:
    """{post, reference}: subreddit, title and text of a post, and its author's summary."""
    return [
        {"post": row["prompt"].strip().removesuffix(END).rstrip(), "reference": row["completion"].strip()}
        for row in data.rows(DATA, folder)
    ]


def score_summary(judge: Judge, example: Example, response: Response) -> Score:
    """The probability that the summary is the better one.  The parts hold both lengths in characters: judges like long ones."""
    row, summary = example.row, response.text.strip().removeprefix(END).strip()
    (grade,) = ask_judge(judge, JudgeQuestion(row["post"], summary, row["reference"], SUMMARY))
    size, reference_size = len(summary), len(row["reference"])
    return preference_score(grade, {"length": size, "reference_length": reference_size, "longer": float(size > reference_size)})


TASKS = (
    Task(
        name="summarization",
        skill="instruction following",
        version=2,
        source="trl-lib/tldr (the posts of openai/summarize-from-feedback), judged pairwise against the posts' own summaries",
        rows=rows,
        ask=lambda example: Request(f"{INSTRUCTION}{example.row['post']}\n\n{END}", max_tokens=128),
        score=unjudged_score,
        ideal=lambda example: Response(f"{example.row['reference']} And that is all."),
        judge="llm:openai:gpt-4-1106-preview",
        criterion=SUMMARY,
        judged=score_summary,
        scores_silence=True,
        metrics=(
            WIN_RATE,
            RELATIVE_LENGTH,
            Metric("longer_than_reference", part="longer"),
            ORDERS_AGREE,
        ),
        summary="6553 posts to summarise; better than their authors' summaries, by a judge, with length",
    ),
)
