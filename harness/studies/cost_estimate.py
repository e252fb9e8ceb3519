"""What a stage is likely to cost, in seconds of one processor core: before it is run, from parameters and tokens."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.integrity import read_json
from harness.studies.grid import Base, Recipe
from harness.studies.plan import Plan, reward_of

# Measured on the studies that come with the program, on one core of an AMD server: training takes about (parameters + 0.25 M)
# x 1e-10 s a token from 0.05 M to 5 M parameters (float32); a forward pass takes a third of that; 0.25 M is what small
# products cost.
SECONDS, SMALL = 1e-10, 0.25e6
TEXT, CHAT, PAIR, EPISODE = 35, 33, 48, 33  # tokens of the world's rows (texts are short, and fill their batches badly)
START = 1.0  # seconds until a stage's process works
SCORED, DRAWN = 2200, 480  # questions of the world, and those of one draw


def parameters(base: Base) -> float | None:
    """The size of a base model: of its shape, or of the config.json in its folder; None where neither tells."""
    try:
        told = read_json(Path(base.path) / "config.json") if base.path else {}
    except (OSError, ValueError):
        return None
    shape: Mapping[str, Any] = {"hidden": 64, "layers": 3, "feedforward": 192, "vocabulary": 1024, **base.shape}
    if base.path:
        names = {"hidden": "hidden_size", "layers": "num_hidden_layers", "feedforward": "intermediate_size",
                 "vocabulary": "vocab_size"}  # fmt: skip
        shape = {ours: told.get(theirs, 0) for ours, theirs in names.items()}
    d = int(shape["hidden"])
    return int(shape["layers"]) * (4 * d * d + 3 * d * int(shape["feedforward"])) + d * int(shape["vocabulary"])


def seconds(plan: Plan) -> dict[str, float | None]:
    """Each stage's cost; None where nothing is known of it."""
    sizes = {name: parameters(base) for name, base in plan.study.bases.items()}
    runs = {r.name: r for r in plan.recipes} | {reward_of(r): r for r in plan.rewards.values()}
    return {name: cost(plan, name, runs, sizes) for name in plan.stages}


def cost(plan: Plan, name: str, runs: Mapping[str, Recipe], sizes: Mapping[str, float | None]) -> float | None:
    study, settings = plan.study, plan.study.settings
    kind, _, rest = name.partition("-")
    size = sizes.get(rest) if kind in ("base", "sft") else sizes[plan.first]
    pairs = {"full": 0.95 * study.world.prompts, **study.sizes}
    parts = {name: len(data.kinds) for name, data in study.data.items()}  # a mixture is as large as its parts
    if kind == "data":
        return START + 1e-4 * max(b.documents for b in study.bases.values())
    if kind == "base" and size is not None:
        return START + study.bases[rest].documents * TEXT * rate(size)
    if kind == "sft" and size is not None and name in plan.stages:
        return START + 1.25 * study.world.chats * CHAT * rate(size)
    if kind in ("pool", "draws") and size is not None:
        rows = (
            study.world.prompts * study.world.samples if kind == "pool" else DRAWN * (study.best_of.n if study.best_of else 0)
        )
        return START + rows * EPISODE * rate(size) * 0.7
    if kind in ("score", "choose", "first"):
        return None if size is None else START + 0.6 * SCORED * EPISODE * rate(size) * len(plan.stages[name].needs or (name,))
    recipe = runs[name]
    size = sizes[recipe.reward if kind == "reward" else recipe.base]
    if size is None:
        return None
    if recipe.method == "again":
        return START
    if kind == "reward":
        return START + 1.2 * pairs[recipe.size] * parts.get(recipe.data, 1) * PAIR * rate(size)
    told = {**settings.get(recipe.method, {}), **dict(recipe.settings)}
    if recipe.method == "dpo":
        return START + 1.4 * pairs[recipe.size] * float(told.get("epochs", 3)) * PAIR * rate(size)
    judge = sizes[recipe.reward] or size
    episodes = int(told.get("batch", 64)) * int(told.get("max_steps", 0) or study.world.policy_prompts // 64)
    return START + episodes * EPISODE * (1.9 * rate(size) + 1.4 * rate(judge))


def rate(size: float) -> float:
    """Seconds of training for each token."""
    return (size + SMALL) * SECONDS
