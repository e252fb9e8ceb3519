"""Reward models in use: the heads combined, the scale of the reward, accuracy and calibration."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from harness.integrity import BrokenWeightsError, weight_files
from harness.loading.headers import read_headers
from harness.loading.settings import LoadSettings
from harness.loading.whole_model import read_config
from harness.statistics.aggregates import critical_value
from harness.statistics.estimate import wilson_interval
from harness.training import batches, forward, messages, model_loading, settings, tokenization
from harness.training.reward_card import CARD, RewardCard, read_card
from harness.training.training_device import autocast, training_device
from harness.types import SkilldeltaError, digest
from harness.visible_text import show_value

BINS = 10
HEAD = re.compile(r"(?:^|\.)score\.")  # in the name of a weight


def head_weights(heads: Sequence[str], combine: Sequence[float]) -> Tensor:
    """The weight of each head in the reward: [A].  Without `combine` the reward is the heads' mean."""
    if combine and len(combine) != len(heads):
        raise SkilldeltaError(f"--combine has {len(combine)} weights for the {len(heads)} heads {', '.join(heads)}.")
    return torch.tensor(list(combine) or [1 / len(heads)] * len(heads))


def combine_heads(scores: Tensor, weight: Tensor) -> Tensor:
    """The reward from heads [B, A] with weights [A]: [B]."""
    return (scores * weight.to(scores.device)).sum(-1)  # no matrix product: autocast would round it to bfloat16


@dataclass(frozen=True)
class RewardModel:
    """A reward model ready for use.  Its reward is (heads . weights - mean) / sd.

    Raw rewards have an arbitrary zero and unit.  With mean and deviation of the rewards of SFT answers taken out, PPO's KL
    coefficient and missing-end score mean the same for every reward model.
    """

    model: nn.Module
    weights: Tensor
    mean: float = 0.0
    sd: float = 1.0
    ends: frozenset[int] = frozenset()  # ids that ended the answers of its training, besides the tokenizer's end
    conversations: bool | None = None  # whether it was trained on conversations, or on plain texts; None: nobody says

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    @torch.no_grad()
    def scores(self, batch: batches.Batch) -> Tensor:
        """The normalised reward of whole answers: [B]."""
        return (combine_heads(forward.answer_scores(self.model, batch), self.weights) - self.mean) / self.sd


def load(path: str, seed: int = 0) -> RewardModel:
    """A reward model from its folder; without a card (another program's model) its only head is the reward.

    Raises SkilldeltaError for a folder that holds no sequence classifier, or one of several outputs that no card combines.
    """
    folder = model_loading.model_folder(path)
    card = read_card(folder)
    if not card and not model_loading.has_score_head(folder):
        raise SkilldeltaError(f"{folder} is no reward model: its config.json names no ...ForSequenceClassification.")
    known = card or RewardCard()
    heads = known.heads or head_names(folder)
    if len(heads) > 1 and not known.heads and not known.combine:
        raise SkilldeltaError(
            f"{folder} has {len(heads)} outputs ({', '.join(heads[:6])}), and nothing says how they make one reward.  Write "
            f'{CARD} next to its weights: {{"heads": {json.dumps(heads[:6])}, "combine": [a weight for each]}}.'
        )
    model = model_loading.load_classifier(folder, tuple(heads), seed)
    require_head(folder)  # once the architecture is known to have one of this name
    refuse_zero_head(model, folder)
    return RewardModel(
        model, head_weights(heads, known.combine), known.mean, known.sd, frozenset(known.ends), known.conversations
    )


def require_head(folder: str) -> None:
    """SkilldeltaError where a whole model's weights lack the head that config.json promises: a new one would be random.

    A folder whose weights cannot be read is left to who loads it.
    """
    if not Path(folder).is_dir() or model_loading.is_adapter(folder):
        return
    try:
        headers = read_headers(weight_files(Path(folder)))
    except (BrokenWeightsError, ValueError):
        return
    if headers and not any(HEAD.search(name) for name in headers):
        raise SkilldeltaError(
            f"{folder} lacks the weights of its head (score.weight): they would be random, and so would its rewards.  Copy the "
            "weights anew from where the reward model comes from."
        )


def refuse_zero_head(model: Any, folder: str) -> None:
    """SkilldeltaError for a head of zeros, as training may begin with: every reward would be the same."""
    if not model.score.weight.any():
        raise SkilldeltaError(
            f"{folder} has a head (score.weight) of nothing but zeros: every answer would get the same reward.  It was never "
            "trained, or its file never filled: take another checkpoint."
        )


def head_names(folder: str) -> list[str]:
    """The heads of another program's reward model: the labels of its config.json, or as many as its adapter has rows."""
    if model_loading.is_adapter(folder):
        rows = model_loading.tensor_rows(folder, ("score.weight", "score.modules_to_save.weight"))
        return [f"head {i}" for i in range(rows)] if rows > 1 else ["reward"]
    try:
        labels = read_config(folder, LoadSettings(head="classifier")).id2label  # what config.json leaves out is two labels
    except BrokenWeightsError as error:
        raise SkilldeltaError(f"{folder} cannot be loaded: {error}.") from error
    if not all(isinstance(label, str) for label in labels.values()):
        raise SkilldeltaError(f"{folder} cannot be loaded: config.json is damaged: id2label is {show_value(labels)}.")
    return [labels[place] for place in sorted(labels)]


def draw_prompts(prompts: Sequence[messages.Text], count: int, seed: int) -> list[messages.Text]:
    """At most `count` different prompts, drawn by the seed."""
    unique = list({digest(p): p for p in prompts if p}.values())
    return random.Random(digest([seed, "prompts"])).sample(unique, min(count, len(unique)))


def check_tokenizer(path: str, tokenizer: Any, config: settings.TrainerSettings) -> None:
    """Raises SkilldeltaError for a reward model that reads other tokens than the policy, or another template."""
    reward_tokenizer = tokenization.load_tokenizer(path, config.template)
    for part, differs in (
        ("vocabulary", reward_tokenizer.get_vocab() != tokenizer.get_vocab()),
        ("chat template", reward_tokenizer.chat_template != tokenizer.chat_template),
    ):
        if differs:
            raise SkilldeltaError(
                f"The reward model {path} has another {part} than the policy {config.model}: it would score a text "
                "that the policy did not write.  Train the reward model from the same family (and with the same --template) as "
                "the policy."
            )


@torch.no_grad()
def measure_scale(
    model: nn.Module, rows: Sequence[batches.Tokens], weight: Tensor, pad: int, config: settings.TrainerSettings
) -> dict[str, float]:
    """Mean and standard deviation of the reward over answers, which make rewards of two models comparable."""
    if len(rows) < 2:
        return {"mean": 0.0, "sd": 1.0, "samples": len(rows)}
    rewards = []
    for places in batches.micro_batches(list(range(len(rows))), lambda i: len(rows[i]), config.micro_batch or config.batch):
        batch = batches.pad_rows([rows[i] for i in places], pad).to(training_device(config))
        with autocast(config):
            rewards.append(combine_heads(forward.answer_scores(model, batch), weight).float().cpu())
    every = torch.cat(rewards).double()
    return {"mean": every.mean().item(), "sd": max(every.std().item(), 1e-6), "samples": len(rows)}


def pair_accuracy(gaps: Tensor) -> dict[str, float]:
    """The share of pairs in which chosen scores above rejected, with its 95 % Wilson interval; gaps [N]."""
    n, share = len(gaps), float((gaps > 0).double().mean())
    interval = wilson_interval(share, n, critical_value(0.95))
    return {"pairs": n, "accuracy": share, "low": interval.low, "high": interval.high}


def calibration(gaps: Tensor) -> dict[str, Any]:
    """Expected calibration error over ten equal bins: is a pair with probability p right in a share p of the cases?

    gaps [N], differences of rewards; the Bradley-Terry probability of the predicted winner is sigmoid(|gap|).
    """
    probability = torch.sigmoid(gaps.abs())  # in 0.5 .. 1
    is_right = (gaps > 0).double()
    place = ((probability - 0.5) * 2 * BINS).long().clamp(max=BINS - 1)
    table = []
    for b in range(BINS):
        inside = place == b
        if inside.any():
            mean, share = probability[inside].mean().item(), is_right[inside].mean().item()
            table.append({"pairs": int(inside.sum()), "said": mean, "was": share})
    error = sum(row["pairs"] * abs(row["said"] - row["was"]) for row in table) / len(gaps)
    return {"calibration_error": error, "calibration": table}
