"""What a stage is likely to cost, in seconds of one processor core: before it is run, from parameters and tokens."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from harness import config, registry, suites
from harness.bounded_files import read_json
from harness.studies.grid import BUILDERS, COPY, NONE, PlannedRun, StudyBase, StudySettings
from harness.studies.grid_checks import reward_name
from harness.studies.plan import StudyPlan
from harness.training.needs import read_needs

# Measured on the studies that come with the program, on one core of an AMD server: training takes about (parameters + 0.25 M)
# x 1e-10 s a token from 0.05 M to 5 M parameters (float32); a forward pass takes a third of that; 0.25 M is what small
# products cost.
SECONDS_PER_PARAMETER, OVERHEAD_PARAMETERS = 1e-10, 0.25e6
TEXT, CHAT, PAIR, EPISODE = 35, 33, 48, 33  # tokens of the world's rows (texts are short, and fill their batches badly)
REAL_TEXT, REAL_PROMPT, REAL_QUESTION = 300, 100, 150  # tokens of real rows: a text at most, a prompt, a question with answer
START_SECONDS = 1.0  # seconds until a stage's process works
WORLD_SUITES = ("world", "world-validation")
QUESTIONS, QUESTIONS_DRAWN = 2200, 480  # questions of the world, and those of one draw


def parameter_count(base: StudyBase) -> float | None:
    """The size of a base model: of its shape, or of the config.json in its folder; None where neither tells."""
    try:
        model_config = read_json(Path(base.path) / "config.json") if base.path else {}
    except (OSError, ValueError):
        return None
    shape: Mapping[str, Any] = {"hidden": 64, "layers": 3, "feedforward": 192, "vocabulary": 1024, **base.shape}
    if base.path:
        names = {"hidden": "hidden_size", "layers": "num_hidden_layers", "feedforward": "intermediate_size",
                 "vocabulary": "vocab_size"}  # fmt: skip
        shape = {ours: model_config.get(theirs, 0) for ours, theirs in names.items()}
    try:
        d, layers, feedforward, vocabulary = (int(shape[name]) for name in ("hidden", "layers", "feedforward", "vocabulary"))
        return float(layers * (4 * d * d + 3 * d * feedforward) + d * vocabulary)
    except (TypeError, ValueError, OverflowError):  # a config.json of a stranger's may hold anything
        return None


def stage_seconds(plan: StudyPlan) -> dict[str, float | None]:
    """Each stage's cost; None where nothing is known of it."""
    sizes = {name: parameter_count(base) for name, base in plan.study.bases.items()}
    runs = {r.name: r for r in plan.runs} | {reward_name(r): r for r in plan.rewards.values()}
    return {name: stage_cost(plan, name, runs, sizes) for name in plan.stages}


def stage_cost(plan: StudyPlan, name: str, runs: Mapping[str, PlannedRun], sizes: Mapping[str, float | None]) -> float | None:
    study = plan.study
    kind, _, rest = name.partition("-")
    size = sizes.get(rest) if kind in ("base", "sft") else sizes[plan.first_base]
    if kind == "data":
        return START_SECONDS + 1e-4 * max(b.documents for b in study.bases.values())
    if kind == "base" and size is not None:
        return START_SECONDS + study.bases[rest].documents * TEXT * seconds_per_token(size)
    if kind == "sft" and size is not None and name in plan.stages:
        return START_SECONDS + read_needs(BUILDERS["SFT model"]).cost * study.world.chats * CHAT * seconds_per_token(size)
    if kind in ("pool", "draws") and size is not None:
        rows = (
            study.world.prompts * study.world.samples
            if kind == "pool"
            else QUESTIONS_DRAWN * (study.best_of.n if study.best_of else 0)
        )
        return START_SECONDS + rows * EPISODE * seconds_per_token(size) * 0.7
    if kind in ("score", "choose", "first"):
        if size is None or (tokens := question_tokens(study.tasks)) is None:
            return None
        return START_SECONDS + tokens * seconds_per_token(size) * len(plan.stages[name].needs or (name,))
    return training_cost(plan, runs[name], kind == "reward", sizes)


def training_cost(plan: StudyPlan, recipe: PlannedRun, is_reward: bool, sizes: Mapping[str, float | None]) -> float | None:
    """Rows times tokens times the trainer's cost per token; `is_reward`: of the reward model that the recipe needs."""
    size = sizes[recipe.reward if is_reward else recipe.base]
    if size is None:
        return None
    if recipe.method == COPY:
        return START_SECONDS
    method = BUILDERS["reward model"] if is_reward and recipe.makes != "reward model" else recipe.method
    needs = read_needs(method)
    own = dict(recipe.settings) if method == recipe.method else {}
    settings = {**plan.study.settings.get(method, {}), **own}

    def number(name: str) -> float:
        default = getattr(config.settings_class(registry.module("trainers", method)), name, 0) if name not in settings else 0
        return float(settings.get(name, default) or 0)

    rows_and_tokens = (count_episodes if needs.data == "prompts" else count_pairs)(plan.study, recipe, number)
    if rows_and_tokens is None:
        return None
    rows, tokens = rows_and_tokens
    reward_size = sizes.get(recipe.reward) or size if needs.reward_model and not recipe.has_reward else 0.0
    return START_SECONDS + rows * tokens * (
        needs.cost * seconds_per_token(size) + needs.reward_cost * seconds_per_token(reward_size)
    )


def question_tokens(suite: str) -> float | None:
    """The tokens of a suite's questions that count like training; None where the suite does not limit a task's questions."""
    if suite in WORLD_SUITES:
        return 0.6 * QUESTIONS * EPISODE
    limits = [part.limit for part in suites.find_suite(suite).parts]
    return None if None in limits else sum(filter(None, limits)) * REAL_QUESTION / 3


def count_episodes(study: StudySettings, recipe: PlannedRun, number: Callable[[str], float]) -> tuple[float, float]:
    """Answers that a policy gives in training, and the tokens of each."""
    is_real = recipe.has_reward or (recipe.prompts != NONE and bool(study.prompts[recipe.prompts].files))
    steps = number("max_steps") or study.world.policy_prompts // number("batch")
    return number("batch") * steps, REAL_PROMPT + number("max_new") if is_real else EPISODE


def count_pairs(study: StudySettings, recipe: PlannedRun, number: Callable[[str], float]) -> tuple[float, float] | None:
    """Pairs that are trained on, and the tokens that count for each; None where nobody has counted the rows of its files."""
    mixture = study.data.get(recipe.data)
    is_real, parts = bool(mixture and mixture.files), len(mixture.kinds) or 1 if mixture else 1
    world_pairs = math.inf if is_real else 0.95 * study.world.prompts
    pairs = {"full": world_pairs, **study.sizes}[recipe.size] * parts  # a mixture is as large as its parts
    rows = min(pairs * number("epochs"), number("max_steps") * number("batch") or math.inf)
    if math.isinf(rows):
        return None
    return rows, min(number("max_length") or REAL_TEXT, REAL_TEXT) if is_real else PAIR


def seconds_per_token(size: float) -> float:
    """Seconds of training for each token."""
    return (size + OVERHEAD_PARAMETERS) * SECONDS_PER_PARAMETER
