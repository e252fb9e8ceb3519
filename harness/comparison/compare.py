"""compare(results, baseline): from stored samples to a Comparison."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import published, suites
from harness.comparison import (
    best_checkpoint,
    caveats,
    equal_models,
    estimates,
    readings,
    reward_hacking,
    subset,
    training_runs,
    verdicts,
)
from harness.comparison.estimates import Estimate
from harness.comparison.holdout import judge_held_out
from harness.comparison.judged_scores import add_later_checks
from harness.comparison.load import LoadedResults, load_results
from harness.comparison.result import LEVELS, Comparison, ComparisonSettings
from harness.comparison.shared_rows import RowNumbers, number_rows
from harness.mean_rules import MeanRule
from harness.types import SkilldeltaError


@dataclass(frozen=True)
class Analysis:
    """A comparison, with the results and the estimates that it was made from."""

    comparison: Comparison
    results: LoadedResults
    estimates: Sequence[Estimate]
    rows: RowNumbers


def compare(
    results: str | Path | Sequence[str | Path], baseline: str, settings: ComparisonSettings | None = None
) -> Comparison:
    """Compares every checkpoint in `results` (one folder or several) with the checkpoint named `baseline`.

    SkilldeltaError where results were made with different settings, unless each difference is allowed by name.
    """
    return analyse(results, baseline, settings or ComparisonSettings()).comparison


def analyse(results: str | Path | Sequence[str | Path], baseline: str, settings: ComparisonSettings) -> Analysis:
    """The same as `compare`, with the intermediate results."""
    published_tables = published.select_tables(settings.published)  # first: an unknown name costs no work
    folders = [results] if isinstance(results, str | Path) else list(results)
    loaded_results = load_results([Path(f) for f in folders], baseline, settings.candidates, rule_of_suite(settings.suite))
    differences = loaded_results.accept_differences(settings.allow)
    loaded_results = add_later_checks(loaded_results)
    notes = [*loaded_results.rule.notes(loaded_results.averaged_tasks())]
    if example_filter := subset.read_filter(settings.leave_out, settings.only):
        loaded_results, note = subset.apply_filter(loaded_results, example_filter)
        notes.append(note)
    if settings.holdout:
        loaded_results, note = judge_held_out(loaded_results, settings.holdout, lambda part: choose_on(part, settings))
        notes.append(note)
    row_numbers = number_rows(loaded_results)
    every = estimate_all(loaded_results, settings, row_numbers)
    rows, families = verdicts.judge_all(every, settings)
    place = {name: i for i, name in enumerate(loaded_results.checkpoints)}
    rows.sort(key=lambda r: (place[r.checkpoint], LEVELS.index(r.level)))
    runs = training_runs.group_runs(loaded_results.checkpoints, baseline)
    contradictions = readings.opposed_readings(rows, loaded_results)
    skills = loaded_results.skills()
    # One model with two settings, accepted by --allow, is compared on purpose.
    equal = [] if differences else equal_models.untuned_warnings(loaded_results.checkpoints, baseline)
    comparison = Comparison(
        baseline, tuple(rows), families, settings, loaded_results.checkpoints, differences,
        incomplete=(*loaded_results.missing_notes(), *caveats.unpaired_notes(rows)),
        best=best_checkpoint.best_candidates(every, loaded_results, settings),
        caveats=(*notes, *caveats.list_caveats(rows, loaded_results, row_numbers), *training_runs.unlogged_notes(runs)),
        runs=runs,
        absent=loaded_results.absent_tasks(),
        contradictions=contradictions,
        warnings=(*equal, *reward_hacking.find_reward_hacking(rows, runs), *map(caveats.opposed_warning, contradictions)),
        published_tables=published_tables,
        skill_weights=dict(zip(skills, loaded_results.rule.skill_weights(skills), strict=True)),
    )  # fmt: skip
    return Analysis(comparison, loaded_results, every, row_numbers)


def rule_of_suite(suite: str) -> MeanRule | None:
    """What tasks and skills weigh in a suite, by its name or file; "none": all alike; "": None, as the results folders say."""
    if suite == "none":
        return MeanRule()
    return suites.find_suite(suite).rule if suite else None


def choose_on(results: LoadedResults, settings: ComparisonSettings) -> str:
    """The candidate with the highest average on these results.  SkilldeltaError where fewer than two have one."""
    every = estimate_all(results, settings, number_rows(results))
    best = best_checkpoint.best_candidates(every, results, settings)
    if not best or best[0].level != "average":
        empty = sorted({task for _, task in results.empty})
        gaps = f" (without any: {', '.join(empty)})" if empty else ""
        raise SkilldeltaError(
            "--holdout chooses by the average of the items that are not held out, and fewer than two candidates have scores of "
            f"all tasks there{gaps}: name one --candidate."
        )
    return best[0].checkpoint


def estimate_all(loaded_results: LoadedResults, settings: ComparisonSettings, row_numbers: RowNumbers) -> list[Estimate]:
    """Every checkpoint on every task, then on its skills and on average."""
    every = estimates.estimate_tasks(loaded_results, settings, row_numbers)
    skills, rule = loaded_results.skills(), loaded_results.rule
    for name in loaded_results.checkpoints:
        by_task = {e.name: e for e in every if e.checkpoint == name and e.level == "task"}
        every += estimates.estimate_skills(name, by_task, skills, rule, settings.level)
    return every
