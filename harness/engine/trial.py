"""Whether a model can take a packed tree: tried on a small one against plain forward passes, not looked up by name."""

from __future__ import annotations

import math
import random
from typing import Any

import torch

from harness.engine import decode, plain, weigh
from harness.engine.memory import Budget
from harness.engine.slots import Batch

CHUNK = 7  # smaller than the tree, so that the cache has to move from branch to branch
# Nats a token that rounding may move; a token that sees a wrong neighbour moves by far more, unless the model is blind to it.
LOOSE = {torch.float32: 1e-3, torch.float64: 1e-6}
HALF = 0.25


def refusal(model: Any) -> str:
    """Why the model cannot take a packed tree, or "" where it can."""
    pairs = branches(model.config.get_text_config().vocab_size)
    plainly = dict(plain.weigh(model, pairs, 1))
    try:
        packed = dict(weigh.weigh(model, weigh.Plan(pairs), Budget(CHUNK)))
    except Exception as error:  # noqa: BLE001  whatever a strange architecture raises, it is the answer
        return told(error)
    far = max(abs(plainly[i].logprob - packed[i].logprob) / len(p.continuation) for i, p in enumerate(pairs))
    allowed = LOOSE.get(model.dtype, HALF)
    if math.isnan(far) or far > allowed:
        return f"its log-probabilities change by {far:.2g} a token when sequences are packed"
    return ""


@torch.inference_mode()
def decoding_refusal(model: Any) -> str:
    """Why rows cannot be decoded behind a shared prefix, or "" where that gives the log-probabilities of plain passes."""
    pairs = branches(model.config.get_text_config().vocab_size)[1:3]
    known = [plain.weigh_batch(model, [plain.Pair([*p.context, *p.continuation[:2]], p.continuation[2:3])])[0] for p in pairs]
    try:
        found = forced(model, pairs)
    except Exception as error:  # noqa: BLE001  whatever a strange architecture raises, it is the answer
        return told(error)
    far = max(abs(f - k.logprob) for f, k in zip(found, known, strict=True))
    if math.isnan(far) or far > LOOSE.get(model.dtype, HALF):
        return f"its log-probabilities change by {far:.2g} a token when rows are decoded behind a shared prefix"
    return ""


def told(error: Exception) -> str:
    """An error in a line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"


def forced(model: Any, pairs: list[plain.Pair]) -> list[float]:
    """The log-probability of each third token of the continuations, when the two before it are fed in slots."""
    ready = list(decode.prefill(model, decode.Plan([p.context for p in pairs]), Budget(CHUNK)))
    batch = Batch(model, ready[0].states, len(pairs))
    for found in ready:
        batch.add(found.prefix, found.states)
    order = [found.places[0] for found in ready]
    batch.step([pairs[i].continuation[0] for i in order])
    logits = batch.step([pairs[i].continuation[1] for i in order])
    sums = {i: plain.weight(logits[slot : slot + 1], pairs[i].continuation[2:3]).logprob for slot, i in enumerate(order)}
    return [sums[i] for i in range(len(pairs))]


def branches(vocabulary: int) -> list[plain.Pair]:
    """Pairs that share beginnings of several lengths; the same for every model of that vocabulary."""
    source = random.Random(0)
    stem = [source.randrange(vocabulary) for _ in range(12)]
    cuts = (12, 12, 9, 4, 4)
    return [plain.Pair(stem[:cut], [source.randrange(vocabulary) for _ in range(3 + n)]) for n, cut in enumerate(cuts)]


def reach(model: Any) -> float:
    """The longest sequence in which every token sees all tokens before it: sliding or chunked attention ends there."""
    text = model.config.get_text_config()
    spans = (getattr(text, "sliding_window", None), getattr(text, "attention_chunk_size", None))
    return min((s for s in spans if isinstance(s, int) and s > 0), default=math.inf)
