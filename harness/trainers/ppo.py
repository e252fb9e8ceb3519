"""Proximal policy optimisation against a reward model, with a per-token KL penalty to the model that training starts from.

A step is one batch of episodes: answers are sampled, scored, turned into advantages, and learnt from in minibatches.  The
choices follow arXiv 2403.17031 but for these: the score lies on the last token itself, not one after it; an answer that does
not end has its score replaced, not lowered; policy and value model have an optimiser each; log-probabilities are taken at the
sampling temperature everywhere, so that the first ratio of a step is exactly 1.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from harness.training import batches, data_report, datasets, losses, model_loading, parallel
from harness.training import reward_model as gauge
from harness.training.experience import Episodes, Fresh, Models, Rules, answered, assembled, measured
from harness.training.needs import Needs
from harness.training.optimizer import Updater
from harness.training.run_folder import described
from harness.training.sampling import Sampling
from harness.training.settings import Settings
from harness.training.tokenization import Encoder, check_pad, tokenizer_of
from harness.training.training_run import Run
from harness.types import Checkpoint, SkilldeltaError, digest

NEEDS = Needs(  # cost: sampling and two changes, of the policy; scoring and the value model, of the reward model's size
    stage="tune by PPO", data="prompts", makes="policy", reward_model=True, cost=1.9, reward_cost=1.4
)


@dataclass(frozen=True)
class PPOConfig(Settings):
    """The defaults are those of the study (arXiv 2406.09279).  `batch` counts episodes; scores have the reward's kept scale."""

    lr: float = 1e-6
    lr_end: float = 1.0
    warmup: float = 0.1
    beta2: float = 0.95
    eps: float = 1e-5
    batch: int = 64
    reward: str = ""  # the folder of the reward model
    minibatch: int = 64  # episodes in a change of the weights
    inner_epochs: int = 1  # how often a batch of episodes is learnt from
    rollouts: int = 1  # episodes for each prompt of a batch
    max_prompt: int = 1024  # a longer prompt is dropped
    max_new: int = 1024  # tokens of an answer
    temperature: float = 0.7
    kl: float = 0.05  # what a nat of KL costs
    kl_target: float = 0.0  # adapt the cost towards this KL of an answer (arXiv 1909.08593, section 2.2); 0: it stays
    kl_horizon: int = 10_000  # episodes over which it adapts
    kl_stop: float = 0.0  # stop when the mean KL of an answer passes this; 0: never
    missing_end: float = -10.0  # the score of an answer that did not end
    normalise: bool = True  # put scores on the scale that the reward model has kept: mean 0, deviation 1 on SFT answers
    gamma: float = 1.0
    lam: float = 0.95
    clip_ratio: float = 0.2
    clip_value: float = 0.2
    whiten: bool = True  # advantages, over all tokens of a batch
    value_lr: float = 0.0  # of the value model; 0: as the policy's

    def check(self) -> None:
        """Refuses settings that cannot work."""
        super().check()
        if not self.reward:
            raise SkilldeltaError("--reward is needed: the folder of a reward model (skilldelta train reward makes one).")
        if self.batch % self.rollouts:
            raise SkilldeltaError(f"--batch {self.batch} is no multiple of --rollouts {self.rollouts}.")
        if self.temperature <= 0:
            raise SkilldeltaError(f"--temperature is {self.temperature}: answers must be drawn to be learnt from.")


def train(config: PPOConfig) -> Checkpoint:
    """Tunes a policy on the rewards of its own answers."""
    config.check()
    parallel.join()
    if parallel.divides(config.shard):
        raise SkilldeltaError(
            "PPO divides the episodes among processes, not the weights: leave out --shard (or accelerate's --use_fsdp).  "
            "Policies that do not fit on one device are trained with OpenRLHF, verl or open-instruct, and scored here."
        )
    torch.manual_seed(config.seed)
    tokenizer = tokenizer_of(model_loading.resolve(config.model), config.template)
    check_pad(tokenizer, config.model)
    refuse_other_reward(tokenizer, config)
    encoder = Encoder(tokenizer, config.max_prompt)
    loaded, unseen = datasets.divided(config, datasets.prompts, lambda row: row.prompt)
    prompts, held = (encoder.short_prompts([row.prompt for row in part]) for part in (loaded.rows, unseen))
    reward = gauge.load(config.reward)
    reward = reward if config.normalise else replace(reward, mean=0.0, sd=1.0)

    asking = replace(config, batch=config.batch // config.rollouts)  # prompts, not episodes
    run = Run("ppo", config, batches.steps(len(prompts), asking), batches.epoch(len(prompts), asking))
    last = run.resumed()
    if run.done:
        return run.result()
    told = data_report.prompts(loaded.rows, (config.overlap_with, config.overlap_share))
    models = assembled(
        config, reward, model_loading.resolve(config.reward), (tokenizer.eos_token_id, tokenizer.pad_token_id), last
    )
    changes = run.total * config.inner_epochs * -(-config.batch // config.minibatch)
    updaters = {
        "optimizer": Updater(models.policy.parameters(), config, changes),
        "value_optimizer": Updater(models.value.parameters(), config, changes, config.value_lr or config.lr),
    }
    done = run.restore(last, updaters)
    run.begin(
        data=loaded.report,
        lost=dict(encoder.lost),
        audit=told,
        reward_model=described(config.reward),
    )
    cost = float(run.carried.get("kl", config.kl))

    for step, chosen in batches.order(len(prompts), asking, run.total, done):
        asked = [prompts[i] for i in chosen for _ in range(config.rollouts)]
        turns = shuffled(len(asked), config, step)
        # Where a minibatch is computed at once, the pass that measures the first one also learns from it.
        first = turns[0][: config.minibatch] if config.micro_batch in (0, config.minibatch) else []
        with model_loading.precision(config):
            with run.costs.phase("rollout"):
                answers = answered(models, asked, sampling(models, config, step), run.costs)
            with run.costs.phase("score"):
                seen, fresh = measured(models, answers, rules(models, config, step), first, run.costs)
        numbers = seen.told(cost)
        if 0 < config.kl_stop < numbers["objective/kl"]:
            run.facts["stopped"] = f"before step {step}: the mean KL of an answer is {numbers['objective/kl']:.3f}"
            run.total = step - 1
            break
        with run.costs.phase("update"):
            advantages, returns = losses.gae(seen.rewards(cost), seen.values, seen.mask, config.gamma, config.lam)
            numbers["val/explained_variance"] = losses.explained_variance(seen.values, returns, seen.mask).item()
            numbers["lr"] = updaters["optimizer"].lr
            white = losses.whiten(advantages, seen.mask) if config.whiten else advantages
            numbers |= learn(models, updaters, Lesson(seen, white, returns, turns, fresh, step), config, run)
        if config.kl_target:
            error = min(max(numbers["objective/kl"] / config.kl_target - 1, -0.2), 0.2)
            cost *= 1 + error * config.batch / config.kl_horizon
            run.carried["kl"] = cost
        if run.logs(step):
            run.log(step, numbers | {"kl_coef": cost, "episode": step * config.batch} | run.spent())
        better = False
        if held and run.due(step, config.eval_steps):
            with run.costs.phase("eval"), model_loading.precision(config):
                answers = answered(models, held, sampling(models, config, 0), run.costs)
                judged = measured(models, answers, rules(models, config, 0), [], run.costs)[0].told(cost)
            run.log(step, {f"eval_{k}": v for k, v in judged.items()})
            better = run.improved(step, judged["objective/rlhf_reward"])
        if better or run.due(step, config.save_steps):
            run.save(step, models.policy, tokenizer, updaters, {"value": models.value})
    if not (run.folder / f"checkpoint-{run.total}").is_dir():
        run.save(run.total, models.policy, tokenizer, updaters, {"value": models.value})
    return run.finish()


@dataclass(frozen=True)
class Lesson:
    """What one batch of episodes teaches, and in which order."""

    seen: Episodes
    advantages: Tensor  # [B, T]
    returns: Tensor  # [B, T]
    turns: list[list[int]]  # the rows of each inner epoch, shuffled
    fresh: Fresh | None
    step: int


# What is told of a change of the weights: each the mean over the tokens of its minibatch.
TOLD = (
    "loss/policy_avg",
    "loss/value_avg",
    "policy/approxkl_avg",
    "policy/clipfrac_avg",
    "val/clipfrac_avg",
    "val/ratio",
    "policy/entropy_avg",
)


def learn(models: Models, updaters: dict[str, Updater], lesson: Lesson, config: PPOConfig, run: Run) -> dict[str, float]:
    """All changes of the weights from one batch of episodes; gives the means over the minibatches of what they looked like."""
    seen, told = lesson.seen, []
    plan = [turn[i : i + config.minibatch] for turn in lesson.turns for i in range(0, len(turn), config.minibatch)]
    for number, places in enumerate(plan):
        tokens = int(seen.mask[places].sum())
        numbers = dict.fromkeys(TOLD, 0.0)
        fresh = lesson.fresh if number == 0 else None
        mine = parallel.mine(places)
        for part in [mine] if fresh else batches.micro(mine, lambda i: len(seen.rows[i]), config.micro_batch):
            batch = batches.padded([seen.rows[i] for i in part], models.pad).to(seen.mask.device)
            with model_loading.precision(config):
                picked = fresh.picked if fresh else models.logps(batch, config.temperature)
                worth = fresh.values if fresh else models.values(batch)
            mask = seen.mask[part]
            old, wanted, before, returns = (x[part][mask] for x in (seen.old, lesson.advantages, seen.values, lesson.returns))
            policy = losses.ppo_policy(picked.logps, old, wanted, config.clip_ratio)
            value = losses.ppo_value(worth, before, returns, config.clip_value)
            torch.autograd.backward((policy.loss.sum() + value.loss.sum()) / tokens)  # they share no weight
            with torch.no_grad():
                surprise = losses.entropy(picked.logits) if run.logs(lesson.step) else policy.loss * 0
                kl = 0.5 * (picked.logps - old) ** 2
                parts = (policy.loss, value.loss, kl, policy.clipped, value.clipped, policy.ratio, surprise)
                numbers = {k: numbers[k] + v.sum().item() / tokens for k, v in zip(TOLD, parts, strict=True)}
            run.costs.passed(models.rate, batch, train=True, heads=len(old), measured=fresh is not None)
            run.costs.passed(models.value_rate, batch, train=True, heads=len(old), measured=fresh is not None)
        numbers = dict(zip(TOLD, parallel.added(*numbers.values()), strict=True))
        numbers["grad_norm"] = updaters["optimizer"].apply(numbers["loss/policy_avg"], lesson.step)
        numbers["value_grad_norm"] = updaters["value_optimizer"].apply(numbers["loss/value_avg"], lesson.step)
        told.append(numbers)
    return {k: sum(n[k] for n in told) / len(told) for k in told[0]}


def sampling(models: Models, config: PPOConfig, step: int) -> Sampling:
    """How the answers of a step are drawn; step 0 is the evaluation, drawn alike each time."""
    seed = int(digest([config.seed, "answers", step], 15), 16)
    return Sampling(models.end, config.max_new, config.temperature, seed)


def rules(models: Models, config: PPOConfig, step: int) -> Rules:
    """How the answers of a step are judged."""
    return Rules(sampling(models, config, step), config.missing_end, config.micro_batch or config.minibatch)


def shuffled(count: int, config: PPOConfig, step: int) -> list[list[int]]:
    """The order of the episodes in each inner epoch of a step."""
    noise = torch.Generator().manual_seed(int(digest([config.seed, "step", step], 15), 16))
    return [torch.randperm(count, generator=noise).tolist() for _ in range(config.inner_epochs)]


def refuse_other_reward(tokenizer: Any, config: PPOConfig) -> None:
    """Refuses a reward model that would read other tokens, or the same answer in another template."""
    theirs = tokenizer_of(model_loading.resolve(config.reward), config.template)
    for what, differs in (
        ("vocabulary", theirs.get_vocab() != tokenizer.get_vocab()),
        ("chat template", theirs.chat_template != tokenizer.chat_template),
    ):
        if differs:
            raise SkilldeltaError(
                f"The reward model {config.reward} has another {what} than the policy {config.model}: it would score "
                "what was not said.  Train the reward model from the same family (and with the same --template) as the policy."
            )
