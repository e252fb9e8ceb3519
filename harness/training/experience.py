"""Episodes of PPO: the models that take part, the answers of the policy, and what each of the models says of them."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from harness.training import batches, forward, losses, model_loading, parallel, trainable_models
from harness.training.costs import Costs, rates
from harness.training.rates import Rates
from harness.training.reward_model import Reward
from harness.training.sampling import Sampling, sample
from harness.training.settings import Settings
from harness.training.tokenization import Tokens


@dataclass(frozen=True)
class Models:
    """All that takes part in a step.  With an adapter, the reference is the policy itself, its adapter switched off."""

    policy: nn.Module
    reference: nn.Module
    reward: Reward
    value: nn.Module
    rate: Rates  # costs of policy and reference
    value_rate: Rates  # costs of value and reward model
    end: int
    pad: int

    def logps(self, batch: batches.Batch, temperature: float, reference: bool = False) -> forward.Picked:
        """Log-probabilities of the answers under the policy or the reference, at the sampling temperature."""
        off: AbstractContextManager[Any] = nullcontext()
        if reference and self.reference is self.policy:
            off = self.policy.disable_adapter()  # type: ignore[operator]
        with off:
            return forward.answers(self.reference if reference else self.policy, batch, temperature)

    def values(self, batch: batches.Batch) -> Tensor:
        """What the value model expects before each token of the answers, on the reward's scale: [N]."""
        return forward.values(self.value, batch) - self.reward.mean / self.reward.sd


@dataclass(frozen=True)
class Rules:
    """How answers are drawn and judged."""

    how: Sampling
    missing_end: float  # the score of an answer that did not end
    together: int  # rows computed at once


@dataclass(frozen=True)
class Episodes:
    """A batch of answers and everything known of them.  B answers, T tokens of the longest; columns begin with the answer."""

    rows: list[Tokens]
    ended: Tensor  # [B] bool
    mask: Tensor  # [B, T] bool
    old: Tensor  # [B, T] log-probabilities under the policy that sampled
    reference: Tensor  # [B, T]
    values: Tensor  # [B, T]
    scores: Tensor  # [B]

    def rewards(self, cost: float) -> Tensor:
        """- cost * KL (k1) on every token, and the score on the last one: [B, T]."""
        last = self.mask.sum(1) - 1
        penalties = -cost * losses.k1(self.old, self.reference) * self.mask
        return penalties.scatter_add(1, last[:, None], self.scores[:, None])

    def told(self, cost: float) -> dict[str, float]:
        """What the batch was like; the names are those of TRL's PPO where it has them.  KL is that of a whole answer."""
        kl = (losses.k1(self.old, self.reference) * self.mask).sum(1).mean().item()
        score = self.scores.mean().item()
        return {
            "objective/kl": kl,
            "objective/kl_k3": (losses.k3(self.old, self.reference) * self.mask).sum(1).mean().item(),
            "objective/scores": score,
            "objective/non_score_reward": -cost * kl,
            "objective/rlhf_reward": score - cost * kl,
            "val/eos_rate": self.ended.float().mean().item(),
            "val/length": self.mask.sum(1).float().mean().item(),
        }


@dataclass(frozen=True)
class Fresh:
    """The first minibatch with its graph: the pass that measured it also learns from it, and its ratio is exactly 1."""

    places: list[int]
    picked: forward.Picked
    values: Tensor  # [N]


def assembled(config: Settings, reward: Reward, base: str, ends: tuple[int, int], last: Path | None) -> Models:
    """Policy, reference, reward and value model, on the device.

    The value model begins as the reward model, on its scale; `base` is that model's folder, `ends` are the end and padding ids.
    """
    policy = trainable_models.policy(config, last)
    value: Any = copy.deepcopy(reward.model)
    value.score = nn.Linear(value.score.in_features, 1, bias=False)
    value.config.id2label = {0: "value"}
    with torch.no_grad():
        heads: Any = reward.model.score
        value.score.weight.copy_(reward.weights[None] @ heads.weight / reward.sd)
    if last and not config.lora:
        value = model_loading.classifier(str(last / "value"), ("value",), config.seed)
    value = trainable_models.trainable(value, replace(config, model=base), model_loading.CLASSIFIER, last and last / "value")
    where = model_loading.device(config)
    frozen = replace(reward, model=reward.model.to(where).requires_grad_(False))
    reference = (
        policy if config.lora else model_loading.load(model_loading.CAUSAL, config.model).to(where).requires_grad_(False)
    )
    costs = rates(policy, model_loading.head(policy)), rates(value, model_loading.core(value).score)
    return Models(policy, reference, frozen, value, *costs, *ends)


def answered(models: Models, asked: Sequence[Sequence[int]], how: Sampling, costs: Costs) -> list[Tokens]:
    """An answer of the policy to each prompt, as prompt and answer."""
    training = models.policy.training
    models.policy.eval()  # gradient checkpointing, which needs training mode, would forbid the cache
    found = sample(models.policy, asked, how)
    models.policy.train(training)
    rows = [Tokens((*prompt, *answer.ids), len(prompt)) for prompt, answer in zip(asked, found, strict=True)]
    costs.generated(models.rate, parallel.mine(rows))
    return rows


def measured(
    models: Models, rows: list[Tokens], rules: Rules, first: Sequence[int], costs: Costs
) -> tuple[Episodes, Fresh | None]:
    """Scores, values and log-probabilities of answers; those of the rows `first`, if any, keep their graph.

    Of several processes each computes a share of `first` and of the others, and all know everything afterwards.
    """
    where = models.reward.device
    lengths = torch.tensor([r.learnt for r in rows], device=where)
    mask = torch.arange(int(lengths.max()), device=where)[None] < lengths[:, None]
    old, reference, values = (torch.zeros(mask.shape, device=where) for _ in range(3))
    scores, fresh = torch.zeros(len(rows), device=where), None
    begin, others = parallel.mine(first), parallel.mine([i for i in range(len(rows)) if i not in set(first)])
    rest = batches.micro(others, lambda i: len(rows[i]), rules.together)
    for part in [begin, *rest] if begin else rest:
        batch = batches.padded([rows[i] for i in part], models.pad).to(where)
        with torch.set_grad_enabled(part == begin):
            picked, worth = models.logps(batch, rules.how.temperature), models.values(batch)
        with torch.no_grad():
            before = models.logps(batch, rules.how.temperature, reference=True).logps
            scores[part] = models.reward.scores(batch)
        if picked.logps.requires_grad:
            fresh = Fresh(part, picked, worth)
        for grid, flat in ((old, picked.logps), (reference, before), (values, worth)):
            grid[part] = torch.zeros(mask[part].shape, device=where).masked_scatter(mask[part], flat.detach())
        tokens = len(before)
        costs.passed(models.rate, batch, train=False, heads=2 * tokens, times=2)
        costs.passed(models.value_rate, batch, train=False, heads=tokens + len(part), times=2)
    old, reference, values, scores = (parallel.summed(x) for x in (old, reference, values, scores))
    ended = torch.tensor([r.ids[-1] == models.end for r in rows], device=where)
    scores = torch.where(ended, scores, rules.missing_end)
    return Episodes(rows, ended, mask, old, reference, values, scores), fresh
