"""A language model as a judge: every question in two orders, by the probabilities of letters or a letter that it writes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from harness.grading.criteria import Criterion, Option, criterion_of
from harness.grading.judge_prompts import LETTERS, lettered_options, read_letter, render_question
from harness.grading.questions import Grade, JudgeQuestion
from harness.prompts.reading import Reader
from harness.types import Request, Response
from harness.visible_text import printable, replace_surrogates

Way = Literal["auto", "logprobs", "text"]
REPLY_LENGTH = 80  # characters of a reply that cannot be read


class Answers(Protocol):
    """What answers requests: a Model, or one whose replies are kept."""

    def answer(self, requests: Sequence[Request]) -> Iterator[tuple[int, Response]]: ...


@dataclass(frozen=True)
class JudgeSettings:
    """How a language model is asked.  Prices in any currency for a million tokens."""

    by: Way = "auto"  # logprobs of the letters, or the text of a reply; auto: text from a server, logprobs else
    swap: bool = True  # ask in both orders
    max_tokens: int = 16  # of a reply; more for a model that reasons first
    draw: int = 0  # another number asks the same once more, for repeatability
    price_in: float = 0.0
    price_out: float = 0.0


@dataclass(frozen=True)
class OrderReply:
    """What one order of a question came to: the value of the criterion, the likeliest option; None with the reason."""

    value: float | None
    label: str = ""
    why: str = ""


class LanguageModelJudge:
    """Grades by a model's choice between letters; a liking for a place or a letter cancels out over the two orders."""

    def __init__(self, model: Answers, settings: JudgeSettings | None = None) -> None:
        self.model, self.settings = model, settings or JudgeSettings()

    def grade(self, prompt: str, response: str, reference: str) -> float | None:
        """The verdict on one question; None where the model names no letter."""
        return self.grade_all([JudgeQuestion(prompt, response, reference)])[0].value

    def grade_all(self, questions: Sequence[JudgeQuestion]) -> list[Grade]:
        """A verdict for each question; all requests are given to the model at once."""
        criteria = [criterion_of(q.criterion, bool(q.reference)) for q in questions]
        orders = (False, True) if self.settings.swap else (False,)
        requests = [
            self.make_request(render_question(question, criterion, reverse), len(criterion.options))
            for question, criterion in zip(questions, criteria, strict=True)
            for reverse in orders
        ]
        responses = dict(self.model.answer(requests))
        verdicts = []
        for place, (question, criterion) in enumerate(zip(questions, criteria, strict=True)):
            replies = [
                self.read_reply(responses[place * len(orders) + order], criterion, reverse)
                for order, reverse in enumerate(orders)
            ]
            verdicts.append(join_orders(replies, same_texts(question, criterion)))
        return verdicts

    def make_request(self, prompt: str, options: int) -> Request:
        prompt = replace_surrogates(prompt)
        if self.settings.by == "logprobs":
            return Request(prompt, choices=tuple(LETTERS[:options]), draw=self.settings.draw)
        return Request(prompt, max_tokens=self.settings.max_tokens, draw=self.settings.draw)

    def read_reply(self, response: Response, criterion: Criterion, reverse: bool) -> OrderReply:
        """What a reply says.  An unreadable one, a failure and a prompt beyond the window have no value."""
        options = lettered_options(criterion, reverse)
        if response.finish in ("error", "overlong"):
            return OrderReply(None, why=f"the judge gave no reply ({response.finish}): {response.error}".rstrip(" :"))
        if self.settings.by == "logprobs":
            return weigh_options(response.logprobs, list(options.values()))
        text, _ = Reader().read(response)
        if letter := read_letter(text, len(options)):
            return OrderReply(options[letter].value, options[letter].name)
        return OrderReply(None, why=f"the judge's reply names no letter: {printable(text.strip())[:REPLY_LENGTH]!r}")


def weigh_options(logprobs: Sequence[float], options: Sequence[Option]) -> OrderReply:
    """The mean value of the options under the probabilities of their letters, and the likeliest option."""
    if len(logprobs) != len(options) or not any(map(math.isfinite, logprobs)) or any(map(math.isnan, logprobs)):
        return OrderReply(None, why="the judge gave no log-probabilities of its letters")
    top = max(logprobs)
    weights = [math.exp(p - top) for p in logprobs]
    value = math.fsum(w * o.value for w, o in zip(weights, options, strict=True)) / math.fsum(weights)
    likeliest = max(zip(logprobs, options, strict=True), key=lambda pair: pair[0])[1]
    return OrderReply(value, likeliest.name)


def join_orders(replies: Sequence[OrderReply], is_same: bool) -> Grade:
    """One verdict of both orders: the mean of their values.  Without one of them there is none: a half would be biased.

    `is_same`: the two answers are one text, where only a tie is right: both orders are then one question.
    """
    if failures := [reply for reply in replies if reply.value is None]:
        return Grade(None, why=failures[0].why)
    values = [reply.value for reply in replies if reply.value is not None]
    if is_same:
        return Grade(0.5)
    agreement = len({reply.label for reply in replies}) == 1 if len(replies) > 1 else None
    value = math.fsum(values) / len(values)
    label = replies[0].label if agreement is not False else farther_label(replies)
    first_place = (values[0] + 1.0 - values[1]) / 2 if len(values) > 1 else None
    return Grade(value, label, agreement, first_place=first_place)


def farther_label(replies: Sequence[OrderReply]) -> str:
    """Of two orders that disagree, the label of the one that is surer; none where both are as sure."""
    first, second = ((abs((reply.value or 0.0) - 0.5), reply.label) for reply in replies)
    return "" if first[0] == second[0] else max(first, second)[1]


def same_texts(question: JudgeQuestion, criterion: Criterion) -> bool:
    return criterion.pairwise and question.response == question.reference
