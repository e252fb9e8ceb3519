"""The best of many checkpoints, and those that cannot be told from it, for a small part of what scoring all of them costs.

All of them get the same items, and one that is shown not to be the best is asked no more; see statistics/elimination.py.  Every
answer is stored in the results folder like any other, and the same command continues after an interruption.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.atomic_files import write_json
from harness.comparison.result import without_nan
from harness.evaluation.item_rounds import Course, Entrant, ask_all, plan_course
from harness.evaluation.lazy_model import LazyModel
from harness.evaluation.questions import EvaluationSettings
from harness.mean_rules import read_rule
from harness.statistics.decision import MAX_UNSCORED
from harness.statistics.elimination import ALPHA, Race
from harness.types import SkilldeltaError, Task

if TYPE_CHECKING:
    from harness.store import Results

CHOICE = "choice.json"  # in the results folder: the last choice
POINTS = 100


@dataclass(frozen=True)
class Standing:
    """How a checkpoint ended.  `lead`: points by which the best leads it on the items that both were asked."""

    name: str
    state: str  # best, equal, beaten or failed
    lead: float
    answers: int
    unscored: int
    why: str = ""


@dataclass(frozen=True)
class Choice:
    """The end of a race.  `equals`: what cannot be told from the best; the true best is one of them or it, with 95 %."""

    baseline: str
    best: str
    equals: tuple[str, ...]
    standings: tuple[Standing, ...]
    tasks: tuple[str, ...]
    answers: int  # of all checkpoints
    total: int  # if all that did not fail were asked everything, and the others what they were asked
    rounds: int
    of_rounds: int
    alpha: float = ALPHA
    notes: tuple[str, ...] = ()

    @property
    def saved(self) -> float:
        """The share of answers that nobody had to give."""
        return 1 - self.answers / self.total

    @property
    def beats_baseline(self) -> bool:
        """Whether the baseline was shown not to be the best."""
        return any(s.name == self.baseline and s.state == "beaten" for s in self.standings)

    def to_json(self) -> dict[str, Any]:
        return without_nan(asdict(self) | {"saved": round(self.saved, 4)})


@dataclass(frozen=True)
class ChoiceOptions:
    """`until_decided`: whether the race ends when asking the rest would hardly change who is left, or all is asked of those.

    `max_share`: the most of a whole matrix's answers that are asked.  `includes`: which examples count, by id.
    """

    until_decided: bool = True
    max_share: float = 1.0
    includes: Callable[[str], bool] | None = None
    listener: Callable[[str], None] = lambda _: None


def choose_best(
    models: Sequence[LazyModel],
    tasks: Sequence[Task],
    results: Results,
    settings: EvaluationSettings,
    options: ChoiceOptions = ChoiceOptions(),
) -> Choice:
    """Chooses among the baseline, which is the first of `models` and is asked to the end, and the others.

    SkilldeltaError where the baseline fails, or nothing is left to decide by; another one that fails leaves the race.
    """
    if len({m.checkpoint.name for m in models}) < len(models):
        raise SkilldeltaError("Two checkpoints have the same name: score them one by one, each with a --name.")
    if len(models) < 2:
        raise SkilldeltaError("There is nothing to choose: the baseline is the only checkpoint.  Name others besides it.")
    course, notes = plan_course(tasks, settings, options.includes, read_rule(results.folder))
    entrants = [Entrant(model) for model in models]
    race = Race(len(entrants), course.sizes, course.shares)
    ask_all(entrants, lambda e: e.recall(course, results, settings), options.listener)
    refuse_failed_baseline(entrants[0])
    budget = options.max_share * len(entrants) * course.question_counts[-1]
    for span in course.blocks():
        racing = [entrants[i] for i in sorted({0, *race.alive})]
        if len(race.alive) == 1 or (options.until_decided and race.is_decided()):
            break
        cost = sum(e.questions for e in entrants) + len(racing) * np.diff(course.question_counts[list(span)])[0]
        if cost > budget and race.rounds:
            notes = (*notes, f"Stopped at --max-share {options.max_share:g}: more items may tell more of them apart.")
            break
        ask_all(racing, lambda e, span=span: e.ask(course, span, results, settings), options.listener)  # type: ignore[misc]
        refuse_failed_baseline(entrants[0])
        run_rounds(race, course, entrants, span)
        options.listener(f"{course.question_counts[span[1]]} of {course.question_counts[-1]} questions: {len(race.alive)} left")
    if race.rounds == course.rounds:
        race.finish()
    ask_all(entrants, lambda e: e.close(course), options.listener)
    refuse_silent(race, entrants)
    choice = describe_choice(race, course, entrants, notes)
    write_json(results.folder / CHOICE, choice.to_json())
    return choice


def refuse_silent(race: Race, entrants: Sequence[Entrant]) -> None:
    """Those of whose answers none has a score leave the race: that no difference was seen does not make them equal.

    SkilldeltaError where the baseline is one, or nobody else is left.
    """
    for place, entrant in enumerate(entrants):
        if not entrant.failure and entrant.questions and entrant.is_silent:
            entrant.failure = "none of its answers has a score"
            race.is_alive[place] = False
    refuse_failed_baseline(entrants[0])


def refuse_failed_baseline(baseline: Entrant) -> None:
    if baseline.failure:
        raise SkilldeltaError(f"The baseline {baseline.name} failed: {baseline.failure}")


def unscored_share(entrant: Entrant, course: Course) -> float:
    """The share of its answers without a score (0..1), by what their tasks weigh: a large task hides no small one's."""
    asked = [(part.share, entrant.contestants[part.task.name].scores.values()) for part in course.parts]
    gaps = [(share, sum(value is None for value in scores) / len(scores)) for share, scores in asked if scores]
    return sum(share * gap for share, gap in gaps) / (sum(share for share, _ in gaps) or 1.0)


def run_rounds(race: Race, course: Course, entrants: Sequence[Entrant], span: tuple[int, int]) -> None:
    """Feeds rounds that were asked to the race, without those that failed."""
    race.is_alive &= np.array([not e.failure for e in entrants])
    if not race.is_alive.any():
        raise SkilldeltaError("No checkpoint is left: all of them failed.")
    for number in range(*span):
        race.advance(course.round(number, entrants))


def describe_choice(race: Race, course: Course, entrants: Sequence[Entrant], notes: Sequence[str]) -> Choice:
    """The end of the race in words and points."""
    leads, best = POINTS * race.leads(), race.leader()
    standings = []
    for place, entrant in enumerate(entrants):
        state = "best" if place == best else "equal" if race.is_alive[place] else "failed" if entrant.failure else "beaten"
        lead = float(race.lead_when_left[place] * POINTS) if state == "beaten" else float(leads[best, place])
        standings.append(Standing(entrant.name, state, lead, entrant.questions, entrant.unscored, entrant.failure))
    silent = [e.name for e in entrants if not e.failure and unscored_share(e, course) > MAX_UNSCORED]
    warning = (
        [f"More than 5 % of the answers of {', '.join(silent)} have no score: they count as no difference."] if silent else []
    )
    return Choice(
        entrants[0].name, entrants[best].name,
        tuple(s.name for s in standings if s.state == "equal"), tuple(standings),
        tuple(part.task.name for part in course.parts),
        sum(e.questions for e in entrants),
        sum(e.questions if e.failure else int(course.question_counts[-1]) for e in entrants),
        race.rounds, course.rounds, race.alpha, (*notes, *warning),
    )  # fmt: skip
