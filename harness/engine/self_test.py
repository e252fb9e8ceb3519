"""Whether a model's structure can take a packed tree: tried on a small tree against plain passes, not looked up by name.

Masks, positions and windows are judged here, strictly, in float32; what rounding does in half precision is judged elsewhere.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from harness.engine import fixed_masks, kv_cache, loglikelihood, memory, plain, prompt_prefill, shared_prefix_attention
from harness.engine.plain import LogLikelihood, TokenPair

ONE_CHUNK = 1024  # tokens, more than any tree of the tests has
FED_TOKENS = 6  # that are fed one by one
RUN_LENGTH = 5  # so that a chunk has several runs
CHUNK_TOKENS = 17  # fewer than the tree has, so that the cache must move from branch to branch
TEST_WINDOW = 5  # shorter than the branches
# Nats a token: what packing may move beyond the model's own rounding, and what it may move at most.
SLACK, SLACK_HALF = {torch.float64: 1e-8, torch.float32: 2e-5, torch.float16: 1e-3}, 5e-3
MAX_CHANGE, MAX_CHANGE_HALF = {torch.float64: 1e-6, torch.float32: 1e-3}, 0.1
# Of the probabilities at a place (total variation), what later tokens may move.
MAX_FUTURE_EFFECT, MAX_FUTURE_EFFECT_HALF = {torch.float64: 1e-3, torch.float32: 1e-3}, 0.2
ROUNDING_FACTOR = 10  # times the change between two passes that are surely right


def packing_unsupported_reason(model: Any, run_length: int = 0) -> str:
    """Why the model cannot take a packed tree; "" where it can.  `run_length` not 0: with the attention for packed rows."""
    pairs = branching_pairs(model)
    if name := fixed_masks.fixed_mask_name(model, pairs[0]):
        return f"its masks go by the place in the row ({name})"
    reference = plain.loglikelihood_batch(model, pairs)
    try:
        change = largest_change(packed_loglikelihoods(model, pairs, small_budget(run_length)), reference, pairs)
        limit = measure_tolerance(model, pairs, reference)
    except Exception as error:  # noqa: BLE001  a strange architecture may raise anything
        return describe_error(error)
    return describe_change(change, limit, "when sequences are packed")


def small_budget(run_length: int, chunk: int = CHUNK_TOKENS, has_window: bool = False) -> memory.TokenBudget:
    """Chunks so small that the cache moves, of several runs each."""
    return memory.TokenBudget(chunk, min(run_length, RUN_LENGTH), has_window)


def packed_loglikelihoods(model: Any, pairs: Sequence[TokenPair], budget: memory.TokenBudget) -> list[LogLikelihood]:
    """The log-likelihoods over the pairs' tree."""
    by_place = dict(loglikelihood.loglikelihoods_over_tree(model, loglikelihood.PairTree(pairs), budget))
    return [by_place[i] for i in range(len(pairs))]


def largest_change(actual: list[LogLikelihood], reference: list[LogLikelihood], pairs: Sequence[TokenPair]) -> float:
    """The largest change of a log-likelihood, in nats a token; NaN if any is."""
    changes = [abs(a.logprob - e.logprob) / len(p.continuation) for a, e, p in zip(actual, reference, pairs, strict=True)]
    return math.nan if any(map(math.isnan, changes)) else max(changes)


def measure_tolerance(model: Any, pairs: Sequence[TokenPair], reference: list[LogLikelihood]) -> float:
    """What rounding may move, in nats a token: see limit_change().

    The noise is measured: a tree of one branch in one pass is a plain pass in another order of sums, as place and depth are
    the same.  A fixed limit would not do: wide enough for the rounding of a deep model in bfloat16, it lets wrong positions
    through (MPT).
    """
    noise = max(
        largest_change(packed_loglikelihoods(model, [p], small_budget(0, ONE_CHUNK)), [e], [p])
        for p, e in zip(pairs[:2], reference, strict=False)
    )
    return limit_change(model.dtype, noise)


def limit_change(dtype: torch.dtype, noise: float) -> float:
    """The largest change, in nats a token, that passes: min(MAX_CHANGE, SLACK + ROUNDING_FACTOR * noise)."""
    return min(MAX_CHANGE.get(dtype, MAX_CHANGE_HALF), SLACK.get(dtype, SLACK_HALF) + ROUNDING_FACTOR * noise)


@torch.inference_mode()
def decoding_unsupported_reason(model: Any, run_length: int = 0) -> str:
    """Why rows cannot be decoded behind a shared prefix; "" where that gives the log-likelihoods of plain passes."""
    pairs = short_pairs(model)
    reference = plain.loglikelihood_batch(model, pairs)
    try:
        change = largest_change(decoded_loglikelihoods(model, pairs, small_budget(run_length)), reference, pairs)
        limit = measure_tolerance(model, pairs, reference)
    except Exception as error:  # noqa: BLE001  a strange architecture may raise anything
        return describe_error(error)
    return describe_change(change, limit, "when rows are decoded behind a shared prefix")


@torch.inference_mode()
def window_unsupported_reason(model: Any, run_length: int, decodes: bool) -> str:
    """Why sequences longer than the sliding window cannot share prefixes; "" where they can.

    Tried with a short window, in packed rows (of runs, else under masks of the model's own attention) and, where the model
    `decodes` so, behind shared prefixes.
    """
    budget = small_budget(run_length, has_window=not run_length)
    pairs, decoded_pairs = branching_pairs(model), short_pairs(model)
    wide_reference = plain.loglikelihood_batch(model, pairs)
    try:
        limit = measure_tolerance(model, pairs, wide_reference)
        with shorter_window(model, TEST_WINDOW):
            reference = plain.loglikelihood_batch(model, pairs)
            change = largest_change(packed_loglikelihoods(model, pairs, budget), reference, pairs)
            if decodes:
                values = decoded_loglikelihoods(model, decoded_pairs, budget)
                change = max(change, largest_change(values, plain.loglikelihood_batch(model, decoded_pairs), decoded_pairs))
    except Exception as error:  # noqa: BLE001  a strange architecture may raise anything
        return describe_error(error)
    if not largest_change(reference, wide_reference, pairs) > limit:
        return "a shorter sliding window shows nothing"  # the model ignores it, so the test proves nothing
    return describe_change(change, limit, "when sequences longer than its window are packed")


@contextmanager
def shorter_window(model: Any, window: int) -> Iterator[None]:
    """The model with a shorter sliding window, in every config and layer that has one."""
    holders = (*shared_prefix_attention.attention_configs(model), *model.modules())
    originals = [(h, size) for h in holders if isinstance(size := getattr(h, "sliding_window", None), int) and size > window]
    try:
        for holder, _ in originals:
            holder.sliding_window = window
        yield
    finally:
        for holder, size in originals:
            holder.sliding_window = size


@torch.inference_mode()
def caching_unsupported_reason(model: Any) -> str:
    """Why padded rows cannot be continued with the model's own cache; "" where that gives what plain passes give."""
    pairs = [TokenPair(p.context, p.continuation[:3]) for p in branching_pairs(model)]
    try:
        reference = [e for p in pairs[1:] for e in plain.loglikelihood_batch(model, [p])]
        change = largest_change(cached_loglikelihoods(model, pairs), reference, pairs[1:])
    except Exception as error:  # noqa: BLE001  a strange architecture may raise anything
        return describe_error(error)
    return describe_change(change, MAX_CHANGE.get(model.dtype, MAX_CHANGE_HALF), "when padded rows are continued")


@torch.inference_mode()
def not_causal_reason(model: Any) -> str:
    """Why a text's log-likelihood is not that of its tokens one after another; "" where it is: an encoder sees later tokens."""
    pair = branching_pairs(model)[0]
    later = len(pair.continuation) + 1
    with_later = plain.forward_padded(model, [[*pair.context, *pair.continuation]], later)[0, -later]
    alone = plain.forward_padded(model, [pair.context], 1)[0, -1]
    effect = float((with_later.float().softmax(0) - alone.float().softmax(0)).abs().sum() / 2)  # total variation
    if effect > MAX_FUTURE_EFFECT.get(model.dtype, MAX_FUTURE_EFFECT_HALF):
        return f"what stands behind a token moves {100 * effect:.2g} % of its probabilities"
    return ""


def cached_loglikelihoods(model: Any, pairs: list[TokenPair]) -> list[LogLikelihood]:
    """The log-likelihoods of all pairs but the first, whose row leaves the batch after one token."""
    tokens = torch.tensor([list(p.continuation) for p in pairs], device=model.device)
    batch = plain.CachedBatch(model, [p.context for p in pairs])
    logits = [batch.logits[1:]]
    batch.feed(tokens[:, 0])
    logits.append(batch.logits[1:])
    batch.keep_rows(torch.arange(1, len(pairs), device=model.device))
    batch.feed(tokens[1:, 1])
    logits.append(batch.logits)
    return [plain.loglikelihood_of(torch.stack([s[i] for s in logits]), p.continuation) for i, p in enumerate(pairs[1:])]


@torch.inference_mode()
def decoded_loglikelihoods(model: Any, pairs: Sequence[TokenPair], budget: memory.TokenBudget) -> list[LogLikelihood]:
    """The log-likelihoods when the continuations, equally long, are fed to slots; no two contexts are equal.

    In two steps a row is fed one token and then three, its neighbour three and then one, and so on; the rest token by token.
    """
    steps = prompt_prefill.prefill_prompts(model, prompt_prefill.PromptTree([p.context for p in pairs]), budget)
    prompts = [prompt for step in steps for prompt in step]
    batch = kv_cache.DecodingBatch(model, prompts[0].states, len(pairs))
    for prompt in prompts:
        batch.add_row(prompt.prefix, prompt.states)
    slots = {prompt.places[0]: slot for slot, prompt in enumerate(prompts)}
    logits, texts = [[prompt.logits] for prompt in prompts], [list(pairs[i].continuation[:-1]) for i in slots]
    for sizes in [(1, 3), (3, 1)] * (len(texts[0]) // 4) + [(1, 1)] * (len(texts[0]) % 4):
        pieces = [[text.pop(0) for _ in range(sizes[slot % 2])] for slot, text in enumerate(texts)]
        new = batch.step([tokens[0] for tokens in pieces], [tokens[1:] for tokens in pieces])
        for slot, tokens in enumerate(pieces):
            logits[slot] += new[: len(tokens)]
            new = new[len(tokens) :]
            for _ in tokens[1:]:
                batch.add_token(slot)
    return [plain.loglikelihood_of(torch.stack(logits[slots[i]]), p.continuation) for i, p in enumerate(pairs)]


def branching_pairs(model: Any) -> list[TokenPair]:
    """Pairs of random tokens that share prefixes of several lengths; the same for every model with that vocabulary.

    There are so many branches that a token's place in the packed row lies far from its depth: wrong positions show.
    """
    vocabulary = model.config.get_text_config().vocab_size
    source = random.Random(0)
    stem = [source.randrange(vocabulary) for _ in range(12)]
    lengths = (12, 12, 9, 4, 4, 12, 9, 1)
    return [TokenPair(stem[:n], [source.randrange(vocabulary) for _ in range(10 + i % 3)]) for i, n in enumerate(lengths)]


def short_pairs(model: Any) -> list[TokenPair]:
    """Two of the pairs, of different prefixes, with continuations of FED_TOKENS."""
    return [TokenPair(p.context, p.continuation[:FED_TOKENS]) for p in branching_pairs(model)[1:3]]


def describe_change(change: float, limit: float, when: str) -> str:
    """The reason where a change in nats a token is above its limit or NaN, else ""."""
    too_far = math.isnan(change) or change > limit
    return f"its log-probabilities change by {change:.2g} a token {when}" if too_far else ""


def describe_error(error: Exception) -> str:
    """An error in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"
