"""Direct preference optimisation: preferred answers more likely than rejected ones, measured against a reference model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from harness.training import batches, data_report, datasets, forward, losses, model_loading, packing, parallel, trainable_models
from harness.training.batches import Both
from harness.training.costs import rates
from harness.training.needs import Needs
from harness.training.optimizer import Updater
from harness.training.rates import Rates
from harness.training.settings import Settings
from harness.training.tokenization import Encoder, tokenizer_of
from harness.training.training_run import Run
from harness.types import Checkpoint, SkilldeltaError

NEEDS = Needs(stage="tune by DPO", data="pairs", makes="policy", cost=1.4)  # trained, and once the reference


@dataclass(frozen=True)
class DPOConfig(Settings):
    """The defaults are those of the study (arXiv 2406.09279); the reference is the model that training starts from.

    loss: "sigmoid" is DPO; "norm" is DPO on mean log-probabilities (Tulu 3), which wants a beta near 5; "ipo" is IPO.
    """

    lr: float = 5e-7
    warmup: float = 0.1
    epochs: float = 3.0
    max_length: int = 4096
    loss: Literal["sigmoid", "norm", "ipo"] = "sigmoid"
    beta: float = 0.1
    smoothing: float = 0.0  # the chance that a label is wrong


def train(config: DPOConfig) -> Checkpoint:
    """Tunes a model on preference pairs; the loss of a step is the mean over its pairs."""
    config.check()
    parallel.join()
    torch.manual_seed(config.seed)
    tokenizer = tokenizer_of(model_loading.resolve(config.model), config.template)
    encoder = Encoder(tokenizer, config.max_length, config.overlong)
    loaded, unseen = datasets.divided(config, datasets.pairs, lambda pair: pair.prompt)
    rows, held = ([both for _, both in encoder.kept_pairs(part)] for part in (loaded.rows, unseen))

    run = Run("dpo", config, batches.steps(len(rows), config), batches.epoch(len(rows), config))
    last = run.resumed()
    if run.done:
        return run.result()
    told = data_report.pairs(loaded.rows, (config.overlap_with, config.overlap_share))
    policy = trainable_models.policy(config, last)
    rate = rates(policy, model_loading.head(policy))
    policy = trainable_models.divided(policy, config)
    with run.costs.phase("reference"):
        reference = trainable_models.reference(config, policy, untouched=last is None)
        asked = sorted({i for _, some in batches.order(len(rows), config, run.total) for i in some})
        asked += range(len(rows), len(rows) + len(held))
        counted = run.costs.flops
        known = reference_logps(reference, rows + held, asked, tokenizer.eos_token_id, run, rate)
        if last is not None:
            run.costs.flops = counted  # a resumed run has this pass in its account: what training takes, not what kills cost
        del reference
    updater = Updater(policy.parameters(), config, run.total)
    done = run.restore(last, {"optimizer": updater})
    run.begin(data=loaded.report, lost=dict(encoder.lost), audit=told)

    for step, chosen in batches.order(len(rows), config, run.total, done):
        seen: dict[str, float] = {}
        with run.costs.phase("update"):
            for some, counts in batches.shares(chosen, lambda i: batches.longest(rows[i]), config.micro_batch):
                batch = forward.laid(policy, [rows[i] for i in some], tokenizer.eos_token_id, rate)
                with model_loading.precision(config):
                    found = forward.answers(policy, batch)
                numbers = compared(forward.sums(found, batch), known[some], forward.lengths(batch), config)
                torch.autograd.backward(counts * numbers["loss"].sum() / len(chosen))
                seen = {k: seen.get(k, 0.0) + counts * v.detach().sum().item() / len(chosen) for k, v in numbers.items()}
                run.costs.passed(rate, batch, train=True, heads=len(found.logps))
            seen = dict(zip(seen, parallel.added(*seen.values()), strict=True))
            lr = updater.lr
            norm = updater.apply(seen["loss"], step)
        if run.logs(step):
            run.log(step, seen | {"grad_norm": norm, "learning_rate": lr} | run.spent())
        better = False
        if held and run.due(step, config.eval_steps):
            with run.costs.phase("eval"):
                judged = evaluate(policy, held, known[len(rows) :], tokenizer.eos_token_id, config)
            run.log(step, {f"eval_{k}": v for k, v in judged.items()})
            better = run.improved(step, -judged["loss"])
        if better or run.due(step, config.save_steps):
            run.save(step, policy, tokenizer, {"optimizer": updater})
    return run.finish()


def compared(policy: Tensor, reference: Tensor, lengths: Tensor, config: DPOConfig) -> dict[str, Tensor]:
    """Loss and what TRL logs, one number per pair: [B] each.

    policy, lengths: [2B], all chosen answers and then all rejected ones; reference: [B, 2], chosen and rejected.
    """
    chosen, rejected = policy.chunk(2)
    count = lengths.chunk(2)
    expected = (reference[:, 0].to(policy.device), reference[:, 1].to(policy.device))
    with torch.no_grad():
        gains = [config.beta * (p - r) for p, r in zip((chosen, rejected), expected, strict=True)]
    if config.loss == "sigmoid":
        loss = losses.dpo(losses.preference_gap((chosen, rejected), expected), config.beta, config.smoothing)
    else:
        gap = losses.preference_gap(
            (chosen / count[0], rejected / count[1]), (expected[0] / count[0], expected[1] / count[1])
        )  # means over tokens
        loss = losses.ipo(gap, config.beta) if config.loss == "ipo" else losses.dpo(gap, config.beta, config.smoothing)
    return {
        "loss": loss,
        "rewards/chosen": gains[0],
        "rewards/rejected": gains[1],
        "rewards/margins": gains[0] - gains[1],
        "rewards/accuracies": (gains[0] > gains[1]).float(),
        "logps/chosen": chosen,
        "logps/rejected": rejected,
    }


@torch.no_grad()
def reference_logps(model: nn.Module, rows: Sequence[Both], asked: list[int], pad: int, run: Run, rate: Rates) -> Tensor:
    """What the reference says of the pairs at the places `asked`, computed once: [rows, 2]."""
    config = run.config
    known = torch.zeros(len(rows), 2)
    for some, counts in batches.shares(asked, lambda i: batches.longest(rows[i]), config.micro_batch or config.batch):
        batch = forward.laid(model, [rows[i] for i in some], pad, rate)
        with model_loading.precision(config):
            found = forward.answers(model, batch)
        if counts:
            known[some] = torch.stack(forward.sums(found, batch).float().cpu().chunk(2), dim=1)
        run.costs.passed(rate, batch, train=False, heads=len(found.logps))
    known = parallel.summed(known.to(model_loading.device(config))).cpu()
    if not known.isfinite().all():
        raise SkilldeltaError(f"{config.model} gives log-probabilities that are no numbers: its weights are broken.")
    return known


@torch.no_grad()
def evaluate(policy: nn.Module, rows: Sequence[Both], known: Tensor, pad: int, config: DPOConfig) -> dict[str, float]:
    """The same numbers over held-out pairs."""
    totals: dict[str, float] = {}
    places = list(range(len(rows)))
    for some, counts in batches.shares(places, lambda i: batches.longest(rows[i]), config.micro_batch or config.batch):
        batch = packing.apart([rows[i] for i in some], pad).to(model_loading.device(config))
        with model_loading.precision(config):
            said = forward.sums(forward.answers(policy, batch), batch)
        numbers = compared(said, known[some], forward.lengths(batch), config)
        totals = {k: totals.get(k, 0.0) + counts * v.sum().item() / len(rows) for k, v in numbers.items()}
    return dict(zip(totals, parallel.added(*totals.values()), strict=True))
