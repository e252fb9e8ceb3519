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


def hinge(gap: Tensor, beta: float) -> Tensor:
    """SLiC's hinge on DPO's gap (arXiv 2305.10425; 2309.06657, equation 6): [B] -> [B].  1 where the answers are tied."""
    return torch.relu(1 - beta * gap)  # max(0, 1 - beta gap)


def apo_zero(chosen: Tensor, rejected: Tensor, beta: float) -> Tensor:
    """APO-zero (arXiv 2408.06266, equation 7) on log-ratios to the reference: [B], [B] -> [B].

    Chosen answers grow likelier and rejected ones less likely, each by itself: DPO may lower both.
    """
    return 1 - torch.sigmoid(beta * chosen) + torch.sigmoid(beta * rejected)  # 1 - s(beta r_c) + s(beta r_r)


def simpo(gap: Tensor, beta: float, gamma: float) -> Tensor:
    """SimPO (arXiv 2405.14734, equation 6) on gaps of mean log-probs without a reference: [B] -> [B]."""
    return -functional.logsigmoid(beta * gap - gamma)  # - log s(beta gap - gamma)


def odds_ratio(chosen: Tensor, rejected: Tensor) -> Tensor:
    """ORPO's odds-ratio loss (arXiv 2403.07691, equation 7) on mean log-probs: [B], [B] -> [B].

    log odds p = log p - log(1 - p); `log1p(-exp)` would lose the digits of likely answers, `log(-expm1)` keeps them.
    """
    better, worse = (logp - torch.log(-torch.expm1(logp.clamp(max=-1e-7))) for logp in (chosen, rejected))
    return -functional.logsigmoid(better - worse)  # - log s(log odds_c - log odds_r)


def kto(log_ratio: Tensor, sign: Tensor, baseline: Tensor, beta: float) -> Tensor:
    """KTO (arXiv 2402.01306, equation 8), one loss per answer: log-ratios to the reference [B], sign [B], baseline [] -> [B].

    `sign` is +1 for a desirable answer and -1 for an undesirable one; `baseline` is the KL that ratios are measured from.
    """
    return 1 - torch.sigmoid(sign * beta * (log_ratio - baseline))  # 1 - s(+-beta (r - z0))


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
    variance = returns[inside].var(correction=0)  # a single token has one too; the fraction is the same
    return 1 - (returns - values)[inside].var(correction=0) / variance if variance > 0 else torch.zeros_like(variance)


def group_advantages(rewards: Tensor, group: int, scale: str) -> Tensor:
    """GRPO's advantages (arXiv 2402.03300, section 4.1.2) from the rewards of `group` answers to each prompt: [B] -> [B].

    `scale` divides by the deviation of the "group" or of the "batch", or is "none" (arXiv 2503.20783: no bias for easy or hard
    prompts).  An answer without a reward (NaN) counts in no mean and has no advantage; 1e-4 below the fraction, as in TRL.
    """
    table = rewards.view(-1, group)
    differences = table - table.nanmean(1, keepdim=True)  # r - mean r
    if scale == "group":
        differences = differences / (nan_deviation(table) + 1e-4)
    elif scale == "batch":
        differences = differences / (nan_deviation(table.view(1, -1)) + 1e-4)
    return differences.nan_to_num(0.0).view(-1)


def nan_deviation(values: Tensor) -> Tensor:
    """Standard deviation (N - 1) of the numbers of each row that are not NaN, 0 for a single one: [R, C] -> [R, 1]."""
    count = (~values.isnan()).sum(1, keepdim=True)
    squares = ((values - values.nanmean(1, keepdim=True)) ** 2).nansum(1, keepdim=True)
    return (squares / (count - 1).clamp(min=1)).sqrt()


def sequence_ratio(logp: Tensor, old: Tensor, mask: Tensor) -> Tensor:
    """GSPO's log-ratio of a whole answer, the mean over its tokens (arXiv 2507.18071, equation 7): [B, T] -> [B, T]."""
    mean = ((logp - old) * mask).sum(1, keepdim=True) / mask.sum(1, keepdim=True).clamp(min=1)
    return mean.expand_as(logp)


def grpo_policy(log_ratio: Tensor, advantages: Tensor, low: float, high: float) -> ClippedLoss:
    """PPO's clipped loss with two bounds (arXiv 2503.14476, equation 10): log-ratios [B, T], advantages [B, 1]."""
    ratio = torch.exp(log_ratio)
    free_loss, clipped_loss = -advantages * ratio, -advantages * ratio.clamp(1 - low, 1 + high)
    return ClippedLoss(torch.maximum(free_loss, clipped_loss), ratio, clipped_loss > free_loss)  # - min(r A, clip(r) A)


def cispo_policy(logp: Tensor, log_ratio: Tensor, advantages: Tensor, high: float) -> ClippedLoss:
    """CISPO (arXiv 2506.13585, equation 4): a clipped weight, without a gradient of its own, on each log-probability."""
    ratio = torch.exp(log_ratio)
    return ClippedLoss(-ratio.clamp(max=1 + high).detach() * advantages * logp, ratio, ratio > 1 + high)


def token_weights(kind: str, mask: Tensor, max_new: int, batch_tokens: float) -> Tensor:
    """What each token of a minibatch counts, so that its loss is the sum of weight x loss: mask [B, T] -> [B, T].

    "grpo", "gspo", "sapo": every answer counts the same (arXiv 2402.03300, equation 3).  "luspo": every token, over the
    answers (arXiv 2602.05261).  "dr_grpo": every token, over a constant (arXiv 2503.20783).  "bnpo": every token of the
    minibatch.  "dapo", "cispo", "vespo": every token of the whole batch, of which `batch_tokens` is the minibatch's share
    (arXiv 2503.14476, equation 8).
    """
    if kind in ("grpo", "gspo", "sapo"):
        return mask / mask.sum(1, keepdim=True).clamp(min=1) / len(mask)  # 1 / (B |y_i|)
    if kind == "luspo":
        return mask / len(mask)  # 1 / B
    if kind == "dr_grpo":
        return mask / (len(mask) * max_new)  # 1 / (B T_max)
    if kind == "bnpo":
        return mask / mask.sum().clamp(min=1)  # 1 / sum |y_i|
    return mask / max(batch_tokens, 1.0)
