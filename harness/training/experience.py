"""Episodes of PPO: the models that take part, the answers of the policy, and every model's figures of these answers."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from harness.training import batches, flop_rates, forward, losses, parallel, policy_models
from harness.training.costs import Costs, measure_rates
from harness.training.sampling import Sampler, SamplingSettings, generate_rollouts, sample_answers
from harness.training.sampling_gap import GAP, check_gap, pad_logprobs
from harness.training.settings import TrainerSettings

if TYPE_CHECKING:
    from harness.training.reward_model import RewardModel
    from harness.training.rewards import Rewards
    from harness.training.rollouts import PolicyItem
from harness.training.training_device import training_device


@dataclass(frozen=True)
class ActorCritic:
    """The models of a step.  With an adapter, the reference is the policy itself with its adapter switched off."""

    policy: nn.Module
    reference: nn.Module
    reward: RewardModel | None  # None: tasks alone reward the answers
    value: nn.Module
    policy_rate: flop_rates.FlopRates  # of policy and reference
    value_rate: flop_rates.FlopRates  # of value and reward model
    end: int  # token ids
    pad: int
    sampler: Sampler = sample_answers  # of the policy's answers

    def logps(
        self, batch: batches.Batch, temperature: float, reference: bool = False, statistics: bool = False
    ) -> forward.TargetLogps:
        """Log-probabilities of the answers under the policy or the reference, at the sampling temperature."""
        adapter: AbstractContextManager[Any] = nullcontext()
        if reference and self.reference is self.policy:
            adapter = self.policy.disable_adapter()  # type: ignore[operator]
        with adapter:
            return forward.target_logps(self.reference if reference else self.policy, batch, temperature, statistics)

    def values(self, batch: batches.Batch) -> Tensor:
        """The value model's estimate before each token of the answers, on the reward's scale: [N]."""
        shift = self.reward.mean / self.reward.sd if self.reward else 0.0
        return forward.token_values(self.value, batch) - shift


@dataclass(frozen=True)
class EpisodeSettings:
    """How answers are sampled and scored."""

    sampling: SamplingSettings
    missing_end: float  # the score of an answer without an end token
    rows: int  # computed at once
    model_weight: float = 1.0  # of the reward model's score
    statistics: bool = False  # also the entropy of the first minibatch's tokens


class TaskScores(NamedTuple):
    """What tasks say of answers: their weighted score (NaN: none), and whether the answer is complete.  [B] each."""

    scores: Tensor
    has_end: Tensor


@dataclass(frozen=True)
class Episodes:
    """A batch of answers with their figures: B answers, T tokens of the longest; columns begin with the answer."""

    rows: list[batches.Tokens]
    has_end: Tensor  # [B] bool
    mask: Tensor  # [B, T] bool
    old_logps: Tensor  # [B, T], under the policy that sampled
    reference_logps: Tensor  # [B, T]
    values: Tensor  # [B, T]
    scores: Tensor  # [B]

    def rewards(self, kl_cost: float) -> Tensor:
        """- kl_cost * k1 on every token, and the score on the last one: [B, T].

        k1 is the estimator here because its sum over the tokens is the log-ratio of the whole answer, the KL penalty of the
        objective.  k3 has less variance but a biased gradient, so that it is only logged.
        """
        last = self.mask.sum(1) - 1
        penalties = -kl_cost * losses.k1(self.old_logps, self.reference_logps) * self.mask
        return penalties.scatter_add(1, last[:, None], self.scores[:, None])

    def metrics(self, kl_cost: float) -> dict[str, float]:
        """Means over the batch, under the names of TRL's PPO where it has them.  KL is that of a whole answer, in nats."""
        kl = (losses.k1(self.old_logps, self.reference_logps) * self.mask).sum(1).mean().item()
        score = self.scores.mean().item()
        return {
            "objective/kl": kl,
            "objective/kl_k3": (losses.k3(self.old_logps, self.reference_logps) * self.mask).sum(1).mean().item(),
            "objective/scores": score,
            "objective/non_score_reward": -kl_cost * kl,
            "objective/rlhf_reward": score - kl_cost * kl,
            "val/eos_rate": self.has_end.float().mean().item(),
            "val/length": self.mask.sum(1).float().mean().item(),
        }


@dataclass(frozen=True)
class LiveMinibatch:
    """The first minibatch with its autograd graph: the pass that measured it also trains, and its ratio is exactly 1."""

    places: list[int]
    targets: forward.TargetLogps
    values: Tensor  # [N]


def load_actor_critic(
    config: TrainerSettings,
    reward: RewardModel | None,
    base: str,
    ends: tuple[int, int],
    checkpoint: Path | None,
) -> ActorCritic:
    """Policy, reference, reward and value model, on the device.

    The value model starts as the reward model, with its heads combined and scaled, so that it predicts the score at once
    (arXiv 2403.17031).  Without one it starts as the policy, with a head that predicts 0.  `base` is the folder that it starts
    from; `ends` are the ids of the end and padding tokens.
    """
    policy = policy_models.trainable_policy(config, checkpoint)
    value: Any = initial_value_model(config, reward)
    if checkpoint and not config.lora:
        value = policy_models.load_classifier(str(checkpoint / "value"), ("value",), config.seed)
    adapter = checkpoint and checkpoint / "value"
    value = policy_models.prepare_training(value, replace(config, model=base), policy_models.CLASSIFIER, adapter)
    device = training_device(config)
    frozen_reward = reward and replace(reward, model=reward.model.to(device).requires_grad_(False))
    reference = policy
    if not config.lora:
        reference = policy_models.load_model(policy_models.CAUSAL, config.model).to(device).requires_grad_(False)
    policy_rate = measure_rates(policy, forward.output_head(policy))
    value_rate = measure_rates(value, forward.inner_model(value).score)
    return ActorCritic(policy, reference, frozen_reward, value, policy_rate, value_rate, *ends)


def initial_value_model(config: TrainerSettings, reward: RewardModel | None) -> Any:
    """A classifier with one head, on the reward model's weights, or without one on the policy's."""
    value: Any = copy.deepcopy(reward.model) if reward else policy_models.load_classifier(config.model, ("value",), config.seed)
    value.requires_grad_(True)  # the reward model itself may be frozen
    value.score = nn.Linear(value.score.in_features, 1, bias=False)
    value.config.id2label = {0: "value"}
    with torch.no_grad():
        if reward:
            heads: Any = reward.model.score
            value.score.weight.copy_(reward.weights[None] @ heads.weight / reward.sd)
        else:
            value.score.weight.zero_()
    return value


def measure_episodes(
    models: ActorCritic,
    rows: list[batches.Tokens],
    settings: EpisodeSettings,
    first: Sequence[int],
    costs: Costs,
    tasks: TaskScores | None = None,
) -> tuple[Episodes, LiveMinibatch | None]:
    """Scores, values and log-probabilities of answers; those of the rows `first`, if any, keep their graph.

    Each process computes a share of `first` and of the others, and all know every figure afterwards.
    """
    device = forward.inner_model(models.policy).device
    lengths = torch.tensor([r.target_count for r in rows], device=device)
    mask = torch.arange(int(lengths.max()), device=device)[None] < lengths[:, None]
    old_logps, reference_logps, values = (torch.zeros(mask.shape, device=device) for _ in range(3))
    scores, live = torch.zeros(len(rows), device=device), None
    own_first = parallel.own_share(first)
    others = parallel.own_share([i for i in range(len(rows)) if i not in set(first)])
    rest = batches.micro_batches(others, lambda i: len(rows[i]), settings.rows)
    temperature = settings.sampling.temperature
    for part in [own_first, *rest] if own_first else rest:
        batch = batches.pad_rows([rows[i] for i in part], models.pad).to(device)
        with torch.set_grad_enabled(part == own_first):
            targets = models.logps(batch, temperature, statistics=settings.statistics and part == own_first)
            part_values = models.values(batch)
        with torch.no_grad():
            part_reference = models.logps(batch, temperature, reference=True).logps
            if models.reward:
                scores[part] = models.reward.scores(batch)
        if targets.logps.requires_grad:
            live = LiveMinibatch(part, targets, part_values)
        for grid, flat in ((old_logps, targets.logps), (reference_logps, part_reference), (values, part_values)):
            grid[part] = torch.zeros(mask[part].shape, device=device).masked_scatter(mask[part], flat.detach())
        tokens = len(part_reference)
        costs.count_pass(models.policy_rate, batch, train=False, heads=2 * tokens, times=2)
        passes = 2 if models.reward else 1
        costs.count_pass(models.value_rate, batch, train=False, heads=tokens + len(part) * (passes - 1), times=passes)
    old_logps, reference_logps, values, scores = (parallel.sum_tensor(x) for x in (old_logps, reference_logps, values, scores))
    has_end = (
        torch.tensor([r.ids[-1] == models.end for r in rows], device=device) if tasks is None else tasks.has_end.to(device)
    )
    if models.reward:
        scores = settings.model_weight * torch.where(has_end, scores, settings.missing_end)
    if tasks is not None:
        scores = scores + tasks.scores.to(device)
    return Episodes(rows, has_end, mask, old_logps, reference_logps, values, scores), live


@dataclass(frozen=True)
class ScoredAnswers:
    """The answers of a step that the tasks could score, and the means for the log."""

    rows: list[batches.Tokens]
    tasks: TaskScores
    metrics: dict[str, float]
    logprobs: list[tuple[float, ...]]  # the sampler's, where it is another program

    def gap(self, episodes: Episodes, temperature: float) -> dict[str, float]:
        """How far the sampler's log-probabilities are from the policy's, for the log."""
        sampled_logps = pad_logprobs(self.logprobs, episodes.old_logps)
        if sampled_logps is None:
            return {}
        gap = (sampled_logps - episodes.old_logps)[episodes.mask].abs().mean().item()
        check_gap(gap, temperature)
        return {GAP: gap}


def sample_scored(
    sources: Rewards, models: ActorCritic, items: list[PolicyItem], settings: EpisodeSettings, costs: Costs
) -> ScoredAnswers:
    """Answers of the policy with the tasks' scores; those that a task's scorer fails on are left out, and counted."""
    with costs.phase("rollout"):
        rollouts = generate_rollouts(models.policy, models.policy_rate, items, settings.sampling, costs, models.sampler)
    with costs.phase("score"):
        grades, metrics = sources.grade_with_metrics(rollouts)
    indices = [i for i, missing in enumerate(grades.isnan().tolist()) if not missing]
    answers = [rollouts[i] for i in indices]
    tasks = TaskScores(sources.task_weights(answers) * grades[indices], torch.tensor([a.has_end for a in answers]))
    return ScoredAnswers([a.tokens for a in answers], tasks, metrics, [a.logprobs for a in answers])
