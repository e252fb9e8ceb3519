"""Proximal policy optimisation against a reward model or a task, with a KL penalty to the model that training starts from.

A step is one batch of episodes: answers are sampled, scored, turned into advantages, and trained on in minibatches.  The
choices follow arXiv 2403.17031 with four exceptions.  The score lies on the last token itself, not one after it.  An answer
without an end token has its score replaced, not lowered.  Policy and value model have an optimiser each.  Log-probabilities
are taken at the sampling temperature everywhere, so that the first ratio of a step is exactly 1.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from harness.training import batches, losses, parallel, policy_models, policy_prompts, tokenization
from harness.training.experience import (
    ActorCritic,
    Episodes,
    EpisodeSettings,
    LiveMinibatch,
    load_actor_critic,
    measure_episodes,
    sample_scored,
)
from harness.training.memory_bounds import bound_rows
from harness.training.needs import Needs
from harness.training.optimizer import ScheduledOptimizer
from harness.training.reward_settings import RewardSettings, reward_model_folder
from harness.training.rewards import Rewards, load_rewards
from harness.training.sampling import SamplingSettings
from harness.training.start import begin_training
from harness.training.training_device import autocast
from harness.training.training_run import Optimizers, TrainerRun
from harness.training.vllm_rollouts import choose_sampler
from harness.types import Checkpoint, SkilldeltaError

NEEDS = Needs(  # cost: sampling and training of the policy; reward_cost: scoring and the value model
    stage="tune by PPO", data="prompts", makes="policy", reward_model=True, cost=1.9, reward_cost=1.4
)


@dataclass(frozen=True)
class PPOConfig(RewardSettings):
    """The defaults are those of the study (arXiv 2406.09279).  `batch` counts episodes."""

    lr: float = 1e-6
    lr_end: float = 1.0
    warmup: float = 0.1
    beta2: float = 0.95
    eps: float = 1e-5
    batch: int = 64
    minibatch: int = 64  # episodes in one change of the weights
    inner_epochs: int = 1  # passes over a batch of episodes
    rollouts: int = 1  # episodes for each prompt of a batch
    temperature: float = 0.7  # of the sampled answers
    kl: float = 0.05  # the reward's loss for each nat of KL
    kl_target: float = 0.0  # adapt --kl towards this KL of an answer (arXiv 1909.08593, section 2.2); 0: constant
    kl_horizon: int = 10_000  # episodes over which --kl adapts
    kl_stop: float = 0.0  # stop when the mean KL of an answer exceeds this; 0: never
    missing_end: float = -10.0  # the reward model's score of an answer without an end token
    gamma: float = 1.0  # discount of later rewards
    lam: float = 0.95  # lambda of generalised advantage estimation
    clip_ratio: float = 0.2  # the largest change of a token's probability ratio that still gains
    clip_value: float = 0.2  # the same of a value
    whiten: bool = True  # advantages with mean 0 and deviation 1 over all tokens of a batch
    value_lr: float = 0.0  # the value model's learning rate; 0: the policy's

    def check(self) -> None:
        """Raises SkilldeltaError for settings that cannot work."""
        super().check()
        if self.minibatch < 1:
            raise SkilldeltaError(f"--minibatch is {self.minibatch}: it must be at least 1.")
        if self.gamma > 1:
            raise SkilldeltaError(f"--gamma is {self.gamma}: it must be at most 1.")
        if self.batch % self.rollouts:
            raise SkilldeltaError(f"--batch {self.batch} is no multiple of --rollouts {self.rollouts}.")
        if (value := self.temperature) <= 0:
            raise SkilldeltaError(f"--temperature is {value}: PPO learns from random answers, so it must be positive.")


def train(config: PPOConfig) -> Checkpoint:
    """Tunes a policy on the rewards of its own answers."""
    config = begin_training(config)
    check_processes(config)
    tokenizer = tokenization.load_tokenizer(config.model, config.template)
    ends = tokenization.answer_ends(tokenizer, config.model)
    sources, prompt_set = load_rewards(config, tokenizer, ends), policy_prompts.load_policy_prompts(config, tokenizer)
    sources.check_form(prompt_set)
    prompts = prompt_set.training

    by_prompt = replace(config, batch=config.batch // config.rollouts)  # a batch of prompts, not of episodes
    run = TrainerRun.over_rows(__name__, config, len(prompts) * config.rollouts)
    checkpoint = run.find_checkpoint(prompt_set.report)
    if run.is_complete:
        return run.final_checkpoint()
    reward_folder = reward_model_folder(config)
    end_and_pad = tokenizer.eos_token_id, tokenization.padding_token(tokenizer)
    models = load_actor_critic(
        config, sources.model, policy_models.model_folder(reward_folder or config.model), end_and_pad, checkpoint
    )
    policy_models.check_sequences(models.policy, [item.ids for item in prompts], config.model, config.max_new)
    models = replace(models, sampler=choose_sampler(config, models.policy, prompt_set, run.resources))
    config = bound_rows(config, models.policy, [len(item.ids) + config.max_new for item in prompts], config.minibatch, passes=2)
    updates = run.total * config.inner_epochs * -(-config.batch // config.minibatch)
    optimizers = {
        "optimizer": ScheduledOptimizer(models.policy.parameters(), config, updates),
        "value_optimizer": ScheduledOptimizer(models.value.parameters(), config, updates, config.value_lr or config.lr),
    }
    first = run.restore(checkpoint, optimizers)
    run.begin(data=prompt_set.report, lost=prompt_set.losses, audit=prompt_set.audit)
    kl_cost = float(run.memory.get("kl", config.kl))

    for step, indices in batches.iterate_steps(len(prompts), by_prompt, run.total, first):
        settings = episode_settings(sources, models, config, step, run.logs(step))
        with autocast(config):
            answers = sample_scored(
                sources, models, policy_prompts.repeat([prompts[i] for i in indices], config.rollouts), settings, run.costs
            )
            orders = epoch_orders(len(answers.rows), config, step)
            # Where a minibatch is computed at once, the pass that measures the first one also trains: it saves a forward pass.
            live_places = orders[0][: config.minibatch] if config.micro_batch in (0, config.minibatch) else []
            with run.costs.phase("score"):
                episodes, live = measure_episodes(models, answers.rows, settings, live_places, run.costs, answers.tasks)
        numbers = episodes.metrics(kl_cost) | answers.metrics | answers.gap(episodes, config.temperature)
        if 0 < config.kl_stop < numbers["objective/kl"]:
            run.facts["stopped"] = f"before step {step}: the mean KL of an answer is {numbers['objective/kl']:.3f}"
            run.total = step - 1
            break
        with run.costs.phase("update"):
            rewards, mask = episodes.rewards(kl_cost), episodes.mask
            advantages, returns = losses.gae(rewards, episodes.values, mask, config.gamma, config.lam)
            numbers["val/explained_variance"] = losses.explained_variance(episodes.values, returns, mask).item()
            numbers["lr"] = optimizers["optimizer"].lr
            white = losses.whiten(advantages, mask) if config.whiten else advantages
            numbers |= update_models(models, optimizers, Experience(episodes, white, returns, orders, live, step), config, run)
        if config.kl_target:
            error = min(max(numbers["objective/kl"] / config.kl_target - 1, -0.2), 0.2)
            kl_cost *= 1 + error * config.batch / config.kl_horizon
            run.memory["kl"] = kl_cost
        if run.logs(step):
            run.log(step, numbers | {"kl_coef": kl_cost, "episode": step * config.batch} | run.cost_numbers())
        is_best = False
        if prompt_set.heldout and run.is_due(step, config.eval_steps):
            settings = episode_settings(sources, models, config, 0)  # the same random numbers at every evaluation
            with autocast(config):
                answers = sample_scored(sources, models, prompt_set.heldout, settings, run.costs)
                with run.costs.phase("eval"):
                    figures = measure_episodes(models, answers.rows, settings, [], run.costs, answers.tasks)[0].metrics(kl_cost)
                figures |= answers.metrics
            run.log(step, {f"eval_{k}": v for k, v in figures.items()})
            is_best = run.is_best(step, figures["objective/rlhf_reward"])
        if is_best or run.is_due(step, config.save_steps):
            run.save(step, models.policy, tokenizer, optimizers, {"value": models.value})
    if not (run.folder / f"checkpoint-{run.total}").is_dir():  # --kl-stop ended the run between two checkpoints
        run.save(run.total, models.policy, tokenizer, optimizers, {"value": models.value})
    return run.finish()


@dataclass(frozen=True)
class Experience:
    """One batch of episodes, ready to train on."""

    episodes: Episodes
    advantages: Tensor  # [B, T]
    returns: Tensor  # [B, T]
    orders: list[list[int]]  # the rows of each inner epoch, shuffled
    live: LiveMinibatch | None
    step: int


# Log entries of a change of the weights: each the mean over the tokens of its minibatch.
UPDATE_METRICS = (
    "loss/policy_avg",
    "loss/value_avg",
    "policy/approxkl_avg",
    "policy/clipfrac_avg",
    "val/clipfrac_avg",
    "val/ratio",
    "policy/entropy_avg",
)


def update_models(
    models: ActorCritic, optimizers: Optimizers, experience: Experience, config: PPOConfig, run: TrainerRun
) -> dict[str, float]:
    """Every change of the weights from one batch of episodes; returns the means of the log entries over the minibatches."""
    episodes, history = experience.episodes, []
    size = config.minibatch
    minibatches = [order[i : i + size] for order in experience.orders for i in range(0, len(order), size)]
    for number, places in enumerate(minibatches):
        tokens = int(episodes.mask[places].sum())
        numbers = dict.fromkeys(UPDATE_METRICS, 0.0)
        live = experience.live if number == 0 else None
        own_places = parallel.own_share(places)
        row_length = lambda i: len(episodes.rows[i])  # noqa: E731
        for part in [own_places] if live else batches.micro_batches(own_places, row_length, config.micro_batch):
            batch = batches.pad_rows([episodes.rows[i] for i in part], models.pad).to(episodes.mask.device)
            mask = episodes.mask[part]
            old_logps, advantages, old_values, returns = (
                grid[part][mask] for grid in (episodes.old_logps, experience.advantages, episodes.values, experience.returns)
            )
            with autocast(config):
                statistics = run.logs(experience.step)
                targets = live.targets if live else models.logps(batch, config.temperature, statistics=statistics)
            policy = losses.ppo_policy(targets.logps, old_logps, advantages, config.clip_ratio)
            # The two models share no weight: one is done before the other's pass, so that the activations of one are held.
            torch.autograd.backward(policy.loss.sum() / tokens)
            with autocast(config):
                values = live.values if live else models.values(batch)
            value = losses.ppo_value(values, old_values, returns, config.clip_value)
            torch.autograd.backward(value.loss.sum() / tokens)
            with torch.no_grad():
                entropy = policy.loss * 0 if targets.entropy is None else targets.entropy
                kl = 0.5 * (targets.logps - old_logps) ** 2  # k2 of J. Schulman 2020, as TRL logs it
                entries = (policy.loss, value.loss, kl, policy.is_clipped, value.is_clipped, policy.ratio, entropy)
                numbers = {k: numbers[k] + v.sum().item() / tokens for k, v in zip(UPDATE_METRICS, entries, strict=True)}
            for rate in (models.policy_rate, models.value_rate):
                run.costs.count_pass(rate, batch, train=True, heads=len(old_logps), skip_forward=live is not None)
        numbers = parallel.sum_named(numbers)
        numbers["grad_norm"] = optimizers["optimizer"].apply(numbers["loss/policy_avg"], experience.step)
        numbers["value_grad_norm"] = optimizers["value_optimizer"].apply(numbers["loss/value_avg"], experience.step)
        history.append(numbers)
    return {k: sum(n[k] for n in history) / len(history) for k in history[0]}


def episode_settings(
    sources: Rewards, models: ActorCritic, config: PPOConfig, step: int, statistics: bool = False
) -> EpisodeSettings:
    """How the answers of a step are sampled and scored; step 0 is the evaluation."""
    seed = batches.derive_seed(config.seed, "answers", step)
    sampling = SamplingSettings(models.end, config.max_new, config.temperature, seed, ends=sources.ends)
    rows = config.micro_batch or config.minibatch
    return EpisodeSettings(sampling, config.missing_end, rows, sources.model_weight, statistics)


def epoch_orders(count: int, config: PPOConfig, step: int) -> list[list[int]]:
    """The order of the episodes in each inner epoch of a step."""
    generator = torch.Generator().manual_seed(batches.derive_seed(config.seed, "step", step))
    return [torch.randperm(count, generator=generator).tolist() for _ in range(config.inner_epochs)]


def check_processes(config: PPOConfig) -> None:
    """Raises SkilldeltaError for shards, which PPO cannot use."""
    if parallel.uses_shards(config.shard):
        raise SkilldeltaError(
            "PPO divides the episodes among processes, not the weights: leave out --shard (or accelerate's --use_fsdp).  "
            "Policies that do not fit on one device are trained with OpenRLHF, verl or open-instruct, and scored here."
        )
