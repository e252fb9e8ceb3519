"""AlpacaEval: 805 instructions; is the answer better than a reference model's, to a judge? (Dubois et al., arXiv 2404.04475)

The score is the judge's raw win rate, which can be compared answer by answer.  The headline of AlpacaEval 2, and of the
study, is the length-controlled win rate: a model fitted to all answers together, in the report alpaca_eval.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from harness import data
from harness.data import DataSource
from harness.grading.criteria import BETTER
from harness.grading.preferences import WIN_RATE, preference_score
from harness.grading.questions import JudgeQuestion, ask_judge
from harness.judge_binding import unjudged_score
from harness.types import Example, Json, Judge, Request, Response, Score, Task

HUB = "tatsu-lab/alpaca_eval"
COLUMNS = ("instruction", "output")
TEXT_DAVINCI = DataSource(HUB, "alpaca_eval/reference_outputs/text_davinci_003.json", COLUMNS, file="alpaca_eval.json")
GPT4_TURBO = DataSource(
    HUB, "alpaca_eval/reference_outputs/gpt4_1106_preview.json", COLUMNS, file="alpaca_eval_gpt4_baseline.json"
)


def rows(source: DataSource, folder: Path | None) -> list[Json]:
    """Each instruction with the reference answer; AlpacaEval's file of difficulties counts instructions by `index`."""
    return [
        {"index": i, "instruction": row["instruction"], "reference": row["output"]}
        for i, row in enumerate(data.rows(source, folder))
    ]


def score_preference(judge: Judge, example: Example, response: Response) -> Score:
    """The probability that the answer is preferred to the reference: its mean is the win rate.

    The parts hold lengths in characters, which the length-controlled win rate needs.
    """
    row = example.row
    (grade,) = ask_judge(judge, JudgeQuestion(row["instruction"], response.text, row["reference"], BETTER))
    lengths = {"index": row["index"], "length": len(response.text), "reference_length": len(row["reference"])}
    return preference_score(grade, lengths)


def alpaca_task(name: str, reference: DataSource, judge: str, summary: str) -> Task:
    return Task(
        name=name,
        skill="instruction following",
        version=1,
        source="tatsu-lab/alpaca_eval, asked as in open-instruct",
        rows=partial(rows, reference),
        ask=lambda example: Request(example.row["instruction"], max_tokens=8192),
        score=unjudged_score,
        ideal=lambda example: Response(example.row["reference"] + "\n\nIs there anything that you would like to know besides?"),
        judge=judge,
        criterion=BETTER,
        judged=score_preference,
        scores_silence=True,  # as the leaderboard, and as every task whose judge says how good an answer is
        metrics=(WIN_RATE,),
        summary=summary,
    )


# The study's judges are GPT-4 with AlpacaEval's prompts (alpaca_eval_gpt4 and weighted_alpaca_eval_gpt4_turbo).  The judge
# "annotations" reads their verdicts from the files of the authors' program.
TASKS = (
    alpaca_task("alpaca_eval", GPT4_TURBO, "llm:openai:gpt-4-1106-preview", "805 instructions, win rate against GPT-4 Turbo"),
    alpaca_task("alpaca_eval_1", TEXT_DAVINCI, "llm:openai:gpt-4", "805 instructions, win rate against text-davinci-003"),
)
