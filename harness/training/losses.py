"""The formulas of every trainer: tensors in, tensors out, nothing else.

Sizes in the shapes: B sequences or pairs, T tokens of a response, A aspects, N tokens picked from a batch, V vocabulary.
Log-probabilities are natural.  Losses come one per token or per pair, and the trainer divides their sum by the count of the
whole batch: a mean of micro-batch means would weight tokens unequally.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional


def token_logps(logits: Tensor, targets: Tensor) -> Tensor:
    """Log-probability of each target: logits [N, V], targets [N] -> [N]."""
    return -functional.cross_entropy(logits.float(), targets, reduction="none")  # log softmax(logits)[target]


def entropy(logits: Tensor) -> Tensor:
    """Entropy of each distribution in nats: logits [N, V] -> [N]."""
    logp = functional.log_softmax(logits.float(), dim=-1)
    return -(logp.exp() * logp).sum(-1)  # - sum_v p(v) log p(v)


def pairwise(chosen: Tensor, rejected: Tensor, margin: Tensor | None = None) -> Tensor:
    """Bradley-Terry loss of a reward model, one per pair: scores [B], margin [B] -> [B].

    Bradley and Terry 1952; the margin is that of Llama 2 (arXiv 2307.09288, equation 2): answers that raters put far apart must
    score far apart.
    """
    gap = chosen - rejected if margin is None else chosen - rejected - margin
    return -functional.logsigmoid(gap)  # - log sigmoid(r_chosen - r_rejected - m)


def pairwise_by_aspect(chosen: Tensor, rejected: Tensor, sign: Tensor) -> Tensor:
    """Bradley-Terry loss per aspect: scores [B, A], sign [B, A] -> [B, A].

    `sign` is +1 where the chosen answer is the better one in that aspect, -1 where it is the worse one, and 0 where the
    aspect is tied or has no rating.  The loss is 0 there, and a mean must leave it out.
    """
    return -functional.logsigmoid(sign * (chosen - rejected)) * sign.abs()  # - |s| log sigmoid(s (r_chosen - r_rejected))


def preference_gap(policy: tuple[Tensor, Tensor], reference: tuple[Tensor, Tensor]) -> Tensor:
    """The policy's preference for chosen over rejected, relative to the reference: log-probs (chosen, rejected) -> [B].

    Rafailov et al. 2023 (arXiv 2305.18290, equation 7).  Sums over tokens for DPO; means over tokens for IPO and
    length-normalised DPO.
    """
    return (policy[0] - reference[0]) - (policy[1] - reference[1])  # log pi(c)/ref(c) - log pi(r)/ref(r)


def dpo(gap: Tensor, beta: float, smoothing: float = 0.0) -> Tensor:
    """DPO, one loss per pair: gap [B] -> [B].  `smoothing` is the chance that a label is wrong (conservative DPO).

    With gaps of mean log-probs it is the length-normalised DPO of Tulu 3 (arXiv 2411.15124, equation 6).
    """
    right = functional.logsigmoid(beta * gap)
    wrong = functional.logsigmoid(-beta * gap)
    return -(1 - smoothing) * right - smoothing * wrong  # -(1 - e) log s(beta gap) - e log s(-beta gap)


def ipo(gap: Tensor, beta: float) -> Tensor:
    """IPO (Azar et al. 2023, arXiv 2310.12036, equation 17; tau is `beta`), on gaps of mean log-probs: [B] -> [B]."""
    return (gap - 1 / (2 * beta)) ** 2  # (h - 1 / (2 tau))^2


def k1(logp: Tensor, reference: Tensor) -> Tensor:
    """KL(policy || reference) per sampled token, in nats: unbiased, of either sign, of the shape of the inputs."""
    return logp - reference  # log pi - log ref


def k3(logp: Tensor, reference: Tensor) -> Tensor:
    """KL(policy || reference) per sampled token, in nats: unbiased, never negative, with less variance.

    J. Schulman, "Approximating KL divergence" (2020).  `expm1` keeps the digits of small gaps.
    """
    gap = reference - logp
    return torch.expm1(gap) - gap  # (r - 1) - log r  with  r = ref / pi


def whiten(values: Tensor, mask: Tensor, shift: bool = True) -> Tensor:
    """Values with mean 0 and variance 1 over the mask, 0 elsewhere: [B, T]; `shift=False` keeps the mean.

    Variance with N - 1, and 1e-8 below the root, as in arXiv 2403.17031 (detail 20).
    """
    mean = (values * mask).sum() / mask.sum()
    variance = ((values - mean) ** 2 * mask).sum() / (mask.sum() - 1).clamp(min=1)
    white = (values - mean) * torch.rsqrt(variance + 1e-8)  # (x - mean) / sd
    return (white if shift else white + mean) * mask


class Advantages(NamedTuple):
    advantages: Tensor  # [B, T]
    returns: Tensor  # [B, T], the targets of the value model


def gae(rewards: Tensor, values: Tensor, mask: Tensor, gamma: float = 1.0, lam: float = 0.95) -> Advantages:
    """Generalised advantage estimation (arXiv 1506.02438, equation 16) over responses that begin at column 0.

    rewards, values, mask: [B, T].  After the last token of a response the value is 0: an episode ends there.
    """
    values = values * mask
    advantage = torch.zeros_like(rewards[:, 0])
    columns = []
    for t in reversed(range(rewards.shape[1])):
        next_value = values[:, t + 1] if t + 1 < rewards.shape[1] else torch.zeros_like(advantage)
        delta = rewards[:, t] + gamma * next_value - values[:, t]  # r_t + gamma V_{t+1} - V_t
        advantage = (delta + gamma * lam * advantage) * mask[:, t]  # A_t = delta_t + gamma lambda A_{t+1}
        columns.append(advantage)
    advantages = torch.stack(columns[::-1], dim=1)
    return Advantages(advantages, (advantages + values) * mask)


class ClippedLoss(NamedTuple):
    loss: Tensor  # per token, shape of the inputs
    ratio: Tensor  # new to old; of values, their difference
    is_clipped: Tensor  # bool: the clipped branch was the larger loss


def ppo_policy(logp: Tensor, old: Tensor, advantages: Tensor, clip: float) -> ClippedLoss:
    """PPO's clipped policy loss per token (arXiv 1707.06347, equation 7), to be minimised; any one shape."""
    ratio = torch.exp(logp - old)  # r = pi_new / pi_old
    free_loss = -advantages * ratio
    clipped_loss = -advantages * ratio.clamp(1 - clip, 1 + clip)
    # - min(r A, clip(r) A): the larger loss, so that clipping can only remove the gain of a further step, never a penalty
    return ClippedLoss(torch.maximum(free_loss, clipped_loss), ratio, clipped_loss > free_loss)


def ppo_value(values: Tensor, old: Tensor, returns: Tensor, clip: float) -> ClippedLoss:
    """PPO's clipped value loss per token (detail 21 of arXiv 2403.17031): half a squared error; any one shape.

    The larger of the two errors keeps one batch from moving a value further than `clip` past its old estimate, while a value
    that moved the wrong way keeps its gradient.
    """
    near_values = old + (values - old).clamp(-clip, clip)
    free_loss = (values - returns) ** 2
    clipped_loss = (near_values - returns) ** 2
    return ClippedLoss(0.5 * torch.maximum(free_loss, clipped_loss), values - old, clipped_loss > free_loss)


def explained_variance(values: Tensor, returns: Tensor, mask: Tensor) -> Tensor:
    """1 - Var(returns - values) / Var(returns) over the mask: 1 is a perfect value model, 0 a constant one."""
    inside = mask.bool()
    variance = returns[inside].var()
    return 1 - (returns - values)[inside].var() / variance if variance > 0 else torch.zeros_like(variance)
