"""What a model can take: its structure tried in float32, its rounding against its own plain passes over real text.

The two are told apart because they need opposite limits.  A wrong mask or position shows in float32 whatever the model's size,
so the limit there is strict.  In half precision a model differs from itself from batch to batch, so nothing but this difference
can be the limit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any

from harness.engine import memory, plain, rounding, self_test, shared_length
from harness.engine.float32_copy import HALF_TYPES, copy_in_float32
from harness.engine.tree import TokenIds

MAX_LENGTH = 48  # tokens of a text; no longer than a window either, which is tried by itself
MIN_TOKENS, MAX_TOKENS = 32, 512  # distinct ones, in the vocabulary of the float32 copy
CHUNK_TOKENS = 64  # of a packed row in half precision: the texts have more


class ModelTests:
    """The tests of one model.  `texts`: token ids of real texts that share beginnings; random ones where there are none."""

    def __init__(self, model: Any, texts: Sequence[TokenIds] = ()) -> None:
        self.model = model
        longest = min([MAX_LENGTH, shared_length.max_shared_length(model), *shared_length.sliding_windows(model)])
        vocabulary = model.config.get_text_config().vocab_size  # a tokenizer may have more
        known_tokens = [[token for token in text if token < vocabulary] for text in texts]
        whole = [text for text in known_tokens if len(text) > 1]
        whole = whole or [[*p.context, *p.continuation] for p in self_test.branching_pairs(model)]
        self.texts = [text[: int(longest)] for text in whole]
        self.has_copy = model.dtype in HALF_TYPES

    def float32_copy(self) -> Any:
        """A small model of the same structure in float32; the model itself where it has no such copy.

        It is made anew for each test, in milliseconds, so that it takes no memory in between.
        """
        if not self.has_copy:
            return self.model
        try:
            return copy_in_float32(self.model, self.copied_tokens)
        except Exception:  # noqa: BLE001  quantised, or strange: then the structure is judged in the model's own type
            self.has_copy = False
            return self.model

    @property
    def copied_tokens(self) -> list[int]:
        """Distinct tokens of the texts, and others where these are few."""
        tokens = sorted({token for text in self.texts for token in text})[:MAX_TOKENS]
        vocabulary = self.model.config.get_text_config().vocab_size
        others = (n for n in range(vocabulary) if n not in set(tokens)) if len(tokens) < MIN_TOKENS else iter(())
        return tokens + [n for n, _ in zip(others, range(MIN_TOKENS - len(tokens)), strict=False)]

    @cached_property
    def pairs(self) -> list[plain.TokenPair]:
        """Pairs along the texts."""
        return rounding.text_pairs(self.texts)

    @cached_property
    def plain_values(self) -> list[rounding.Values]:
        """The plain passes' log-likelihoods of the pairs, in several compositions."""
        return rounding.plain_compositions(self.model, self.pairs, not self.caching_unsupported_reason)

    def packing_unsupported_reason(self, run_length: int) -> str:
        """Why the model cannot take a packed tree; "" where it can."""
        reason = self_test.packing_unsupported_reason(self.float32_copy(), run_length)
        if reason or not self.has_copy:
            return reason
        budget = memory.TokenBudget(CHUNK_TOKENS, run_length)
        return self.rounding_reason(self_test.packed_loglikelihoods, budget, "when sequences are packed")

    def decoding_unsupported_reason(self, run_length: int) -> str:
        """Why rows cannot be decoded behind a shared prefix; "" where they can."""
        reason = self_test.decoding_unsupported_reason(self.float32_copy(), run_length)
        if reason or not self.has_copy:
            return reason
        budget = memory.TokenBudget(CHUNK_TOKENS, run_length)
        return self.rounding_reason(self_test.decoded_loglikelihoods, budget, "when rows are decoded behind a shared prefix")

    def not_causal_reason(self) -> str:
        """Why the model is none that reads from left to right; "" where it is one."""
        return self_test.not_causal_reason(self.model)

    def rounding_reason(self, answer: Any, budget: memory.TokenBudget, when: str) -> str:
        """Why `answer` is farther from plain passes than these from one another; "" where it is not."""
        try:
            ours = rounding.per_token(answer(self.model, self.pairs, budget), self.pairs)
            return rounding.measure_distances(self.plain_values, ours).unsupported_reason(self.model.dtype, when)
        except Exception as error:  # noqa: BLE001  a kernel may lack the type
            return self_test.describe_error(error)

    def window_unsupported_reason(self, run_length: int, decodes: bool) -> str:
        """Why sequences longer than the sliding window cannot share prefixes; "" where they can."""
        return self_test.window_unsupported_reason(self.float32_copy(), run_length, decodes)

    @cached_property
    def caching_unsupported_reason(self) -> str:
        """Why padded rows cannot be continued with the model's own cache; "" where they can."""
        return self_test.caching_unsupported_reason(self.float32_copy())

    @property
    def nan_reason(self) -> str:
        """Why the model is broken: a plain pass over a text gives NaN; "" where it gives numbers."""
        text = self.texts[0]
        (value,) = plain.loglikelihood_batch(self.model, [plain.TokenPair(text[:1], text[1:])])
        if not math.isnan(value.logprob):
            return ""
        kind = str(self.model.dtype).removeprefix("torch.")
        return f"a plain pass over {len(text)} tokens gives NaN in {kind}"
