"""How often a model reasons step by step where nothing asks for it: a habit that tuning changes, and no skill.

The study (arXiv 2406.09279) reports that PPO makes models do so more often; it gives no rule.  This one is made here.
"""

from __future__ import annotations

from fractions import Fraction

from harness.mean_rules import HABIT
from harness.types import Example, Metric, Request, Response, Score, Task
from tasks import gsm8k
from tasks.answer_reading.stated_number import read_number
from tasks.answer_reading.steps import count_steps, shows_steps


def ask(example: Example) -> Request:
    """The question alone: no word on how it is to be answered, no example, and no beginning of the answer."""
    return Request(example.row["question"].strip(), max_tokens=512)


def score(example: Example, response: Response) -> Score:
    """1 if the answer shows its steps.  `right`: whether its number is right, with steps and without."""
    steps = shows_steps(response.text)
    answer = read_number(response.text).number
    right = float(answer is not None and answer.value == Fraction(gsm8k.right_answer(example)))
    parts = {
        "steps": float(steps),
        "without_steps": float(not steps),
        "right": right,
        "right_with_steps": right * steps,
        "right_without_steps": right * (not steps),
        "count": float(count_steps(response.text)),
    }
    return Score(float(steps), extracted="steps" if steps else "no steps", parts=parts)


def ideal(example: Example) -> Response:
    """An answer in steps, which scores 1 and is right: this task knows no better and worse."""
    worked, _, number = str(example.row["answer"]).rpartition("####")
    return Response(f"Let me work this out step by step.\n{worked.strip()}\nThe answer is {number.strip()}.")


TASKS = (
    Task(
        name="cot_rate",
        skill=HABIT,
        version=3,
        source="GSM8K's questions (Cobbe et al. 2021) without a word on how to answer; the rule is this program's own",
        rows=gsm8k.rows,
        ask=ask,
        score=score,
        ideal=ideal,
        metrics=(
            Metric("right", part="right"),
            Metric("right with steps", part="right_with_steps", over="steps"),
            Metric("right without steps", part="right_without_steps", over="without_steps"),
        ),
        summary="how often answers to 1319 bare word problems show steps that nobody asked for; a habit, in no mean",
    ),
)
