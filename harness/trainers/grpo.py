"""Group-relative policy optimisation: several answers to each prompt, each rewarded by how it compares with its group.

A step is one batch of answers, `rollouts` to each prompt.  The mean reward of a group is its value model.  Rewards come
from a task's own scorer (`--reward task:gsm8k`), a reward model, or a weighted sum.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn

from harness.training import batches, forward, losses, parallel, policy_models, policy_prompts, tokenization
from harness.training.costs import measure_rates
from harness.training.flop_rates import FlopRates
from harness.training.group_rewards import group_numbers, warn_of_equal_rewards
from harness.training.memory_bounds import bound_rows
from harness.training.needs import Needs
from harness.training.optimizer import ScheduledOptimizer
from harness.training.reward_settings import RewardSettings
from harness.training.rewards import load_rewards
from harness.training.rollouts import Rollout
from harness.training.sampling import SamplingSettings, generate_rollouts
from harness.training.sampling_gap import GAP, check_gap, pad_logprobs
from harness.training.soft_losses import sapo_policy, vespo_policy
from harness.training.start import begin_training
from harness.training.training_device import autocast
from harness.training.training_run import TrainerRun
from harness.training.vllm_rollouts import choose_sampler
from harness.types import Checkpoint, SkilldeltaError

NEEDS = Needs(stage="tune by GRPO", data="prompts", makes="policy", reward_model=True, cost=1.6, reward_cost=0.4)


@dataclass(frozen=True)
class GRPOConfig(RewardSettings):
    """The defaults are TRL's of 2026, with DAPO's loss (arXiv 2503.14476).  `batch` counts answers, not prompts."""

    lr: float = 1e-6
    lr_end: float = 1.0
    batch: int = 64
    rollouts: int = 8  # answers to each prompt: the group
    minibatch: int = 0  # answers in one change of the weights; 0: the whole batch
    inner_epochs: int = 1  # passes over a batch of answers
    max_new: int = 512
    temperature: float = 1.0  # of the sampled answers
    loss: Literal["dapo", "grpo", "dr_grpo", "bnpo", "gspo", "cispo", "sapo", "luspo", "vespo"] = "dapo"  # how tokens count
    scale: Literal["group", "batch", "none"] = "group"  # the deviation that rewards are divided by
    clip_ratio: float = 0.2  # the largest fall of a token's probability ratio that still gains
    clip_high: float = 0.2  # the largest rise of it (DAPO: 0.28)
    kl: float = 0.0  # the weight of the KL to the model that training starts from, as a part of the loss; 0: none
    missing_end: float = -10.0  # the reward model's score of an answer without an end token

    def check(self) -> None:
        """Raises SkilldeltaError for settings that cannot work."""
        super().check()
        if self.rollouts < 2:
            raise SkilldeltaError(f"--rollouts is {self.rollouts}: a group needs at least 2 answers to be compared.")
        if self.batch % self.rollouts:
            raise SkilldeltaError(f"--batch {self.batch} is no multiple of --rollouts {self.rollouts}.")
        if self.temperature <= 0:
            raise SkilldeltaError(f"--temperature is {self.temperature}: GRPO learns from random answers: it must be positive.")


def train(config: GRPOConfig) -> Checkpoint:
    """Tunes a policy on the rewards of its own answers."""
    config = begin_training(config)
    if parallel.uses_shards(config.shard):
        raise SkilldeltaError("GRPO divides the answers among processes, not the weights: leave out --shard.")
    tokenizer = tokenization.load_tokenizer(config.model, config.template)
    ends = tokenization.answer_ends(tokenizer, config.model)
    pad = tokenization.padding_token(tokenizer)
    sources, prompt_set = load_rewards(config, tokenizer, ends), policy_prompts.load_policy_prompts(config, tokenizer)
    sources.check_form(prompt_set)

    by_prompt = replace(config, batch=config.batch // config.rollouts)  # a batch of prompts, not of answers
    run = TrainerRun.over_rows(__name__, config, len(prompt_set.training) * config.rollouts)
    checkpoint = run.find_checkpoint(prompt_set.report)
    if run.is_complete:
        return run.final_checkpoint()
    policy = policy_models.trainable_policy(config, checkpoint)
    policy_models.check_sequences(policy, [item.ids for item in prompt_set.training], config.model, config.max_new)
    sampler = choose_sampler(config, policy, prompt_set, run.resources)
    reference = policy_models.reference_model(config, policy, is_untrained=False) if config.kl and not config.lora else None
    rate = measure_rates(policy, forward.output_head(policy))
    size = config.minibatch or config.batch
    optimizer = ScheduledOptimizer(policy.parameters(), config, run.total * config.inner_epochs * -(-config.batch // size))
    first = run.restore(checkpoint, {"optimizer": optimizer})
    config = bound_rows(config, policy, [len(item.ids) + config.max_new for item in prompt_set.training], size)
    run.begin(data=prompt_set.report, lost=prompt_set.losses, audit=prompt_set.audit)
    models = GroupModels(policy, reference, rate, pad)
    equal_shares: list[float] = []

    for step, indices in batches.iterate_steps(len(prompt_set.training), by_prompt, run.total, first):
        items = policy_prompts.repeat([prompt_set.training[i] for i in indices], config.rollouts)
        seed = batches.derive_seed(config.seed, "answers", step)
        sampling = SamplingSettings(tokenizer.eos_token_id, config.max_new, config.temperature, seed, ends=ends)
        with autocast(config):
            with run.costs.phase("rollout"):
                rollouts = generate_rollouts(policy, rate, items, sampling, run.costs, sampler)
            with run.costs.phase("score"):
                rewards, metrics = sources.total(rollouts, pad, config.micro_batch or size, config.missing_end)
                advantages = losses.group_advantages(rewards, config.rollouts, config.scale)
                experience = measure_answers(models, rollouts, advantages, config, run)
        with run.costs.phase("update"):
            numbers = metrics | group_numbers(rewards, rollouts, config.rollouts) | {"learning_rate": optimizer.lr}
            numbers |= update_policy(models, optimizer, experience, config, run, step)
            check_gap(numbers.get(GAP, 0.0), config.temperature)
        equal_shares.append(numbers["frac_reward_zero_std"])
        if run.logs(step):
            run.log(step, numbers | run.cost_numbers())
        is_best = False
        if prompt_set.heldout and run.is_due(step, config.eval_steps):
            with run.costs.phase("eval"), autocast(config):
                sampling = replace(sampling, seed=config.seed)
                answers = generate_rollouts(policy, rate, prompt_set.heldout, sampling, run.costs, sampler)
                rewards, metrics = sources.total(answers, pad, config.micro_batch or size, config.missing_end)
            reward = rewards.nanmean().item()
            run.log(step, {"eval_reward": reward} | {f"eval_{k}": v for k, v in metrics.items()})
            is_best = run.is_best(step, reward)
        if is_best or run.is_due(step, config.save_steps):
            run.save(step, policy, tokenizer, {"optimizer": optimizer})
    warn_of_equal_rewards(equal_shares)
    return run.finish()


@dataclass(frozen=True)
class GroupModels:
    """The policy and its reference; None: no KL, or with an adapter the policy without it."""

    policy: nn.Module
    reference: nn.Module | None
    rate: FlopRates
    pad: int

    def reference_logps(self, batch: batches.Batch, temperature: float) -> Tensor:
        """The reference's log-probabilities of the targets: [N]."""
        if self.reference is None:
            with self.policy.disable_adapter():  # type: ignore[operator]
                return forward.target_logps(self.policy, batch, temperature).logps
        return forward.target_logps(self.reference, batch, temperature).logps


@dataclass(frozen=True)
class GroupExperience:
    """The answers of a batch with what training needs of them: [B], [B, T]; None: equal to the policy's own."""

    rows: list[batches.Tokens]
    advantages: Tensor  # [B]
    mask: Tensor  # [B, T] bool
    old_logps: Tensor | None  # [B, T], under the policy that sampled
    reference_logps: Tensor | None  # [B, T]
    sampled_logps: Tensor | None  # [B, T], the sampler's, where it is another program


@torch.no_grad()
def measure_answers(
    models: GroupModels, rollouts: Sequence[Rollout], advantages: Tensor, config: GRPOConfig, run: TrainerRun
) -> GroupExperience:
    """The log-probabilities that stay fixed while the weights change: only those that the settings need."""
    rows, device = [r.tokens for r in rollouts], forward.inner_model(models.policy).device
    lengths = torch.tensor([r.target_count for r in rows], device=device)
    mask = torch.arange(max(1, int(lengths.max())), device=device)[None] < lengths[:, None]
    changes_weights_twice = config.inner_epochs > 1 or 0 < config.minibatch < config.batch
    old, reference = (torch.zeros(mask.shape, device=device) if x else None for x in (changes_weights_twice, config.kl))
    own = parallel.own_share(range(len(rows)))
    grids = [grid for grid in (old, reference) if grid is not None]
    for part in batches.micro_batches(own, lambda i: len(rows[i]), config.micro_batch) if grids else []:
        batch = batches.pad_rows([rows[i] for i in part], models.pad).to(device)
        if old is not None:
            old[part] = spread(forward.target_logps(models.policy, batch, config.temperature).logps, mask[part])
        if reference is not None:
            reference[part] = spread(models.reference_logps(batch, config.temperature), mask[part])
        run.costs.count_pass(models.rate, batch, train=False, heads=len(grids) * len(batch.targets), times=len(grids))
    old, reference = (None if grid is None else parallel.sum_tensor(grid) for grid in (old, reference))
    sampled_logps = pad_logprobs([r.logprobs for r in rollouts], mask)
    return GroupExperience(rows, advantages.to(device), mask, old, reference, sampled_logps)


def spread(flat: Tensor, mask: Tensor) -> Tensor:
    """Figures of the target tokens in a table of answers: [N], [B, T] -> [B, T], 0 behind an answer."""
    return torch.zeros(mask.shape, device=mask.device, dtype=flat.dtype).masked_scatter(mask, flat)


def update_policy(
    models: GroupModels, optimizer: ScheduledOptimizer, batch: GroupExperience, config: GRPOConfig, run: TrainerRun, step: int
) -> dict[str, float]:
    """Every change of the weights from one batch of answers; returns the means of the log entries over the minibatches."""
    size, history = config.minibatch or len(batch.rows), []
    generator = torch.Generator().manual_seed(batches.derive_seed(config.seed, "step", step))
    for _ in range(config.inner_epochs):
        order = torch.randperm(len(batch.rows), generator=generator).tolist()
        for places in (order[i : i + size] for i in range(0, len(order), size)):
            numbers = accumulate_gradients(models, batch, places, config, run, step)
            numbers["grad_norm"] = optimizer.apply(numbers["loss"], step)
            history.append(numbers)
    return {k: sum(n[k] for n in history) / len(history) for k in history[0]}


def accumulate_gradients(
    models: GroupModels, batch: GroupExperience, places: list[int], config: GRPOConfig, run: TrainerRun, step: int
) -> dict[str, float]:
    """The gradient of one minibatch, left in the weights; its log entries."""
    batch_tokens = float(batch.mask.sum()) * len(places) / len(batch.rows)
    weights = losses.token_weights(config.loss, batch.mask[places], config.max_new, batch_tokens)
    weight_of = dict(zip(places, weights, strict=True))
    tokens, numbers = float(batch.mask[places].sum()), dict.fromkeys(("loss", "kl", "clip_ratio", "entropy"), 0.0)
    for part in batches.micro_batches(parallel.own_share(places), lambda i: len(batch.rows[i]), config.micro_batch):
        if not part:
            continue
        rows = batches.pad_rows([batch.rows[i] for i in part], models.pad).to(batch.mask.device)
        mask = batch.mask[part]
        with autocast(config):
            targets = forward.target_logps(models.policy, rows, config.temperature, statistics=run.logs(step))
        logps = spread(targets.logps, mask)
        old = logps.detach() if batch.old_logps is None else batch.old_logps[part]
        reference = None if batch.reference_logps is None else batch.reference_logps[part]
        if batch.sampled_logps is not None:
            numbers[GAP] = numbers.get(GAP, 0.0) + ((batch.sampled_logps[part] - old).abs() * mask).sum().item() / tokens
        loss = token_losses(logps, old, mask, batch.advantages[part][:, None], config)
        # Times the ratio, which makes its gradient that of the KL (DeepSeek-V3.2, arXiv 2512.02556).
        kl = None if reference is None else loss.ratio * losses.k3(logps, reference)
        each = loss.loss if kl is None else loss.loss + config.kl * kl
        part_loss = (each * torch.stack([weight_of[i] for i in part])).sum()
        torch.autograd.backward(part_loss)
        numbers["loss"] += part_loss.item()
        numbers["kl"] += 0.0 if kl is None else (kl.detach() * mask).sum().item() / tokens
        numbers["clip_ratio"] += (loss.is_clipped & mask).sum().item() / tokens
        numbers["entropy"] += 0.0 if targets.entropy is None else targets.entropy.sum().item() / tokens
        run.costs.count_pass(models.rate, rows, train=True, heads=len(targets.logps))
    return parallel.sum_named(numbers)


def token_losses(logps: Tensor, old: Tensor, mask: Tensor, advantages: Tensor, config: GRPOConfig) -> losses.ClippedLoss:
    """The loss of each token: [B, T] from log-probabilities [B, T] and advantages [B, 1]."""
    log_ratio = losses.sequence_ratio(logps, old, mask) if config.loss in ("gspo", "luspo") else logps - old
    if config.loss == "sapo":
        return sapo_policy(log_ratio, advantages)
    if config.loss == "vespo":
        return vespo_policy(logps, log_ratio, mask, advantages)
    if config.loss == "cispo":
        return losses.cispo_policy(logps, log_ratio, advantages, config.clip_high)
    return losses.grpo_policy(log_ratio, advantages, config.clip_ratio, config.clip_high)
