"""Where a candidate stands: its average, the skills that it gains and loses, and what the gate's default policy says of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from harness.comparison.gate import Policy, RuleResult, gate, undecidable_reason
from harness.mean_rules import HABIT
from harness.statistics import multiple_testing, power
from harness.types import SKILLS

if TYPE_CHECKING:
    from harness.comparison.result import Comparison, Difference, Row

DROP = (Policy().default or Policy.model_fields["default"].default).max_drop  # points, of the gate's default policy
JOINT_FAMILIES = ("auto", "max-t")  # that hold the error over all candidates' averages together
MAX_EXACT_ITEMS = 200_000  # beyond, the exact power of McNemar's test takes longer than its few per cent are worth


@dataclass(frozen=True)
class CandidateStanding:
    """One candidate.  `average` and `obstacle`: its difference on average, or why there is none that decides."""

    checkpoint: str
    average: Difference | None
    obstacle: str = ""
    better: tuple[Row, ...] = ()  # skills with that verdict
    worse: tuple[Row, ...] = ()
    regressions: tuple[Row, ...] = ()  # skills that the gate fails though their verdict, corrected for all candidates, is open
    open_skills: tuple[str, ...] = ()  # skills whose intervals leave a drop beyond DROP open
    gate_gaps: tuple[str, ...] = ()  # further skills that the gate cannot decide, each with the reason in brackets

    @property
    def is_better(self) -> bool:
        return self.average is not None and self.average.verdict == "better"

    @property
    def is_worse(self) -> bool:
        return self.average is not None and self.average.verdict == "worse"

    @property
    def loses(self) -> bool:
        return bool(self.worse or self.regressions)

    @property
    def delta(self) -> float:
        return self.average.delta if self.average else -math.inf

    @property
    def rank(self) -> tuple[int, float]:
        """Sorts the one to ship first: better without a loss, better with one, open or the same, worse, without average."""
        if self.average is None:
            return (4, 0.0)
        if self.is_better:
            return (1 if self.loses else 0, -self.delta)
        return (3 if self.is_worse else 2, -self.delta)


def describe_standing(comparison: Comparison, checkpoint: str) -> CandidateStanding:
    """Where a candidate stands.  Its average decides nothing where a task is absent or two readings contradict each other."""
    rows = [r for r in comparison.rows if r.checkpoint == checkpoint]
    average = next((r.difference for r in rows if r.level == "average"), None)
    if average is None:
        return CandidateStanding(checkpoint, None, describe_absence(comparison, checkpoint))
    if math.isnan(average.delta) or not average.pairs:
        return CandidateStanding(checkpoint, None, describe_unshared(comparison, rows))
    if contradiction := contradiction_reason(comparison, checkpoint):
        return CandidateStanding(checkpoint, None, f"of {checkpoint} {contradiction}")
    skills = sorted((r for r in rows if r.level == "skill" and r.difference), key=lambda r: skill_place(r.name))
    better, worse = ([r for r in skills if r.difference and r.difference.verdict == verdict] for verdict in ("better", "worse"))
    results = gate_results(comparison, checkpoint)
    regressions = [r for r in skills if r.name in results and results[r.name].answer == "regression" and r not in worse]
    inconclusive = sorted((r for r in results.values() if r.answer == "inconclusive"), key=lambda r: skill_place(r.name))
    open_skills = tuple(r.name for r in inconclusive if leaves_drop_open(r.row))
    gate_gaps = tuple(f"{r.name} ({r.why})" for r in inconclusive if not leaves_drop_open(r.row))
    return CandidateStanding(checkpoint, average, "", tuple(better), tuple(worse), tuple(regressions), open_skills, gate_gaps)


def leaves_drop_open(row: Row | None) -> bool:
    """Whether the interval reaches beyond the gate's largest allowed drop."""
    return row is None or row.difference is None or row.difference.delta_low < -DROP


def describe_unshared(comparison: Comparison, rows: Sequence[Row]) -> str:
    """Why the average of a candidate with these rows is no number: on some tasks no item has a score on both sides."""
    pairs = {r.name: r.difference.pairs for r in rows if r.level == "task" and r.difference and r.skill != HABIT}
    empty = [name for name, count in pairs.items() if not count]
    where = f" on {', '.join(empty)}" if len(empty) < len(pairs) else ""
    return f"{rows[0].checkpoint} and {comparison.baseline} share no item with a score{where}"


def skill_place(skill: str) -> int:
    """The place of a skill among the study's six; behind them for others, which keep their order."""
    return SKILLS.index(skill) if skill in SKILLS else len(SKILLS)


def contradiction_reason(comparison: Comparison, checkpoint: str) -> str:
    """Why contradicting readings keep the average from deciding anything; "" where there are none."""
    return undecidable_reason(replace(comparison, absent=()), checkpoint, "average", "average")


def describe_absence(comparison: Comparison, checkpoint: str) -> str:
    """Why a candidate has no average."""
    tasks = [a.task for a in comparison.absent if a.checkpoint == checkpoint]
    if not tasks and {row.skill for row in comparison.at("task")} == {HABIT}:
        return f"{checkpoint} was scored on {HABIT} alone, which say what a model does and not how well"
    names = ", ".join(dict.fromkeys(tasks)) or "some of the baseline's tasks"
    return f"{checkpoint} has no samples of {names}"


def gate_results(comparison: Comparison, checkpoint: str) -> dict[str, RuleResult]:
    """By skill: what `skilldelta gate` answers for this candidate alone under its default policy."""
    sides = (comparison.baseline, checkpoint)
    rows = [r for r in comparison.rows if r.checkpoint in sides]
    p_by_skill = {r.name: r.difference.p for r in rows if r.level == "skill" and r.difference}
    adjusted_p = dict(zip(p_by_skill, multiple_testing.holm(np.array([*p_by_skill.values()])).tolist(), strict=True))
    own_records = {name: comparison.checkpoints[name] for name in sides}
    alone = replace(comparison, rows=tuple(adjust_skill(r, adjusted_p) for r in rows), checkpoints=own_records)
    return {result.name: result for result in gate(alone, checkpoint, Policy()).rule_results}


def adjust_skill(row: Row, adjusted_p: Mapping[str, float]) -> Row:
    """The row; that of a skill with the adjusted p-value of its difference that stands for it here."""
    if row.level != "skill" or row.difference is None:
        return row
    return replace(row, difference=replace(row.difference, p_adjusted=adjusted_p[row.name]))


def open_leads(comparison: Comparison, usable: Sequence[CandidateStanding]) -> list[CandidateStanding]:
    """The candidates whose intervals leave a lead of more than the margin open, the largest difference first."""
    open_ones = [s for s in usable if s.average and s.average.delta_high > comparison.settings.margin]
    return sorted(open_ones, key=lambda s: -s.delta)


def items_to_show(comparison: Comparison, usable: Sequence[CandidateStanding]) -> int | None:
    """The number of items of the highest open candidate, rounded up to two digits; None where nothing is open."""
    if not (leads := open_leads(comparison, usable)):
        return None
    tests = tested_candidates(comparison) if comparison.settings.family in JOINT_FAMILIES else 1
    items = required_items(comparison, leads[0], tests)
    step = 10 ** max(len(str(items)) - 2, 0)
    return -(-items // step) * step if items else None


def tested_candidates(comparison: Comparison) -> int:
    return sum(row.difference is not None for row in comparison.at("average"))


def required_items(comparison: Comparison, standing: CandidateStanding, tests: int) -> int | None:
    """How many items in all would show the candidate's lead 4 times in 5; None where no number above today's follows.

    The lead is the observed one, or the margin where that is larger.  Bonferroni over `tests` stands for the correction.
    """
    d, settings = standing.average, comparison.settings
    lead = max(standing.delta, settings.margin)
    detectable = math.nan if d is None else detectable_lead(d)
    if d is None or lead <= 0 or not math.isfinite(detectable):
        return None
    bonferroni_level = 1 - (1 - settings.level) / max(tests, 1)
    scale = power.detectable_from_error(1.0, level=bonferroni_level) / power.detectable_from_error(1.0, level=settings.level)
    items = math.ceil(d.pairs * (detectable * scale / lead) ** 2)
    share = discordance(standing.checkpoint, comparison.at("task"), d)
    if share and items <= MAX_EXACT_ITEMS:
        items = power.required_pairs(lead / 100, share, level=bonferroni_level)
    # Signs of fewer items than these, all alike, are no proof: two of their 2^n patterns are as far out.
    items = max(items, math.ceil(1 - math.log2(1 - bonferroni_level)))
    return items if items > d.pairs else None


def detectable_lead(difference: Difference) -> float:
    """The smallest lead, as it is shown, that these data detect 4 times in 5.

    A lead by a judge's grades is smaller than the true one, as `mde` is larger than that of the grades.
    """
    return difference.mde if difference.graded_mde is None else difference.graded_mde


def discordance(checkpoint: str, tasks: Sequence[Row], average: Difference) -> float | None:
    """The share of items that one side alone has right; None unless the average is one task of 0/1 scores without clusters."""
    own = [r.difference for r in tasks if r.checkpoint == checkpoint and r.difference]
    if len(own) != 1 or not own[0].flips or own[0].pairs != average.pairs:
        return None
    share = max(own[0].flips.lost + own[0].flips.gained, 1) / average.pairs
    plain = 100 * power.detectable_difference(average.pairs, share)
    return share if abs(detectable_lead(average) - plain) < 1e-9 else None
