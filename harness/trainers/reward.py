"""A reward model: a scalar head, or one head per aspect, that scores preferred answers above rejected ones."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from harness.training import batches, data_report, datasets, forward, losses, model_loading, packing, parallel, trainable_models
from harness.training import reward_model as gauge
from harness.training.batches import Both
from harness.training.costs import rates
from harness.training.needs import Needs
from harness.training.optimizer import Updater
from harness.training.preferences import Pair
from harness.training.sampling import Sampling
from harness.training.settings import Settings
from harness.training.tokenization import Encoder, check_pad, tokenizer_of
from harness.training.training_run import Run
from harness.types import Checkpoint, digest

NEEDS = Needs(stage="train a reward model", data="pairs", makes="reward model", cost=1.2)  # with the samples that set its scale


@dataclass(frozen=True)
class RewardConfig(Settings):
    """The defaults are those of the study (arXiv 2406.09279).

    heads: "overall" learns which answer was chosen; any other name is an aspect, and learns from that aspect's ratings.  The
    reward is the heads' mean, or their sum with the weights `combine`.  A pair that rates none of the heads trains the reward.
    """

    lr: float = 1e-5
    lr_end: float = 0.1
    batch: int = 512
    max_length: int = 4096
    heads: tuple[str, ...] = ("overall",)
    combine: tuple[float, ...] = ()
    margin: bool = False  # take the raters' margin off the gap, where a pair has one
    center: float = 0.0  # holds rewards near zero: this times the squared sum of a pair's rewards (arXiv 2312.09244)
    strangers: float = 0.0  # as many further pairs, as a share: the rejected answer is the chosen one of another prompt
    samples: int = 256  # answers to training prompts: the reward's mean and spread on them are kept; 0: no scale
    sft: str = ""  # the policy that gives these answers; "": the model that training starts from
    max_new: int = 256  # tokens of such an answer


@dataclass(frozen=True)
class Row:
    """A pair as tokens, with what each head should say of it."""

    both: Both
    signs: tuple[int, ...]  # for each head: +1, -1, or 0 where it has nothing to learn
    margin: float
    source: str
    kind: str


def train(config: RewardConfig) -> Checkpoint:
    """Trains a reward model on preference pairs; the loss of a step is the mean over its pairs."""
    config.check()
    parallel.join()
    torch.manual_seed(config.seed)
    tokenizer = tokenizer_of(model_loading.resolve(config.model), config.template)
    check_pad(tokenizer, config.model)
    pad, weight = tokenizer.pad_token_id, gauge.weights(config.heads, config.combine)
    encoder = Encoder(tokenizer, config.max_length, config.overlong)
    loaded, unseen = datasets.divided(config, datasets.pairs, lambda pair: pair.prompt)
    rows = encoded([*loaded.rows, *strangers(loaded.rows, config)], encoder, config)
    held = encoded(unseen, encoder, config)

    run = Run("reward", config, batches.steps(len(rows), config), batches.epoch(len(rows), config))
    last = run.resumed()
    if run.done:
        return run.result()
    told = data_report.pairs(loaded.rows, (config.overlap_with, config.overlap_share))
    with run.costs.phase("samples"):
        prompts = gauge.some([pair.prompt for pair in loaded.rows], config.samples, config.seed)
        how = Sampling(tokenizer.eos_token_id, config.max_new, seed=config.seed)
        answers = gauge.samples(config.sft or config.model, prompts, encoder, how, config) if config.samples else []
    model = trainable_models.reward_model(config, config.heads, last)
    model_loading.core(model).config.pad_token_id = pad
    rate = rates(model, model_loading.core(model).score)
    updater = Updater(trainable_models.divided(model, config).parameters(), config, run.total)
    done = run.restore(last, {"optimizer": updater})
    run.begin(data=loaded.report, lost=dict(encoder.lost), audit=told)

    for step, picked in batches.order(len(rows), config, run.total, done):
        seen: dict[str, float] = {}
        with run.costs.phase("update"):
            for some, counts in batches.shares(picked, lambda i: batches.longest(rows[i].both), config.micro_batch):
                part = [rows[i] for i in some]
                batch = forward.laid(model, [r.both for r in part], pad, rate)
                with model_loading.precision(config):
                    chosen, rejected = forward.scores(model, batch).chunk(2)
                numbers = compared(chosen, rejected, part, weight, config)
                torch.autograd.backward(counts * numbers["loss"].sum() / len(picked))
                seen = {k: seen.get(k, 0.0) + counts * v.detach().sum().item() / len(picked) for k, v in numbers.items()}
                run.costs.passed(rate, batch, train=True, heads=len(batch.last))
            seen = dict(zip(seen, parallel.added(*seen.values()), strict=True))
            lr = updater.lr
            norm = updater.apply(seen["loss"], step)
        if run.logs(step):
            run.log(step, seen | {"grad_norm": norm, "learning_rate": lr} | run.spent())
        better, keep = False, run.due(step, config.save_steps)
        if held and (keep or run.due(step, config.eval_steps)):
            with run.costs.phase("eval"):
                report = evaluate(model, held, weight, pad, config)
            run.facts["held_out"] = report
            run.log(step, {f"eval_{k}": report[k] for k in ("loss", "accuracy", "calibration_error")})
            better = run.improved(step, -report["loss"])
        if better or keep:
            scale = gauge.scale(model, answers, weight, pad, config)
            card = {"heads": list(config.heads), "combine": weight.tolist(), **scale, "held_out": run.facts.get("held_out")}
            run.save(step, model, tokenizer, {"optimizer": updater}, {gauge.CARD: card})
    return run.finish()


def encoded(pairs: Sequence[Pair], encoder: Encoder, config: RewardConfig) -> list[Row]:
    """Pairs as tokens; those that do not fit are counted by the encoder."""
    kept = encoder.kept_pairs(pairs)
    return [
        Row(both, tuple(1 if h == "overall" else p.aspects.get(h, 0) for h in config.heads), p.margin or 0.0, p.source, p.kind)
        for p, both in kept
    ]


def strangers(pairs: Sequence[Pair], config: RewardConfig) -> list[Pair]:
    """Pairs whose rejected answer was given to another prompt: without them a model may not look at the prompt at all."""
    draw = random.Random(digest([config.seed, "strangers"]))
    found = []
    for pair in draw.sample(list(pairs), min(len(pairs), round(config.strangers * len(pairs)))):
        other = draw.choice(pairs)
        if other.prompt != pair.prompt and other.chosen != pair.chosen:
            found.append(Pair(pair.prompt, pair.chosen, other.chosen, source="strangers", kind="strangers"))
    return found


def compared(chosen: Tensor, rejected: Tensor, rows: Sequence[Row], weight: Tensor, config: RewardConfig) -> dict[str, Tensor]:
    """Loss and what TRL logs, one number per pair: scores [B, A] each -> [B] each."""
    sign = torch.tensor([r.signs for r in rows], dtype=chosen.dtype, device=chosen.device)
    margin = torch.tensor([r.margin for r in rows], device=chosen.device) if config.margin else None
    better, worse = gauge.combined(chosen, weight), gauge.combined(rejected, weight)
    whole = losses.pairwise(better, worse, margin)
    if config.heads == ("overall",):
        loss = whole
    else:
        known = sign.abs().sum(1)
        by_head = losses.pairwise_by_aspect(chosen, rejected, sign).sum(1) / known.clamp(min=1)
        loss = torch.where(known > 0, by_head, whole)
    if config.center:
        loss = loss + config.center * (better + worse) ** 2
    accuracy, middle = (better > worse).float(), (better + worse) / 2
    return {"loss": loss, "accuracy": accuracy, "margin": better - worse, "mean_reward": middle}


@torch.no_grad()
def evaluate(model: nn.Module, rows: Sequence[Row], weight: Tensor, pad: int, config: RewardConfig) -> dict[str, Any]:
    """Held-out pairs: loss, accuracy with its interval, by source, kind and head; calibration."""
    gaps = torch.zeros(len(rows), len(config.heads), dtype=torch.float64)
    total = 0.0
    places = list(range(len(rows)))
    for some, counts in batches.shares(places, lambda i: batches.longest(rows[i].both), config.micro_batch or config.batch):
        part = [rows[i] for i in some]
        with model_loading.precision(config):
            found = forward.scores(model, packing.apart([r.both for r in part], pad).to(model_loading.device(config)))
        chosen, rejected = found.chunk(2)
        total += counts * compared(chosen, rejected, part, weight, config)["loss"].sum().item()
        if counts:
            gaps[some] = (chosen - rejected).double().cpu()
    total, gaps = parallel.added(total)[0], parallel.summed(gaps.to(model_loading.device(config))).cpu()
    whole = gaps @ weight.double()
    signs = torch.tensor([r.signs for r in rows])
    heads = {h: gauge.right((gaps * signs)[signs[:, i] != 0, i]) for i, h in enumerate(config.heads) if signs[:, i].any()}
    return {
        "loss": total / len(rows),
        **gauge.right(whole),
        "by_source": split(whole, [r.source for r in rows]),
        "by_kind": split(whole, [r.kind or "unlabelled" for r in rows]),
        "by_head": heads,
        **gauge.calibration(whole),
    }


def split(gaps: Tensor, labels: Sequence[str]) -> dict[str, dict[str, float]]:
    """Accuracy for each label."""
    return {label: gauge.right(gaps[[i for i, x in enumerate(labels) if x == label]]) for label in sorted(set(labels))}
