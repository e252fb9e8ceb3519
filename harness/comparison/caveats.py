"""Caveats of a comparison: facts that its numbers do not show, in plain sentences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.comparison.equal_models import equal_model_notes
from harness.comparison.judged_scores import judge_notes
from harness.mean_rules import HABIT
from harness.statistics import noise

if TYPE_CHECKING:
    from harness.comparison.load import LoadedResults
    from harness.comparison.result import Difference, OpposedReadings, Row
    from harness.comparison.shared_rows import RowNumbers

LISTED_CELLS = 8  # cells with missing samples that are listed one by one
SEEDS = (
    "Intervals and p-values are about these checkpoints: another seed of the same training may score otherwise "
    "(`skilldelta recipes` compares several runs of each)."
)


def list_caveats(rows: Sequence[Row], results: LoadedResults, row_numbers: RowNumbers) -> tuple[str, ...]:
    """Caveats on seeds, equal models, programs' sandboxes, measured noise, and tasks that are not independent."""
    noisy = [(r, r.difference) for r in rows if r.difference and r.difference.noise is not None]
    noise_notes = [f"{row.checkpoint} on {row.name}: {noise_note(difference)}" for row, difference in noisy]
    equal_rows_notes = [
        f"{', '.join(names[:-1])} and {names[-1]} share rows: "
        "their mean takes the covariance, paired by row, into its interval."
        for names in row_numbers.groups
        if len(names) > 1
    ]
    variant_notes = [
        f"{name} scores the answers to {record.task.variant_of} in another way: shown, but left out of every mean."
        for name, record in results.tasks.items()
        if results.is_variant(name)
    ] + [
        f"{name} measures what a model does, not how well: shown, but left out of every mean."
        for name, record in results.tasks.items()
        if record.task.skill == HABIT
    ]
    reading_notes = metric_notes(rows, results)
    return (
        SEEDS,
        *equal_model_notes(results.checkpoints, results.baseline),
        *reading_notes,
        *integrity_notes(results),
        *judge_notes(rows, results),
        *repeat_notes(results),
        *noise_notes,
        *equal_rows_notes,
        *variant_notes,
        *greedy_draw_notes(results),
    )


def greedy_draw_notes(results: LoadedResults) -> list[str]:
    """A sentence for each task whose draws are one answer, repeated."""
    return [
        f"{name}: {record.inputs.draws} draws at temperature 0 repeat one answer, so that pass@k says nothing: ask with "
        "--gen-kwargs temperature=1.0 or another."
        for name, record in results.tasks.items()
        if record.inputs.draws > 1 and record.inputs.settings.get("temperature") == 0
    ]


def metric_notes(rows: Sequence[Row], results: LoadedResults) -> list[str]:
    """A sentence for each metric beyond what its task expects: that answers were read in a way that a person should check."""
    checkpoints_by_fact: dict[str, list[str]] = {}
    for row in (r for r in rows if r.level == "task"):
        metrics = {m.name: m for m in results.tasks[row.name].task.metrics if m.warning}
        for value in row.metrics:
            limits = metrics.get(value.name)
            if limits and (value.value > 100 * limits.warn_above or value.value < 100 * limits.warn_below):
                fact = f"on {row.name}: {value.value:.1f} % {limits.warning}."
                checkpoints_by_fact.setdefault(fact, []).append(row.checkpoint)
    return [f"{', '.join(checkpoints)} {fact}" for fact, checkpoints in checkpoints_by_fact.items()]


def opposed_warning(readings: OpposedReadings) -> str:
    return f"{readings.words}: two readings of the same answers point opposite ways, so that neither decides."


INTEGRITY = {
    "values": "judged on plain values by a process that they cannot reach (integrity: values)",
    "stdout": "judged by what they printed, compared outside (integrity: stdout)",
    "cooperative": "judged by tests in their own process, which a program can FORGE (integrity: cooperative)",
}


def integrity_notes(results: LoadedResults) -> list[str]:
    """For tasks that run programs: how each was judged, and the sandbox it ran in."""
    tasks_by_sandbox: dict[tuple[str, str], set[str]] = {}
    for (_, task), cell in results.cells.items():
        if integrity := cell.record.conditions.get("integrity"):
            tier = cell.record.conditions.get("sandbox", {}).get("tier", "not said")
            tasks_by_sandbox.setdefault((integrity, tier), set()).add(task)
    return [
        f"Programs of {', '.join(sorted(tasks))} were {INTEGRITY.get(integrity, integrity)}; "
        + ("they ran UNCONFINED." if tier == "none" else f"sandbox: {tier}.")
        for (integrity, tier), tasks in sorted(tasks_by_sandbox.items())
    ]


def unpaired_notes(rows: Sequence[Row]) -> list[str]:
    """A sentence for each cell with items that have no partner, or no score on one side."""
    incomplete = [(r, r.difference) for r in rows if r.level == "task" and r.difference and r.difference.missing]
    notes = [
        f"{r.checkpoint} on {r.name}: of {d.pairs + d.missing} items, {d.missing} without a score on one side."
        for r, d in incomplete
    ]
    if (hidden_count := len(notes) - LISTED_CELLS) > 0:
        notes[LISTED_CELLS:] = [f"The same holds for {hidden_count} more cells: column `missing` of table.csv counts them."]
    return notes


def repeat_notes(results: LoadedResults) -> list[str]:
    """One sentence on all items that were answered twice; none where `skilldelta noise` was not run."""
    repeats = {cell: stored_cell.noise for cell, stored_cell in results.cells.items() if stored_cell.noise.n}
    if not repeats:
        return []
    items, answers, scores = (sum(getattr(n, what) for n in repeats.values()) for what in ("n", "answers", "flips"))
    (who, task), worst = max(repeats.items(), key=lambda entry: entry[1].answers / entry[1].n)
    most = f" (the largest share for {who} on {task}: {worst.answers} of {worst.n})" if worst.answers else ""
    return [f"Of {items} items that were answered twice, {answers} got another answer{most}, and {scores} another score."]


def noise_note(difference: Difference) -> str:
    flips, change_rate = difference.flips, difference.noise or 0.0
    differing = 100 * (flips.lost + flips.gained) / difference.pairs if flips and difference.pairs else 0.0
    is_material = noise.noise_share(change_rate, differing) > noise.MATERIAL_SHARE
    consequence = "the interval includes this" if is_material else "too little to change the interval"
    return (
        f"a second answer changes {change_rate:.1f} % of the scores, {differing:.1f} % differ from the baseline; {consequence}."
    )
