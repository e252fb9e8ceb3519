"""What a grid may not say: a run that is not what its labels say, one run that counts as several, and an entry without any."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from harness.grouping import group_by
from harness.studies.grid import COPY, NONE, PlannedRun, StudySettings
from harness.training.needs import read_needs
from harness.types import SkilldeltaError

# Settings of trainers that a study gives itself, and where the study file says them: another value would belie a run's labels.
FROM_GRID = {"model": "`base` of an entry", "data": "`data` or `prompts` of an entry", "seed": "`seeds`"}
OUT = "out"  # the run's folder
FULL = "full"  # the size of data that are taken whole


def check_amounts(study: StudySettings) -> None:
    """SkilldeltaError for an entry that plans no run, and for a size that is no number of pairs."""
    for entry in study.grid:
        if not entry.method:
            raise SkilldeltaError("An entry of the grid has an empty list of methods: it would plan no run.")
        if not (entry.seeds or study.seeds):
            raise SkilldeltaError("The study has an empty list of seeds: it would plan no run.")
    if FULL in study.sizes:
        raise SkilldeltaError(f"`sizes` may not define {FULL!r}: it stands for all pairs.  Give this size another name.")
    if too_small := [name for name, pairs in study.sizes.items() if pairs < 1]:
        raise SkilldeltaError(
            f"The size {too_small[0]!r} is {study.sizes[too_small[0]]} pairs: write 1 or more; all are {FULL!r}."
        )


def check_grid_settings(study: StudySettings) -> None:
    """SkilldeltaError for settings that would make a run another one than its labels say."""
    for method, settings in study.settings.items():
        sizes = [size for entry in study.grid if method in entry.method or method == "reward" for size in entry.size]
        refuse_labels(method, settings, sizes)
    for entry in study.grid:
        for method in entry.method:
            if not entry.run and method != COPY:
                refuse_labels(method, entry.settings, entry.size)


def refuse_labels(method: str, settings: Mapping[str, Any], sizes: Sequence[str]) -> None:
    needs = read_needs(method)
    names = {str(name).replace("-", "_") for name in settings}
    if OUT in names:
        raise SkilldeltaError(f"The settings of {method} name {OUT!r}: a study names the folders of its runs itself.")
    if needs.makes not in ("policy", "reward model"):
        return
    if clashes := [name for name in FROM_GRID if name in names]:
        raise SkilldeltaError(
            f"The settings of {method} name {clashes[0]!r}, so that its runs would not be what their labels say: write "
            f"{FROM_GRID[clashes[0]]} instead."
        )
    if needs.data == "pairs" and "limit" in names and set(sizes) - {FULL}:
        raise SkilldeltaError(
            f"The settings of {method} name 'limit', and the grid gives its data sizes: all sizes would be one.  Leave one out."
        )


def check_runs_elsewhere(runs: Iterable[PlannedRun]) -> None:
    """SkilldeltaError where one folder stands for several runs: seeds that nobody trained would narrow the intervals."""
    for folder, same in group_by((r for r in runs if r.run), lambda r: r.run).items():
        if len(same) > 1:
            raise SkilldeltaError(
                f"{folder} is one run, and the grid counts it as {len(same)}: {', '.join(r.name for r in same)}.  Give its "
                "entry one method and the one seed that it was trained with (`seeds: 0`), and no other entry the folder."
            )


def check_stage_names(names: Sequence[str], runs: Iterable[PlannedRun], bases: Iterable[str]) -> None:
    """SkilldeltaError where a run is called like another stage, or like a base's SFT model: one would pass for the other."""
    sft_names = {f"sft-{base}" for base in bases}
    twice = [*(r.name for r in runs if r.name in sft_names), *(name for name in names if names.count(name) > 1)]
    if twice:
        raise SkilldeltaError(
            f"Two parts of the study would be called {twice[0]!r}: give that entry of the grid another label."
        )
    if paths := [name for name in names if "/" in name]:
        raise SkilldeltaError(f"A part of the study would be called {paths[0]!r}: name bases and data without a slash.")


def reward_name(recipe: PlannedRun) -> str:
    """The name of the reward model that a recipe uses."""
    size = [recipe.size] if recipe.size not in (FULL, NONE) else []
    return "-".join(["reward", recipe.data, *size, recipe.reward, f"s{recipe.seed}"])


def reward_recipes(runs: Iterable[PlannedRun]) -> dict[str, PlannedRun]:
    """A recipe of each reward model that is trained, by its name: that of an entry of its own, where there is one.

    SkilldeltaError where two that differ would have one name.
    """
    recipes = {}
    for name, same in group_by((r for r in runs if r.reward != NONE and not r.run and not r.has_reward), reward_name).items():
        own = [r for r in same if r.makes == "reward model"]
        keys = {(r.data, r.size, r.reward, r.seed) for r in same}
        if len(keys) > 1 or len({(r.method, repr(r.settings)) for r in own}) > 1:
            raise SkilldeltaError(
                f"The grid asks for two reward models that would both be called {name!r}, and differ: "
                + ("give data or sizes other names." if len(keys) > 1 else "a study trains one of them for its data and base.")
            )
        recipes[name] = own[0] if own else same[0]
    return recipes
