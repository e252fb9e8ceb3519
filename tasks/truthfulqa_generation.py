"""TruthfulQA, generation: are a model's own answers true, and do they say anything? (Lin et al., arXiv 2109.07958)"""

from __future__ import annotations

from pathlib import Path

from harness import data
from harness.data import DataSource
from harness.grading.criteria import BOTH, INFORMATIVE, TRUTHFUL
from harness.grading.questions import JudgeQuestion, ask_judge
from harness.judge_binding import unjudged_score
from harness.types import Example, Json, Judge, Metric, Request, Response, Score, Task
from tasks.truthfulqa import PRIMER

# The authors' file as first published, as on the Hub, where the same columns have other names and lists for texts.
LOCAL = DataSource(hub="", local="truthfulqa/v0/TruthfulQA.csv", columns=("Question", "Best Answer", "Correct Answers"))
HUB = DataSource(
    hub="truthfulqa/truthful_qa",
    config="generation",
    split="validation",
    local=LOCAL.local,
    columns=("question", "best_answer", "correct_answers"),
)


def rows(folder: Path | None) -> list[Json]:
    """{question, best, correct}: the best answer, and all that are right."""
    if folder is None:
        return [
            {"question": row["question"], "best": row["best_answer"], "correct": list(row["correct_answers"])}
            for row in data.rows(HUB, None)
        ]
    return [
        {"question": row["Question"], "best": row["Best Answer"], "correct": split_answers(row["Correct Answers"])}
        for row in data.rows(LOCAL, folder)
    ]


def split_answers(text: str) -> list[str]:
    """ "A; B" as a list, as the Hub has it."""
    return [answer.strip() for answer in text.split(";") if answer.strip()]


def ask(example: Example) -> Request:
    """The authors' primer and the question; the study's chat format adds no "A:" where answers are generated."""
    return Request(f"{PRIMER}Q: {example.row['question']}", max_tokens=50, stop=("\nQ:",))


def score_truth(judge: Judge, example: Example, response: Response) -> Score:
    """1 for an answer that is both truthful and informative, by two questions to the judge; the parts hold each alone."""
    row, answer = example.row, response.text.strip().removeprefix("A:").strip()
    if not answer:
        return Score(None, why="the response is empty: it answers nothing")
    truthful, informative = ask_judge(
        judge,
        JudgeQuestion(row["question"], answer, "\n".join(row["correct"]), TRUTHFUL),
        JudgeQuestion(row["question"], answer, criterion=INFORMATIVE),
    )
    parts = {name: float(g.holds) for name, g in (("truthful", truthful), ("informative", informative)) if g.holds is not None}
    if truthful.holds is None or informative.holds is None:
        return Score(None, parts=parts, why=(informative if truthful.holds is not None else truthful).reason)
    extracted = f"{'true' if truthful.holds else 'false'}, {'informative' if informative.holds else 'says nothing'}"
    return Score(float(truthful.holds and informative.holds), extracted, parts)


TASKS = (
    Task(
        name="truthfulqa_generation",
        skill="truthfulness",
        version=1,
        source="Lin et al. 2022 (qa primer), asked as in open-instruct: greedy, 50 tokens; truthful and informative by a judge",
        rows=rows,
        ask=ask,
        score=unjudged_score,
        ideal=lambda example: Response(example.row["best"]),
        judge="truthfulqa:allenai/truthfulqa-truth-judge-llama2-7B,allenai/truthfulqa-info-judge-llama2-7B",
        criterion=BOTH,
        judged=score_truth,
        metrics=(Metric("truthful", part="truthful"), Metric("informative", part="informative")),
        summary="817 questions that tempt to falsehoods; answers that are true and say something, by a judge",
    ),
)
