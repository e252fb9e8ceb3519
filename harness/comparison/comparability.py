"""What two results must share to be compared; a refusal names each difference, both sides."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from harness.fingerprint import differences
from harness.records import CellRecord, current_name
from harness.types import SkilldeltaError

# Parts of task.json that cannot move a score, and so may differ.
IRRELEVANT = ("task.summary", "task.source", "task.skill", "task.chance", "backend.engine")
MAX_LISTED = 12  # differences named in full; the others are counted


@dataclass(frozen=True)
class SettingDifference:
    """One thing that was not the same on both sides, with each side as short JSON."""

    task: str
    name: str
    baseline: str
    candidate: str
    checkpoints: tuple[str, ...]


def setting_differences(task: str, baseline: CellRecord, candidates: Mapping[str, CellRecord]) -> list[SettingDifference]:
    """Everything in which the candidates' task.json differ from the baseline's, alike ones gathered."""
    checkpoints_by_difference: dict[tuple[str, str, str], list[str]] = {}
    for checkpoint, record in candidates.items():
        for difference in differences(baseline.comparable(), record.comparable()):
            if not is_covered(difference[0], IRRELEVANT):
                checkpoints_by_difference.setdefault(difference, []).append(checkpoint)
    return [SettingDifference(task, *difference, tuple(who)) for difference, who in checkpoints_by_difference.items()]


def is_covered(difference: str, names: Iterable[str]) -> bool:
    """Whether a difference is one of `names`, or lies below one: `asked` covers `asked.prompts`."""
    return any(difference == name or difference.startswith(name + ".") for name in names)


def accept_differences(every_difference: Sequence[SettingDifference], allow: Sequence[str], baseline: str) -> tuple[str, ...]:
    """The differences that were allowed, in words; raises where one was not."""
    if not_accepted := [d for d in every_difference if not is_covered(d.name, allow)]:
        raise SkilldeltaError(refusal_message(not_accepted, baseline))
    return tuple(side_by_side(d).strip() for d in every_difference)


def refusal_message(not_accepted: Sequence[SettingDifference], baseline: str) -> str:
    """What differs, side by side, and the way out."""
    lines = ["These results cannot be compared: they were not made alike.", *map(side_by_side, not_accepted[:MAX_LISTED])]
    if len(not_accepted) > MAX_LISTED:
        lines.append(f"  ... and {len(not_accepted) - MAX_LISTED} more")
    names = " ".join(f"--allow {n}" for n in dict.fromkeys(d.name for d in not_accepted))
    lines.append(f"Score both alike, or accept what differs from {baseline}: {names} (printed with every table then).")
    return "\n".join(lines)


def side_by_side(difference: SettingDifference) -> str:
    first, *more = difference.checkpoints
    who = f"{first} and {len(more)} more" if more else first
    return f"  {difference.task}, {difference.name}: baseline {difference.baseline}, {who} {difference.candidate}"
