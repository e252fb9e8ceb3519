"""Whether a model can take a packed tree: tried on a small one against plain forward passes, not looked up by name."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from harness.engine import generate, loglikelihood, plain
from harness.engine.kv_cache import Batch
from harness.engine.memory import Budget
from harness.engine.shared_prefix_attention import configs

WHOLE = 1024
FED = 6  # tokens that are fed one by one
RUN = 5  # so that a chunk has several runs
CHUNK = 17  # smaller than the tree, so that the cache has to move from branch to branch
WINDOW = 5  # shorter than the branches
# Nats a token: what packing may move beyond what the model's own rounding does, and what it may move at most.
SLACK = {torch.float64: 1e-8, torch.float32: 2e-5, torch.float16: 1e-3}
MOST = {torch.float64: 1e-6, torch.float32: 1e-3}
SLACK_HALF, MOST_HALF = 5e-3, 0.1
# Of the probabilities at a place, the part that may move with what stands behind it.
SEEN, SEEN_HALF = {torch.float64: 1e-3, torch.float32: 1e-3}, 0.2
ROUNDING = 10  # times the change between two passes that are surely right


def refusal(model: Any, run: int = 0) -> str:
    """Why the model cannot take a packed tree, or "" where it can; with the attention of packed rows where `run` is not 0."""
    if name := mask_by_place(model):
        return f"its masks go by the place in the row ({name})"
    pairs = branches(model.config.get_text_config().vocab_size)
    known = plain.weigh_batch(model, pairs)
    try:
        far = farthest(packed(model, pairs, CHUNK, run), known, pairs)
    except Exception as error:  # noqa: BLE001  whatever a strange architecture raises, it is the answer
        return told(error)
    if math.isnan(far) or far > allowed(model, pairs, known):
        return f"its log-probabilities change by {far:.2g} a token when sequences are packed"
    return ""


def mask_by_place(model: Any) -> str:
    """The name of a causal mask that the model holds ready and uses, cut by places in the row and in the cache; "": none.

    It is right for short rows, and wrong or too small for long ones (GPT-Neo).  Some models hold one for nothing.
    """
    found = {name: buffer for name, buffer in model.named_buffers() if triangular(buffer)}
    if not found:
        return ""
    pair = branches(model.config.get_text_config().vocab_size)[:1]
    before = plain.weigh_batch(model, pair)
    turn(found)
    try:
        after = plain.weigh_batch(model, pair)
    finally:
        turn(found)
    return "" if before == after else next(iter(found))


def triangular(buffer: torch.Tensor) -> bool:
    """Is it a table that lets each place see none behind it?"""
    if buffer.dtype != torch.bool or buffer.ndim < 2 or buffer.shape[-1] != buffer.shape[-2]:
        return False
    corner = buffer[..., :64, :64]
    return bool(corner.any()) and not bool(corner.int().triu(1).any())


def turn(masks: dict[str, torch.Tensor]) -> None:
    """Lets every place see what it did not, and the other way round."""
    for mask in masks.values():
        mask.logical_not_()


def packed(model: Any, pairs: list[plain.Pair], chunk: int, run: int = 0) -> list[plain.Weight]:
    found = dict(loglikelihood.weigh(model, loglikelihood.Plan(pairs), Budget(chunk, min(run, RUN))))
    return [found[i] for i in range(len(pairs))]


def farthest(found: list[plain.Weight], known: list[plain.Weight], pairs: list[plain.Pair]) -> float:
    """The largest change of a log-probability, in nats a token."""
    changes = [abs(f.logprob - k.logprob) / len(p.continuation) for f, k, p in zip(found, known, pairs, strict=True)]
    return math.nan if any(map(math.isnan, changes)) else max(changes)


def allowed(model: Any, pairs: list[plain.Pair], known: list[plain.Weight]) -> float:
    """What rounding may move, in nats a token: measured on trees of one branch in one pass, where place and depth are the same.

    A fixed limit wide enough for the rounding of a deep model in bfloat16 lets wrong positions through (MPT).
    """
    noise = max(farthest(packed(model, [p], WHOLE), [k], [p]) for p, k in zip(pairs[:2], known, strict=False))
    most = MOST.get(model.dtype, MOST_HALF)
    return min(most, SLACK.get(model.dtype, SLACK_HALF) + ROUNDING * noise)


@torch.inference_mode()
def decoding_refusal(model: Any, run: int = 0) -> str:
    """Why rows cannot be decoded behind a shared prefix, or "" where that gives the log-probabilities of plain passes."""
    pairs = fed(model)
    known = plain.weigh_batch(model, pairs)
    try:
        far = farthest(forced(model, pairs, run), known, pairs)
        limit = allowed(model, pairs, known)
    except Exception as error:  # noqa: BLE001  whatever a strange architecture raises, it is the answer
        return told(error)
    if math.isnan(far) or far > limit:
        return f"its log-probabilities change by {far:.2g} a token when rows are decoded behind a shared prefix"
    return ""


def fed(model: Any) -> list[plain.Pair]:
    """Two pairs whose continuations are fed token by token."""
    pairs = branches(model.config.get_text_config().vocab_size)[1:3]
    return [plain.Pair(p.context, p.continuation[:FED]) for p in pairs]


@torch.inference_mode()
def window_refusal(model: Any, run: int, decodes: bool) -> str:
    """Why sequences beyond the sliding window cannot share prefixes, or "" where a short one is kept as in plain passes, in
    packed rows of runs and, where the model `decodes` so, behind shared prefixes."""
    pairs, few = branches(model.config.get_text_config().vocab_size), fed(model)
    wide = plain.weigh_batch(model, pairs)
    try:
        limit = allowed(model, pairs, wide)
        with narrowed(model, WINDOW):
            known = plain.weigh_batch(model, pairs)
            far = farthest(packed(model, pairs, CHUNK, run), known, pairs)
            if decodes:
                far = max(far, farthest(forced(model, few, run), plain.weigh_batch(model, few), few))
    except Exception as error:  # noqa: BLE001  whatever a strange architecture raises, it is the answer
        return told(error)
    if not farthest(known, wide, pairs) > limit:
        return "a shorter sliding window shows nothing"
    if math.isnan(far) or far > limit:
        return f"its log-probabilities change by {far:.2g} a token when sequences longer than its window are packed"
    return ""


@contextmanager
def narrowed(model: Any, window: int) -> Iterator[None]:
    """The model with a shorter sliding window, wherever it holds one."""
    every = (*configs(model), *model.modules())
    held = [(one, had) for one in every if isinstance(had := getattr(one, "sliding_window", None), int) and had > window]
    try:
        for one, _ in held:
            one.sliding_window = window
        yield
    finally:
        for one, had in held:
            one.sliding_window = had


@torch.inference_mode()
def stepping_refusal(model: Any) -> str:
    """Why padded rows cannot be continued with what the model keeps of them, or "" where that gives what plain passes give."""
    pairs = [plain.Pair(p.context, p.continuation[:3]) for p in branches(model.config.get_text_config().vocab_size)]
    try:
        far = farthest(stepped(model, pairs), [w for p in pairs[1:] for w in plain.weigh_batch(model, [p])], pairs[1:])
    except Exception as error:  # noqa: BLE001  whatever a strange architecture raises, it is the answer
        return told(error)
    if math.isnan(far) or far > MOST.get(model.dtype, MOST_HALF):
        return f"its log-probabilities change by {far:.2g} a token when padded rows are continued"
    return ""


@torch.inference_mode()
def causal_refusal(model: Any) -> str:
    """Why the log-probabilities of a text are not those of its tokens one after another, or "" where they are: an encoder
    sees what it is asked for."""
    pair = branches(model.config.get_text_config().vocab_size)[0]
    more = len(pair.continuation) + 1
    whole = plain.forward(model, [[*pair.context, *pair.continuation]], more)[0, -more]
    known = plain.forward(model, [pair.context], 1)[0, -1]
    far = float((whole.float().softmax(0) - known.float().softmax(0)).abs().sum() / 2)
    if far > SEEN.get(model.dtype, SEEN_HALF):
        return f"what stands behind a token moves {100 * far:.2g} % of its probabilities"
    return ""


def stepped(model: Any, pairs: list[plain.Pair]) -> list[plain.Weight]:
    """The log-probabilities of the continuations of all pairs but the first, which leaves the batch on the way."""
    fed = torch.tensor([list(p.continuation) for p in pairs], device=model.device)
    batch = plain.Cached(model, [p.context for p in pairs])
    logits = [batch.logits[1:]]
    batch.feed(fed[:, 0])
    logits.append(batch.logits[1:])
    batch.keep(torch.arange(1, len(pairs), device=model.device))
    batch.feed(fed[1:, 1])
    logits.append(batch.logits)
    return [plain.weight(torch.stack([s[i] for s in logits]), p.continuation) for i, p in enumerate(pairs[1:])]


def told(error: Exception) -> str:
    """An error in a line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"


def forced(model: Any, pairs: list[plain.Pair], run: int = 0) -> list[plain.Weight]:
    """The continuations' log-probabilities, when they are fed to slots token by token."""
    steps = generate.prefill(model, generate.Plan([p.context for p in pairs]), Budget(CHUNK, min(run, RUN)))
    ready = [one for step in steps for one in step]
    batch = Batch(model, ready[0].states, len(pairs))
    for one in ready:
        batch.add(one.prefix, one.states)
    logits = [torch.stack([one.logits for one in ready])]
    order = [one.places[0] for one in ready]
    logits += [batch.step([pairs[i].continuation[n] for i in order]) for n in range(FED - 1)]
    found = {i: plain.weight(torch.stack([s[slot] for s in logits]), pairs[i].continuation) for slot, i in enumerate(order)}
    return [found[i] for i in range(len(pairs))]


def branches(vocabulary: int) -> list[plain.Pair]:
    """Pairs that share beginnings of several lengths, so many that a token's place in the row lies far from its depth; the same
    for every model of that vocabulary."""
    source = random.Random(0)
    stem = [source.randrange(vocabulary) for _ in range(12)]
    cuts = (12, 12, 9, 4, 4, 12, 9, 1)
    return [plain.Pair(stem[:cut], [source.randrange(vocabulary) for _ in range(10 + n % 3)]) for n, cut in enumerate(cuts)]
