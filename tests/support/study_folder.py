"""Makes folders of finished studies for tests: true scores go in, what `skilldelta study` leaves comes out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from harness.atomic_files import write_json
from harness.types import SKILLS
from tests.support.results_folder import about, sample, store

LABELS = ("method", "data", "size", "base", "reward", "reward_data", "prompts")
MAIN = {"size": "full", "base": "medium"}
PPO = {"method": "ppo", **MAIN, "reward": "medium", "prompts": "general"}
STEPS = "7 + 5 = 12. The answer is 12."


def dpo(data: str = "aspects", **more: str) -> dict[str, str]:
    return {"method": "dpo", "data": data, **MAIN, **more}


def ppo(data: str = "aspects", **more: str) -> dict[str, str]:
    return {**PPO, "data": data, "reward_data": data, **more}


SFT = {"method": "sft", "base": "medium"}
Merit = Callable[[Mapping[str, str], str], float]  # the true score of a recipe's labels on a skill


@dataclass
class Made:
    """A study in the making.  `wobble`: the standard deviation of a run's own score around its recipe's."""

    folder: Path
    merit: Merit
    seeds: Sequence[int] = (0, 1, 2)
    skills: Sequence[str] = SKILLS
    items: int = 300
    wobble: float = 0.01
    steps: Callable[[Mapping[str, str]], float] = lambda labels: 0.0
    source: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))

    def study(self, recipes: Sequence[Mapping[str, str]], rewards: Sequence[Mapping[str, str]] = ()) -> Path:
        """Stores every recipe with every seed (the SFT model once), and study.json."""
        self.hard = {s: self.source.normal(0, 0.2, self.items) for s in self.skills}
        cells = [c for labels in recipes for c in self.cells(labels)]
        made = [self.reward(labels, seed) for labels in rewards for seed in self.seeds]
        if made:
            self.answers("first", {"best": "first"}, "best-of-n")
        told = {"name": "toy", "baseline": cells[0]["checkpoint"], "results": "results", "cells": cells, "rewards": made}
        write_json(self.folder / "study.json", told | {"best_of": best_of() if made else None})
        return self.folder

    def cells(self, told: Mapping[str, str]) -> list[dict[str, Any]]:
        labels = {label: told.get(label, "-") for label in LABELS}
        seeds = (0,) if told["method"] == "sft" else self.seeds
        return [self.cell(labels, seed) for seed in seeds]

    def cell(self, labels: Mapping[str, str], seed: int) -> dict[str, Any]:
        name = "-".join([*(v for v in labels.values() if v != "-"), f"s{seed}"])
        self.answers(name, labels, "results")
        flops = {"sft": 1e9, "dpo": 2e9}.get(labels["method"], 8e9) * (1 + 0.01 * seed)
        write_json(self.folder / "runs" / name / "run.json", {"flops": flops, "seconds": {"update": flops / 1e9, "save": 1}})
        return {"checkpoint": name, "run": f"runs/{name}", "labels": dict(labels), "seed": seed}

    def reward(self, labels: Mapping[str, str], seed: int) -> dict[str, Any]:
        name = f"reward-{labels['reward_data']}-{labels['reward']}-s{seed}"
        self.answers(name, labels, "best-of-n")
        write_json(self.folder / "runs" / name / "run.json", {"flops": 1e9, "seconds": {"update": 1.0}})
        share = {"small": 0.7, "medium": 0.8, "large": 0.9}[labels["reward"]] + 0.005 * seed
        accuracy = {"share": share, "n": 1000, "right": round(1000 * share), "skills": {}}
        whole = {"size": "full", **labels}
        return {"name": name, "run": f"runs/{name}", "labels": whole, "seed": seed, "accuracy": accuracy, "best_of_n": name}

    def answers(self, name: str, labels: Mapping[str, str], into: str) -> None:
        """The same items for all; easy and hard ones are so for all."""
        for skill in self.skills:
            chance = self.merit(labels, skill) + self.hard[skill] + self.source.normal(0, self.wobble)
            right = (self.source.random(self.items) < chance).astype(float)
            shown = self.source.random(self.items) < self.steps(labels)
            lines = [
                sample(i, float(r), text=STEPS if s else "The answer is 12.")
                for i, (r, s) in enumerate(zip(right, shown, strict=True))
            ]
            store(self.folder / into, name, about(f"world_{skill.replace(' ', '_')}", skill), lines)


def best_of() -> dict[str, Any]:
    return {"results": "best-of-n", "baseline": "first", "n": 16}
