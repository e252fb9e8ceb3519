"""How many tokens a model has computed, and how long the rest will take: it moves while no sample is ready yet.

How long answers become is unknown, so it is estimated: see statistics/answer_lengths.py.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from harness.engine.sequences import DecodingRow
from harness.statistics.answer_lengths import are_foreseeable, expected_rest, last_end, reaching_shares

Report = Callable[[int, float | None], None]  # tokens computed so far, seconds that are left (None: nothing tells yet)
INTERVAL_S = 1.0  # between reports
RECENT_S = 30.0  # the speed is that of so many last seconds


@dataclass
class TokenMeter:
    """Counts the tokens of one call for answers, and reports them about once a second.

    `waiting`: answers that have not begun.  `most`: tokens of the longest answer that is allowed.
    """

    report: Report
    answers: int = 0
    most: int = 1
    clock: Callable[[], float] = time.monotonic
    tokens: int = 0
    rows: dict[int, DecodingRow] = field(default_factory=dict)  # by their prompts: one that began anew is counted once
    history: list[tuple[float, int, int]] = field(default_factory=list)  # time, tokens, steps
    steps: int = 0

    def begin(self, answers: int, most: int) -> None:
        """Before a list of texts is generated."""
        self.answers, self.most, self.rows, self.steps, self.history = answers, most, {}, 0, [(self.clock(), self.tokens, 0)]

    def count_part(self, tokens: int, share: float, start: float) -> None:
        """After a part of a tree: `share` of it (0..1) since `start`."""
        self.tokens = max(self.tokens, tokens)
        now = self.clock()
        if share > 0 and (not self.history or now - self.history[-1][0] >= INTERVAL_S):
            self.history = [(now, self.tokens, 0)]
            self.report(self.tokens, (now - start) * (1 - share) / share)

    def count_step(self, rows: Sequence[DecodingRow]) -> None:
        """After one more token for each of these rows."""
        for row in rows:
            self.rows[id(row.prompt)] = row
        self.tokens, self.steps = self.tokens + len(rows), self.steps + 1
        now = self.clock()
        if self.steps == 1:  # until now the prompts were read: that says nothing of a step
            self.history = [(now, self.tokens, self.steps)]
        if now - self.history[-1][0] >= INTERVAL_S:
            self.history.append((now, self.tokens, self.steps))
            while now - self.history[1][0] > RECENT_S:
                self.history.pop(0)
            self.report(self.tokens, self.seconds_left())

    def seconds_left(self) -> float | None:
        """By the tokens to come at the speed so far, or more where a few long answers will go on alone; None: nothing tells.

        A step costs less with fewer rows, but not in proportion: the tokens at the full speed are too few seconds, the steps of
        the last answer at today's are too many, and their geometric mean lies between.
        """
        ends = [len(row.ids) for row in self.rows.values() if row.finish == "stop"]
        cuts = [len(row.ids) for row in self.rows.values() if row.finish == "length"]
        ages = [len(row.ids) for row in self.rows.values() if not row.finish]
        if not are_foreseeable(len(ends) + len(cuts), ages, self.answers, self.most):
            return None
        shares = reaching_shares(ends, [*cuts, *ages], self.most)
        waiting = max(self.answers - len(self.rows), 0)
        tokens = sum(expected_rest(shares, age) for age in ages) + waiting * expected_rest(shares, 0)
        (start, first_tokens, first_steps), (now, last_tokens, last_steps) = self.history[0], self.history[-1]
        seconds = max(now - start, 1e-9)
        by_tokens = tokens * seconds / max(last_tokens - first_tokens, 1)
        by_steps = last_end(shares, ages) * seconds / max(last_steps - first_steps, 1) if ages else 0.0
        return math.sqrt(by_tokens * max(by_tokens, by_steps))
