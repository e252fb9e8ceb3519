"""What models say of batches: log-probabilities of answers, rewards and values.

Every forward here wants right-padded batches, and takes the vocabulary projection only where a token is learnt.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from harness.training import losses, packing, parallel
from harness.training.batches import Batch, padded
from harness.training.model_loading import core, head
from harness.training.rates import Rates
from harness.training.tokenization import Tokens


class Picked(NamedTuple):
    logps: Tensor  # [N] log-probability of each learnt token
    logits: Tensor  # [N, V]


def answers(model: nn.Module, batch: Batch, temperature: float = 1.0) -> Picked:
    """Log-probabilities of the learnt tokens of a batch, at a sampling temperature."""
    return parallel.inside(core(model), picked, model, batch, temperature)


def picked(model: nn.Module, batch: Batch, temperature: float) -> Picked:
    """The same, where the weights are whole."""
    if plain_head(model):
        logits = head(model)(hidden(model, batch).flatten(0, 1)[batch.before])
    else:
        every = core(model)(input_ids=batch.ids, use_cache=False, **layout(batch)).logits
        logits = every.flatten(0, 1)[batch.before]
    logits = logits.float() if temperature == 1.0 else logits.float() / temperature
    return Picked(losses.token_logps(logits, batch.targets), logits)


def sums(found: Picked, batch: Batch) -> Tensor:
    """Log-probability of each whole answer: [R]."""
    return torch.zeros(len(batch.last), device=batch.ids.device).index_add(0, batch.owner, found.logps)


def lengths(batch: Batch) -> Tensor:
    """Learnt tokens of each answer: [R]."""
    return torch.bincount(batch.owner, minlength=len(batch.last))


def scores(model: nn.Module, batch: Batch) -> Tensor:
    """The heads at the last real token of each answer, whatever the padding: [R, A]."""
    return parallel.inside(core(model), scored, model, batch, batch.last)


def scored(model: nn.Module, batch: Batch, places: Tensor) -> Tensor:
    """The heads at some places, where the weights are whole: [places, A]."""
    found: Tensor = core(model).score(hidden(model, batch).flatten(0, 1)[places]).float()
    return found


def values(model: nn.Module, batch: Batch) -> Tensor:
    """The first head before each learnt token is said (at the token before it), in the order of `answers`: [N]."""
    return scored(model, batch, batch.before)[:, 0]


def hidden(model: nn.Module, batch: Batch) -> Tensor:
    """The last hidden states: [B, T, d]."""
    inner = core(model)
    backbone = getattr(inner, inner.base_model_prefix)
    found: Tensor = backbone(input_ids=batch.ids, use_cache=False, **layout(batch)).last_hidden_state
    return found


def layout(batch: Batch) -> dict[str, Tensor]:
    """Positions and mask, where a batch has its own."""
    if batch.seen is None or batch.positions is None:
        return {}
    # One mask to be added for all layers: from true and false each layer would make its own.
    mask = torch.zeros(batch.seen.shape, device=batch.ids.device).masked_fill(~batch.seen, -torch.inf)
    return {"position_ids": batch.positions, "attention_mask": mask}


def laid(model: nn.Module, items: Sequence[packing.Answers], pad: int, rate: Rates) -> Batch:
    """Answers to prompts as a batch on the model's device, packed where the model can and where that is less work."""
    inner = core(model)
    if forks(model):
        rows, width = packing.plan([packing.size(i) for i in items], rate.rows)
        alone = [len(answer) for answers in items for answer in answers]
        if rate.rows(len(rows), width) < rate.rows(len(alone), max(alone)):
            return packing.packed(items, pad, rows, width).to(inner.device)
    return packing.apart(items, pad).to(inner.device)


@torch.no_grad()
def forks(model: nn.Module) -> bool:
    """Does the model keep sequences in one row apart?  Tried, not looked up: windows and recurrent states do not."""
    inner = core(model)
    known: bool | None = getattr(inner, "_forks", None)
    if known is None:
        known = takes_masks(inner)
        if known:
            tried = [(Tokens((1, 2, 3, 2), 2), Tokens((1, 2, 4, 3, 1), 2)), (Tokens((3, 1), 1), Tokens((4, 2, 1), 0))]
            two = packing.packed(tried, 0, [[0, 1]], sum(map(packing.size, tried))).to(inner.device)
            one = packing.apart(tried, 0).to(inner.device)
            with torch.autocast(inner.device.type, enabled=False):
                apart, joined = (hidden(model, b).flatten(0, 1)[b.last] for b in (one, two))
            known = alike(apart, joined)
        inner._forks = known
    return known


def takes_masks(inner: Any) -> bool:
    """Does every layer look at the whole past, under a mask and positions that we may give?  Windows would be overruled."""
    config = inner.config.get_text_config()
    forward = inspect.signature(getattr(inner, inner.base_model_prefix).forward)
    whole = set(getattr(config, "layer_types", None) or ()) <= {"full_attention"} and not getattr(
        config, "sliding_window", None
    )
    return whole and "position_ids" in forward.parameters and config._attn_implementation in ("eager", "sdpa")


def alike(one: Tensor, other: Tensor) -> bool:
    """Equal but for rounding, measured by the largest number."""
    return bool((one - other).abs().max() <= 1e-4 * other.abs().max())


@torch.no_grad()
def plain_head(model: nn.Module) -> bool:
    """Are the logits just the output embedding of the last hidden state?  Tried, not looked up: some models scale or cap."""
    inner = core(model)
    known: bool | None = getattr(inner, "_plain_head", None)
    if known is None:
        batch = padded([Tokens((3, 1, 2), 1)], 0).to(inner.device)
        with torch.autocast(inner.device.type, enabled=False):
            logits = inner(input_ids=batch.ids, use_cache=False).logits
            known = alike(head(model)(hidden(model, batch)), logits)
        inner._plain_head = known
    return known
