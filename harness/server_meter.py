"""Counts the tokens of a server's answers while they are being made, and foretells when the rest will have come."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from harness.evaluation.model_reports import AnswerMeter
from harness.statistics.answer_lengths import are_foreseeable, last_end_in_turn, reaching_shares
from harness.types import Request

RECENT_S = 300.0  # what was so many seconds ago has a weight of 1/e in the speed: servers have quick minutes and slow ones


class ServerMeter(AnswerMeter):
    """An AnswerMeter of answers of which `slots` are made side by side, whole or in pieces, each about a token.

    `live`: the pieces so far of answers that have not ended; `begins`: when they were asked. Both by id() of their requests;
    another thread writes them. `lengths`: tokens of the texts that have ended, which took `busy` seconds in all;
    `piece_totals`: tokens and pieces of those that came in pieces. `totals`: tokens, and seconds of answers, at the time of
    the last report; `recent`: the same, those of long ago with less weight. `most`: tokens of the longest that is allowed.
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
        self.piece_totals = 0, 0
        self.totals, self.recent, self.report_time = (0.0, 0.0), (0.0, 0.0), self.clock()
        self.most = max((request.max_tokens + request.thinking for request in requests if not request.choices), default=0)

    def begin_request(self, request: Request) -> None:
        """Before this one is sent."""
        self.begins[id(request)] = self.clock()

    def piece_counter(self, request: Request) -> Callable[[], None]:
        """What counts a piece of the answer to this request."""
        key = id(request)
        self.live[key] = 0

        def count() -> None:
            self.live[key] = self.live.get(key, 0) + 1

        return count

    def end(self, request: Request, tokens: int) -> None:
        """After an answer of so many tokens, or an error (0)."""
        pieces = self.live.pop(id(request), 0)
        begin = self.begins.pop(id(request), None)
        if begin is not None and tokens and not request.choices:
            self.lengths.append(tokens)
            self.piece_totals = (self.piece_totals[0] + tokens, self.piece_totals[1] + pieces) if pieces else self.piece_totals
            self.busy += self.clock() - begin
        self.add(tokens)

    def tick(self) -> None:
        """While no answer ends."""
        if any(list(self.live.values())) or self.lengths:
            self.show()

    def all_tokens(self) -> int:
        return self.tokens + sum(list(self.live.values()))  # a copy, made at once: the other thread goes on counting

    def seconds_left(self, seconds: float) -> float | None:
        """By how long texts become and how fast one is made; for others, by the answers to come at the speed so far.

        The age of an answer that comes whole is what its seconds make likely.
        """
        now, live, begins = self.clock(), dict(self.live), dict(self.begins)
        if not self.lengths and not any(live.values()):
            return super().seconds_left(seconds)
        tokens, pieces = self.piece_totals
        tokens_each = tokens / pieces if pieces else 1.0
        lives = {key: count * tokens_each for key, count in live.items()}
        silences = [now - begin for key, begin in begins.items() if key not in lives]
        busy = self.busy + sum(now - begins[key] for key in lives if key in begins)
        speed = self.recent_speed(now, sum(self.lengths) + sum(lives.values()), busy)
        speed = min([speed, *(self.most / max(silence, 1e-9) for silence in silences)])  # none is longer than is allowed
        ages = [min(int(age), self.most - 1) for age in [*lives.values(), *(silence * speed for silence in silences)]]
        if not are_foreseeable(len(self.lengths), ages, self.answers, self.most):
            return None
        waiting = max(self.answers - self.count - len(ages), 0)
        return last_end_in_turn(reaching_shares(self.lengths, ages, self.most), ages, waiting, self.slots) / speed

    def recent_speed(self, now: float, tokens: float, busy: float) -> float:
        """Tokens a second of one answer: the load of a server changes, so what was lately weighs more.

        `tokens`, `busy`: since the beginning.
        """
        weight = math.exp((self.report_time - now) / RECENT_S)
        news = max(tokens - self.totals[0], 0.0), max(busy - self.totals[1], 0.0)
        self.recent = weight * self.recent[0] + news[0], weight * self.recent[1] + news[1]
        self.totals, self.report_time = (tokens, busy), now
        return max(self.recent[0], 1e-3) / max(self.recent[1], 1e-9)
