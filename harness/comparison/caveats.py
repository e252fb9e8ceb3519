"""What the numbers of a comparison do not say, in plain sentences."""

from __future__ import annotations

from collections.abc import Sequence

from harness.comparison.load import Stored
from harness.comparison.result import Difference, Row
from harness.statistics import noise

TOLD = 8  # cells of which what is missing is told one by one
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
    beside = [
        f"{name} is another reading of {about['task']['beside']}: shown, and averaged with nothing."
        for name, about in stored.tasks.items()
        if stored.beside(name)
    ]
    return (SEEDS, *judged(stored), *asked_again(stored), *noisy, *alike, *beside)


INTEGRITY = {
    "values": "judged on plain values by a process that they cannot reach (integrity: values)",
    "stdout": "judged by what they printed, compared outside (integrity: stdout)",
    "cooperative": "judged by tests in their own process, which a program can FORGE (integrity: cooperative)",
}


def judged(stored: Stored) -> list[str]:
    """Of tasks that run programs: how far a pass can be believed, and what the programs were confined by."""
    found: dict[tuple[str, str], set[str]] = {}
    for (_, task), begun in stored.cells.items():
        if integrity := begun.about.get("scored", {}).get("integrity"):
            tier = begun.about["scored"].get("sandbox", {}).get("tier", "not said")
            found.setdefault((integrity, tier), set()).add(task)
    return [
        f"Programs of {', '.join(sorted(tasks))} were {INTEGRITY.get(integrity, integrity)}; "
        + ("they ran UNCONFINED." if tier == "none" else f"sandbox: {tier}.")
        for (integrity, tier), tasks in sorted(found.items())
    ]


def unpaired(rows: Sequence[Row]) -> list[str]:
    """Where items have no partner, or no score on one side, with how many."""
    found = [(r, r.difference) for r in rows if r.level == "task" and r.difference and r.difference.missing]
    told = [f"{r.checkpoint} on {r.name}: {d.missing} items lack a score on one side; {d.pairs} are paired." for r, d in found]
    rest = len(told) - TOLD
    return [*told[:TOLD], f"So it is in {rest} further cells: `missing` in table.csv counts them."] if rest > 0 else told


def asked_again(stored: Stored) -> list[str]:
    """What asking again changed, over everything it was done for."""
    found = {cell: n for cell, begun in stored.cells.items() if (n := noise.of(begun.about)).n}
    if not found:
        return []
    items, answers, scores = (sum(getattr(n, what) for n in found.values()) for what in ("n", "answers", "flips"))
    (who, task), worst = max(found.items(), key=lambda one: one[1].answers / one[1].n)
    most = f" (most of them {who}'s on {task}: {worst.answers} of {worst.n})" if worst.answers else ""
    return [f"Of {items} items that were asked again, {answers} were answered otherwise{most} and {scores} scored otherwise."]


def about_noise(found: Difference) -> str:
    differing = 100 * (found.flips.lost + found.flips.gained) / found.pairs if found.flips and found.pairs else 0.0
    changed = found.noise or 0.0
    known = "that is in the interval" if noise.share(changed, differing) > noise.STATED else "too little to matter"
    return f"asking again changes {changed:.1f} % of the scores, {differing:.1f} % differ from the baseline; {known}."
