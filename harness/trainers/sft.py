"""Supervised fine-tuning: the likelihood of given answers, the prompt masked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from harness.training import batches, data_report, datasets, forward, model_loading, parallel, trainable_models
from harness.training.costs import rates
from harness.training.needs import Needs
from harness.training.optimizer import Updater
from harness.training.settings import Settings
from harness.training.tokenization import Encoder, Tokens, tokenizer_of
from harness.training.training_run import Run
from harness.types import Checkpoint

NEEDS = Needs(stage="fine-tune on answers", data="conversations", makes="SFT model", cost=1.25)


@dataclass(frozen=True)
class SFTConfig(Settings):
    """Rows are messages, prompt and completion, or text.  The defaults are Tulu 2's (arXiv 2311.10702)."""

    lr: float = 2e-5
    batch: int = 128
    epochs: float = 2.0
    overlong: Literal["drop", "cut"] = "cut"


def train(config: SFTConfig) -> Checkpoint:
    """Fine-tunes a model on answers; the loss of a step is the mean over all of its answer tokens."""
    config.check()
    parallel.join()
    torch.manual_seed(config.seed)
    tokenizer = tokenizer_of(model_loading.resolve(config.model), config.template)
    encoder = Encoder(tokenizer, config.max_length, config.overlong)
    loaded, unseen = datasets.divided(config, datasets.conversations, lambda row: row.prompt or row.answer)
    rows, held = (encoder.kept([(r.prompt, r.answer) for r in part]) for part in (loaded.rows, unseen))

    run = Run("sft", config, batches.steps(len(rows), config), batches.epoch(len(rows), config))
    last = run.resumed()
    if run.done:
        return run.result()
    told = data_report.conversations(loaded.rows, (config.overlap_with, config.overlap_share))
    policy = trainable_models.policy(config, last)
    rate = rates(policy, model_loading.head(policy))
    updater = Updater(trainable_models.divided(policy, config).parameters(), config, run.total)
    done = run.restore(last, {"optimizer": updater})
    run.begin(data=loaded.report, lost=dict(encoder.lost), audit=told)

    for step, chosen in batches.order(len(rows), config, run.total, done):
        tokens = sum(rows[i].learnt for i in chosen)
        loss = right = 0.0
        with run.costs.phase("update"):
            for some, counts in batches.shares(chosen, lambda i: len(rows[i]), config.micro_batch):
                batch = forward.laid(policy, [(rows[i],) for i in some], tokenizer.eos_token_id, rate)
                with model_loading.precision(config):
                    found = forward.answers(policy, batch)
                part = -counts * found.logps.sum() / tokens
                torch.autograd.backward(part)
                loss += part.item()
                right += counts * (found.logits.detach().argmax(-1) == batch.targets).sum().item() / tokens
                run.costs.passed(rate, batch, train=True, heads=len(found.logps))
            loss, right = parallel.added(loss, right)
            lr = updater.lr
            norm = updater.apply(loss, step)
        if run.logs(step):
            numbers = {"loss": loss, "grad_norm": norm, "learning_rate": lr, "mean_token_accuracy": right}
            run.log(step, numbers | run.spent())
        better = False
        if held and run.due(step, config.eval_steps):
            with run.costs.phase("eval"):
                run.log(step, {"eval_loss": (unlikely := evaluate(policy, held, tokenizer.eos_token_id, config))})
            better = run.improved(step, -unlikely)
        if better or run.due(step, config.save_steps):
            run.save(step, policy, tokenizer, {"optimizer": updater})
    return run.finish()


@torch.no_grad()
def evaluate(policy: nn.Module, rows: Sequence[Tokens], pad: int, config: SFTConfig) -> float:
    """Mean loss over the answer tokens of held-out rows."""
    total = 0.0
    for some, counts in batches.shares(list(range(len(rows))), lambda i: len(rows[i]), config.micro_batch or config.batch):
        batch = batches.padded([rows[i] for i in some], pad).to(model_loading.device(config))
        with model_loading.precision(config):
            total -= counts * forward.answers(policy, batch).logps.sum().item()
    return parallel.added(total)[0] / sum(r.learnt for r in rows)
