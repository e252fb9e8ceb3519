"""The formulas of every trainer: tensors in, tensors out, nothing else.

Sizes in the shapes: B sequences or pairs, T tokens of a response, A aspects, N tokens picked from a batch, V vocabulary.
Log-probabilities are natural.  Losses come one per token or per pair, so that a trainer divides by the count of the whole
batch: a mean of micro-batch means would weigh tokens unequally.
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

    The margin is the one of Llama 2 (arXiv 2307.09288, equation 2): pairs that raters told far apart must score far apart.
    """
    gap = chosen - rejected if margin is None else chosen - rejected - margin
    return -functional.logsigmoid(gap)  # - log sigmoid(r_chosen - r_rejected - m)


def pairwise_by_aspect(chosen: Tensor, rejected: Tensor, sign: Tensor) -> Tensor:
    """Bradley-Terry loss per aspect: scores [B, A], sign [B, A] -> [B, A].

    `sign` is +1 where the chosen answer is the better one in that aspect, -1 where it is the worse one, and 0 where the
    aspect is tied or was not rated: the loss is 0 there, and whoever averages leaves it out.
    """
    return -functional.logsigmoid(sign * (chosen - rejected)) * sign.abs()


def preference_gap(policy: tuple[Tensor, Tensor], reference: tuple[Tensor, Tensor]) -> Tensor:
    """How much further the policy prefers chosen to rejected than the reference does: log-probs (chosen, rejected) -> [B].

    Rafailov et al. 2023 (arXiv 2305.18290): log pi(c)/ref(c) - log pi(r)/ref(r).  Sums over tokens for DPO; means over
    tokens for IPO and length-normalised DPO.
    """
    return (policy[0] - reference[0]) - (policy[1] - reference[1])


def dpo(gap: Tensor, beta: float, smoothing: float = 0.0) -> Tensor:
    """DPO, one loss per pair: gap [B] -> [B].  `smoothing` is the chance that a label is wrong (conservative DPO).

    With gaps of mean log-probs it is the length-normalised DPO of Tulu 3 (arXiv 2411.15124, equation 6).
    """
    right = functional.logsigmoid(beta * gap)
    wrong = functional.logsigmoid(-beta * gap)
    return -(1 - smoothing) * right - smoothing * wrong  # -(1 - e) log s(beta gap) - e log s(-beta gap)


def ipo(gap: Tensor, beta: float) -> Tensor:
    """IPO (Azar et al. 2023, arXiv 2310.12036, equation 17; tau is `beta`), on gaps of mean log-probs: [B] -> [B]."""
    return (gap - 1 / (2 * beta)) ** 2


def k1(logp: Tensor, reference: Tensor) -> Tensor:
    """KL(policy || reference) per sampled token, unbiased and signed: same shape as the inputs."""
    return logp - reference  # log pi - log ref


def k3(logp: Tensor, reference: Tensor) -> Tensor:
    """KL(policy || reference) per sampled token, unbiased, never negative, less noisy (J. Schulman 2020)."""
    gap = reference - logp
    return torch.expm1(gap) - gap  # (r - 1) - log r  with  r = ref / pi


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean over the places where the mask is true: a scalar."""
    return (values * mask).sum() / mask.sum()


def whiten(values: Tensor, mask: Tensor, shift: bool = True) -> Tensor:
    """Values with mean 0 and variance 1 over the mask, 0 elsewhere; with `shift` false the mean is put back.

    Variance with N - 1, and 1e-8 below the root, as in arXiv 2403.17031 (detail 20).
    """
    mean = masked_mean(values, mask)
    variance = ((values - mean) ** 2 * mask).sum() / (mask.sum() - 1).clamp(min=1)
    white = (values - mean) * torch.rsqrt(variance + 1e-8)  # (x - mean) / sd
    return (white if shift else white + mean) * mask


class Advantages(NamedTuple):
    advantages: Tensor  # [B, T]
    returns: Tensor  # [B, T], what the value model should have said


def gae(rewards: Tensor, values: Tensor, mask: Tensor, gamma: float = 1.0, lam: float = 0.95) -> Advantages:
    """Generalised advantage estimation (arXiv 1506.02438, equation 16) over responses that begin at column 0.

    rewards, values, mask: [B, T].  After the last token of a response the value is 0: an episode ends there.
    """
    values = values * mask
    last = torch.zeros_like(rewards[:, 0])
    columns = []
    for t in reversed(range(rewards.shape[1])):
        after = values[:, t + 1] if t + 1 < rewards.shape[1] else torch.zeros_like(last)
        delta = rewards[:, t] + gamma * after - values[:, t]  # r_t + gamma V_{t+1} - V_t
        last = (delta + gamma * lam * last) * mask[:, t]  # A_t = delta_t + gamma lambda A_{t+1}
        columns.append(last)
    advantages = torch.stack(columns[::-1], dim=1)
    return Advantages(advantages, (advantages + values) * mask)


class Clipped(NamedTuple):
    loss: Tensor  # per token, shape of the inputs
    ratio: Tensor
    clipped: Tensor  # bool: where the clipped branch was the larger loss


def ppo_policy(logp: Tensor, old: Tensor, advantages: Tensor, clip: float) -> Clipped:
    """PPO's clipped policy loss per token (arXiv 1707.06347, equation 7), to be minimised; any one shape."""
    ratio = torch.exp(logp - old)  # pi_new / pi_old
    free = -advantages * ratio
    held = -advantages * ratio.clamp(1 - clip, 1 + clip)
    return Clipped(torch.maximum(free, held), ratio, held > free)


def ppo_value(values: Tensor, old: Tensor, returns: Tensor, clip: float) -> Clipped:
    """PPO's clipped value loss per token (detail 21 of arXiv 2403.17031): half a squared error; any one shape."""
    near = old + (values - old).clamp(-clip, clip)
    free = (values - returns) ** 2
    held = (near - returns) ** 2
    return Clipped(0.5 * torch.maximum(free, held), values - old, held > free)


def explained_variance(values: Tensor, returns: Tensor, mask: Tensor) -> Tensor:
    """1 - Var(returns - values) / Var(returns) over the mask: 1 is a perfect value model, 0 a constant one."""
    kept = mask.bool()
    spread = returns[kept].var()
    return 1 - (returns - values)[kept].var() / spread if spread > 0 else torch.zeros_like(spread)
