"""The measures of an answer, with their units, and an answer's parts that they are made of."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from harness.behaviour.languages import switches_language
from harness.behaviour.markup import measure_markup
from harness.behaviour.phrases import measure_phrases
from harness.behaviour.repetition import DISTINCT, measure_diversity, measure_repetition, split_words
from harness.types import Metric

Unit = Literal["an answer", "% of answers", "a 100 words", "% of 4-grams", "% of n-grams"]
PREFIX = "behaviour."  # of parts in a table of samples
POINTS = 100


@dataclass(frozen=True)
class Measure:
    """The mean of a part over answers, or with `over` the ratio of two sums; `about`: how it is read from a text."""

    name: str
    unit: Unit
    part: str
    about: str
    over: str = ""

    @property
    def metric(self) -> Metric:
        """For comparison/metrics.py, which gives the value, the paired difference and their intervals."""
        return Metric(self.name, PREFIX + self.part, PREFIX + self.over if self.over else "")

    @property
    def scale(self) -> float:
        """What a metric's points are divided by to have this unit."""
        return 1.0 if self.unit.startswith("%") else POINTS


MEASURES = (
    Measure("words", "an answer", "words", "words of the answer, without its reasoning"),
    Measure("tokens", "an answer", "tokens", "tokens that the model made, reasoning included"),
    Measure("reasoning words", "an answer", "reasoning", "words of the reasoning, where it stands apart"),
    Measure("with a list", "% of answers", "has_list", "a line that begins with a bullet or a number"),
    Measure("list items", "an answer", "list_items", "such lines"),
    Measure("with a heading", "% of answers", "has_heading", "a Markdown heading (#)"),
    Measure("with bold text", "% of answers", "has_bold", "**bold** or __bold__"),
    Measure("with a table", "% of answers", "has_table", "a Markdown table"),
    Measure("with a code block", "% of answers", "has_code", "a fenced block"),
    Measure("with an emoji", "% of answers", "has_emoji", "a character that is shown as an emoji"),
    Measure("hedges", "a 100 words", "hedges", "perhaps, might, I think, it depends, ...", "hundreds"),
    Measure("apologies", "% of answers", "apologises", "I'm sorry, I apologise, ..."),
    Measure("refusals", "% of answers", "refuses", "declines in its first sentences, by the rule of xstest"),
    Measure("agreement", "% of answers", "agrees", "opens with agreement or praise: you're right, great question, ..."),
    Measure("other language", "% of answers", "switches", "another script or language than the prompt's, where both are sure"),
    Measure("repetition", "% of 4-grams", "repeats", "4-grams of words that the answer has said before", "ngrams"),
    Measure("loops", "% of answers", "loops", "ends in a verbatim loop"),
    Measure("truncated", "% of answers", "truncated", "cut at the limit of tokens"),
    Measure("empty", "% of answers", "empty", "nothing but blanks, or reasoning alone"),
    *(
        Measure(f"distinct-{n}", "% of n-grams", f"distinct{n}", f"different {n}-grams over the draws of a prompt", f"all{n}")
        for n in DISTINCT
    ),
)


@dataclass(frozen=True)
class Answer:
    """One answer as it is measured.  `reasoning` stands apart from `text`; `is_loop`, `is_truncated`: how it ends."""

    prompt: str
    text: str
    reasoning: str = ""
    tokens: int = 0
    is_loop: bool = False
    is_truncated: bool = False


def measure_answer(answer: Answer) -> dict[str, float]:
    """An answer's parts; NaN where a part cannot be told, as the language of a short text.

    Of an empty answer its length and its end are measured, and nothing else: it has no style.
    """
    words = split_words(answer.text)
    ends: dict[str, float] = {
        "words": len(words),
        "hundreds": len(words) / 100,  # of words: a rate, whose guard is a text of many hedges, and not one of nothing else
        "tokens": answer.tokens,
        "reasoning": len(split_words(answer.reasoning)),
        "loops": answer.is_loop,
        "truncated": answer.is_truncated,
        "empty": not answer.text.strip(),
    }
    if not answer.text.strip():
        return {name: float(value) for name, value in ends.items()}
    switches = switches_language(answer.prompt, answer.text)
    language = {"switches": math.nan if switches is None else switches}
    parts = ends | measure_markup(answer.text) | measure_phrases(answer.text) | measure_repetition(words) | language
    return {name: float(value) for name, value in parts.items()}


def measure_draws(answers: Sequence[Answer]) -> Mapping[str, float]:
    """The parts of diversity over several answers to one prompt; {} for a single one."""
    return measure_diversity([split_words(answer.text) for answer in answers]) if len(answers) > 1 else {}
