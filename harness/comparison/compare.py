"""compare(results, baseline): from stored samples to a Comparison."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness import published
from harness.comparison import best_checkpoint, caveats, estimates, reward_hacking, subset, training_runs, verdicts
from harness.comparison.load import load_results
from harness.comparison.result import LEVELS, Comparison, ComparisonSettings


def compare(
    results: str | Path | Sequence[str | Path], baseline: str, settings: ComparisonSettings | None = None
) -> Comparison:
    """Compares every checkpoint in `results` (one folder or several) with the checkpoint named `baseline`.

    Raises where results were not made alike, unless each difference is allowed by name.
    """
    settings_ = settings or ComparisonSettings()
    published_tables = published.chosen(settings_.published)  # an unknown name is said before the work
    folders = [results] if isinstance(results, str | Path) else list(results)
    stored_results = load_results([Path(f) for f in folders], baseline, settings_.candidates)
    allowed = stored_results.accept_differences(settings_.allow)
    subset_notes: tuple[str, ...] = ()
    if example_filter := subset.read_filter(settings_.leave_out, settings_.only):
        stored_results, note = subset.apply_filter(stored_results, example_filter)
        subset_notes = (note,)
    estimates_ = [
        f
        for number, task in enumerate(stored_results.tasks)
        for f in estimates.estimate_task(stored_results, task, settings_, number)
    ]
    skills = stored_results.skills()
    for name in stored_results.checkpoints:
        by_task = {f.name: f for f in estimates_ if f.checkpoint == name and f.level == "task"}
        estimates_ += estimates.estimate_skills(name, by_task, skills, settings_.level)
    rows, families = verdicts.judge_all(estimates_, settings_)
    place = {name: i for i, name in enumerate(stored_results.checkpoints)}
    rows.sort(key=lambda r: (place[r.checkpoint], LEVELS.index(r.level)))
    best = best_checkpoint.best_candidates(estimates_, skills, settings_)
    runs = training_runs.group_runs(stored_results.checkpoints, baseline)
    notes = (*subset_notes, *caveats.list_caveats(rows, stored_results), *training_runs.unlogged_notes(runs))
    missing_notes = (*stored_results.missing_notes(), *caveats.unpaired_notes(rows))
    warnings = tuple(reward_hacking.find_reward_hacking(rows, runs))
    return Comparison(
        baseline, tuple(rows), families, settings_, stored_results.checkpoints, allowed, missing_notes, best, notes,
        runs, warnings, published_tables,
    )  # fmt: skip
