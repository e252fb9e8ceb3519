"""Reward models as they are used: the heads combined, the scale of the reward, how often and how surely it is right."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from harness.training import batches, forward, model_loading
from harness.training.preferences import Text
from harness.training.sampling import Sampling, sample
from harness.training.settings import Settings
from harness.training.tokenization import Encoder, Tokens
from harness.types import SkilldeltaError, digest

CARD = "reward.json"  # beside the weights: the heads, their weights, the reward's mean and spread
BINS = 10


def weights(heads: Sequence[str], combine: Sequence[float]) -> Tensor:
    """What each head counts in the reward: [A].  Without `combine`, their mean."""
    if combine and len(combine) != len(heads):
        raise SkilldeltaError(f"--combine has {len(combine)} weights for the {len(heads)} heads {', '.join(heads)}.")
    return torch.tensor(list(combine) or [1 / len(heads)] * len(heads))


def combined(scores: Tensor, weight: Tensor) -> Tensor:
    """The reward of heads [B, A] with weights [A]: [B]."""
    return (scores * weight.to(scores.device)).sum(-1)  # no matrix product: autocast would round it to bfloat16


@dataclass(frozen=True)
class Reward:
    """A reward model ready to be asked.  Its reward is (heads . weights - mean) / sd."""

    model: nn.Module
    weights: Tensor
    mean: float = 0.0
    sd: float = 1.0

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    @torch.no_grad()
    def scores(self, batch: batches.Batch) -> Tensor:
        """The normalised reward of whole answers: [B]."""
        return (combined(forward.scores(self.model, batch), self.weights) - self.mean) / self.sd


def load(path: str, seed: int = 0) -> Reward:
    """A reward model from its folder; without a card (somebody else's), its heads' mean as it is."""
    folder = model_loading.resolve(path)
    file = Path(folder) / CARD
    card = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    if not card and not model_loading.holds_head(folder):
        raise SkilldeltaError(f"{folder} is no reward model: its config.json names no ...ForSequenceClassification.")
    heads = card.get("heads") or list(
        json.loads((Path(folder) / "config.json").read_text(encoding="utf-8"))["id2label"].values()
    )
    model = model_loading.classifier(folder, tuple(heads), seed)
    return Reward(model, weights(heads, card.get("combine", ())), card.get("mean", 0.0), card.get("sd", 1.0))


def samples(policy: str, prompts: Sequence[Text], encoder: Encoder, how: Sampling, config: Settings) -> list[Tokens]:
    """Answers of a policy to some prompts, with the prompts; those that did not end are left out if enough did."""
    if model_loading.holds_head(model_loading.resolve(policy)):
        raise SkilldeltaError(
            f"{policy} is a reward model and cannot answer prompts: name with --sft the policy whose answers set the reward's "
            "scale, or do without a scale by --samples 0."
        )
    asked = [ids for ids in encoder.prompts(prompts) if len(ids) + how.max_new <= encoder.max_length]
    if prompts and not asked:
        raise SkilldeltaError(
            f"No training prompt leaves room for an answer of --max_new {how.max_new} tokens within --max_length "
            f"{encoder.max_length}: lower the one or raise the other, or do without a scale by --samples 0."
        )
    answers = sample(model_loading.load(model_loading.CAUSAL, policy).to(model_loading.device(config)), asked, how)
    rows = [(Tokens((*ids, *a.ids), len(ids)), a.ended) for ids, a in zip(asked, answers, strict=True)]
    ended = [row for row, whole in rows if whole]
    return ended if len(ended) >= 2 else [row for row, _ in rows]


def some(prompts: Sequence[Text], count: int, seed: int) -> list[Text]:
    """At most `count` different prompts, drawn by the seed."""
    unique = list({digest(p): p for p in prompts}.values())
    return random.Random(digest([seed, "prompts"])).sample(unique, min(count, len(unique)))


@torch.no_grad()
def scale(model: nn.Module, rows: Sequence[Tokens], weight: Tensor, pad: int, config: Settings) -> dict[str, float]:
    """Mean and standard deviation of the reward over answers: what makes rewards of two models comparable."""
    if len(rows) < 2:
        return {"mean": 0.0, "sd": 1.0, "samples": len(rows)}
    found = []
    for places in batches.micro(list(range(len(rows))), lambda i: len(rows[i]), config.micro_batch or config.batch):
        batch = batches.padded([rows[i] for i in places], pad).to(model_loading.device(config))
        with model_loading.precision(config):
            found.append(combined(forward.scores(model, batch), weight).float().cpu())
    every = torch.cat(found).double()
    return {"mean": every.mean().item(), "sd": max(every.std().item(), 1e-6), "samples": len(rows)}


def right(gaps: Tensor) -> dict[str, float]:
    """How often chosen scores above rejected: share with its 95 % Wilson interval; gaps [N]."""
    n, share = len(gaps), float((gaps > 0).double().mean())
    z = 1.959964
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return {"pairs": n, "accuracy": share, "low": middle - half, "high": middle + half}


def calibration(gaps: Tensor) -> dict[str, Any]:
    """Is a pair that is said to be sure at p right in p of the cases?  Expected calibration error over ten equal bins."""
    sure = torch.sigmoid(gaps.abs())  # in 0.5 .. 1
    hit = (gaps > 0).double()
    place = ((sure - 0.5) * 2 * BINS).long().clamp(max=BINS - 1)
    table = []
    for b in range(BINS):
        inside = place == b
        if inside.any():
            table.append({"pairs": int(inside.sum()), "said": sure[inside].mean().item(), "was": hit[inside].mean().item()})
    error = sum(row["pairs"] * abs(row["said"] - row["was"]) for row in table) / len(gaps)
    return {"calibration_error": error, "calibration": table}
