"""What a study file says: the parts that recipes are made of, and the grid of recipes.  Checked before anything runs."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from harness import config, registry, suites
from harness.types import SkilldeltaError
from harness.world.ratings import KINDS
from harness.world.skills import SKILLS

FOLDER = registry.ROOT / "harness" / "studies"
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
    label: str = ""  # the method's label, where it is not its name
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

    @property
    def name(self) -> str:
        """The run's folder: what tells it from the others of the grid."""
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


def known() -> list[str]:
    """The studies that come with the program."""
    return sorted(p.stem for p in FOLDER.glob("*.yaml") if "grid" in config.load_yaml(p))


def find(name: str) -> Path:
    """A file, or a study that comes with the program."""
    if name.endswith((".yaml", ".yml")):
        return Path(name)
    if name not in known():
        raise registry.unknown("study", name, known())
    return FOLDER / f"{name}.yaml"


def read(path: Path, full: bool = True) -> Study:
    """The study in a file; every fault is an error that says what there is."""
    found = config.build(Study, parts(listed(config.load_yaml(path))))
    if not found.grid:
        raise SkilldeltaError(f"{path} has an empty grid.")
    ready = Study(**{**vars(found), "name": found.name or path.stem, "tasks": located(found.tasks), "grid": tuple(e for e in found.grid if full or not e.full)})
    check(ready)
    return ready


def listed(values: Mapping[str, Any]) -> dict[str, Any]:
    """The grid's entries with single values as lists of one, their keys checked by name."""
    fields = Entry.__dataclass_fields__
    entries = values.get("grid") or []
    if not isinstance(entries, list) or not all(isinstance(e, dict) for e in entries):
        raise SkilldeltaError("The grid of a study is a list of entries, each with a method.")
    ready = []
    for entry in entries:
        for key in entry:
            if key not in fields:
                raise registry.unknown("key of a grid entry", str(key), fields)
        single = {k: v for k, v in entry.items() if k in ("settings", "label", "run", "full") or isinstance(v, list)}
        ready.append({k: single.get(k, [v]) for k, v in entry.items()} | {"run": located(str(entry.get("run", "")))})
    return {**values, "grid": ready}


def located(path: str) -> str:
    """A path that exists as an absolute one, for stages run elsewhere; else as it is: a Hub name."""
    return str(Path(path).resolve()) if path and Path(path).exists() else path


PARTS = {"bases": Base, "data": Data, "prompts": Prompts}


def parts(values: Mapping[str, Any]) -> dict[str, Any]:
    """The named parts built one by one, so that an unknown key of theirs is an error too."""
    ready = dict(values)
    for key, kind in PARTS.items():
        if key in ready:
            ready[key] = {name: config.build(kind, told or {}) for name, told in (ready[key] or {}).items()}
    ready["bases"] = {n: replace(b, path=located(b.path)) for n, b in ready.get("bases", {}).items()}
    for key in ("data", "prompts"):
        if key in ready:
            ready[key] = {n: replace(p, files=tuple(map(located, p.files))) for n, p in ready[key].items()}
    for key, one in (("world", World), ("best_of", BestOf)):
        if key in ready:
            ready[key] = config.build(one, ready[key] or {})
    return ready


def check(study: Study) -> None:
    """Every name in the grid is the name of something; every setting is one of its method."""
    suites.load(study.tasks)
    if not study.bases:
        raise SkilldeltaError("A study has bases: name at least one, with its `shape` or its `path`.")
    for method, settings in study.settings.items():
        check_settings(method, settings)
    sizes = {"full", *study.sizes}
    kinds = {*KINDS, *study.data}
    for name, data in study.data.items():
        one_of("kind of data", data.kinds, KINDS)
        if bool(data.kinds) == bool(data.files):
            raise SkilldeltaError(f"The data {name!r} have either kinds (of the world) or files.")
    for prompts in study.prompts.values():
        one_of("skill of prompts", prompts.skills, SKILLS)
    one_of("base", study.world.answered_by, study.bases)
    for entry in study.grid:
        one_of("method", entry.method if not entry.run else (), ("sft", "reward", *TUNED, "again"))
        one_of("base", entry.base if not entry.run else (), study.bases)
        one_of("base of a reward model", entry.reward if not entry.run else (), study.bases)
        one_of("data", entry.data if not entry.run else (), kinds)
        one_of("size", entry.size if not entry.run else (), sizes)
        one_of("set of prompts", entry.prompts if not entry.run else (), study.prompts)
        for method in entry.method:
            if not entry.run and method != "again":
                check_settings(method, entry.settings)
    names = [r.name for r in recipes(study)]
    if twice := sorted({n for n in names if names.count(n) > 1}):
        raise SkilldeltaError(f"The grid holds {', '.join(twice)} more than once: give one entry a label.")


def one_of(noun: str, names: Iterable[str], known: Iterable[str]) -> None:
    there = list(known)
    for name in names:
        if name not in there:
            raise registry.unknown(noun, name, there)


def check_settings(method: str, settings: Mapping[str, Any]) -> None:
    """Settings that the method's trainer has, each of its type."""
    config.build(registry.module("trainers", method).Config, settings)


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
    lists = [bases, *(uses[k] or (NONE,) for k in ("data", "size", "reward", "prompts")), entry.seeds or seeds]
    for base, data, size, reward, prompts, seed in itertools.product(*lists):
        settings = tuple(sorted(entry.settings.items()))
        yield Recipe(method, base, data, size, reward, prompts, int(seed), entry.label, settings, entry.run)
