"""Study files: reads and checks one before anything runs; an error names the fault and what there is."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from harness import config, registry, suites
from harness.own_packages import ROOT
from harness.studies import claims_file
from harness.studies.grid import (
    COPY,
    OLD_NAMES,
    BestOfN,
    GridEntry,
    PreferenceSource,
    PromptSource,
    StudyBase,
    StudySettings,
    WorldSize,
    expand_grid,
)
from harness.studies.grid_checks import check_amounts, check_grid_settings, check_runs_elsewhere
from harness.studies.places import absolute_path
from harness.training.needs import Needs, read_needs
from harness.training.reward_settings import PREFIX as TASK
from harness.types import SkilldeltaError, unknown_name
from harness.world.ratings import DATA_KINDS
from harness.world.skills import SKILLS
from harness.yaml_files import find_yaml

FOLDER = ROOT / "harness" / "studies"  # those that come with the program
MAX_RUNS = 10_000  # of a grid
RUN_NAME = re.compile(r"(?!\.{1,2}$)[^/\0]{1,200}")
SECRET_NAME = re.compile(r"key|token|secret|passw|credential", re.IGNORECASE)
VARIABLE = re.compile(r"\$\{(\w+)(?::-([^{}]*))?\}")  # ${NAME}, or ${NAME:-what stands for it where it is not set}


def bundled_studies() -> list[str]:
    """The studies that come with the program."""
    return sorted(p.stem for p in FOLDER.glob("*.yaml") if has_grid(p))


def has_grid(path: Path) -> bool:
    """Whether a file is a study's: others there hold claims."""
    return "grid" in config.load_yaml(path)


def find_study(name: str) -> Path:
    """A file, or a study that comes with the program."""
    return find_yaml(name, "study", FOLDER, has_grid)


def read_study_file(path: Path, full: bool = True) -> StudySettings:
    """The study in a file; without `full`, less what it marks so."""
    values = config.load_yaml(path)
    if not full and isinstance(values.get("grid"), list):
        values["grid"] = [e for e in values["grid"] if not (isinstance(e, dict) and e.get("full"))]
    settings = config.build_config(StudySettings, build_parts(list_values(expand_variables(values))))
    if not settings.grid:
        raise SkilldeltaError(f"{path} has an empty grid.")
    study = replace(
        settings,
        name=settings.name or path.stem,
        tasks=absolute_path(settings.tasks),
        claims=absolute_path(settings.claims),
    )
    check_names(study)
    return study


def expand_variables(value: Any) -> Any:
    """A study file's content with ${NAME} and ${NAME:-else} replaced from the environment: folders differ between machines.

    Raises SkilldeltaError for a variable that is not set and has nothing to stand for it.
    """
    if isinstance(value, dict):
        return {k: expand_variables(v) for k, v in value.items()}
    if isinstance(value, list):
        return [expand_variables(v) for v in value]
    return VARIABLE.sub(read_variable, value) if isinstance(value, str) else value


def read_variable(match: re.Match[str]) -> str:
    """The value of one variable.  A stranger's file names no secrets: values are written into commands, marks and logs."""
    if SECRET_NAME.search(match[1]):
        raise SkilldeltaError(f"The study names ${{{match[1]}}}, which is called like a secret: studies read folders alone.")
    value = os.environ.get(match[1]) or match[2]
    if value is None:
        raise SkilldeltaError(f"The study names ${{{match[1]}}}, and this variable is not set: export {match[1]}=FOLDER.")
    return value


def list_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """The grid's entries with single values as lists of one, their keys checked by name."""
    fields = GridEntry.__dataclass_fields__
    entries = values.get("grid") or []
    if not isinstance(entries, list) or not all(isinstance(e, dict) for e in entries):
        raise SkilldeltaError("The grid of a study is a list of entries, each with a method.")
    entries_of_lists = []
    for entry in entries:
        for key in entry:
            if key not in fields:
                raise unknown_name("key of a grid entry", str(key), fields)
        lists = {k: v for k, v in entry.items() if k in ("settings", "label", "run", "full") or isinstance(v, list)}
        methods_of_entry = lists.get("method", [entry.get("method")])
        lists["method"] = [OLD_NAMES.get(str(m), m) for m in methods_of_entry]
        entries_of_lists.append({k: lists.get(k, [v]) for k, v in entry.items()} | {"run": absolute_path(entry.get("run", ""))})
    return {**values, "grid": entries_of_lists}


NAMED_PARTS = {"bases": StudyBase, "data": PreferenceSource, "prompts": PromptSource}


def build_parts(values: Mapping[str, Any]) -> dict[str, Any]:
    """The named parts built one by one, so that an unknown key of theirs is an error too."""
    values_by_part = dict(values)
    for key, kind in NAMED_PARTS.items():
        if key in values_by_part:
            parts = values_by_part[key] or {}
            if not isinstance(parts, Mapping):
                raise SkilldeltaError(f"`{key}` of a study is names, each with its settings, not {type(parts).__name__}.")
            values_by_part[key] = {str(name): config.build_config(kind, part or {}) for name, part in parts.items()}
    values_by_part["bases"] = {n: replace(b, path=absolute_path(b.path)) for n, b in values_by_part.get("bases", {}).items()}
    for key in ("data", "prompts"):
        if key in values_by_part:
            values_by_part[key] = {
                n: replace(p, files=tuple(map(absolute_path, p.files))) for n, p in values_by_part[key].items()
            }
    for key, kind in (("world", WorldSize), ("best_of", BestOfN)):
        if key in values_by_part:
            values_by_part[key] = config.build_config(kind, values_by_part[key] or {})
    return values_by_part


def check_names(study: StudySettings) -> None:
    """Every name in the grid is the name of something; every setting is one of its method."""
    suites.load_suite(study.tasks)
    if study.claims:
        claims_file.read(claims_file.find(study.claims))
    if not study.bases:
        raise SkilldeltaError("A study has bases: name at least one, with its `shape` or its `path`.")
    for name, base in study.bases.items():
        check_shape(name, base.shape)
    for method, settings in study.settings.items():
        check_settings(method, settings)
    sizes = {"full", *study.sizes}
    kinds = {*DATA_KINDS, *study.data}
    for name, data in study.data.items():
        check_known("kind of data", data.kinds, DATA_KINDS)
        if bool(data.kinds) == bool(data.files):
            raise SkilldeltaError(f"The data {name!r} have either kinds (of the world) or files.")
    for prompts in study.prompts.values():
        check_known("skill of prompts", prompts.skills, SKILLS)
    check_known("base", study.world.answered_by, study.bases)
    for entry in study.grid:
        check_known("method", entry.method if not entry.run else (), grid_methods())
        check_known("base", entry.base if not entry.run else (), study.bases)
        check_rewards(entry.reward if not entry.run else (), study.bases)
        check_known("data", entry.data if not entry.run else (), kinds)
        check_known("size", entry.size if not entry.run else (), sizes)
        check_known("set of prompts", entry.prompts if not entry.run else (), study.prompts)
        for method in entry.method:
            if not entry.run and method != COPY:
                check_settings(method, entry.settings)
    check_amounts(study)
    check_grid_settings(study)
    check_run_names(study)
    check_runs_elsewhere(expand_grid(study))


def check_run_names(study: StudySettings) -> None:
    """The grid is of a size that somebody trains, and each of its runs has a name of its own."""
    names = Counter(r.name for r in islice(expand_grid(study), MAX_RUNS + 1))
    if names.total() > MAX_RUNS:
        raise SkilldeltaError(f"The grid has more than {MAX_RUNS:,} runs: nobody trains so many.  Name fewer combinations.")
    if unusable := [name for name in names if not RUN_NAME.fullmatch(name)]:
        raise SkilldeltaError(f"A run of the grid would be named {unusable[0][:100]!r}...: it must be the name of a folder.")
    if repeated_names := sorted(name for name, count in names.items() if count > 1):
        raise SkilldeltaError(f"The grid holds {', '.join(repeated_names)} more than once: give one entry a label.")


def check_known(noun: str, names: Iterable[str], known_names: Iterable[str]) -> None:
    existing = list(known_names)
    for name in names:
        if name not in existing:
            raise unknown_name(noun, name, existing)


def check_rewards(rewards: Iterable[str], bases: Iterable[str]) -> None:
    """A reward of a grid entry is a base, whose reward model is trained, or the scorer of a task."""
    tasks, others = [r for r in rewards if r.startswith(TASK)], [r for r in rewards if not r.startswith(TASK)]
    check_known("base of a reward model", others, bases)
    check_known("task", (r.removeprefix(TASK) for r in tasks), registry.tasks() if tasks else ())


def check_shape(name: str, shape: Mapping[str, Any]) -> None:
    """SkilldeltaError where the shape of a base is none that `train pretrain` could make."""
    try:
        check_settings("pretrain", shape)
    except SkilldeltaError as error:
        raise SkilldeltaError(f"The shape of the base {name!r}: {error}") from error


def grid_methods() -> list[str]:
    """The methods that a grid may name: every trainer of something that is scored or ranks answers, and the copy."""
    trainers = {method: read_needs(method) for method in registry.modules("trainers")}
    return [COPY, *(method for method, needs in trainers.items() if needs.makes != "base model" and has_data_for(needs))]


def has_data_for(needs: Needs) -> bool:
    """Does a study have this kind of data for a trainer of this product?"""
    return needs.data in ("pairs", "prompts") or needs.makes == "SFT model"


def check_settings(method: str, settings: Mapping[str, Any]) -> None:
    """Settings that the method's trainer has, each of its type."""
    config.build_config(config.settings_class(registry.module("trainers", method)), settings)
