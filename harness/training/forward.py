"""Forward passes over batches: log-probabilities of answers, rewards and values.

Every pass takes right-padded batches, and projects to the vocabulary only the states that predict a target token.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from harness.training import flop_rates, losses, packing, parallel
from harness.training.batches import Batch, Tokens, pad_rows

# Logits computed at once (128 MB in float32).  More are recomputed in the backward pass, chunk by chunk: the logits of a whole
# batch would need three times batch x tokens x vocabulary numbers.
CHUNK = 2**25


class TargetLogps(NamedTuple):
    """Figures of each target token: [N] each, the last two only where they are asked for."""

    logps: Tensor
    entropy: Tensor | None = None  # of the distribution that the token was drawn from, in nats
    is_likeliest: Tensor | None = None  # bool


def inner_model(model: Any) -> Any:
    """The transformers model below an adapter."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def output_head(model: nn.Module) -> nn.Module:
    """The projection of hidden states to the vocabulary."""
    projection: nn.Module = inner_model(model).get_output_embeddings()
    return projection


def target_logps(model: nn.Module, batch: Batch, temperature: float = 1.0, statistics: bool = False) -> TargetLogps:
    """Log-probabilities of the target tokens of a batch, at a sampling temperature; with `statistics` the other figures too."""
    return parallel.run_unsharded(inner_model(model), unsharded_logps, model, batch, temperature, statistics)


def unsharded_logps(model: nn.Module, batch: Batch, temperature: float, statistics: bool) -> TargetLogps:
    """`target_logps` inside of a model whose weights are whole."""
    if has_plain_head(model):
        head, states = output_head(model), hidden_states(model, batch).flatten(0, 1)[batch.predictors]
        rows = max(1, CHUNK // inner_model(model).config.get_text_config().vocab_size)
    else:  # the model itself makes its logits of its states, all at once
        every = inner_model(model)(input_ids=batch.ids, use_cache=False, **attention_inputs(batch)).logits
        head, states = nn.Identity(), every.flatten(0, 1)[batch.predictors]
        rows = max(1, CHUNK // states.shape[1])
    if len(states) <= rows:
        return chunk_logps(head, states, batch.targets, temperature, statistics)
    parts = [
        checkpoint(chunk_logps, head, part, targets, temperature, statistics, use_reentrant=False)
        for part, targets in zip(torch.split(states, rows), torch.split(batch.targets, rows), strict=True)
    ]
    logps = torch.cat([part.logps for part in parts])
    if not statistics:
        return TargetLogps(logps)
    return TargetLogps(logps, torch.cat([part.entropy for part in parts]), torch.cat([part.is_likeliest for part in parts]))


def chunk_logps(head: nn.Module, states: Tensor, targets: Tensor, temperature: float, statistics: bool) -> TargetLogps:
    """The figures of some tokens from the states that predict them: [N, d], [N]."""
    logits = head(states).float()
    logits = logits if temperature == 1.0 else logits / temperature
    logps = losses.token_logps(logits, targets)
    if not statistics:
        return TargetLogps(logps)
    with torch.no_grad():
        return TargetLogps(logps, losses.entropy(logits), logits.argmax(-1) == targets)


def answer_logps(targets: TargetLogps, batch: Batch) -> Tensor:
    """Log-probability of each answer, the sum over its tokens: [R]."""
    return torch.zeros(len(batch.last_places), device=batch.ids.device).index_add(0, batch.answers, targets.logps)


def answer_lengths(batch: Batch) -> Tensor:
    """Target tokens of each answer: [R]."""
    return torch.bincount(batch.answers, minlength=len(batch.last_places))


def answer_scores(model: nn.Module, batch: Batch) -> Tensor:
    """The score heads at the last real token of each answer, whatever the padding: [R, A]."""
    return parallel.run_unsharded(inner_model(model), head_scores, model, batch, batch.last_places)


def head_scores(model: nn.Module, batch: Batch, places: Tensor) -> Tensor:
    """The score heads at some places, inside of a model whose weights are whole: [places, A]."""
    states = hidden_states(model, batch).flatten(0, 1)[places]
    with torch.autocast(states.device.type, enabled=False):  # bfloat16 would round rewards and values to three digits
        scores: Tensor = inner_model(model).score(states.to(inner_model(model).dtype)).float()
    return scores


def token_values(model: nn.Module, batch: Batch) -> Tensor:
    """The first head at the token before each target, in the order of `target_logps`: [N]."""
    return head_scores(model, batch, batch.predictors)[:, 0]


def hidden_states(model: nn.Module, batch: Batch) -> Tensor:
    """The last hidden states: [B, T, d]."""
    inner = inner_model(model)
    backbone = getattr(inner, inner.base_model_prefix)
    states: Tensor = backbone(input_ids=batch.ids, use_cache=False, **attention_inputs(batch)).last_hidden_state
    return states


def attention_inputs(batch: Batch) -> dict[str, Tensor]:
    """Positions and mask of a packed batch; nothing for a padded one."""
    if batch.visible is None or batch.positions is None:
        return {}
    # One additive mask for all layers: from a boolean one every layer would make its own.
    mask = torch.zeros(batch.visible.shape, device=batch.ids.device).masked_fill(~batch.visible, -torch.inf)
    return {"position_ids": batch.positions, "attention_mask": mask}


def lay_out(model: nn.Module, items: Sequence[packing.Answers], pad: int, rate: flop_rates.FlopRates) -> Batch:
    """Answers to prompts as a batch on the model's device, packed where the model allows it and that is less work."""
    inner = inner_model(model)
    if can_pack(model):
        rows, width = packing.plan_rows([packing.packed_length(i) for i in items], rate.forward_flops)
        lengths = [len(answer) for answers in items for answer in answers]
        if rate.forward_flops(len(rows), width) < rate.forward_flops(len(lengths), max(lengths)):
            return packing.pack_rows(items, pad, rows, width).to(inner.device)
    return packing.separate_rows(items, pad).to(inner.device)


@torch.no_grad()
def can_pack(model: nn.Module) -> bool:
    """Does the model compute sequences of one row independently?  Measured once on the model itself.

    A list of architectures would be wrong for the next one: sliding windows and recurrent states mix sequences of a row.
    """
    inner = inner_model(model)
    verdict: bool | None = getattr(inner, "_can_pack", None)
    if verdict is None:
        verdict = accepts_masks(inner)
        if verdict:
            probes = [(Tokens((1, 2, 3, 2), 2), Tokens((1, 2, 4, 3, 1), 2)), (Tokens((3, 1), 1), Tokens((4, 2, 1), 0))]
            row = packing.pack_rows(probes, 0, [[0, 1]], sum(map(packing.packed_length, probes))).to(inner.device)
            separate = packing.separate_rows(probes, 0).to(inner.device)
            with torch.autocast(inner.device.type, enabled=False):
                apart, together = (hidden_states(model, b).flatten(0, 1)[b.last_places] for b in (separate, row))
            verdict = nearly_equal(apart, together)
        inner._can_pack = verdict
    return verdict


def accepts_masks(inner: Any) -> bool:
    """Does every layer attend to the whole past, under our mask and positions?  A mask of ours would override a window."""
    config = inner.config.get_text_config()
    forward = inspect.signature(getattr(inner, inner.base_model_prefix).forward)
    full_layers = set(getattr(config, "layer_types", None) or ()) <= {"full_attention"}
    has_window = bool(getattr(config, "sliding_window", None))
    takes_positions = "position_ids" in forward.parameters and config._attn_implementation in ("eager", "sdpa")
    return full_layers and not has_window and takes_positions


def nearly_equal(first: Tensor, second: Tensor) -> bool:
    """Equal but for rounding, relative to the largest number."""
    return bool((first - second).abs().max() <= 1e-4 * second.abs().max())


@torch.no_grad()
def has_plain_head(model: nn.Module) -> bool:
    """Are the logits just the output projection of the last hidden state?  Measured: some models scale or cap them."""
    inner = inner_model(model)
    verdict: bool | None = getattr(inner, "_has_plain_head", None)
    if verdict is None:
        batch = pad_rows([Tokens((3, 1, 2), 1)], 0).to(inner.device)
        with torch.autocast(inner.device.type, enabled=False):
            logits = inner(input_ids=batch.ids, use_cache=False).logits
            verdict = nearly_equal(output_head(model)(hidden_states(model, batch)), logits)
        inner._has_plain_head = verdict
    return verdict
