"""compare(results, baseline): from stored samples to a Comparison."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness import published
from harness.comparison import best_checkpoint, caveats, estimates, reward_hacking, subset, training_runs, verdicts
from harness.comparison.load import gather
from harness.comparison.result import LEVELS, Comparison, Settings


def compare(results: str | Path | Sequence[str | Path], baseline: str, settings: Settings | None = None) -> Comparison:
    """Compares every checkpoint in `results` (one folder or several) with the checkpoint named `baseline`.

    Raises where results were not made alike, unless each difference is allowed by name.
    """
    chosen = settings or Settings()
    beside = published.chosen(chosen.published)  # an unknown name is said before the work
    folders = [results] if isinstance(results, str | Path) else list(results)
    stored = gather([Path(f) for f in folders], baseline, chosen.candidates)
    allowed = stored.admit(chosen.allow)
    partly: tuple[str, ...] = ()
    if wanted := subset.part(chosen.leave_out, chosen.only):
        stored, said = subset.of(stored, wanted)
        partly = (said,)
    found = [f for number, task in enumerate(stored.tasks) for f in estimates.on_task(stored, task, chosen, number)]
    skills = stored.skills()
    for name in stored.checkpoints:
        mine = {f.name: f for f in found if f.checkpoint == name and f.level == "task"}
        found += estimates.summaries(name, mine, skills, chosen.level)
    rows, families = verdicts.rows(found, chosen)
    place = {name: i for i, name in enumerate(stored.checkpoints)}
    rows.sort(key=lambda r: (place[r.checkpoint], LEVELS.index(r.level)))
    best = best_checkpoint.best(found, skills, chosen)
    trained = training_runs.of(stored.checkpoints, baseline)
    told = (*partly, *caveats.told(rows, stored), *training_runs.unlogged(trained))
    missing = (*stored.incomplete(), *caveats.unpaired(rows))
    noticed = tuple(reward_hacking.told(rows, trained))
    return Comparison(
        baseline, tuple(rows), families, chosen, stored.checkpoints, allowed, missing, best, told,
        trained, noticed, beside,
    )  # fmt: skip
