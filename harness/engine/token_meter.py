"""How many tokens a model has computed, and how long the rest will take: it moves while no sample is ready yet.

How long answers become is unknown, so it is estimated: see statistics/answer_lengths.py; so is what a step costs
(statistics/step_costs.py): less when answers have ended, more as the others grow.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from harness.engine.sequences import DecodingRow
from harness.statistics.answer_lengths import Work, are_foreseeable, expected_work, reaching_shares
from harness.statistics.step_costs import fit_costs

Report = Callable[[int, float | None], None]  # tokens computed so far, seconds that are left (None: nothing tells yet)
INTERVAL_S = 1.0  # between reports, each of which makes an observation
MAX_OBSERVATIONS = 1000  # the last; all are fitted anew for each report


@dataclass
class TokenMeter:
    """Counts the tokens of one call for answers, and reports them about once a second.

    `most`: tokens of the longest answer that is allowed.  `observations`: seconds, and the work that was done in them.
    """

    report: Report
    answers: int = 0
    most: int = 1
    clock: Callable[[], float] = time.monotonic
    tokens: int = 0
    rows: dict[int, DecodingRow] = field(default_factory=dict)  # by their prompts: one that began anew is counted once
    observations: deque[tuple[float, Work]] = field(default_factory=partial(deque, maxlen=MAX_OBSERVATIONS))
    steps: int = 0
    slots: int = 0  # the most rows of a step
    last_time: float = 0.0  # of the last observation
    last_totals: tuple[int, int, int, int] = (0, 0, 0, 0)  # steps, tokens, context and rows then
    context: int = 0  # the sum of all tokens' ages when they were made

    def begin(self, answers: int, most: int) -> None:
        """Before a list of texts is generated."""
        self.answers, self.most, self.rows = answers, most, {}
        self.observations.clear()
        self.steps = self.slots = 0
        self.last_time, self.last_totals = self.clock(), (0, self.tokens, self.context, 0)

    def count_part(self, tokens: int, share: float, start: float) -> None:
        """After a part of a tree: `share` of it (0..1) since `start`."""
        self.tokens = max(self.tokens, tokens)
        now = self.clock()
        if share > 0 and now - self.last_time >= INTERVAL_S:
            self.last_time = now
            self.report(self.tokens, (now - start) * (1 - share) / share)

    def count_step(self, rows: Sequence[DecodingRow]) -> None:
        """After one more token for each of these rows."""
        for row in rows:
            self.rows[id(row.prompt)] = row
        self.tokens, self.steps, self.slots = self.tokens + len(rows), self.steps + 1, max(self.slots, len(rows))
        self.context += sum(len(row.ids) for row in rows)
        now, totals = self.clock(), (self.steps, self.tokens, self.context, len(self.rows))
        if now - self.last_time >= INTERVAL_S:
            steps, tokens, context, prompts = (after - before for after, before in zip(totals, self.last_totals, strict=True))
            self.observations.append((now - self.last_time, Work(steps, tokens, context / 1000, prompts)))
            self.last_time, self.last_totals = now, totals
            self.report(self.tokens, self.seconds_left())

    def seconds_left(self) -> float | None:
        """What the steps to come cost, by what those so far have cost; None: nothing tells how long answers become."""
        ends = [len(row.ids) for row in self.rows.values() if row.finish == "stop"]
        cuts = [len(row.ids) for row in self.rows.values() if row.finish == "length"]
        ages = [len(row.ids) for row in self.rows.values() if not row.finish]
        if not are_foreseeable(len(ends) + len(cuts), ages, self.answers, self.most):
            return None
        shares = reaching_shares(ends, [*cuts, *ages], self.most)
        work = expected_work(shares, ages, max(self.answers - len(self.rows), 0), self.slots)
        return float(fit_costs(self.observations) @ work.vector())
