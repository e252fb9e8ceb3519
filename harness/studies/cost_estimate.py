"""What a stage is likely to cost, in seconds of one processor core: before it is run, from parameters and tokens."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness import config, registry
from harness.integrity import read_json
from harness.studies.grid import BUILDERS, COPY, Base, Recipe
from harness.studies.plan import Plan, reward_of
from harness.training.needs import read_needs

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
    study = plan.study
    kind, _, rest = name.partition("-")
    size = sizes.get(rest) if kind in ("base", "sft") else sizes[plan.first]
    if kind == "data":
        return START + 1e-4 * max(b.documents for b in study.bases.values())
    if kind == "base" and size is not None:
        return START + study.bases[rest].documents * TEXT * rate(size)
    if kind == "sft" and size is not None and name in plan.stages:
        return START + read_needs(BUILDERS["SFT model"]).cost * study.world.chats * CHAT * rate(size)
    if kind in ("pool", "draws") and size is not None:
        rows = (
            study.world.prompts * study.world.samples if kind == "pool" else DRAWN * (study.best_of.n if study.best_of else 0)
        )
        return START + rows * EPISODE * rate(size) * 0.7
    if kind in ("score", "choose", "first"):
        return None if size is None else START + 0.6 * SCORED * EPISODE * rate(size) * len(plan.stages[name].needs or (name,))
    return training_cost(plan, runs[name], kind == "reward", sizes)


def training_cost(plan: Plan, recipe: Recipe, is_reward: bool, sizes: Mapping[str, float | None]) -> float | None:
    """Rows times tokens times the trainer's cost per token; `is_reward`: of the reward model that the recipe needs."""
    size = sizes[recipe.reward if is_reward else recipe.base]
    if size is None:
        return None
    if recipe.method == COPY:
        return START
    method = BUILDERS["reward model"] if is_reward and recipe.makes != "reward model" else recipe.method
    needs = read_needs(method)
    own = dict(recipe.settings) if method == recipe.method else {}
    settings = {**plan.study.settings.get(method, {}), **own}

    def number(name: str) -> float:
        default = getattr(config.settings_class(registry.module("trainers", method)), name, 0) if name not in settings else 0
        return float(settings.get(name, default) or 0)

    if needs.data == "prompts":
        steps = int(number("max_steps")) or plan.study.world.policy_prompts // int(number("batch"))
        rows, tokens = number("batch") * steps, EPISODE
    else:
        pairs = {"full": 0.95 * plan.study.world.prompts, **plan.study.sizes}[recipe.size]
        mixture = plan.study.data.get(recipe.data)  # a mixture is as large as its parts
        rows, tokens = pairs * (len(mixture.kinds) or 1 if mixture else 1) * number("epochs"), PAIR
    reward_size = sizes[recipe.reward] or size if needs.reward_model else 0.0
    return START + rows * tokens * (needs.cost * rate(size) + needs.reward_cost * rate(reward_size))


def rate(size: float) -> float:
    """Seconds of training for each token."""
    return (size + SMALL) * SECONDS
