"""A reward model: a scalar head, or one head per aspect, that scores preferred answers above rejected ones."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from harness.training import batches, data_report, datasets, forward, losses, packing, parallel, policy_models, reward_model
from harness.training.costs import measure_rates
from harness.training.memory_bounds import bound_rows
from harness.training.needs import Needs
from harness.training.optimizer import ScheduledOptimizer
from harness.training.preferences import Pair, parse_pair
from harness.training.reward_card import CARD
from harness.training.sampling import SamplingSettings, sample_scale_answers
from harness.training.settings import TrainerSettings
from harness.training.start import begin_training
from harness.training.tokenization import Encoder, answer_ends, load_tokenizer, padding_token, separate_padding
from harness.training.training_device import autocast, training_device
from harness.training.training_run import TrainerRun
from harness.types import Checkpoint, digest

NEEDS = Needs(stage="train a reward model", data="pairs", makes="reward model", cost=1.2)  # 0.2 for the answers of its scale


@dataclass(frozen=True)
class RewardConfig(TrainerSettings):
    """The defaults are those of the study (arXiv 2406.09279).

    The head "overall" learns which answer was chosen; any other name is an aspect, and learns from that aspect's ratings.
    The reward is the heads' mean, or their sum with the weights `combine`.  A pair without a rating of any head trains the
    reward itself.
    """

    lr: float = 1e-5
    lr_end: float = 0.1
    batch: int = 512
    max_length: int = 4096
    heads: tuple[str, ...] = ("overall",)  # overall (the chosen answer), or names of rated aspects
    combine: tuple[float, ...] = ()  # the weight of each head in the reward; none: their mean
    margin: bool = False  # subtract the raters' margin from the gap, where a pair has one
    center: float = 0.0  # keeps rewards near zero: the weight of the squared sum of a pair's rewards (arXiv 2312.09244)
    strangers: float = 0.0  # further pairs, as a share: the rejected answer is another prompt's chosen one
    samples: int = 256  # answers that set the reward's mean and deviation; 0: no scale
    sft: str = ""  # the policy that gives these answers; "": the model that training starts from
    max_new: int = 256  # tokens of such an answer


@dataclass(frozen=True)
class EncodedPair:
    """A pair as tokens, with the label of each head."""

    tokens: batches.PairTokens
    signs: tuple[int, ...]  # for each head: +1, -1, or 0 without a label
    margin: float
    source: str
    kind: str


def train(config: RewardConfig) -> Checkpoint:
    """Trains a reward model on preference pairs; the loss of a step is the mean over its pairs."""
    config = begin_training(config)
    tokenizer = load_tokenizer(config.model, config.template)
    separate_padding(tokenizer)  # in the copy that is saved with the model
    pad, head_weights = padding_token(tokenizer), reward_model.head_weights(config.heads, config.combine)
    ends = answer_ends(tokenizer, config.model)
    encoder = Encoder(tokenizer, config.max_length, config.overlong, ends=ends)
    data, heldout = datasets.split_holdout(config, parse_pair, lambda pair: pair.holdout_key)
    rows = encode_pairs([*data.rows, *stranger_pairs(data.rows, config)], encoder, config)
    eval_rows = encode_pairs(heldout, encoder, config)

    run = TrainerRun.over_rows(__name__, config, len(rows))
    checkpoint = run.find_checkpoint(data.report)
    if run.is_complete:
        return run.final_checkpoint()
    report = data_report.report_pairs(data.rows, config)
    with run.costs.phase("samples"):
        prompts = reward_model.draw_prompts([pair.prompt for pair in data.rows], config.samples, config.seed)
        sampling = SamplingSettings(tokenizer.eos_token_id, config.max_new, seed=config.seed, ends=ends)
        policy = config.sft or config.model
        answers = sample_scale_answers(policy, prompts, encoder, sampling, config) if config.samples else []
    model = policy_models.trainable_reward_model(config, config.heads, tokenizer.pad_token_id, checkpoint)
    policy_models.check_sequences(model, [tokens.ids for row in rows for tokens in row.tokens], config.model)
    config = bound_rows(config, model, [sum(map(len, row.tokens)) for row in rows], config.batch)
    rate = measure_rates(model, forward.inner_model(model).score)
    optimizer = ScheduledOptimizer(policy_models.shard(model, config).parameters(), config, run.total)
    first = run.restore(checkpoint, {"optimizer": optimizer})
    run.begin(data=data.report, lost=dict(encoder.losses), audit=report)

    for step, indices in batches.iterate_steps(len(rows), config, run.total, first):
        sums: dict[str, float] = {}
        with run.costs.phase("update"):
            row_length = lambda i: batches.pair_length(rows[i].tokens)  # noqa: E731
            for places, weight in batches.weighted_micro_batches(indices, row_length, config.micro_batch):
                part = [rows[i] for i in places]
                batch = forward.lay_out(model, [row.tokens for row in part], pad, rate)
                with autocast(config):
                    chosen, rejected = forward.answer_scores(model, batch).chunk(2)
                numbers = pair_numbers(chosen, rejected, part, head_weights, config)
                torch.autograd.backward(weight * numbers["loss"].sum() / len(indices))
                sums = batches.add_means(sums, numbers, weight, len(indices))
                run.costs.count_pass(rate, batch, train=True, heads=len(batch.last_places))
            sums = parallel.sum_named(sums)
            lr = optimizer.lr
            norm = optimizer.apply(sums["loss"], step)
        if run.logs(step):
            run.log(step, sums | {"grad_norm": norm, "learning_rate": lr} | run.cost_numbers())
        is_best, saves = False, run.is_due(step, config.save_steps)
        if eval_rows and (saves or run.is_due(step, config.eval_steps)):
            with run.costs.phase("eval"):
                figures = evaluate_heads(model, eval_rows, head_weights, pad, config)
            run.facts["held_out"] = figures
            run.log(step, {f"eval_{k}": figures[k] for k in ("loss", "accuracy", "calibration_error")})
            is_best = run.is_best(step, -figures["loss"])
        if is_best or saves:
            scale = reward_model.measure_scale(model, answers, head_weights, pad, config)
            heads = {"heads": list(config.heads), "combine": head_weights.tolist(), "ends": sorted(ends)}
            card = {**heads, **scale, "conversations": has_conversations(data.rows), "held_out": run.facts.get("held_out")}
            run.save(step, model, tokenizer, {"optimizer": optimizer}, {CARD: card})
    return run.finish()


def has_conversations(pairs: Sequence[Pair]) -> bool:
    """Whether a reward model reads texts as turns of a conversation, or as they are."""
    return any(isinstance(pair.chosen, tuple) for pair in pairs)


def encode_pairs(pairs: Sequence[Pair], encoder: Encoder, config: RewardConfig) -> list[EncodedPair]:
    """Pairs as tokens; the encoder counts those that do not fit."""
    rows = []
    for pair, tokens in encoder.fitting_pairs(pairs):
        signs = tuple(1 if head == "overall" else pair.aspects.get(head, 0) for head in config.heads)
        rows.append(EncodedPair(tokens, signs, pair.margin or 0.0, pair.source, pair.kind))
    return rows


def stranger_pairs(pairs: Sequence[Pair], config: RewardConfig) -> list[Pair]:
    """Pairs whose rejected answer was given to another prompt: without them a model may ignore the prompt."""
    generator = random.Random(digest([config.seed, "strangers"]))
    strangers = []
    for pair in generator.sample(list(pairs), min(len(pairs), round(config.strangers * len(pairs)))):
        other = generator.choice(pairs)
        if other.prompt != pair.prompt and other.chosen != pair.chosen:
            strangers.append(Pair(pair.prompt, pair.chosen, other.chosen, source="strangers", kind="strangers"))
    return strangers


def pair_numbers(
    chosen: Tensor, rejected: Tensor, rows: Sequence[EncodedPair], head_weights: Tensor, config: RewardConfig
) -> dict[str, Tensor]:
    """Loss and TRL's logged figures, one number per pair: scores [B, A] each -> [B] each."""
    sign = torch.tensor([r.signs for r in rows], dtype=chosen.dtype, device=chosen.device)
    margin = torch.tensor([r.margin for r in rows], device=chosen.device) if config.margin else None
    better, worse = (reward_model.combine_heads(scores, head_weights) for scores in (chosen, rejected))
    loss = losses.pairwise(better, worse, margin)
    if config.heads != ("overall",):
        labels = sign.abs().sum(1)
        by_head = losses.pairwise_by_aspect(chosen, rejected, sign).sum(1) / labels.clamp(min=1)
        loss = torch.where(labels > 0, by_head, loss)
    if config.center:
        loss = loss + config.center * (better + worse) ** 2
    accuracy, mean = (better > worse).float(), (better + worse) / 2
    return {"loss": loss, "accuracy": accuracy, "margin": better - worse, "mean_reward": mean}


@torch.no_grad()
def evaluate_heads(
    model: nn.Module, rows: Sequence[EncodedPair], head_weights: Tensor, pad: int, config: RewardConfig
) -> dict[str, Any]:
    """Held-out pairs: loss, accuracy with its interval, by source, kind and head; calibration."""
    gaps = torch.zeros(len(rows), len(config.heads), dtype=torch.float64)
    total, device = 0.0, training_device(config)
    places, limit = list(range(len(rows))), config.micro_batch or config.batch
    for indices, weight in batches.weighted_micro_batches(places, lambda i: batches.pair_length(rows[i].tokens), limit):
        part = [rows[i] for i in indices]
        with autocast(config):
            scores = forward.answer_scores(model, packing.separate_rows([r.tokens for r in part], pad).to(device))
        chosen, rejected = scores.chunk(2)
        total += weight * pair_numbers(chosen, rejected, part, head_weights, config)["loss"].sum().item()
        if weight:
            gaps[indices] = (chosen - rejected).double().cpu()
    total, gaps = parallel.sum_numbers(total)[0], parallel.sum_tensor(gaps.to(device)).cpu()
    rewards = gaps @ head_weights.double()
    signs = torch.tensor([r.signs for r in rows])
    by_head = {
        head: reward_model.pair_accuracy((gaps * signs)[signs[:, i] != 0, i])
        for i, head in enumerate(config.heads)
        if signs[:, i].any()
    }
    return {
        "loss": total / len(rows),
        **reward_model.pair_accuracy(rewards),
        "by_source": accuracy_by_label(rewards, [r.source for r in rows]),
        "by_kind": accuracy_by_label(rewards, [r.kind or "unlabelled" for r in rows]),
        "by_head": by_head,
        **reward_model.calibration(rewards),
    }


def accuracy_by_label(gaps: Tensor, labels: Sequence[str]) -> dict[str, dict[str, float]]:
    return {
        label: reward_model.pair_accuracy(gaps[[i for i, x in enumerate(labels) if x == label]])
        for label in sorted(set(labels))
    }
