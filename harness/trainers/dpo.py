"""Direct preference optimisation: preferred answers more likely than rejected ones, relative to a reference model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from harness.training import batches, data_report, datasets, forward, losses, packing, parallel, policy_models, preferences
from harness.training.batches import PairTokens, pair_length
from harness.training.costs import measure_rates
from harness.training.flop_rates import FlopRates
from harness.training.memory_bounds import bound_rows
from harness.training.needs import Needs
from harness.training.optimizer import ScheduledOptimizer
from harness.training.settings import TrainerSettings
from harness.training.start import begin_training
from harness.training.tokenization import Encoder, answer_ends, load_tokenizer
from harness.training.training_device import autocast, training_device
from harness.training.training_run import TrainerRun
from harness.types import Checkpoint, SkilldeltaError

NEEDS = Needs(stage="tune by DPO", data="pairs", makes="policy", cost=1.4)  # 1 to train, 0.4 for the reference's one pass


REFERENCE_FREE = ("simpo", "cpo", "orpo")


@dataclass(frozen=True)
class DPOConfig(TrainerSettings):
    """The defaults are those of the study (arXiv 2406.09279); the reference is the model that training starts from.

    norm (length-normalised DPO of Tulu 3), ipo and simpo compare means over the tokens, so that beta is larger: 5, 0.1, 2.
    simpo, cpo and orpo need no reference; cpo and orpo add the likelihood of the chosen answer.
    """

    lr: float = 5e-7
    warmup: float = 0.1
    epochs: float = 3.0
    max_length: int = 4096
    loss: Literal["sigmoid", "norm", "ipo", "hinge", "apo_zero", "simpo", "cpo", "orpo"] = "sigmoid"  # sigmoid: DPO's own
    beta: float = 0.1  # how strongly the policy is held to the reference (IPO: tau; ORPO: lambda; SimPO: near 2)
    gamma: float = 0.5  # the margin of SimPO
    nll: float = 0.0  # the weight of the chosen answer's negative log-likelihood for each token, added to any loss
    smoothing: float = 0.0  # the probability that a label is wrong (sigmoid, norm, cpo)

    def check(self) -> None:
        """Raises SkilldeltaError for settings that cannot work."""
        super().check()
        for name, losses_with_it in (("gamma", ("simpo",)), ("smoothing", ("sigmoid", "norm", "cpo"))):
            if getattr(self, name) != getattr(DPOConfig, name) and self.loss not in losses_with_it:
                raise SkilldeltaError(f"--{name} has no effect on --loss {self.loss}: it is for {', '.join(losses_with_it)}.")


def train(config: DPOConfig) -> Checkpoint:
    """Tunes a model on preference pairs; the loss of a step is the mean over its pairs."""
    config = begin_training(config)
    tokenizer = load_tokenizer(config.model, config.template)
    ends = answer_ends(tokenizer, config.model)
    encoder, pad = Encoder(tokenizer, config.max_length, config.overlong, ends=ends), tokenizer.eos_token_id
    data, heldout = datasets.split_holdout(config, preferences.parse_pair, lambda pair: pair.holdout_key)
    rows, eval_rows = ([tokens for _, tokens in encoder.fitting_pairs(part)] for part in (data.rows, heldout))

    run = TrainerRun.over_rows(__name__, config, len(rows))
    checkpoint = run.find_checkpoint(data.report)
    if run.is_complete:
        return run.final_checkpoint()
    report = data_report.report_pairs(data.rows, config)
    policy = policy_models.trainable_policy(config, checkpoint)
    policy_models.check_sequences(policy, [tokens.ids for pair in rows for tokens in pair], config.model)
    config = bound_rows(config, policy, [len(chosen) + len(rejected) for chosen, rejected in rows], config.batch)
    rate = measure_rates(policy, forward.output_head(policy))
    policy = policy_models.shard(policy, config)
    with run.costs.phase("reference"):
        is_policy = checkpoint is None or config.loss in REFERENCE_FREE  # nobody asks for the latter's reference
        reference_model = policy_models.reference_model(config, policy, is_untrained=is_policy)
        places = sorted({i for _, indices in batches.iterate_steps(len(rows), config, run.total) for i in indices})
        places += range(len(rows), len(rows) + len(eval_rows))
        flops = run.costs.flops
        reference = reference_logps(reference_model, rows + eval_rows, places, pad, run, rate)
        if checkpoint is not None:
            run.costs.flops = flops  # the account of the checkpoint has this pass: repeating it is no cost of the training
        del reference_model
    optimizer = ScheduledOptimizer(policy.parameters(), config, run.total)
    first = run.restore(checkpoint, {"optimizer": optimizer})
    run.begin(data=data.report, lost=dict(encoder.losses), audit=report)

    for step, indices in batches.iterate_steps(len(rows), config, run.total, first):
        sums: dict[str, float] = {}
        with run.costs.phase("update"):
            for part, weight in batches.weighted_micro_batches(indices, lambda i: pair_length(rows[i]), config.micro_batch):
                batch = forward.lay_out(policy, [rows[i] for i in part], pad, rate)
                with autocast(config):
                    targets = forward.target_logps(policy, batch)
                logps, lengths = forward.answer_logps(targets, batch), forward.answer_lengths(batch)
                numbers = pair_numbers(logps, reference[part], lengths, config)
                torch.autograd.backward(weight * numbers["loss"].sum() / len(indices))
                sums = batches.add_means(sums, numbers, weight, len(indices))
                run.costs.count_pass(rate, batch, train=True, heads=len(targets.logps))
            sums = parallel.sum_named(sums)
            lr = optimizer.lr
            norm = optimizer.apply(sums["loss"], step)
        if run.logs(step):
            run.log(step, sums | {"grad_norm": norm, "learning_rate": lr} | run.cost_numbers())
        is_best = False
        if eval_rows and run.is_due(step, config.eval_steps):
            with run.costs.phase("eval"):
                means = evaluate_pairs(policy, eval_rows, reference[len(rows) :], pad, config)
            run.log(step, {f"eval_{k}": v for k, v in means.items()})
            is_best = run.is_best(step, -means["loss"])
        if is_best or run.is_due(step, config.save_steps):
            run.save(step, policy, tokenizer, {"optimizer": optimizer})
    return run.finish()


def pair_numbers(policy: Tensor, reference: Tensor, lengths: Tensor, config: DPOConfig) -> dict[str, Tensor]:
    """Loss and TRL's logged figures, one number per pair: [B] each.

    policy, lengths: [2B], all chosen answers and then all rejected ones; reference: [B, 2], chosen and rejected.
    """
    chosen, rejected = policy.chunk(2)
    chosen_length, rejected_length = lengths.chunk(2)
    reference_chosen, reference_rejected = (reference[:, side].to(policy.device) for side in (0, 1))
    with torch.no_grad():
        chosen_reward = config.beta * (chosen - reference_chosen)
        rejected_reward = config.beta * (rejected - reference_rejected)
    loss = pair_loss((chosen, rejected), (reference_chosen, reference_rejected), (chosen_length, rejected_length), config)
    nll = config.nll + (config.loss in ("cpo", "orpo"))  # both papers add it with the weight 1
    return {
        "loss": loss - nll * chosen / chosen_length if nll else loss,
        "rewards/chosen": chosen_reward,
        "rewards/rejected": rejected_reward,
        "rewards/margins": chosen_reward - rejected_reward,
        "rewards/accuracies": (chosen_reward > rejected_reward).float(),
        "logps/chosen": chosen,
        "logps/rejected": rejected,
    }


Sides = tuple[Tensor, Tensor]  # of the chosen and of the rejected answers: [B] each


def pair_loss(policy: Sides, reference: Sides, lengths: Sides, config: DPOConfig) -> Tensor:
    """The loss of each pair from the log-probabilities of its answers and their numbers of tokens: [B].

    Without a reference its log-probabilities are 0.
    """
    gap = losses.preference_gap(policy, reference)  # of sums over tokens
    means, reference_means = ((logps[0] / lengths[0], logps[1] / lengths[1]) for logps in (policy, reference))
    mean_gap = losses.preference_gap(means, reference_means)
    match config.loss:
        case "sigmoid" | "cpo":
            return losses.dpo(gap, config.beta, config.smoothing)
        case "norm":
            return losses.dpo(mean_gap, config.beta, config.smoothing)
        case "ipo":
            return losses.ipo(mean_gap, config.beta)
        case "hinge":
            return losses.hinge(gap, config.beta)
        case "apo_zero":
            return losses.apo_zero(policy[0] - reference[0], policy[1] - reference[1], config.beta)
        case "simpo":
            return losses.simpo(mean_gap, config.beta, config.gamma)
        case "orpo":
            return config.beta * losses.odds_ratio(*means)


@torch.no_grad()
def reference_logps(
    model: nn.Module, rows: Sequence[PairTokens], places: list[int], pad: int, run: TrainerRun, rate: FlopRates
) -> Tensor:
    """The reference's log-probabilities of the pairs at `places`, computed once: [rows, 2], chosen and rejected.

    Raises SkilldeltaError if one of them is not finite.
    """
    config = run.config
    logps = torch.zeros(len(rows), 2)
    if getattr(config, "loss", "") in REFERENCE_FREE:
        return logps
    limit = config.micro_batch or config.batch
    for part, weight in batches.weighted_micro_batches(places, lambda i: pair_length(rows[i]), limit):
        batch = forward.lay_out(model, [rows[i] for i in part], pad, rate)
        with autocast(config):
            targets = forward.target_logps(model, batch)
        if weight:
            logps[part] = torch.stack(forward.answer_logps(targets, batch).float().cpu().chunk(2), dim=1)
        run.costs.count_pass(rate, batch, train=False, heads=len(targets.logps))
    logps = parallel.sum_tensor(logps.to(training_device(config))).cpu()
    if not logps.isfinite().all():
        raise SkilldeltaError(f"{config.model} gives log-probabilities that are not finite: its weights are broken.")
    return logps


@torch.no_grad()
def evaluate_pairs(
    policy: nn.Module, rows: Sequence[PairTokens], reference: Tensor, pad: int, config: DPOConfig
) -> dict[str, float]:
    """The means of `pair_numbers` over held-out pairs."""
    means: dict[str, float] = {}
    places, limit = list(range(len(rows))), config.micro_batch or config.batch
    for part, weight in batches.weighted_micro_batches(places, lambda i: pair_length(rows[i]), limit):
        batch = packing.separate_rows([rows[i] for i in part], pad).to(training_device(config))
        with autocast(config):
            logps = forward.answer_logps(forward.target_logps(policy, batch), batch)
        numbers = pair_numbers(logps, reference[part], forward.answer_lengths(batch), config)
        means = batches.add_means(means, numbers, weight, len(rows))
    return parallel.sum_named(means)
