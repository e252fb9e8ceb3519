"""Counts the tokens of a server's answers while they are being made, and foretells when the rest will have come."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from harness.evaluation.model_reports import AnswerMeter
from harness.types import Request


class ServerMeter(AnswerMeter):
    """An AnswerMeter that also takes answers in pieces, each about a token.

    `live`: the pieces so far of answers that have not ended, by id() of their requests; another thread counts them.
    `most`: tokens of the longest answer that is allowed.
    """

    most = tokens_before = 0

    def begin_requests(self, requests: Sequence[Request]) -> None:
        """Before these are asked."""
        self.begin(len(requests))
        self.live: dict[int, int] = {}
        self.tokens_before = self.tokens
        self.most = max((request.max_tokens + request.thinking for request in requests if not request.choices), default=0)

    def piece_counter(self, request: Request) -> Callable[[], None]:
        """What counts a piece of the answer to this request."""
        key = id(request)

        def count() -> None:
            self.live[key] = self.live.get(key, 0) + 1

        return count

    def end(self, request: Request, tokens: int) -> None:
        """After an answer of so many tokens, or an error (0)."""
        self.live.pop(id(request), None)
        self.add(tokens)

    def tick(self) -> None:
        """While no answer ends."""
        if self.live:
            self.show()

    def all_tokens(self) -> int:
        return self.tokens + sum(list(self.live.values()))  # a copy, made at once: the other thread goes on counting

    def seconds_left(self, seconds: float) -> float:
        """By the tokens to come, at the speed so far.

        Answers are expected to end as often a token as they did (exponential lengths, of which some are not known yet: ends by
        tokens is their maximum-likelihood rate), and at `most` tokens all.
        """
        ages = list(self.live.values())
        if not ages:
            return super().seconds_left(seconds)
        tokens = max(self.tokens - self.tokens_before + sum(ages), 1)
        waiting = max(self.answers - self.count - len(ages), 0)
        rests = [expected_rest(self.count / tokens, self.most - age) for age in ages]
        return seconds * (sum(rests) + waiting * expected_rest(self.count / tokens, self.most)) / tokens


def expected_rest(rate: float, most: int) -> float:
    """How many tokens come before an end that has this probability at each, and comes after `most` at the latest."""
    if rate <= 0:
        return float(max(most, 0))
    return (1 - (1 - min(rate, 1.0)) ** max(most, 0)) / rate
