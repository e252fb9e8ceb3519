"""Study files: read, every fault told with what there is, before anything runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness import config, registry, suites
from harness.own_packages import ROOT
from harness.studies import claims_file
from harness.studies.grid import COPY, OLD_NAMES, Base, BestOf, Data, Entry, Prompts, Study, World, recipes
from harness.training.needs import Needs, read_needs
from harness.types import SkilldeltaError, unknown_name
from harness.world.ratings import DATA_KINDS
from harness.world.skills import SKILLS

FOLDER = ROOT / "harness" / "studies"  # those that come with the program


def known() -> list[str]:
    """The studies that come with the program."""
    return sorted(p.stem for p in FOLDER.glob("*.yaml") if "grid" in config.load_yaml(p))


def find(name: str) -> Path:
    """A file, or a study that comes with the program."""
    if name.endswith((".yaml", ".yml")):
        return Path(name)
    if name not in known():
        raise unknown_name("study", name, known())
    return FOLDER / f"{name}.yaml"


def read(path: Path, full: bool = True) -> Study:
    """The study in a file; without `full`, less what it marks so."""
    found = config.build_config(Study, parts(listed(config.load_yaml(path))))
    if not found.grid:
        raise SkilldeltaError(f"{path} has an empty grid.")
    ready = replace(
        found,
        name=found.name or path.stem,
        tasks=located(found.tasks),
        claims=located(found.claims),
        grid=tuple(e for e in found.grid if full or not e.full),
    )
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
                raise unknown_name("key of a grid entry", str(key), fields)
        single = {k: v for k, v in entry.items() if k in ("settings", "label", "run", "full") or isinstance(v, list)}
        methods_of_entry = single.get("method", [entry.get("method")])
        single["method"] = [OLD_NAMES.get(str(m), m) for m in methods_of_entry]
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
            ready[key] = {name: config.build_config(kind, told or {}) for name, told in (ready[key] or {}).items()}
    ready["bases"] = {n: replace(b, path=located(b.path)) for n, b in ready.get("bases", {}).items()}
    for key in ("data", "prompts"):
        if key in ready:
            ready[key] = {n: replace(p, files=tuple(map(located, p.files))) for n, p in ready[key].items()}
    for key, one in (("world", World), ("best_of", BestOf)):
        if key in ready:
            ready[key] = config.build_config(one, ready[key] or {})
    return ready


def check(study: Study) -> None:
    """Every name in the grid is the name of something; every setting is one of its method."""
    suites.load_suite(study.tasks)
    if study.claims:
        claims_file.read(claims_file.find(study.claims))
    if not study.bases:
        raise SkilldeltaError("A study has bases: name at least one, with its `shape` or its `path`.")
    for method, settings in study.settings.items():
        check_settings(method, settings)
    sizes = {"full", *study.sizes}
    kinds = {*DATA_KINDS, *study.data}
    for name, data in study.data.items():
        one_of("kind of data", data.kinds, DATA_KINDS)
        if bool(data.kinds) == bool(data.files):
            raise SkilldeltaError(f"The data {name!r} have either kinds (of the world) or files.")
    for prompts in study.prompts.values():
        one_of("skill of prompts", prompts.skills, SKILLS)
    one_of("base", study.world.answered_by, study.bases)
    for entry in study.grid:
        one_of("method", entry.method if not entry.run else (), methods())
        one_of("base", entry.base if not entry.run else (), study.bases)
        one_of("base of a reward model", entry.reward if not entry.run else (), study.bases)
        one_of("data", entry.data if not entry.run else (), kinds)
        one_of("size", entry.size if not entry.run else (), sizes)
        one_of("set of prompts", entry.prompts if not entry.run else (), study.prompts)
        for method in entry.method:
            if not entry.run and method != COPY:
                check_settings(method, entry.settings)
    names = [r.name for r in recipes(study)]
    if twice := sorted({n for n in names if names.count(n) > 1}):
        raise SkilldeltaError(f"The grid holds {', '.join(twice)} more than once: give one entry a label.")


def one_of(noun: str, names: Iterable[str], known: Iterable[str]) -> None:
    there = list(known)
    for name in names:
        if name not in there:
            raise unknown_name(noun, name, there)


def methods() -> list[str]:
    """The methods that a grid may name: every trainer of something that is scored or ranks answers, and the copy."""
    trainers = {method: read_needs(method) for method in registry.modules("trainers")}
    return [COPY, *(method for method, needs in trainers.items() if needs.makes != "base model" and is_fed(needs))]


def is_fed(needs: Needs) -> bool:
    """Does a study have this kind of data for a trainer of this product?"""
    return needs.data in ("pairs", "prompts") or needs.makes == "SFT model"


def check_settings(method: str, settings: Mapping[str, Any]) -> None:
    """Settings that the method's trainer has, each of its type."""
    config.build_config(config.settings_class(registry.module("trainers", method)), settings)
