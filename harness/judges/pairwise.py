"""The first judge by a language model, `pairwise:BACKEND:MODEL`: kept as it was, for results that it graded.  New: `llm`.

It compares an answer with a reference, in both orders; its delimiters can be forged, and it keeps no replies.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from harness import config, registry
from harness.grading.criteria import compares_answers
from harness.grading.preferences import first_probability
from harness.grading.questions import Grade, JudgeQuestion
from harness.types import Checkpoint, Model, Request, Response, SkilldeltaError

PROMPT = """\
Two assistants have answered the same instruction. Decide which answer a careful reader would prefer: the one that does \
what was asked, is true, and is no longer than it needs to be. Their order says nothing about their quality.

Instruction:
{instruction}

Answer A:
{a}

Answer B:
{b}

Which answer is better? Reply with one letter, A or B, and nothing else."""
NO_SINGLE = "this judge compares two answers, and cannot grade one alone: llm:BACKEND:MODEL can"
LETTERS = ("A", "B")
LETTER = re.compile(r"\W*([AB])\s*(?:$|[^\w\s])")  # "A", "**B**", "A: ..."; not "A good answer"


@dataclass(frozen=True)
class PairwiseJudge:
    """The judge asks twice, with the answer first and with the reference first: a preference for one place cancels out."""

    model: Model

    def grade_all(self, questions: Sequence[JudgeQuestion]) -> list[Grade]:
        """A preference for each question about two answers; none for another: it would be compared with an empty text."""
        return [
            Grade(self.grade(q.prompt, q.response, q.reference))
            if compares_answers(q.criterion, q.reference)
            else Grade(None, why=NO_SINGLE)
            for q in questions
        ]

    def grade(self, prompt: str, response: str, reference: str) -> float | None:
        """The mean probability of the answer's letter; None if the model names no letter."""
        prompts = [
            PROMPT.format(instruction=prompt, a=response, b=reference),
            PROMPT.format(instruction=prompt, a=reference, b=response),
        ]
        first, second = self.prefer_a(prompts)
        return None if first is None or second is None else (first + 1.0 - second) / 2

    def prefer_a(self, prompts: Sequence[str]) -> list[float | None]:
        """The probability of "A" against "B" for each prompt; 1 or 0 where a backend gives no log-probabilities."""
        choices = self.ask([Request(text, choices=LETTERS) for text in prompts])
        if all(len(response.logprobs) == len(LETTERS) for response in choices):
            return [first_probability(*response.logprobs) for response in choices]
        replies = self.ask([Request(text, max_tokens=4) for text in prompts])
        if failures := [response for response in replies if response.finish == "error"]:
            raise SkilldeltaError(f"The judge does not answer: {failures[0].error}")
        letters = [LETTER.match(response.text) for response in replies]
        return [None if letter is None else float(letter[1] == "A") for letter in letters]

    def ask(self, requests: Sequence[Request]) -> list[Response]:
        answers = dict(self.model.answer(requests))
        return [answers[i] for i in range(len(requests))]


def load(where: str) -> PairwiseJudge:
    """The model MODEL through the backend BACKEND, with the backend's own settings, from "BACKEND:MODEL"."""
    backend, colon, model = where.partition(":")
    if not colon or not model:
        raise SkilldeltaError(f"pairwise:{where} names no model: write pairwise:BACKEND:MODEL.")
    plugin = registry.module("backends", backend)
    return PairwiseJudge(plugin.load(Checkpoint("judge", model, backend), config.options_type(plugin.load)()))
