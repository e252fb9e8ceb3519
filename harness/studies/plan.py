"""From a study to stages: commands that share bases, SFT models, pools, reward models; scoring last."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from glob import escape
from pathlib import Path
from typing import Any

from harness.atomic_files import folder_name
from harness.grouping import group_by
from harness.studies.grid import BUILDERS, COPY, NONE, PlannedRun, StudySettings, expand_grid, write_flags
from harness.studies.grid_checks import check_stage_names, reward_name, reward_recipes
from harness.studies.places import absolute_paths
from harness.studies.runner import Stage
from harness.studies.stage_inputs import find_places
from harness.training.needs import read_needs
from harness.world.ratings import DATA_KINDS


class StudyPlan:
    """The stages of a study; all paths of their commands are below the study's folder, where they run."""

    def __init__(self, study: StudySettings) -> None:
        self.study = study
        self.runs = list(expand_grid(study))
        self.first_base = next(iter(study.bases))
        self.rewards = reward_recipes(self.runs)
        stages = [replace(stage, reads=find_places(stage.arguments)) for stage in self.make_stages()]
        check_stage_names([stage.name for stage in stages], self.runs, study.bases)
        self.stages = {stage.name: stage for stage in stages}

    def make_stages(self) -> Iterator[Stage]:
        yield from self.base_stages()
        trained_here = [r for r in self.runs if not r.run]
        if any(self.is_world_data(r.data) for r in trained_here):
            yield self.pool_stage()
        for name, recipe in self.rewards.items():
            yield self.reward_stage(name, recipe)
        for recipe in trained_here:
            if recipe.method == COPY:
                model = self.sft_model(recipe.base)
                yield world_stage(
                    recipe.name,
                    ("copy", model, f"runs/{recipe.name}"),
                    self.sft_stages(recipe.base),
                    "the SFT model under a second name",
                )
            elif recipe.makes == "policy":
                yield self.tuning_stage(recipe)
        if self.study.best_of and self.rewards:
            yield from self.best_of_n_stages()
        yield from self.scoring_stages()

    def settings(self, method: str, own: Sequence[tuple[str, Any]] = ()) -> dict[str, Any]:
        """A method's settings in this study, and an entry's `own` over them."""
        return absolute_paths({**self.study.settings.get(method, {}), **dict(own)})

    # models to start from

    def base_stages(self) -> Iterator[Stage]:
        """Pre-training and SFT of every base that is made here, the largest first: the rest waits for it."""
        own_bases = {name: base for name, base in self.study.bases.items() if not base.path}
        if own_bases:
            sizes = {name: base.documents for name, base in own_bases.items()}
            amounts = {"documents": max(sizes.values()), **asdict(self.study.world), "prompts_of": self.skills_of_prompts()}
            yield world_stage(
                "data", ("data", "data", json.dumps(amounts, sort_keys=True)), (), "write the world's texts", ("data",)
            )
        for name in sorted(own_bases, key=lambda n: -int(own_bases[n].shape.get("hidden", 64))):
            flags = {"data": "data/corpus.jsonl", "limit": own_bases[name].documents} | self.settings(BUILDERS["base model"])
            flags |= dict(own_bases[name].shape)
            yield training_stage(f"base-{name}", BUILDERS["base model"], flags, ("data",), f"pre-train the base model {name!r}")
            flags = {"model": f"runs/base-{name}", "data": "data/chats.jsonl,data/replay.jsonl"}
            flags |= self.settings(BUILDERS["SFT model"])
            yield training_stage(
                f"sft-{name}", BUILDERS["SFT model"], flags, (f"base-{name}",), f"fine-tune {name!r} on chats of mixed quality"
            )

    def skills_of_prompts(self) -> dict[str, list[str]]:
        """Policy prompts that are made here: the skills of each set."""
        return {name: list(p.skills) for name, p in self.study.prompts.items() if not p.files}

    def sft_model(self, base: str) -> str:
        return self.study.bases[base].path or f"runs/sft-{base}"

    def sft_stages(self, *bases: str) -> tuple[str, ...]:
        return tuple(f"sft-{b}" for b in dict.fromkeys(bases) if not self.study.bases[b].path)

    # preferences and what learns from them

    def is_world_data(self, data: str) -> bool:
        return data in DATA_KINDS or (data in self.study.data and bool(self.study.data[data].kinds))

    def pool_stage(self) -> Stage:
        answering = self.study.world.answered_by or (self.first_base,)
        amounts = json.dumps(asdict(self.study.world), sort_keys=True)
        arguments = ("pool", "data", amounts, *(self.sft_model(b) for b in answering))
        return world_stage(
            "pool", arguments, self.sft_stages(*answering), "sample answers, and rate them", ("data/preferences-*",)
        )

    def pair_flags(self, recipe: PlannedRun) -> dict[str, Any]:
        """Flags that name a recipe's preference data."""
        data = self.study.data.get(recipe.data)
        kinds = data.kinds if data else (recipe.data,)
        files = data.files if data and data.files else [f"data/preferences-{kind}.jsonl" for kind in kinds]
        limit = {} if recipe.size in ("full", NONE) else {"limit": self.study.sizes[recipe.size]}
        return {"data": ",".join(str(f) for f in files), "rate": "mean", **limit}

    def pair_stages(self, recipe: PlannedRun) -> tuple[str, ...]:
        return ("pool",) if self.is_world_data(recipe.data) else ()

    def reward_stage(self, name: str, recipe: PlannedRun) -> Stage:
        flags = {
            "model": self.sft_model(recipe.reward),
            "sft": self.sft_model(self.first_base),
            "seed": recipe.seed,
            **self.pair_flags(recipe),
        }
        is_own = recipe.makes == "reward model"
        method = recipe.method if is_own else BUILDERS["reward model"]
        flags |= self.settings(method, recipe.settings if is_own else ())
        needs = (*self.sft_stages(recipe.reward, self.first_base), *self.pair_stages(recipe))
        return training_stage(name, method, flags, needs, f"train a reward model of size {recipe.reward!r} on {recipe.data!r}")

    def tuning_stage(self, recipe: PlannedRun) -> Stage:
        """A run that tunes a policy, fed with what its trainer needs."""
        trainer = read_needs(recipe.method)
        flags: dict[str, Any] = {"model": self.sft_model(recipe.base), "seed": recipe.seed}
        needs = self.sft_stages(recipe.base)
        if recipe.has_reward:
            flags |= {"reward": recipe.reward}
        elif trainer.reward_model:
            flags |= {"reward": f"runs/{reward_name(recipe)}"}
            needs = (*needs, reward_name(recipe))
        if trainer.data == "pairs":
            flags |= self.pair_flags(recipe)
            needs = (*needs, *self.pair_stages(recipe))
        elif recipe.prompts != NONE:
            files = self.study.prompts[recipe.prompts].files
            flags |= {"data": ",".join(files) if files else f"data/prompts-{recipe.prompts}.jsonl"}
        flags |= self.settings(recipe.method, recipe.settings)
        return training_stage(recipe.name, recipe.method, flags, needs, f"{trainer.stage}: {recipe.name}")

    # scores

    def best_of_n_stages(self) -> Iterator[Stage]:
        """Draws of the SFT model for test questions, and each reward model's choice among them."""
        assert self.study.best_of
        items, n = str(self.study.best_of.items), str(self.study.best_of.n)
        sampling = ("-L", items, "--sample-seed", "0", "--draws", n, "--gen-kwargs", "temperature=1.0", "--name", "draws")
        yield Stage(
            "draws", ("harness", "score", self.sft_model(self.first_base), *self.scoring_flags("draws"), *sampling),
            self.sft_stages(self.first_base), "draw answers to test questions, for the reward models to choose from",
            ("draws",),
        )  # fmt: skip
        yield Stage(
            "first", ("harness.studies.best_of_n", "draws", "best-of-n"), ("draws",), "take the first draw", ("best-of-n",)
        )
        for names in group_seeds(list(self.rewards)):
            arguments = ("harness.studies.best_of_n", "draws", "best-of-n", *(f"runs/{n}" for n in names))
            writes = tuple(f"best-of-n/{escape(folder_name(n))}" for n in names)
            kind = without_seed(names[0])
            yield Stage(f"choose-{kind}", arguments, ("first", *names), f"let it choose among the draws: {kind}", writes)

    def scoring_flags(self, output: str) -> tuple[str, ...]:
        flags = [flag for name, value in absolute_paths(self.study.score).items() for flag in write_flags(name, value)]
        return ("--suite", self.study.tasks, "-o", output, *flags)

    def scoring_stages(self) -> Iterator[Stage]:
        """Every run once, the seeds of a recipe in one command: they share what is encoded and loaded.

        Runs of other programs are scored together: only then are models of one name, such as final_model, told apart.
        """
        bases = [f"sft-{b}" for b in self.study.bases if self.is_scored(b)]
        runs = {r.name: r.run for r in self.runs}
        policies = [r.name for r in self.runs if r.makes == "policy"]
        own_policies, foreign_policies = [n for n in policies if not runs[n]], [n for n in policies if runs[n]]
        for names in filter(None, [*([b] for b in bases), *group_seeds(own_policies), foreign_policies]):
            paths = [self.run_folder(n, runs) for n in names]
            needs = tuple(n for n, p in zip(names, paths, strict=True) if p == f"runs/{n}")
            writes = tuple(f"results/{escape(folder_name(n))}@*" for n in names)
            kind = "other-programs" if names is foreign_policies and len(names) > 1 else without_seed(names[0])
            yield Stage(
                f"score-{kind}", ("harness", "score", *paths, *self.scoring_flags("results")), needs, f"score {kind}", writes
            )

    def is_scored(self, base: str) -> bool:
        """Is a policy tuned from it, or is it the first?"""
        return base == self.first_base or any(r.base == base for r in self.runs)

    def run_folder(self, name: str, runs: Mapping[str, str]) -> str:
        """Where a run lies: below runs/, or where the study file says."""
        base = name.removeprefix("sft-")
        outside = self.study.bases[base].path if name.startswith("sft-") and base in self.study.bases else runs.get(name, "")
        return outside or f"runs/{name}"


def group_seeds(names: Sequence[str]) -> list[list[str]]:
    """Names that differ only in their seed, together."""
    return list(group_by(names, without_seed).values())


def without_seed(name: str) -> str:
    """A run's name without its seed."""
    return re.sub(r"-s\d+$", "", name)


def training_stage(name: str, method: str, flags: Mapping[str, Any], needs: tuple[str, ...], says: str) -> Stage:
    arguments = ("harness", "train", method, f"--out=runs/{name}", *(write_flag(k, v) for k, v in flags.items()))
    return Stage(name, arguments, needs, says, (f"runs/{escape(name)}",))


def write_flag(name: str, value: Any) -> str:
    """A setting as `skilldelta train` reads it: several values with commas between them."""
    return f"--{name}={','.join(map(str, value)) if isinstance(value, list | tuple) else value}"


def world_stage(
    name: str, arguments: tuple[str, ...], needs: tuple[str, ...], says: str, writes: tuple[str, ...] = ()
) -> Stage:
    """A stage that is no command of the program's own (harness.studies.work)."""
    return Stage(name, ("harness.studies.work", *arguments), needs, says, writes or (f"runs/{escape(name)}",))


def last_checkpoint(folder: Path) -> Path:
    """The last checkpoint of a run."""
    return max(folder.glob("checkpoint-*"), key=lambda p: int(p.name.split("-")[1]))
