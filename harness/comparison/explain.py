"""Explains one difference of a comparison: the files, counts, formulas, corrections and seeds behind its numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.bounded_files import read_bytes
from harness.comparison import explain_formulas as formulas
from harness.comparison.alignment import PairedScores, TaskPanel
from harness.comparison.candidate_names import check_candidate
from harness.comparison.compare import Analysis, analyse
from harness.comparison.estimates import add_noise
from harness.comparison.judged_scores import judge_errors, widen_difference
from harness.comparison.result import ComparisonSettings, Difference, Level, Row, without_nan
from harness.comparison.sample_table import MAX_BYTES
from harness.statistics.aggregates import is_binary
from harness.statistics.decision import DecisionRule
from harness.statistics.estimate import estimate_score
from harness.types import unknown_name

if TYPE_CHECKING:
    from harness.comparison.load import StoredCell

MAX_IDS = 5


@dataclass(frozen=True)
class SideFiles:
    """The files of one checkpoint on the task; `lines`: of samples.jsonl, before repeated lines are dropped."""

    checkpoint: str
    task_json: str
    samples: str
    lines: int
    scored_count: int
    unscored_count: int


@dataclass(frozen=True)
class Step:
    """One number of the table: how it is made, and the formula with its inputs filled in.

    `value`, `low` and `high` are points, but p-values are 0..1; they equal those of comparison.json.
    """

    name: str
    method: str
    formula: str
    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Member:
    """A task of a skill, or a skill of the average, with its weight; numbers in points."""

    name: str
    weight: float
    delta: float
    delta_low: float
    delta_high: float


@dataclass(frozen=True)
class Explanation:
    """One candidate against the baseline on a task, a skill or the average.

    `counts`: of paired samples by outcome; `flips`: for lost and gained, the first few example ids; both empty above tasks.
    """

    baseline: str
    candidate: str
    level: Level
    name: str
    files: tuple[SideFiles, ...]
    members: tuple[Member, ...]
    pairs: int
    missing: int
    clusters: int | None
    counts: Mapping[str, int]
    steps: tuple[Step, ...]
    verdict: str
    rule: str
    flips: Mapping[str, tuple[str, ...]]

    def json(self) -> dict[str, Any]:
        return without_nan(asdict(self))


def explain_cell(
    results: str | Path | Sequence[str | Path], names: tuple[str, str, str], settings: ComparisonSettings | None = None
) -> Explanation:
    """Explains the cell `names`: (baseline, candidate, and a task, a skill or "average").

    The whole comparison is computed, since the correction for multiple tests depends on all its cells.  SkilldeltaError for
    an unknown name, with the nearest known ones, and for a cell without samples.
    """
    baseline, candidate, name = names
    analysis = analyse(results, baseline, settings or ComparisonSettings())
    comparison = analysis.comparison
    check_candidate(candidate, baseline, comparison.checkpoints)
    rows = {r.name: r for r in comparison.rows if r.checkpoint == candidate}
    rows |= {r.name: r for r in comparison.at("task") if r.checkpoint == candidate}  # a task before a skill of its name
    if name not in rows:
        raise unknown_name("task or skill", name, rows)
    return explain_task(analysis, rows[name]) if rows[name].level == "task" else explain_mean(analysis, rows[name])


def explain_task(analysis: Analysis, row: Row) -> Explanation:
    """A task's cell, from its samples."""
    results, level = analysis.results, analysis.comparison.settings.level
    sides = [results.cells[name, row.name] for name in (results.baseline, row.checkpoint)]
    tables = [side.columns() for side in sides]
    panel = TaskPanel(sides[0].record, tables[0])
    pairs = panel.pair(tables[1])
    noisy_difference = add_noise(panel.compare(tables[1], level), results.noise_rates(row.checkpoint, row.name), level)
    difference, rates = widen_difference(noisy_difference, panel.record, level), judge_errors(panel.record)
    base = analysis.comparison.row(results.baseline, "task", row.name)
    own = [estimate_score(*panel.scored_samples(table), level) for table in tables]
    scores = [formulas.score(e, panel.task.aggregate, r, level) for r, e in zip((base, row), own, strict=True)]
    steps = [
        Step(f"score of {r.checkpoint}", *formulas.judged_score(s, rates), r.score, r.score_low, r.score_high)
        for r, s in zip((base, row), scores, strict=True)
    ]
    clusters = None if pairs.design.is_independent else len(np.unique(pairs.design.cluster))
    delta = formulas.judged_difference(formulas.task_difference(difference, level), rates)
    detectable = formulas.task_detectable(difference, level)
    common = difference_steps(analysis, row, delta, detectable, "clusters" if clusters else "samples")
    files = tuple(side_files(r, side) for r, side in zip((base, row), sides, strict=True))
    return build(analysis, row, (*steps, *common), files=files, clusters=clusters, counts=outcomes(pairs), flips=flips(pairs))


def side_files(row: Row, stored_cell: StoredCell) -> SideFiles:
    """The files of one checkpoint on a task."""
    cell = stored_cell.cell
    lines = read_bytes(cell.samples_file, MAX_BYTES).count(b"\n")
    return SideFiles(row.checkpoint, str(cell.folder / "task.json"), str(cell.samples_file), lines, row.n, row.unscored)


def explain_mean(analysis: Analysis, row: Row) -> Explanation:
    """A skill's cell, or the average's: the mean of its members."""
    results = analysis.results
    skills, means = results.skills(), results.rule
    lower: Level = "task" if row.level == "skill" else "skill"
    names = skills[row.name] if row.level == "skill" else list(skills)
    weights = means.task_shares(names) if row.level == "skill" else means.skill_shares(skills)
    rows = [analysis.comparison.row(row.checkpoint, lower, name) for name in names]
    differences = [difference_of(r) for r in rows]
    members = tuple(
        Member(r.name, weight, d.delta, d.delta_low, d.delta_high)
        for r, weight, d in zip(rows, weights, differences, strict=True)
    )
    base = analysis.comparison.row(results.baseline, row.level, row.name)
    steps = [
        Step(
            f"score of {r.checkpoint}",
            *formulas.mean_score(weights, lower, analysis.rows.any_shared),
            r.score,
            r.score_low,
            r.score_high,
        )
        for r in (base, row)
    ]
    difference, share_rows = difference_of(row), analysis.rows.any_shared
    detectable = formulas.mean_detectable(len(members), difference, analysis.comparison.settings.level)
    common = difference_steps(analysis, row, formulas.mean_difference(differences, weights, difference, share_rows), detectable)
    return build(analysis, row, (*steps, *common), members=members)


def build(analysis: Analysis, row: Row, steps: tuple[Step, ...], **more: Any) -> Explanation:
    """The explanation with what tasks and means have in common."""
    settings, difference = analysis.comparison.settings, difference_of(row)
    empty: dict[str, Any] = {"files": (), "members": (), "clusters": None, "counts": {}, "flips": {}}
    return Explanation(
        baseline=analysis.comparison.baseline, candidate=row.checkpoint, level=row.level, name=row.name,
        pairs=difference.pairs, missing=difference.missing, steps=steps, verdict=difference.verdict,
        rule=formulas.rule(difference, DecisionRule(settings.level, settings.margin)), **(empty | more),
    )  # fmt: skip


def difference_steps(
    analysis: Analysis, row: Row, delta: tuple[str, str], detectable: tuple[str, str], unit: str = "clusters"
) -> tuple[Step, ...]:
    """The steps from the difference to the detectable difference; `unit`: what the sign flips flip."""
    d, comparison = difference_of(row), analysis.comparison
    estimate = next(e for e in analysis.estimates if (e.checkpoint, e.level, e.name) == (row.checkpoint, row.level, row.name))
    assert estimate.change is not None, "a candidate's row has a difference"
    family = [(r, difference_of(r)) for r in comparison.at(row.level) if r.difference]
    own = [x.p for r, x in family if r.checkpoint == row.checkpoint]
    number = list(analysis.results.tasks).index(analysis.rows.group_of(row.name)[0]) if row.level == "task" else None
    p_value = formulas.p_value(estimate.change, comparison.settings, number, unit)
    correction = formulas.correction(estimate.change, d, comparison.families[row.level], own, len(family))
    return (
        Step("difference", *delta, d.delta, d.delta_low, d.delta_high),
        Step("p", *p_value, d.p),
        Step("p adjusted", *correction, d.p_adjusted),
        Step("detectable difference", *detectable, d.mde),
    )


def difference_of(row: Row) -> Difference:
    assert row.difference is not None, "only candidates have a difference"
    return row.difference


def outcomes(pairs: PairedScores) -> dict[str, int]:
    """Paired samples by outcome: the 2x2 table of 0/1 scores, or lower, higher and equal scores."""
    before, after = pairs.before, pairs.after
    losses, gains = int(np.sum(after < before)), int(np.sum(after > before))
    if is_binary(before) and is_binary(after):
        both_right, both_wrong = (int(np.sum((before == score) & (after == score))) for score in (1, 0))
        return {"both right": both_right, "lost": losses, "gained": gains, "both wrong": both_wrong}
    return {"lower": losses, "higher": gains, "equal": len(before) - losses - gains}


def flips(pairs: PairedScores) -> dict[str, tuple[str, ...]]:
    """The ids of the first few examples that the candidate lost and gained, with the draw where there are several."""
    signs = {"lost": pairs.after < pairs.before, "gained": pairs.after > pairs.before}
    several = any(draw for _, draw in pairs.keys)
    label = [f"{example} draw {draw}" if several else example for example, draw in pairs.keys]
    return {name: tuple(label[i] for i in np.flatnonzero(mask)[:MAX_IDS]) for name, mask in signs.items()}
