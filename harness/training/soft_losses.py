"""Losses of groups that weigh answers far from the sampling policy down smoothly, where the others cut them off."""

from __future__ import annotations

import torch
from torch import Tensor

from harness.training.losses import ClippedLoss

SAPO_RISE, SAPO_FALL = 1.0, 1.05  # temperatures for advantages above 0 and below (arXiv 2511.20347; TRL's too)
VESPO_RISE, VESPO_FALL = (2.0, 3.0), (3.0, 2.0)  # (power, decay), likewise (arXiv 2602.10693; TRL's too)
LOG_RANGE = (-18.420680743952367, 20.0)  # of a whole answer's log-ratio: from log(1e-8)


def sapo_policy(log_ratio: Tensor, advantages: Tensor) -> ClippedLoss:
    """SAPO (arXiv 2511.20347, equation 5): a sigmoid gate on each token's ratio: [B, T], [B, 1] -> [B, T]."""
    ratio = torch.exp(log_ratio)
    temperature = torch.where(advantages > 0, SAPO_RISE, SAPO_FALL)
    gate = torch.sigmoid(temperature * (ratio - 1)) * 4 / temperature  # its slope at a ratio of 1 is 1
    return ClippedLoss(-gate * advantages, ratio, torch.zeros_like(ratio, dtype=torch.bool))


def vespo_policy(logp: Tensor, log_ratio: Tensor, mask: Tensor, advantages: Tensor) -> ClippedLoss:
    """VESPO (arXiv 2602.10693): each log-probability times a weight, without a gradient, of the whole answer's ratio w.

    The weight is exp(decay) w^power exp(-decay w), which is 1 at w = 1: [B, T], advantages [B, 1] -> [B, T].
    """
    with torch.no_grad():
        log_w = (log_ratio.clamp(-20, 20) * mask).sum(1, keepdim=True).clamp(*LOG_RANGE)
        power, decay = (torch.where(advantages >= 0, *pair) for pair in zip(VESPO_RISE, VESPO_FALL, strict=True))
        weight = torch.exp(decay + power * log_w - decay * torch.exp(log_w))
    return ClippedLoss(-weight * advantages * logp, torch.exp(log_ratio), torch.zeros_like(logp, dtype=torch.bool))
