"""Held-out items: what is chosen on one part of the items is judged on the other, which nobody chose by.

Which items are held out depends on their ids alone, so that it is the same for every checkpoint, folder and run.  Each new look
at them is counted in the results folder: a verdict of held-out items is worth less with every choice that was made after one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.atomic_files import write_json
from harness.bounded_files import is_listed, read_stored_json
from harness.records import utc_now
from harness.shares import check_share
from harness.types import Json, SkilldeltaError, digest

if TYPE_CHECKING:
    from harness.comparison.load import LoadedResults

LEDGER = "holdout.json"  # in the results folder


@dataclass(frozen=True)
class Holdout:
    """`share` (0..1) of the items are held out, by the hash of their ids."""

    share: float

    def __post_init__(self) -> None:
        check_share("--holdout", self.share, may_be_all=False)

    def holds_out(self, example: str) -> bool:
        """Whether an example, by its id, is held out."""
        return int(digest(["held out", example])[:8], 16) < self.share * 16**8

    def develops(self, example: str) -> bool:
        """Whether an example may be chosen by."""
        return not self.holds_out(example)


def judge_held_out(results: LoadedResults, share: float, choose: Callable[[LoadedResults], str]) -> tuple[LoadedResults, str]:
    """The held-out results of the baseline and one candidate, and a sentence on its choice and the number of looks.

    `choose`: names the best candidate of several, from the other items.  SkilldeltaError where one of the two has no held-out
    samples.
    """
    holdout = Holdout(share)
    candidates = [name for name in results.checkpoints if name != results.baseline]
    if not candidates:
        raise SkilldeltaError("--holdout judges a candidate, and there is none besides the baseline.")
    name = candidates[0] if len(candidates) == 1 else choose(results.select_examples(holdout.develops))
    pair = (results.baseline, name)
    own = replace(
        results,
        checkpoints={who: results.checkpoints[who] for who in pair},
        cells={key: cell for key, cell in results.cells.items() if key[0] in pair},
        empty={key: record for key, record in results.empty.items() if key[0] in pair},
    )
    held_out = own.select_examples(holdout.holds_out)
    if absent := [who for who in pair if not any(key[0] == who for key in held_out.cells)]:
        raise SkilldeltaError(
            f"{' and '.join(absent)} were not asked the held-out items.  `skilldelta score` without --holdout asks the rest; "
            f"{name} is what the other items choose."
        )
    counts = {who: sum(len(c.columns().keys) for key, c in held_out.cells.items() if key[0] == who) for who in pair}
    looks = max(record_look(Path(folder), share, pair, counts) for folder in result_folders(own))
    how = f"{name} was chosen among {len(candidates)} on the other items.  " if len(candidates) > 1 else ""
    times = "once" if looks == 1 else f"{looks} times"
    return held_out, (
        f"{how}All numbers are of the held-out items alone ({100 * share:g} %: {counts[name]} of {name}'s samples), "
        f"which were looked at {times}."
    )


def result_folders(results: LoadedResults) -> list[str]:
    """The folders that the results were read from."""
    records = results.checkpoints.values()
    return sorted({folder for record in records for folder in (record.results, *record.elsewhere) if folder})


def record_look(folder: Path, share: float, pair: Sequence[str], counts: Json) -> int:
    """Notes a look at the held-out items in the folder's ledger; how many different ones there were.

    The same look twice tells nothing new and counts once.  SkilldeltaError where another share was held out before.
    """
    path = folder / LEDGER
    ledger: dict[str, Any] = read_stored_json(path) if is_listed(path) else {"share": share, "looks": []}
    if ledger["share"] != share:
        raise SkilldeltaError(
            f"{folder} holds out {ledger['share']:g} of its items, not {share:g}: some that were chosen by would be held out.  "
            f"Write --holdout {ledger['share']:g}, or score into another folder."
        )
    look = {"baseline": pair[0], "candidate": pair[1], "samples": dict(counts)}
    if look not in [{key: entry[key] for key in look} for entry in ledger["looks"]]:
        ledger["looks"].append(look | {"when": utc_now()})
        write_json(path, ledger)
    return len(ledger["looks"])
