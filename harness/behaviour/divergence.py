"""How far a model has moved from its baseline: the log-probability ratio of its own answers under both, in nats per token.

    sum over answers of (log p_candidate(answer | prompt) - log p_baseline(answer | prompt)) / sum of their tokens

For answers that are drawn at temperature 1 this is an estimate of the divergence KL(candidate || baseline) per token.  Greedy
answers are no draws: there it says how much likelier the candidate's first choice is to the candidate.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.behaviour.prompts import NOT_SCORED, SKILL, messages_of, refuse_ideal
from harness.statistics.aggregates import Floats, Interval, Ints, cluster_sums, critical_value
from harness.statistics.ratio import Ratio, guard_variance
from harness.types import Example, Json, Request, Response, Score, SkilldeltaError, Task

if TYPE_CHECKING:
    from harness.store import Cell

PART = "nats"
NO_LOGPROB = "the backend gave no log-probability"
SEPARATE_REASONING = "the server has parted their reasoning from them, and without it they are no answer to the prompt alone"


@dataclass(frozen=True)
class Divergence:
    """Of one candidate.  `by_example`: nats per token of the answers to each prompt; `unknown`: answers without a number.

    `with_reasoning`: answers that are not asked about, because they followed on reasoning that a server keeps apart.
    """

    checkpoint: str
    value: float
    interval: Interval
    answers: int
    tokens: int
    unknown: int = 0
    by_example: Mapping[str, float] | None = None
    why: str = ""  # there is no number
    with_reasoning: int = 0

    @property
    def note(self) -> str:
        """Why there is no number, or what it leaves out."""
        unknown = f"{self.unknown} answers without a number" if self.unknown else ""
        left_out = f"without {self.with_reasoning} answers: {SEPARATE_REASONING}" if self.with_reasoning else ""
        return self.why or "; ".join(filter(None, (unknown, left_out)))

    def to_json(self) -> dict[str, Any]:
        """Numbers that are not known are null."""
        numbers = {"value": self.value, "low": self.interval.low, "high": self.interval.high}
        known_numbers = {name: None if math.isnan(number) else number for name, number in numbers.items()}
        counts = {
            "answers": self.answers,
            "tokens": self.tokens,
            "unknown": self.unknown,
            "with_reasoning": self.with_reasoning,
        }
        return {"checkpoint": self.checkpoint, **known_numbers, **counts, "why": self.why}


def absent_divergence(checkpoint: str, why: str, with_reasoning: int = 0) -> Divergence:
    return Divergence(checkpoint, math.nan, Interval(math.nan, math.nan), 0, 0, why=why, with_reasoning=with_reasoning)


def answer_rows(cell: Cell, prompts: Mapping[str, Json]) -> tuple[list[Json], int]:
    """A candidate's answers that are not empty, as rows: the prompt, the answer, and how many tokens it has.

    And how many are left out because a server parted their reasoning: the tokens count that too, and the answer followed on it,
    so that its probability after the prompt alone is no part of the model's own.
    """
    rows: list[Json] = []
    with_reasoning = 0
    for sample in {s.key: s for s in cell.samples()}.values():
        response = sample.response
        if response.finish not in ("stop", "length") or not response.text.strip():
            continue
        if response.reasoning:
            with_reasoning += 1
            continue
        if sample.example not in prompts:
            raise SkilldeltaError(
                f"A prompt of {cell.samples_file}, example {sample.example}, is not stored beside it: the folder is damaged.  "
                "Name a new one with -o."
            )
        row = {"example": sample.example, "draw": sample.draw, "answer": response.text, "tokens": response.tokens_out}
        rows.append(row | dict(prompts[sample.example]))
    return rows, with_reasoning


def answer_task(checkpoint: str, rows: Sequence[Json]) -> Task:
    """The task that asks a model for the log-probability of a candidate's answers."""
    return Task(
        name=f"answers of {checkpoint}",
        skill=SKILL,
        version=1,
        source="a candidate's own answers",
        rows=lambda folder: list(rows),
        ask=lambda example: Request(messages_of(example.row), choices=(str(example.row["answer"]),)),
        score=score_answer_likelihood,
        ideal=refuse_ideal,
    )


def score_answer_likelihood(example: Example, response: Response) -> Score:
    """No score; the log-probability as a part."""
    if len(response.logprobs) != 1 or not math.isfinite(response.logprobs[0]):
        return Score(None, why=NO_LOGPROB)
    return Score(None, parts={PART: response.logprobs[0]}, why=NOT_SCORED)


def measure_divergence(checkpoint: str, rows: Sequence[Json], candidate: Cell, baseline: Cell, level: float) -> Divergence:
    """From both models' log-probabilities of the same answers; the interval has one cluster a prompt."""
    own, theirs = (log_probabilities(cell) for cell in (candidate, baseline))
    examples = [(Example(row).id, row) for row in rows]
    usable = [(key, row) for key, row in examples if key in own and key in theirs and row["tokens"] > 0]
    if not usable:
        return absent_divergence(checkpoint, NO_LOGPROB)
    top = np.array([own[key] - theirs[key] for key, _ in usable])
    tokens = np.array([float(row["tokens"]) for _, row in usable])
    prompts, place = np.unique([str(row["example"]) for _, row in usable], return_inverse=True)
    cluster = place.astype(np.int64)
    of_prompts = cluster_sums(cluster, top) / cluster_sums(cluster, tokens)
    by_example = {str(name): float(value) for name, value in zip(prompts, of_prompts, strict=True)}
    value, interval = mean_log_ratio(top, tokens, cluster, level)
    return Divergence(checkpoint, value, interval, len(usable), int(tokens.sum()), len(rows) - len(usable), by_example)


def mean_log_ratio(top: Floats, tokens: Floats, cluster: Ints, level: float) -> tuple[float, Interval]:
    """sum(top) / sum(tokens) of answers, with Student's interval, guarded by one more prompt as far off as the farthest."""
    ratio, total = Ratio(top, tokens), float(tokens.sum())
    farthest = float(np.abs(cluster_sums(cluster, top)).max()) / total
    variance = guard_variance(ratio.influences, cluster, farthest or 1 / total)
    half_width = critical_value(level, variance.freedom) * float(np.sqrt(variance.value))
    return ratio.value, Interval(ratio.value - half_width, ratio.value + half_width)


def log_probabilities(cell: Cell) -> dict[str, float]:
    """By example of the answers' rows."""
    return {s.example: float(s.score.parts[PART]) for s in cell.samples() if PART in s.score.parts}
