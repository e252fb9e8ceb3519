"""Counts the tokens of a server's answers while they are being made, and foretells when the rest will have come."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from harness.evaluation.model_reports import AnswerMeter
from harness.statistics.answer_lengths import last_end_in_turn, reaching_shares
from harness.types import Request


class ServerMeter(AnswerMeter):
    """An AnswerMeter of answers of which `slots` are made side by side, whole or in pieces, each about a token.

    `live`: the pieces so far of answers that have not ended; `begins`: when they were asked.  Both by id() of their requests;
    another thread writes them.  `lengths`: tokens of the texts that have ended, which took `busy` seconds in all.
    `most`: tokens of the longest that is allowed.
    """

    slots = 1
    most = 0

    def begin_requests(self, requests: Sequence[Request], slots: int) -> None:
        """Before these are asked."""
        self.begin(len(requests))
        self.live: dict[int, int] = {}
        self.begins: dict[int, float] = {}
        self.lengths: list[int] = []
        self.slots, self.busy = slots, 0.0
        self.most = max((request.max_tokens + request.thinking for request in requests if not request.choices), default=0)

    def begin_request(self, request: Request) -> None:
        """Before this one is sent."""
        self.begins[id(request)] = self.clock()

    def piece_counter(self, request: Request) -> Callable[[], None]:
        """What counts a piece of the answer to this request."""
        key = id(request)

        def count() -> None:
            self.live[key] = self.live.get(key, 0) + 1

        return count

    def end(self, request: Request, tokens: int) -> None:
        """After an answer of so many tokens, or an error (0)."""
        self.live.pop(id(request), None)
        begin = self.begins.pop(id(request), None)
        if begin is not None and tokens and not request.choices:
            self.lengths.append(tokens)
            self.busy += self.clock() - begin
        self.add(tokens)

    def tick(self) -> None:
        """While no answer ends."""
        if self.live or self.lengths:
            self.show()

    def all_tokens(self) -> int:
        return self.tokens + sum(list(self.live.values()))  # a copy, made at once: the other thread goes on counting

    def seconds_left(self, seconds: float) -> float:
        """By how long texts become and how fast one is made; for others, by the answers to come at the speed so far.

        The age of an answer is what its seconds make likely, once some have ended: not all come in pieces, and a piece may be
        more than a token.
        """
        now, live, begins = self.clock(), dict(self.live), dict(self.begins)
        if not self.lengths and not live:
            return super().seconds_left(seconds)
        in_pieces = sum(now - begins[key] for key in live if key in begins)
        tokens, busy = (sum(self.lengths), self.busy) if self.lengths else (sum(live.values()), in_pieces)
        speed = tokens / max(busy, 1e-9)
        ages = [min(int((now - begin) * speed), self.most - 1) for begin in begins.values()]
        shares = reaching_shares(self.lengths, ages, self.most)
        waiting = max(self.answers - self.count - len(ages), 0)
        return last_end_in_turn(shares, ages, waiting, self.slots) / speed
