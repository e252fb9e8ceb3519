"""study.json: which trained model is which recipe, for everything that reads a study's results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import config, discovery
from harness.atomic_files import folder_name, write_json
from harness.bounded_files import UnreadableFileError, read_json, resolve_links
from harness.store import Results
from harness.studies.trained_model import NOT_APPLICABLE, TrainedModel
from harness.types import SkilldeltaError

if TYPE_CHECKING:
    from harness.studies.plan import StudyPlan

FILE = "study.json"
RESULTS, BEST_OF = "results", "best-of-n"
MAX_BYTES = 64_000_000  # of a study.json or run.json that is read


@dataclass(frozen=True)
class BestOfNResults:
    """The folder with the answers that reward models chose out of n, and the checkpoint there that chose nothing."""

    results: str
    baseline: str
    n: int


@dataclass(frozen=True)
class StudyRecord:
    """A study's folder, and its study.json."""

    folder: Path
    name: str
    baseline: str
    results: str
    policies: tuple[TrainedModel, ...]
    rewards: tuple[TrainedModel, ...] = ()
    best_of: BestOfNResults | None = None

    def reward_of(self, policy: TrainedModel) -> TrainedModel | None:
        """The reward model that a policy was tuned with, where the study made it."""
        return next((r for r in self.rewards if r.reward_key == policy.reward_key), None)

    def run_facts(self, model: TrainedModel) -> Mapping[str, Any]:
        """What a model's run.json says; {} where there is none."""
        path = self.folder / model.run / "run.json"
        return read_small_json(path) if path.is_file() else {}


def read(folder: Path) -> StudyRecord:
    """The record of a study's folder; SkilldeltaError where study.json is missing, damaged, or names a folder outside."""
    path = folder / FILE
    if not path.is_file():
        raise SkilldeltaError(f"{folder} holds no {FILE}: it is no study's folder (`skilldelta study FILE.yaml -o {folder}`).")
    try:
        values = read_small_json(path)
        facts: dict[str, Any] = {key: values[key] for key in ("name", "baseline", "results", "best_of") if key in values}
        models = {"policies": read_models(values.get("cells")), "rewards": read_models(values.get("rewards"))}
        record = config.build_config(StudyRecord, {"folder": folder, **facts, **models})
    except (SkilldeltaError, AttributeError, KeyError, TypeError) as error:
        raise SkilldeltaError(f"{path} does not describe a study: {error}") from error
    for results in (record.results, *([record.best_of.results] if record.best_of else [])):
        if not resolve_links(folder / results).is_relative_to(resolve_links(folder)):
            raise SkilldeltaError(f"{path} names {results!r}, which lies outside of the study's folder.")
    return record


def read_models(rows: list[dict[str, Any]] | None) -> list[TrainedModel]:
    """Policies or reward models.  A reward model that found no pair to rank has no accuracy."""
    models = []
    for row in rows or []:
        facts: dict[str, Any] = {key: row[key] for key in ("run", "labels", "seed") if key in row}
        accuracy = row.get("accuracy") or {}
        if accuracy.get("n"):
            facts["accuracy"] = {"share": accuracy["share"], "n": accuracy["n"]}
        checkpoint = row["checkpoint"] if "checkpoint" in row else row.get("best_of_n", "")
        models.append(config.build_config(TrainedModel, {"checkpoint": checkpoint, **facts}))
    return models


def read_small_json(path: Path) -> dict[str, Any]:
    if (size := path.stat().st_size) > MAX_BYTES:
        raise SkilldeltaError(f"{path} has {size:,} bytes: more than the {MAX_BYTES:,} that are read.")
    try:
        return read_json(path)
    except UnreadableFileError as error:
        raise SkilldeltaError(f"{path.parent}: {error}.") from error


def write(folder: Path, plan: StudyPlan) -> dict[str, Any]:
    """Writes study.json, and returns its content."""
    study = plan.study
    policies = [policy_facts(folder, f"sft-{b}", plan, sft_labels(b), 0) for b in study.bases if plan.is_scored(b)]
    tuned_runs = [r for r in plan.runs if r.makes == "policy"]
    policies += [policy_facts(folder, r.name, plan, r.labels(), r.seed) for r in tuned_runs]
    content: dict[str, Any] = {
        "name": study.name,
        "baseline": policies[0]["checkpoint"],
        "results": RESULTS,
        "best_of": None,
        "cells": policies,
        "rewards": [],
    }
    if study.best_of and plan.rewards:
        content["best_of"] = {"results": BEST_OF, "baseline": "first", "n": study.best_of.n}
        content["rewards"] = [
            {
                "name": name,
                "run": f"runs/{name}",
                "labels": {"reward": recipe.reward, "reward_data": recipe.data, "size": recipe.size},
                "seed": recipe.seed,
                "accuracy": read_json(folder / BEST_OF / "_accuracy" / f"{folder_name(name)}.json"),
                "best_of_n": name,
            }
            for name, recipe in plan.rewards.items()
        ]
    write_json(folder / FILE, content)
    return content


def sft_labels(base: str) -> dict[str, str]:
    labels = dict.fromkeys(("data", "size", "reward", "reward_data", "prompts"), NOT_APPLICABLE)
    return {"method": "sft", "base": base, **labels}


def policy_facts(folder: Path, name: str, plan: StudyPlan, labels: dict[str, str], seed: int) -> dict[str, Any]:
    """A run with the name of its last checkpoint in the results."""
    run = plan.run_folder(name, {r.name: r.run for r in plan.runs})
    path = folder / run  # an absolute path stays what it is
    records = Results(folder / RESULTS).checkpoints()
    # By their paths: two folders of one name, found together, were told apart by longer names.
    names = {resolve_links(folder / c.path): name for name, c in records.items()}
    matches = [name for place, name in names.items() if place.is_relative_to(resolve_links(path))]
    if path.exists() or not matches:  # what was scored may be gone since
        checkpoints = discovery.find_checkpoints([str(path) if path.exists() else run])
        matches = [names.get(resolve_links(folder / c.path)) or (c.name if c.name in records else "") for c in checkpoints]
    if not (own := [name for name in matches if name]):
        raise SkilldeltaError(
            f"{run} has no checkpoint in {folder / RESULTS}; there are: {', '.join(records) or 'none'}.  Score it, or delete "
            f"{folder / 'stages'} and run the study again: what is stored is not asked again."
        )
    return {"checkpoint": own[-1], "run": run, "labels": labels, "seed": seed}
