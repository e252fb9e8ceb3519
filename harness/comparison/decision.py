"""The decision first: one sentence on which checkpoint to ship, which the verdicts and the gate bear out.

A candidate is shipped where its average has the verdict `better` and none of its skills is `worse` or fails the gate's default
policy; of several the one with the highest average.  Where each better one loses a skill, the sentence makes its loss the
condition.  Where none is better, it says how many items would show the highest one's lead.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from harness.comparison.candidate_standing import (
    DROP,
    JOINT_FAMILIES,
    CandidateStanding,
    describe_standing,
    items_to_show,
    open_leads,
    tested_candidates,
)
from harness.comparison.number_format import format_interval, format_number, format_p_value

if TYPE_CHECKING:
    from harness.comparison.result import Best, Comparison, Difference

Outcome = Literal["ship", "ship at a cost", "none better", "undecided"]
MAX_NAMES = 4


@dataclass(frozen=True)
class Decision:
    """What a comparison says about shipping."""

    outcome: Outcome
    sentence: str
    checkpoint: str | None  # to ship, or the highest where none is shown better; None where no average decides
    equals: tuple[str, ...]  # candidates that cannot be told from it
    worse: tuple[str, ...]  # its skills that got worse
    items: int | None  # that would show its lead 4 times in 5, where it is not shown
    order: tuple[str, ...]  # every candidate, the best choice first

    def json(self) -> dict[str, Any]:
        """The field `decision` of comparison.json."""
        return asdict(self)


def decide(comparison: Comparison) -> Decision:
    """The decision that a comparison allows."""
    names = [name for name in comparison.checkpoints if name != comparison.baseline]
    standings = sorted((describe_standing(comparison, name) for name in names), key=lambda s: s.rank)
    order = tuple(s.checkpoint for s in standings)
    usable = [s for s in standings if s.average]
    if not usable:
        return Decision("undecided", undecided_sentence(comparison, standings), None, (), (), None, order)
    top = usable[0]
    items = None
    if top.is_better:
        outcome: Outcome = "ship at a cost" if top.loses else "ship"
        parts = ship_parts(comparison, top, usable)
    else:
        outcome = "none better"
        parts = open_parts(comparison, usable)
        top = max(usable, key=lambda s: s.delta)
        items = items_to_show(comparison, usable)
    parts += leftover_parts(comparison, standings)
    sentence = "; ".join(parts) + "."
    worse = tuple(r.name for r in (*top.worse, *top.regressions))
    return Decision(outcome, sentence, top.checkpoint, equal_names(comparison, top), worse, items, order)


def order_by_decision(comparison: Comparison) -> Comparison:
    """The same comparison with its candidates from the best choice to the worst."""
    names = (comparison.baseline, *decide(comparison).order)
    place = {name: number for number, name in enumerate(names)}
    rows = sorted(comparison.rows, key=lambda r: place[r.checkpoint])
    return replace(comparison, rows=tuple(rows), checkpoints={n: comparison.checkpoints[n] for n in names})


def ship_parts(comparison: Comparison, top: CandidateStanding, usable: Sequence[CandidateStanding]) -> list[str]:
    """The clauses on a candidate that is shown better."""
    gain = f"{measured_gain(comparison, top)}{certainty(comparison, top)}"
    if top.loses:
        losses = join_names([f"{r.name} ({describe_change(r.difference)})" for r in top.worse])
        failures = join_names([f"{r.name} ({describe_change(r.difference)})" for r in top.regressions])
        conditions = [f"its loss in {losses}"] if losses else []
        conditions += [f"the drop in {failures}, a regression for the gate,"] if failures else []
        parts = [f"Ship {top.checkpoint} only if {' and '.join(conditions)} is acceptable: {gain}"]
    else:
        parts = [f"Ship {top.checkpoint}: {gain}"]
    if text := skills_clause(comparison, top):
        parts.append(text)
    costly = [s for s in usable if s.is_better and s.loses and s.delta > top.delta and s is not top]
    if costly and not top.loses:
        names = join_names(
            [f"{s.checkpoint} (loses {join_names([r.name for r in (*s.worse, *s.regressions)])})" for s in costly]
        )
        parts.append(f"higher {where(comparison)}, but at a cost: {names}")
    if higher_names := [s.checkpoint for s in usable if s.delta > top.delta and not s.is_better]:
        parts.append(f"higher {where(comparison)}, but not shown better than {comparison.baseline}: {join_names(higher_names)}")
    if len(usable) > 1 and (text := equals_clause(comparison, top)):
        parts.append(text)
    return parts


def open_parts(comparison: Comparison, usable: Sequence[CandidateStanding]) -> list[str]:
    """The clauses where no candidate is shown better.  The skills stand next to the candidate that they are those of."""
    top, best = max(usable, key=lambda s: s.delta), average_best(comparison)
    gain = measured_gain(comparison, top)
    if len(usable) == 1 and top.is_worse:
        start = f"Keep {comparison.baseline}: {top.checkpoint} is shown worse, {gain}"
    elif len(usable) == 1:
        start = f"The checkpoint is not shown better than {comparison.baseline}: {top.checkpoint} has {gain}"
    elif best and best.checkpoint != top.checkpoint:  # scores are of all items of one side, differences of those of both
        start = f"No checkpoint is shown better than {comparison.baseline}: the largest difference of {len(usable)}, "
        start += f"that of {top.checkpoint}, is {gain}"
    else:
        start = f"No checkpoint is shown better than {comparison.baseline}: "
        start += f"the highest of {len(usable)}, {top.checkpoint}, has {gain}"
    parts = [", ".join(filter(None, [start, skills_clause(comparison, top)]))]
    if not top.is_worse or open_leads(comparison, usable):
        parts.append(items_clause(comparison, usable, top))
    lower = [s.checkpoint for s in usable if s.is_worse]
    if lower and len(usable) > 1:
        parts.append(f"shown worse {where(comparison)}: {join_names(lower)}")
    return parts


def items_clause(comparison: Comparison, usable: Sequence[CandidateStanding], top: CandidateStanding) -> str:
    """How many more items would decide, where no candidate is shown better."""
    margin = comparison.settings.margin
    if not open_leads(comparison, usable):
        return f"none is better by more than the margin of {margin:g} points, which these items suffice to say"
    items, target = items_to_show(comparison, usable), open_leads(comparison, usable)[0]
    if items is None or target.average is None:
        return "it is open, and these data give no number of items that would decide it"
    lead = "such a lead" if target.delta >= margin else f"a lead of {margin:g} points, if there is one,"
    name = "" if target is top else f" of {target.checkpoint}"
    pairs = target.average.pairs
    return f"about {items:,} items, {items - pairs:,} more than these {pairs:,}, would show {lead}{name} 4 times in 5"


def undecided_sentence(comparison: Comparison, standings: Sequence[CandidateStanding]) -> str:
    if not standings:
        return f"Nothing is decided: there is no checkpoint to compare with {comparison.baseline}."
    more = f"; the same holds for {len(standings) - MAX_NAMES} more" if len(standings) > MAX_NAMES else ""
    return f"Nothing is decided: {'; '.join(s.obstacle for s in standings[:MAX_NAMES])}{more}."


def leftover_parts(comparison: Comparison, standings: Sequence[CandidateStanding]) -> Iterator[str]:
    """Candidates that take no part, tasks that the baseline lacks, and settings that differ."""
    if obstacles := [s.obstacle for s in standings if s.obstacle]:
        more = f" (and {len(obstacles) - MAX_NAMES} more)" if len(obstacles) > MAX_NAMES else ""
        yield f"left out: {', '.join(obstacles[:MAX_NAMES])}{more}"
    if lacking := dict.fromkeys(a.task for a in comparison.absent if a.checkpoint == comparison.baseline):
        yield f"{comparison.baseline} has no samples of {join_names(list(lacking))}, which count nowhere"
    if comparison.accepted_differences:
        names = [text.split(":")[0] for text in comparison.accepted_differences]
        yield f"all this under allowed differences: {join_names(names)}"


def where(comparison: Comparison) -> str:
    """On average, or in the only skill."""
    skills = list(dict.fromkeys(r.name for r in comparison.at("skill")))
    return f"in {skills[0]}" if len(skills) == 1 else "on average"


def measured_gain(comparison: Comparison, standing: CandidateStanding) -> str:
    """+1.5 [+0.4, +2.6] points on average."""
    d = standing.average
    return f"{describe_change(d)} points {where(comparison)}" if d else ""


def describe_change(difference: Difference | None) -> str:
    """A difference with its interval."""
    if difference is None:
        return ""
    interval = format_interval(difference.delta_low, difference.delta_high, signed=True)
    return f"{format_number(difference.delta, signed=True)} {interval}"


def certainty(comparison: Comparison, top: CandidateStanding) -> str:
    """How sure: the p-value in its family, and what to expect of the highest of several."""
    d, best, family, count = top.average, average_best(comparison), comparison.settings.family, tested_candidates(comparison)
    among = "among" if family in JOINT_FAMILIES else "by Benjamini-Hochberg among" if family == "bh" else "not corrected for"
    parts = [f"p {format_p_value(d.p_adjusted)}"] if d else []
    parts = [f"{part} {among} {count} candidates" for part in parts] if count > 1 else parts
    if best and best.checkpoint == top.checkpoint:
        interval = f"{format_number(best.corrected)} {format_interval(best.low, best.high)}"
        parts.append(f"its score corrected for the choice: {interval}")
    return f" against {comparison.baseline} ({', '.join(parts)})"


def skills_clause(comparison: Comparison, standing: CandidateStanding) -> str:
    """Which skills got better and worse, and where the gate cannot rule out a drop; of one skill alone, what is new."""
    count = len({r.name for r in comparison.at("skill")})
    gains = join_names(
        [f"{r.name} ({format_number(r.difference.delta, signed=True)})" for r in standing.better if r.difference]
    )
    losses = join_names([f"{r.name} ({describe_change(r.difference)})" for r in standing.worse])
    parts = [f"better in {gains}"] if gains and count > 1 else []
    if losses and not (count == 1 and standing.is_worse):
        parts.append(f"worse in {losses}")
    elif not losses and count > 1:
        parts.append("shown worse in none" if parts else "shown worse in no skill")
    if standing.open_skills and standing.is_better:
        every = len(standing.open_skills) == count
        names = "any skill" if every and count > 1 else join_names(list(standing.open_skills))
        parts.append(f"a drop of more than {DROP:g} points is not ruled out in {names}")
    if standing.gate_gaps and standing.is_better:
        parts.append(f"the gate does not decide on {join_names(list(standing.gate_gaps))}")
    return ", ".join(parts)


def average_best(comparison: Comparison) -> Best | None:
    return next((b for b in comparison.best if b.level == "average"), None)


def equal_names(comparison: Comparison, top: CandidateStanding) -> tuple[str, ...]:
    """The candidates that cannot be told from this one: those of the set that holds the best, if it belongs to it."""
    best = average_best(comparison)
    if not best or top.checkpoint not in best.equals:
        return ()
    return tuple(name for name in best.equals if name != top.checkpoint)


def equals_clause(comparison: Comparison, top: CandidateStanding) -> str:
    best = average_best(comparison)
    if best is None or top.checkpoint in best.left_out:
        return "not ranked among the candidates, since their numbers of scored items differ"
    if top.checkpoint not in best.equals:
        return ""
    equals, names_without_rank = equal_names(comparison, top), list(best.left_out)
    text = f"cannot be told from it: {join_names(equals)}" if equals else "no other can be the highest"
    fewer = f"not ranked, with fewer scored items: {join_names(names_without_rank)}"
    if not names_without_rank:
        return text
    return f"{text}; {fewer}" if equals else f"no other with as many scored items can be the highest; {fewer}"


def join_names(names: Sequence[str]) -> str:
    """a, b and c; of many the first few, with the number of the others."""
    if len(names) > MAX_NAMES + 1:
        names = [*names[:MAX_NAMES], f"{len(names) - MAX_NAMES} more"]
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))
