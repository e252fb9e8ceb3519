"""study.json: which run is which recipe, for whoever reads the results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness import discovery
from harness.integrity import read_json
from harness.store import Results, folder_name, write_json
from harness.studies.plan import Plan

FILE = "study.json"
RESULTS, BEST_OF = "results", "best-of-n"


def write(folder: Path, plan: Plan) -> dict[str, Any]:
    """Writes study.json, and gives what it says."""
    study = plan.study
    cells = [cell(folder, f"sft-{b}", plan, sft_labels(b), 0) for b in study.bases if plan.studied(b)]
    tuned = [r for r in plan.recipes if r.method not in ("sft", "reward")]
    cells += [cell(folder, r.name, plan, r.labels(), r.seed) for r in tuned]
    told: dict[str, Any] = {
        "name": study.name,
        "baseline": cells[0]["checkpoint"],
        "results": RESULTS,
        "best_of": None,
        "cells": cells,
        "rewards": [],
    }
    if study.best_of and plan.rewards:
        told["best_of"] = {"results": BEST_OF, "baseline": "first", "n": study.best_of.n}
        told["rewards"] = [
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
    write_json(folder / FILE, told)
    return told


def sft_labels(base: str) -> dict[str, str]:
    nothing = dict.fromkeys(("data", "size", "reward", "reward_data", "prompts"), "-")
    return {"method": "sft", "base": base, **nothing}


def cell(folder: Path, name: str, plan: Plan, labels: dict[str, str], seed: int) -> dict[str, Any]:
    """A run with the name of its last checkpoint in the results."""
    place = plan.place(name, {r.name: r.run for r in plan.recipes})
    path = folder / place  # an absolute path stays what it is
    found = discovery.checkpoints([str(path) if path.exists() else place])
    scored = Results(folder / RESULTS).checkpoints()
    last = [c.name for c in found if c.name in scored][-1]
    return {"checkpoint": last, "run": place, "labels": labels, "seed": seed}
