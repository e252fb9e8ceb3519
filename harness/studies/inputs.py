"""The files and folders that a study needs and does not make: what is not there is said before its first stage."""

from __future__ import annotations

from collections.abc import Iterator

from harness.bounded_files import is_there
from harness.checkpoint_folders import is_hub_name
from harness.studies.grid import NONE
from harness.studies.plan import StudyPlan
from harness.types import SkilldeltaError

HUB = "hub:"


def check_inputs(plan: StudyPlan) -> None:
    """Raises SkilldeltaError with everything that is not there."""
    if missing := list(missing_inputs(plan)):
        count = "an input" if len(missing) == 1 else f"{len(missing)} inputs"
        raise SkilldeltaError(
            f"The study needs {count} that cannot be found:\n  "
            + "\n  ".join(missing)
            + "\nCorrect the paths (they count from the folder where the command runs) or the variables that they come from."
        )


def missing_inputs(plan: StudyPlan) -> Iterator[str]:
    """A line for each file and folder that a run of the grid reads and that is not there."""
    study, trained_here = plan.study, [r for r in plan.runs if not r.run]
    for name in dict.fromkeys(r.data for r in trained_here if r.data in study.data):
        yield from missing_files(f"data {name!r}", study.data[name].files)
    for name in dict.fromkeys(r.prompts for r in trained_here if r.prompts not in ("", NONE)):
        yield from missing_files(f"prompts {name!r}", study.prompts[name].files)
    for name, base in study.bases.items():
        if is_missing_folder(base.path):
            yield f"base {name!r}: {base.path}"
    for run in dict.fromkeys(r.run for r in plan.runs if r.run):
        if is_missing_folder(run):
            yield f"run: {run}"


def missing_files(what: str, files: tuple[str, ...]) -> Iterator[str]:
    for file in files:
        if not file.startswith(HUB) and not is_there(file):
            yield f"{what}: {file}"


def is_missing_folder(place: str) -> bool:
    """Is nothing there, and could the Hub have no model of this name?"""
    return bool(place) and not is_there(place) and not is_hub_name(place)
