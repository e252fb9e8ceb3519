"""Numbers in the names of folders: which step, or which epoch, of a run a folder holds; and names in the order of numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from harness.folder_entries import FolderEntries, list_entries

WORDS = r"checkpoint|ckpt|global_?steps?|steps?|epochs?|iter(?:ation)?s?|samples|updates?"
STATE = (
    r"(?P<state>(?:[-_](?:hf|unsharded|ckpt|full|merged|\d+bit))*)(?:\.(?:ckpt|pth))?"  # what was made of the step's weights
)
# checkpoint-100, step_100_hf, epoch2, iter_0000010; with words in front: policy_step_100.
ONE_NUMBER = re.compile(rf"^(?:(?P<label>.+?)[-_.])??(?P<kind>{WORDS})[-_=]?(?P<number>\d{{1,15}}){STATE}$", re.IGNORECASE)
# e2, ba500, hf-100, and a number alone; seven digits, as more of them are a date or a time.
SHORT = re.compile(rf"^(?P<kind>e|ep|ba|hf|)(?P<label>)[-_=]?(?P<number>\d{{1,7}}){STATE}$", re.IGNORECASE)
# epoch=1-step=100, epoch-0_step-1000, ep0-ba100, epoch0epochstep9globalstep9.
TWO_NUMBERS = re.compile(
    r"^e(?:poch|p)?[-_=]?(?P<epoch>\d{1,9}).*?(?P<kind>global_?step|step|ba)(?P<sign>[-_=]?)(?P<number>\d{1,15})(?:\.\w+)?$",
    re.IGNORECASE,
)
PLAIN_LABELS = ("", "hf")  # words in front that tell nothing


@dataclass(frozen=True)
class FolderNumber:
    """`text`: what follows RUN@.  `step`: None of an epoch.  `label`: words in the name that tell more, "" for none."""

    text: str
    step: int | None
    label: str = ""


@lru_cache(maxsize=100_000)
def parse_number(name: str) -> FolderNumber | None:
    """The number in a folder's name; None where it has none that counts training."""
    if match := TWO_NUMBERS.match(name):
        number, is_of_run = int(match["number"]), match["sign"] == "=" or match["kind"].lower() != "step"
        return FolderNumber(str(number), number) if is_of_run else FolderNumber(f"epoch{match['epoch']}-step{number}", None)
    match = ONE_NUMBER.match(name) or SHORT.match(name)
    if not match:
        return None
    label, number = match["label"] or "", int(match["number"])
    label = "" if label.lower() in PLAIN_LABELS else label
    label += match["state"] if "merged" in match["state"].lower() else ""
    is_epoch = match["kind"].lower().startswith("e")
    return FolderNumber(f"epoch{number}" if is_epoch else str(number), None if is_epoch else number, label)


def folder_number(folder: Path) -> FolderNumber | None:
    """The number in the name of a folder of a run.

    None also where folders beside it count with other words in front: `sft-step-100` beside `dpo-step-100` are two runs.
    """
    number = parse_number(folder.name)
    if not number or (not folder.name.strip("0123456789") and folder.parent.name.lower() in ("seed", "seeds")):
        return None
    if not number.label or "merged" in number.label.lower():
        return number
    beside = list_entries(folder.parent) if folder.parent.is_dir() else FolderEntries((), ())
    siblings = map(parse_number, (*beside.files, *beside.folders))
    labels = {n.label for n in siblings if n and n.label and "merged" not in n.label.lower()}
    return number if labels <= {number.label} else None


def natural_order(name: str) -> list[tuple[int, int, str]]:
    """A key by which names sort as people count: step2 before step10."""
    return [(0, int(p), p) if p.isdecimal() and len(p) < 100 else (1, 0, p) for p in re.split(r"(\d+)", name)]


def list_numbered(run: Path, pattern: re.Pattern[str]) -> list[tuple[int, Path]]:
    """(step, folder) for each folder in `run` whose name the pattern matches, in the order of the numbers in its group 1."""
    return sorted((int(match.group(1)), path) for path, match in match_folders(run, pattern) if len(match.group(1)) < 16)


def match_folders(run: Path, pattern: re.Pattern[str]) -> Iterator[tuple[Path, re.Match[str]]]:
    for name in list_entries(run).folders:
        if match := pattern.match(name):
            yield run / name, match
