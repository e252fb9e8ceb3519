"""What a study is made of: bases, data, prompts, and the grid, whose every combination is a recipe."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.types import SkilldeltaError
from harness.world.skills import SKILLS

NONE = "-"  # the label of what does not apply
TUNED = ("dpo", "ppo")


@dataclass(frozen=True)
class Base:
    """Where a family of runs starts: a model of the world, pre-trained and fine-tuned here, or the SFT model in `path`."""

    path: str = ""
    documents: int = 64_000  # for pre-training
    shape: Mapping[str, Any] = field(default_factory=dict)  # settings of `train pretrain`


@dataclass(frozen=True)
class Data:
    """Preference pairs: kinds of the world's ratings, or files in any format that the trainers read."""

    kinds: tuple[str, ...] = ()
    files: tuple[str, ...] = ()


@dataclass(frozen=True)
class Prompts:
    """What a policy answers in PPO: questions of the world about these skills (their shares as given), or files."""

    skills: tuple[str, ...] = tuple(SKILLS)
    files: tuple[str, ...] = ()


@dataclass(frozen=True)
class World:
    """How much of the embedded world there is."""

    chats: int = 8_000
    prompts: int = 3_600  # that preferences are collected for
    policy_prompts: int = 3_600
    samples: int = 3  # answers of each model of `answered_by` to each of these prompts
    answered_by: tuple[str, ...] = ()  # bases whose SFT models answer; (): the first


@dataclass(frozen=True)
class BestOf:
    """Reward models asked directly: of `n` answers to each of `items` test questions a group, the best one is taken."""

    n: int = 16
    items: int = 60


@dataclass(frozen=True)
class Entry:
    """Recipes of the grid: every combination of what is listed, each with every seed.

    With `run`, the run folder (or checkpoint) exists already: it is scored, under the labels that the entry gives.
    """

    method: tuple[str, ...]  # sft, reward, dpo, ppo; again: the SFT model under a second name
    base: tuple[str, ...] = ()  # (): the first
    data: tuple[str, ...] = ()
    size: tuple[str, ...] = ("full",)
    reward: tuple[str, ...] = ()  # the base that the reward model starts from
    prompts: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)  # over the method's
    label: str = ""  # instead of the method's name; of an entry that is one recipe, the run's whole name
    seeds: tuple[int, ...] = ()  # (): the study's
    run: str = ""
    full: bool = False  # only with --full


@dataclass(frozen=True)
class Study:
    """A study file."""

    summary: str
    grid: tuple[Entry, ...]
    tasks: str = "world"  # a suite, or a suite file
    seeds: tuple[int, ...] = (0,)
    bases: Mapping[str, Base] = field(default_factory=dict)
    data: Mapping[str, Data] = field(default_factory=dict)  # beside the world's own kinds
    sizes: Mapping[str, int] = field(default_factory=dict)  # pairs; "full" is all
    prompts: Mapping[str, Prompts] = field(default_factory=lambda: {"general": Prompts()})
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # by method
    world: World = field(default_factory=World)
    score: Mapping[str, Any] = field(default_factory=dict)  # flags of `skilldelta score`: batch_size, dtype, device ...
    best_of: BestOf | None = None
    claims: str = ""
    name: str = ""


@dataclass(frozen=True)
class Recipe:
    """One run to be had.  What does not apply is NONE."""

    method: str
    base: str
    data: str = NONE
    size: str = NONE
    reward: str = NONE
    prompts: str = NONE
    seed: int = 0
    label: str = ""
    settings: tuple[tuple[str, Any], ...] = ()
    run: str = ""
    alone: bool = False  # is its label enough of a name?

    @property
    def name(self) -> str:
        """The run's folder: what tells it from the others of the grid."""
        if self.label and self.alone:
            return self.label + (f"-s{self.seed}" if self.seed else "")
        parts = [self.label or self.method, self.data, self.size if self.size != "full" else NONE, self.base]
        parts += [f"by-{self.reward}" if self.reward != NONE else NONE, self.prompts]
        return "-".join([p for p in parts if p != NONE] + [f"s{self.seed}"])

    def labels(self) -> dict[str, str]:
        return {
            "method": self.label or self.method,
            "data": self.data,
            "size": self.size,
            "base": self.base,
            "reward": self.reward,
            "reward_data": self.data if self.reward != NONE else NONE,
            "prompts": self.prompts,
        }


def recipes(study: Study) -> Iterator[Recipe]:
    """Every run of the grid, in its order."""
    first = next(iter(study.bases))
    for entry in study.grid:
        for method in entry.method:
            yield from combinations(entry, method, first, study.seeds)


def combinations(entry: Entry, method: str, first: str, seeds: Sequence[int]) -> Iterator[Recipe]:
    """The runs of one entry with one method; what the method does not know, or the entry leaves out, is NONE or the first."""
    outside = bool(entry.run)
    uses = {
        "data": entry.data if method in (*TUNED, "reward") or outside else (),
        "size": entry.size if method in (*TUNED, "reward") or outside else (),
        "reward": (entry.reward or (first,)) if method in ("ppo", "reward") and not outside else entry.reward,
        "prompts": (entry.prompts or ("general",)) if method == "ppo" and not outside else entry.prompts,
    }
    if method in ("sft", "again"):
        seeds = (0,)
    if method in (*TUNED, "reward") and not entry.data and not outside:
        raise SkilldeltaError(f"A grid entry with the method {method} names its data.")
    if method == "dpo" and not outside:
        uses["reward"] = uses["prompts"] = ()
    bases = (NONE,) if method == "reward" else entry.base or (first,)
    lists = [bases, *(uses[k] or (NONE,) for k in ("data", "size", "reward", "prompts"))]
    settings, alone = tuple(sorted(entry.settings.items())), all(len(each) == 1 for each in lists)
    for base, data, size, reward, prompts in itertools.product(*lists):
        for seed in entry.seeds or seeds:
            yield Recipe(method, base, data, size, reward, prompts, seed, entry.label, settings, entry.run, alone)
