"""AlpacaEval: 805 instructions; is the answer better than a reference model's, to a judge? (Dubois et al., arXiv 2404.04475)

The score is the win rate as judged, which can be compared answer by answer.  AlpacaEval 2's headline, and the study's, is the
length-controlled win rate: a model fitted to all answers together, given by the report alpaca_eval.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from harness.data import Source, rows
from harness.judges.assignment import NO_VERDICT, unjudged
from harness.types import Example, Json, Judge, Metric, Request, Response, Score, Task

HUB = "tatsu-lab/alpaca_eval"
COLUMNS = ("instruction", "output")
TEXT_DAVINCI = Source(HUB, "alpaca_eval/reference_outputs/text_davinci_003.json", COLUMNS, file="alpaca_eval.json")
GPT4_TURBO = Source(HUB, "alpaca_eval/reference_outputs/gpt4_1106_preview.json", COLUMNS, file="alpaca_eval_gpt4_baseline.json")


def reference_rows(source: Source, folder: Path | None) -> list[Json]:
    """Each instruction with the reference answer; `index` is its place, by which its recorded difficulty is known."""
    return [
        {"index": i, "instruction": row["instruction"], "reference": row["output"]}
        for i, row in enumerate(rows(source, folder))
    ]


def judged(judge: Judge, example: Example, response: Response) -> Score:
    """The probability that the answer is preferred to the reference: its mean is the win rate.

    Lengths, in characters, are kept for the length-controlled win rate, which takes all answers together.
    """
    row = example.row
    preferred = judge.grade(row["instruction"], response.text, row["reference"])
    if preferred is None:
        return Score(None, why=NO_VERDICT)
    won = 0.5 if preferred == 0.5 else float(preferred > 0.5)
    parts = {"won": won, "index": row["index"], "length": len(response.text), "reference_length": len(row["reference"])}
    return Score(preferred, extracted={0.0: "worse", 0.5: "as good", 1.0: "better"}[won], parts=parts)


def task(name: str, reference: Source, judge: str, summary: str) -> Task:
    return Task(
        name=name,
        skill="instruction following",
        version=1,
        source="tatsu-lab/alpaca_eval, asked as in open-instruct",
        rows=partial(reference_rows, reference),
        ask=lambda example: Request(example.row["instruction"], max_tokens=8192),
        score=unjudged,
        ideal=lambda example: Response(example.row["reference"] + "\n\nIs there anything that you would like to know besides?"),
        judge=judge,
        judged=judged,
        metrics=(Metric("discrete_win_rate", part="won"),),
        summary=summary,
    )


# The study's judges are GPT-4 with AlpacaEval's prompts (alpaca_eval_gpt4 and weighted_alpaca_eval_gpt4_turbo): their verdicts,
# recorded by the authors' program, come in through the judge "annotations".
TASKS = (
    task("alpaca_eval", GPT4_TURBO, "pairwise:openai:gpt-4-1106-preview", "805 instructions, win rate against GPT-4 Turbo"),
    task("alpaca_eval_1", TEXT_DAVINCI, "pairwise:openai:gpt-4", "805 instructions, win rate against text-davinci-003"),
)
