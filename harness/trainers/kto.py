"""Kahneman-Tversky optimisation: single answers with a label, desirable or not, relative to a reference model; no pairs needed.

Rows are prompt, completion and label (true or false), or pairs, of which each makes one desirable and one undesirable answer.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from harness.training import (
    batches,
    data_report,
    datasets,
    forward,
    labelled_answers,
    losses,
    parallel,
    policy_models,
    tokenization,
)
from harness.training.batches import Tokens
from harness.training.conversations import Conversation
from harness.training.costs import measure_rates
from harness.training.labelled_answers import LabelledTokens
from harness.training.memory_bounds import bound_rows
from harness.training.needs import Needs
from harness.training.optimizer import ScheduledOptimizer
from harness.training.settings import TrainerSettings
from harness.training.start import begin_training
from harness.training.training_device import autocast, training_device
from harness.training.training_run import TrainerRun
from harness.types import Checkpoint, SkilldeltaError

# The cost includes answers of other prompts, which measure the KL.
NEEDS = Needs(stage="tune by KTO", data="pairs", labels=True, makes="policy", cost=2.2)


@dataclass(frozen=True)
class KTOConfig(TrainerSettings):
    """The defaults are the paper's (arXiv 2402.01306, section 4.2); the reference is the model that training starts from."""

    lr: float = 5e-7
    warmup: float = 0.1
    max_length: int = 4096
    beta: float = 0.1  # how strongly the policy is held to the reference
    desirable: float = 1.0  # the weight of desirable answers
    undesirable: float = 1.0  # the weight of undesirable ones; desirable x count should be near undesirable x count

    def check(self) -> None:
        """Raises SkilldeltaError for settings that cannot work."""
        super().check()
        if name := next((name for name in ("eval_data", "holdout") if getattr(self, name)), ""):
            raise SkilldeltaError(
                f"--{name.replace('_', '-')}: KTO holds no rows out, and all would be trained on.  Take them out of the data."
            )


def train(config: KTOConfig) -> Checkpoint:
    """Tunes a model on labelled answers; the loss of a step is the mean over its answers."""
    config = begin_training(config)
    tokenizer = tokenization.load_tokenizer(config.model, config.template)
    pad, ends = tokenizer.eos_token_id, tokenization.answer_ends(tokenizer, config.model)
    encoder = tokenization.Encoder(tokenizer, config.max_length, config.overlong, ends=ends)
    data = datasets.load_mixture(config, labelled_answers.parse_labels)
    rows = labelled_answers.encode_labels(data.rows, encoder)

    run = TrainerRun.over_rows(__name__, config, len(rows))
    checkpoint = run.find_checkpoint(data.report)
    if run.is_complete:
        return run.final_checkpoint()
    policy = policy_models.trainable_policy(config, checkpoint)
    policy_models.check_sequences(policy, [row.tokens.ids for row in rows], config.model)
    config = bound_rows(config, policy, [len(row.tokens) for row in rows], config.batch)
    rate = measure_rates(policy, forward.output_head(policy))
    policy = policy_models.shard(policy, config)
    optimizer = ScheduledOptimizer(policy.parameters(), config, run.total)
    reference = policy_models.reference_model(config, policy, is_untrained=False).requires_grad_(False)
    first = run.restore(checkpoint, {"optimizer": optimizer})
    answers = [Conversation(answer.prompt, answer.answer) for row in data.rows for answer in row]
    run.begin(data=data.report, lost=dict(encoder.losses), audit=data_report.report_rows(answers, config))

    for step, indices in batches.iterate_steps(len(rows), config, run.total, first):
        step_rows = [rows[i] for i in indices]
        numbers: dict[str, float] = {}
        with run.costs.phase("reference"):
            strangers = labelled_answers.exchange_answers(step_rows, rows)
            baseline = measure_baseline(policy, reference, strangers, pad, config)
        with run.costs.phase("update"):
            places = list(range(len(step_rows)))
            for part, weight in batches.weighted_micro_batches(places, lambda i: len(step_rows[i].tokens), config.micro_batch):  # noqa: B023
                part_rows = [step_rows[i] for i in part]
                batch = batches.pad_rows([row.tokens for row in part_rows], pad).to(training_device(config))
                with autocast(config):
                    logps = forward.answer_logps(forward.target_logps(policy, batch), batch)
                    with torch.no_grad():
                        reference_logps = forward.answer_logps(forward.target_logps(reference, batch), batch)
                figures = answer_numbers(logps - reference_logps, part_rows, baseline, config)
                torch.autograd.backward(weight * figures["loss"].sum() / len(indices))
                numbers = batches.add_means(numbers, figures, weight, len(indices))
                run.costs.count_pass(rate, batch, train=True, heads=len(batch.targets))
                run.costs.count_pass(rate, batch, train=False, heads=3 * len(batch.targets), times=3)
            numbers = parallel.sum_named(numbers) | {"kl": baseline.item()}
            lr = optimizer.lr
            norm = optimizer.apply(numbers["loss"], step)
        if run.logs(step):
            run.log(step, numbers | {"grad_norm": norm, "learning_rate": lr} | run.cost_numbers())
        if run.is_due(step, config.save_steps):
            run.save(step, policy, tokenizer, {"optimizer": optimizer})
    return run.finish()


def answer_numbers(log_ratio: Tensor, rows: list[LabelledTokens], baseline: Tensor, config: KTOConfig) -> dict[str, Tensor]:
    """Loss and logged figures, one number per answer: log-ratios to the reference [B], baseline [] -> [B] each."""
    sign = torch.tensor([1.0 if row.is_desirable else -1.0 for row in rows], device=log_ratio.device)
    weight = torch.where(sign > 0, config.desirable, config.undesirable)
    reward = config.beta * log_ratio.detach()
    loss = weight * losses.kto(log_ratio, sign, baseline, config.beta)
    return {"loss": loss, "rewards/chosen": reward * (sign > 0), "rewards/rejected": reward * (sign < 0)}


@torch.no_grad()
def measure_baseline(policy: nn.Module, reference: nn.Module, strangers: list[Tokens], pad: int, config: KTOConfig) -> Tensor:
    """The KL that answers are measured from: max(0, the mean log-ratio of answers to other prompts), over the whole step.

    Each prompt has the answer of the row before it (equation 7 of the paper), as in TRL, but never one to the same prompt.
    """
    total = 0.0
    places = list(range(len(strangers)))
    for part, weight in batches.weighted_micro_batches(places, lambda i: len(strangers[i]), config.micro_batch):
        batch = batches.pad_rows([strangers[i] for i in part], pad).to(training_device(config))
        with autocast(config):
            ratios = (forward.target_logps(policy, batch).logps - forward.target_logps(reference, batch).logps).sum()
        total += weight * ratios.item()
    mean = parallel.sum_numbers(total)[0] / len(strangers)
    return torch.tensor(max(0.0, mean), device=training_device(config))
