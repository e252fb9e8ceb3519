"""Supervised fine-tuning: maximum likelihood of given answers, with the prompt masked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from harness.training import batches, costs, data_report, datasets, forward, parallel, policy_models, tokenization
from harness.training.memory_bounds import bound_rows
from harness.training.needs import Needs
from harness.training.optimizer import ScheduledOptimizer
from harness.training.settings import TrainerSettings
from harness.training.start import begin_training
from harness.training.training_device import autocast, training_device
from harness.training.training_run import TrainerRun
from harness.types import Checkpoint

NEEDS = Needs(stage="fine-tune on answers", data="conversations", makes="SFT model", cost=1.25)


@dataclass(frozen=True)
class SFTConfig(TrainerSettings):
    """Rows are messages, prompt and completion, or text.  The defaults are Tulu 2's (arXiv 2311.10702)."""

    lr: float = 2e-5
    batch: int = 128
    epochs: float = 2.0
    overlong: Literal["drop", "cut"] = "cut"


def train(config: SFTConfig) -> Checkpoint:
    """Fine-tunes a model on answers; the loss of a step is the mean over all of its answer tokens."""
    config = begin_training(config)
    tokenizer = tokenization.load_tokenizer(config.model, config.template)
    ends = tokenization.answer_ends(tokenizer, config.model)
    encoder = tokenization.Encoder(tokenizer, config.max_length, config.overlong, ends=ends)
    data, heldout = datasets.split_holdout(config, datasets.parse_conversation, lambda row: row.prompt or row.answer)
    rows, eval_rows = (encoder.fitting_answers([(r.prompt, r.answer) for r in part]) for part in (data.rows, heldout))

    run = TrainerRun.over_rows(__name__, config, len(rows))
    checkpoint = run.find_checkpoint(data.report)
    if run.is_complete:
        return run.final_checkpoint()
    report = data_report.report_rows(data.rows, config)
    policy = policy_models.trainable_policy(config, checkpoint)
    policy_models.check_sequences(policy, [row.ids for row in rows], config.model)
    config = bound_rows(config, policy, [len(row) for row in rows], config.batch)
    rate = costs.measure_rates(policy, forward.output_head(policy))
    optimizer = ScheduledOptimizer(policy_models.shard(policy, config).parameters(), config, run.total)
    first = run.restore(checkpoint, {"optimizer": optimizer})
    run.begin(data=data.report, lost=dict(encoder.losses), audit=report)

    for step, indices in batches.iterate_steps(len(rows), config, run.total, first):
        tokens = sum(rows[i].target_count for i in indices)
        loss = accuracy = 0.0
        with run.costs.phase("update"):
            for part, weight in batches.weighted_micro_batches(indices, lambda i: len(rows[i]), config.micro_batch):
                batch = forward.lay_out(policy, [(rows[i],) for i in part], tokenizer.eos_token_id, rate)
                with autocast(config):
                    targets = forward.target_logps(policy, batch, statistics=run.logs(step))
                part_loss = -weight * targets.logps.sum() / tokens
                torch.autograd.backward(part_loss)
                loss += part_loss.item()
                if targets.is_likeliest is not None:
                    accuracy += weight * targets.is_likeliest.sum().item() / tokens
                run.costs.count_pass(rate, batch, train=True, heads=len(targets.logps))
            loss, accuracy = parallel.sum_numbers(loss, accuracy)
            lr = optimizer.lr
            norm = optimizer.apply(loss, step)
        if run.logs(step):
            numbers = {"loss": loss, "grad_norm": norm, "learning_rate": lr, "mean_token_accuracy": accuracy}
            run.log(step, numbers | run.cost_numbers())
        is_best = False
        if eval_rows and run.is_due(step, config.eval_steps):
            with run.costs.phase("eval"):
                eval_loss = mean_loss(policy, eval_rows, tokenizer.eos_token_id, config)
                run.log(step, {"eval_loss": eval_loss})
            is_best = run.is_best(step, -eval_loss)
        if is_best or run.is_due(step, config.save_steps):
            run.save(step, policy, tokenizer, {"optimizer": optimizer})
    return run.finish()


@torch.no_grad()
def mean_loss(policy: nn.Module, rows: Sequence[batches.Tokens], pad: int, config: SFTConfig) -> float:
    """Mean loss over the answer tokens of held-out rows, in nats."""
    total, places = 0.0, list(range(len(rows)))
    limit = config.micro_batch or config.batch
    for part, weight in batches.weighted_micro_batches(places, lambda i: len(rows[i]), limit):
        batch = batches.pad_rows([rows[i] for i in part], pad).to(training_device(config))
        with autocast(config):
            total -= weight * forward.target_logps(policy, batch).logps.sum().item()
    return parallel.sum_numbers(total)[0] / sum(r.target_count for r in rows)
