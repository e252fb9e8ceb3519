"""What a study is made of: bases, data, prompts, and the grid, whose every combination is a recipe."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from harness import registry
from harness.training.needs import read_needs
from harness.training.reward_settings import PREFIX as TASK
from harness.types import SkilldeltaError
from harness.world.skills import SKILLS

NONE = "-"  # the label of what does not apply
COPY = "copy"  # the method that puts the SFT model under a second name; a comparison with it must find nothing
OLD_NAMES = {"again": COPY}  # as older study files have it
# The trainers of models that a study needs without naming a method.
BUILDERS = {"base model": "pretrain", "SFT model": "sft", "reward model": "reward"}


@dataclass(frozen=True)
class StudyBase:
    """Where a family of runs starts: a model of the world, pre-trained and fine-tuned here, or the SFT model in `path`."""

    path: str = ""
    documents: int = 64_000  # for pre-training
    shape: Mapping[str, Any] = field(default_factory=dict)  # settings of `train pretrain`


@dataclass(frozen=True)
class PreferenceSource:
    """Preference pairs: kinds of the world's ratings, or files in any format that the trainers read."""

    kinds: tuple[str, ...] = ()
    files: tuple[str, ...] = ()


@dataclass(frozen=True)
class PromptSource:
    """What a policy answers in PPO: questions of the world about these skills (their shares as given), or files."""

    skills: tuple[str, ...] = tuple(SKILLS)
    files: tuple[str, ...] = ()


@dataclass(frozen=True)
class WorldSize:
    """How much of the embedded world there is."""

    chats: int = 8_000
    prompts: int = 3_600  # that preferences are collected for
    policy_prompts: int = 3_600
    samples: int = 3  # answers of each model of `answered_by` to each of these prompts
    answered_by: tuple[str, ...] = ()  # bases whose SFT models answer; (): the first


@dataclass(frozen=True)
class BestOfN:
    """Reward models asked directly: of `n` answers to each of `items` test questions a group, the best one is taken."""

    n: int = 16
    items: int = 60


@dataclass(frozen=True)
class GridEntry:
    """Recipes of the grid: every combination of what is listed, each with every seed.

    With `run`, the run folder (or checkpoint) exists already: it is scored, under the labels that the entry gives.
    """

    method: tuple[str, ...]  # a trainer, or "copy"
    base: tuple[str, ...] = ()  # (): the first
    data: tuple[str, ...] = ()
    size: tuple[str, ...] = ("full",)
    reward: tuple[str, ...] = ()  # the base that the reward model starts from, or task:NAME
    prompts: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)  # over the method's
    label: str = ""  # instead of the method's name; of an entry that is one recipe, the run's whole name
    seeds: tuple[int, ...] = ()  # (): the study's
    run: str = ""
    full: bool = False  # only with --full


@dataclass(frozen=True)
class StudySettings:
    """A study file."""

    summary: str
    grid: tuple[GridEntry, ...]
    tasks: str = "world"  # a suite, or a suite file
    seeds: tuple[int, ...] = (0,)
    bases: Mapping[str, StudyBase] = field(default_factory=dict)
    data: Mapping[str, PreferenceSource] = field(default_factory=dict)  # in addition to the world's own kinds
    sizes: Mapping[str, int] = field(default_factory=dict)  # pairs; "full" is all
    prompts: Mapping[str, PromptSource] = field(default_factory=lambda: {"general": PromptSource()})
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # by method
    world: WorldSize = field(default_factory=WorldSize)
    score: Mapping[str, Any] = field(default_factory=dict)  # flags of `skilldelta score`: batch_size, dtype, device ...
    best_of: BestOfN | None = None
    claims: str = ""
    name: str = ""


@dataclass(frozen=True)
class PlannedRun:
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
    is_single: bool = False  # is its label enough of a name?
    has_reward: bool = False  # is the reward at hand (a task, a folder), so that no reward model is trained?

    @property
    def makes(self) -> str:
        """The product of the run: "policy", "SFT model", "reward model"; a run by somebody else's method makes a policy."""
        return read_needs(self.method).makes if self.method in registry.modules("trainers") else "policy"

    @property
    def name(self) -> str:
        """The run's folder: what tells it from the others of the grid."""
        if self.label and self.is_single:
            return self.label + (f"-s{self.seed}" if self.seed else "")
        parts = [self.label or self.method, self.data, self.size if self.size != "full" else NONE, self.base]
        reward = re.sub(r"[^\w.,+]+", "-", self.reward.replace(TASK, "")).strip("-") if self.has_reward else self.reward
        parts += [f"by-{reward}" if self.reward != NONE else NONE, self.prompts]
        return "-".join([p for p in parts if p != NONE] + [f"s{self.seed}"])

    def labels(self) -> dict[str, str]:
        return {
            "method": self.label or self.method,
            "data": self.data,
            "size": self.size,
            "base": self.base,
            "reward": self.reward,
            "reward_data": self.data if self.reward != NONE and not self.has_reward else NONE,
            "prompts": self.prompts,
        }


def write_flags(name: str, value: Any) -> list[str]:
    """A setting as flags of a command: true is the flag alone, false and null are none, a list is the flag once for each."""
    flag = f"--{name.replace('_', '-')}"
    if isinstance(value, bool) or value is None:
        return [flag] if value else []
    return [f"{flag}={each}" for each in (value if isinstance(value, list) else [value])]


def expand_grid(study: StudySettings) -> Iterator[PlannedRun]:
    """Every run of the grid, in its order."""
    first = next(iter(study.bases))
    for entry in study.grid:
        for method in entry.method:
            for part, has_reward in divide_by_reward(entry, method, study.settings.get(method, {})):
                yield from expand_entry(part, method, first, study.seeds, has_reward)


def divide_by_reward(entry: GridEntry, method: str, settings: Mapping[str, Any]) -> Iterator[tuple[GridEntry, bool]]:
    """An entry as (part, are its rewards at hand?): tasks, or what a setting `reward` names as `skilldelta train` does.

    The other part trains reward models.  What is at hand needs no preference data, and tasks bring their own prompts.
    """
    needs = None if entry.run or method == COPY else read_needs(method)
    if needs is None or not needs.reward_model:
        yield entry, False
        return
    setting = str(entry.settings.get("reward", settings.get("reward", "")))
    tasks = (setting,) if setting else tuple(r for r in entry.reward if r.startswith(TASK))
    bases = () if setting else tuple(r for r in entry.reward if not r.startswith(TASK))
    if tasks:
        yield replace(entry, reward=tasks), True
    if bases or not tasks:
        yield replace(entry, reward=bases), False


def expand_entry(
    entry: GridEntry, method: str, first: str, seeds: Sequence[int], has_reward: bool = False
) -> Iterator[PlannedRun]:
    """The runs of one entry with one method; what the method does not need, or the entry leaves out, is NONE or the first."""
    choices = {"data": entry.data, "size": entry.size, "reward": entry.reward, "prompts": entry.prompts}
    bases = entry.base or (first,)
    if not entry.run:
        needs = None if method == COPY else read_needs(method)
        if needs is None or needs.makes == "SFT model":
            seeds = (0,)
        if needs and needs.makes == "reward model":
            bases = (NONE,)
        has_pairs = needs is not None and (needs.data == "pairs" or (needs.reward_model and not has_reward))
        uses_reward = needs is not None and (needs.reward_model or needs.makes == "reward model")
        if has_pairs and not entry.data:
            raise SkilldeltaError(f"A grid entry with the method {method} names its data.")
        choices["reward"] = (entry.reward or (first,)) if uses_reward else ()
        own_prompts = () if any(TASK in reward for reward in entry.reward) else ("general",)
        choices["prompts"] = (entry.prompts or own_prompts) if needs and needs.data == "prompts" else ()
        if not has_pairs:
            choices["data"] = choices["size"] = ()
    lists = [bases, *(choices[k] or (NONE,) for k in ("data", "size", "reward", "prompts"))]
    settings, is_single = tuple(sorted(entry.settings.items())), all(len(each) == 1 for each in lists)
    for base, data, size, reward, prompts in itertools.product(*lists):
        for seed in entry.seeds or seeds:
            labels = (method, base, data, size, reward, prompts, seed, entry.label)
            yield PlannedRun(*labels, settings, entry.run, is_single, has_reward)
