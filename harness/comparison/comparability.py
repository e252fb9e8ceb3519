"""What two results must share to be compared; a refusal names each difference, both sides."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from harness.fingerprint import differences
from harness.types import Json, SkilldeltaError

# Parts of task.json that cannot move a score, and so may differ.
HARMLESS = ("task.summary", "task.source", "task.skill", "task.chance", "answered.engine")
SHOWN = 12  # differences named in full; the others are counted


@dataclass(frozen=True)
class Difference:
    """One thing that was not the same on both sides, with each side as short JSON."""

    task: str
    name: str
    baseline: str
    candidate: str
    checkpoints: tuple[str, ...]


def unlike(task: str, baseline: Json, candidates: Mapping[str, Json]) -> list[Difference]:
    """Everything in which the candidates' task.json differ from the baseline's, alike ones gathered."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for checkpoint, about in candidates.items():
        for difference in differences(relevant(baseline), relevant(about)):
            if not named(difference[0], HARMLESS):
                found.setdefault(difference, []).append(checkpoint)
    return [Difference(task, *difference, tuple(who)) for difference, who in found.items()]


def relevant(about: Json) -> dict[str, object]:
    return {part: about.get(part) for part in ("task", "asked", "answered")}


def named(difference: str, names: Iterable[str]) -> bool:
    """Whether a difference is one of `names`, or lies below one: `asked` covers `asked.prompts`."""
    return any(difference == name or difference.startswith(name + ".") for name in names)


def admit(found: Sequence[Difference], allow: Sequence[str], baseline: str) -> tuple[str, ...]:
    """The differences that were allowed, in words; raises where one was not."""
    if refused := [d for d in found if not named(d.name, allow)]:
        raise SkilldeltaError(refusal(refused, baseline))
    return tuple(side_by_side(d).strip() for d in found)


def refusal(refused: Sequence[Difference], baseline: str) -> str:
    """What differs, side by side, and the way out."""
    lines = ["These results cannot be compared: they were not made alike.", *map(side_by_side, refused[:SHOWN])]
    if len(refused) > SHOWN:
        lines.append(f"  ... and {len(refused) - SHOWN} more")
    names = " ".join(f"--allow {n}" for n in dict.fromkeys(d.name for d in refused))
    lines.append(f"Score both alike, or accept what differs from {baseline}: {names} (printed with every table then).")
    return "\n".join(lines)


def side_by_side(difference: Difference) -> str:
    first, *more = difference.checkpoints
    who = f"{first} and {len(more)} more" if more else first
    return f"  {difference.task}, {difference.name}: baseline {difference.baseline}, {who} {difference.candidate}"
