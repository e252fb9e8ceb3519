"""What the numbers of a comparison do not say, in plain sentences."""

from __future__ import annotations

from collections.abc import Sequence

from harness.comparison import noise
from harness.comparison.result import Difference, Row
from harness.comparison.stored import Stored

SEEDS = (
    "Intervals and p-values are about these checkpoints: another seed of the same training may score otherwise "
    "(`skilldelta recipes` compares several runs of each)."
)


def told(rows: Sequence[Row], stored: Stored) -> tuple[str, ...]:
    """About seeds, about noise where it was measured, about tasks that are not independent."""
    noisy = [
        f"{row.checkpoint} on {row.name}: {about_noise(row.difference)}"
        for row in rows
        if row.difference and row.difference.noise is not None
    ]
    alike = [
        f"{' and '.join(names)} hold the same rows, but are combined as if independent: their skill's interval is too short."
        for names in stored.twins()
    ]
    return (SEEDS, *noisy, *alike)


def about_noise(found: Difference) -> str:
    differing = 100 * (found.flips.lost + found.flips.gained) / found.pairs if found.flips and found.pairs else 0.0
    changed = found.noise or 0.0
    known = "that is in the interval" if noise.share(changed, differing) > noise.STATED else "too little to matter"
    return f"asking again changes {changed:.1f} % of the scores, {differing:.1f} % differ from the baseline; {known}."
