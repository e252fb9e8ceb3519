"""Between which two saved steps a skill fell: a binary search in which every step is a sequential test against the baseline.

A checkpoint counts as `fallen` when it is shown to be below the baseline, and as `whole` when a drop of `drop` points or more
is ruled out, whichever comes first.  The last one is tried first, then the middle of what is left.  Whatever the curve looks
like, between the two steps that are named it goes from shown whole to shown fallen; a skill that lies between 0 and -drop at
both may be called either.  `checks` further checkpoints outside of them look for a second fall or a recovery.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.comparison.number_format import format_number
from harness.evaluation.item_rounds import Course, Entrant, plan_course
from harness.evaluation.lazy_model import LazyModel
from harness.evaluation.questions import EvaluationSettings
from harness.mean_rules import read_rule
from harness.statistics.decision import MAX_UNSCORED
from harness.statistics.elimination import ALPHA, round_weights
from harness.statistics.fall_test import FallState, FallTest
from harness.types import SkilldeltaError, Task

if TYPE_CHECKING:
    from harness.statistics.aggregates import Floats, Ints
    from harness.store import Results

POINTS = 100


@dataclass(frozen=True)
class StepVerdict:
    """A checkpoint against the baseline.  `delta`: points, on the items that were asked; `is_sure`: whether a test decided."""

    name: str
    step: int | None
    state: FallState
    delta: float
    answers: int
    is_sure: bool = True
    unscored: int = 0  # items that lack a score on one side
    lacks_scores: bool = False  # whether these are too many for the others to decide


@dataclass
class Tally:
    """Differences from the baseline so far: their sums [tasks], and the numbers of items with and without one."""

    shares: Floats  # [tasks]: what each weighs
    sums: Floats
    scored: Ints  # [tasks]
    unscored: Ints  # [tasks]

    def add(self, tasks: Ints, changes: Floats) -> None:
        """Takes the items of a round: their tasks and differences [items], NaN where there is no score on one side."""
        self.sums += np.bincount(tasks, weights=np.nan_to_num(changes), minlength=len(self.sums))
        self.scored += np.bincount(tasks[~np.isnan(changes)], minlength=len(self.scored))
        self.unscored += np.bincount(tasks[np.isnan(changes)], minlength=len(self.unscored))

    @property
    def lacks_scores(self) -> bool:
        """Whether so many items, by what they weigh, have no difference that the others decide nothing."""
        gaps = self.unscored / np.maximum(self.unscored + self.scored, 1)
        return float(np.dot(self.shares, gaps)) > MAX_UNSCORED * float(self.shares.sum())


@dataclass(frozen=True)
class Bisection:
    """Where the skill fell: after `last_whole` (the baseline where that is ""), at the latest by `first_fallen`.

    Both are "" where the last checkpoint is whole.  `others`: further falls and recoveries, as pairs of names.
    """

    baseline: str
    last_whole: str
    first_fallen: str
    verdicts: tuple[StepVerdict, ...]  # in the order of the run
    changes: tuple[tuple[str, str], ...]  # neighbours among `verdicts` of which one is whole and the other fallen
    checkpoints: int
    answers: int
    total: int
    drop: float
    alpha: float = ALPHA
    notes: tuple[str, ...] = ()

    @property
    def is_monotone(self) -> bool:
        """Whether everything that was asked fits a single fall."""
        return len(self.changes) <= 1

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "is_monotone": self.is_monotone, "is_sure": self.is_sure}

    @property
    def is_sure(self) -> bool:
        """Whether tests decided on both sides of the fall; where there is none, on the last checkpoint."""
        sides = (self.last_whole, self.first_fallen) if self.first_fallen else (self.verdicts[-1].name,)
        return all(v.is_sure for v in self.verdicts if v.name in sides)

    def describe(self, name: str) -> str:
        """A checkpoint's name, and whether no test decided on it."""
        return f"{name} (not sure)" if any(v.name == name and not v.is_sure for v in self.verdicts) else name


@dataclass(frozen=True)
class BisectOptions:
    """`drop` in points; `checks`: checkpoints outside of the fall that are asked besides."""

    drop: float = 5.0
    checks: int = 2
    listener: Callable[[str], None] = lambda _: None


@dataclass
class Search:
    """The baseline and the checkpoints of a run in their order, and what was shown of each so far."""

    course: Course
    baseline: Entrant
    entrants: Sequence[Entrant]
    results: Results
    settings: EvaluationSettings
    options: BisectOptions
    verdicts: dict[int, StepVerdict] = field(default_factory=dict)

    @property
    def tests(self) -> int:
        """The most checkpoints that are tried, among which the error is shared."""
        return 1 + int(np.ceil(np.log2(max(len(self.entrants), 1)))) + 1 + self.options.checks

    def is_fallen(self, place: int) -> bool:
        """Tries a checkpoint, once."""
        if place not in self.verdicts:
            entrant = self.entrants[place]
            try:
                verdict = self.try_checkpoint(entrant)
            except SkilldeltaError as error:
                raise SkilldeltaError(
                    f"{entrant.name} or {self.baseline.name} failed: {error}\n"
                    "Leave a damaged checkpoint out with --steps or --match; the same command continues."
                ) from error
            self.verdicts[place] = verdict
            sure = "" if verdict.is_sure else ", not sure"
            delta = format_number(verdict.delta, signed=True)
            self.options.listener(f"{verdict.name}: {verdict.state}{sure} ({delta} points, {verdict.answers} answers)")
        return self.verdicts[place].state == "fallen"

    def try_checkpoint(self, entrant: Entrant) -> StepVerdict:
        """Asks a checkpoint, and the baseline what it was not asked yet, until one of the two tests decides."""
        course = self.course
        entrant.recall(course, self.results, self.settings)
        test = FallTest(self.options.drop / POINTS / float(course.shares.sum()), ALPHA / self.tests)
        count = len(course.shares)
        tally = Tally(course.shares, np.zeros(count), np.zeros(count, np.int64), np.zeros(count, np.int64))
        for span in course.blocks():
            for each in (self.baseline, entrant):
                each.ask(course, span, self.results, self.settings)
            for number in range(*span):
                items = course.round(number, (self.baseline, entrant))
                change = items.scores[:, 1] - items.scores[:, 0]  # NaN: no score on one side
                test.advance(change, round_weights(items.tasks, course.shares))
                tally.add(items.tasks, change)
            if test.verdict and not tally.lacks_scores:
                break
        entrant.close(course)
        entrant.release()
        if not tally.scored.any():
            raise SkilldeltaError(f"none of {tally.unscored.sum()} items has a score on both sides.")
        delta = POINTS * float(np.sum(course.shares * tally.sums / np.maximum(tally.scored, 1)))
        guess: FallState = "fallen" if delta < -self.options.drop / 2 else "whole"
        checkpoint, answers = entrant.model.checkpoint, int(course.question_counts[span[1]])
        gaps, is_sure = (int(tally.unscored.sum()), tally.lacks_scores), test.verdict is not None and not tally.lacks_scores
        return StepVerdict(checkpoint.name, checkpoint.step, test.verdict or guess, delta, answers, is_sure, *gaps)


def bisect_run(
    models: Sequence[LazyModel],
    tasks: Sequence[Task],
    results: Results,
    settings: EvaluationSettings,
    options: BisectOptions = BisectOptions(),
) -> Bisection:
    """Searches the checkpoints after the first of `models`, which is the baseline, in the order of their steps.

    SkilldeltaError where checkpoints are of several runs, or one of those that are tried fails.
    """
    if options.drop <= 0 or options.checks < 0:
        raise SkilldeltaError(f"--drop {options.drop:g}, --checks {options.checks}: write points above 0, and 0 or more.")
    baseline, others = models[0], order_steps([m for m in models[1:] if not m.checkpoint.problem])
    if not others:
        raise SkilldeltaError("None of the run's checkpoints can be loaded.")
    course, notes = plan_course(tasks, settings, rule=read_rule(results.folder))
    absent = [f"{m.checkpoint.name} is passed over: {m.checkpoint.problem}" for m in models[1:] if m.checkpoint.problem]
    search = Search(course, Entrant(baseline), [Entrant(m) for m in others], results, settings, options)
    search.baseline.recall(course, results, settings)
    low, high = -1, len(others) - 1  # the baseline is whole
    is_fall = search.is_fallen(high)
    while is_fall and high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if search.is_fallen(middle) else (middle, high)
    for place in check_places(low, high, len(others), options.checks) if is_fall else spread(-1, high, options.checks):
        search.is_fallen(place)
    search.baseline.close(course)
    return describe_bisection(search, (low, high) if is_fall else None, [*notes, *absent])


def order_steps(models: Sequence[LazyModel]) -> list[LazyModel]:
    """The checkpoints of one run by step, its final model last.  SkilldeltaError for several runs."""
    runs = sorted({m.checkpoint.run or m.checkpoint.path for m in models})
    numbers = [m.checkpoint.step for m in models]
    if len(runs) > 1:
        raise SkilldeltaError(f"These are checkpoints of {len(runs)} runs ({', '.join(runs[:4])}): name one run to bisect.")
    if numbers.count(None) > 1:
        raise SkilldeltaError("Several checkpoints have no step, so that they have no order: name the run's folder.")
    return sorted(models, key=lambda m: (m.checkpoint.step is None, m.checkpoint.step or 0))


def spread(low: int, high: int, count: int) -> list[int]:
    """Up to `count` places between two, evenly apart."""
    places = np.linspace(low, high, count + 2)[1:-1]
    return sorted({round(float(p)) for p in places} - {low, high})


def check_places(low: int, high: int, length: int, count: int) -> list[int]:
    """Where a second fall or a recovery is looked for: on both sides of the fall, more on the longer one."""
    before = round(count * (low + 1) / max(low + 1 + length - 1 - high, 1))
    return [*spread(-1, low, before), *spread(high, length - 1, count - before)]


def describe_bisection(search: Search, bracket: tuple[int, int] | None, notes: Sequence[str]) -> Bisection:
    """The result, with all changes between neighbours of those that were tried."""
    verdicts = [search.verdicts[place] for place in sorted(search.verdicts)]
    start = StepVerdict(search.baseline.name, None, "whole", 0.0, 0)
    pairs = zip([start, *verdicts], verdicts, strict=False)
    names = [e.name for e in search.entrants]
    low, high = bracket or (-1, -1)
    silent = [
        f"{v.name}: of {v.answers} answers, {v.unscored} without a score there or at the baseline; too many for a sure verdict."
        for v in verdicts
        if v.lacks_scores
    ]
    return Bisection(
        search.baseline.name, names[low] if low >= 0 else "", names[high] if bracket else "", tuple(verdicts),
        tuple((a.name, b.name) for a, b in pairs if a.state != b.state), len(names),
        max(v.answers for v in verdicts) + sum(v.answers for v in verdicts),
        (len(names) + 1) * int(search.course.question_counts[-1]), search.options.drop, ALPHA, (*notes, *silent),
    )  # fmt: skip
