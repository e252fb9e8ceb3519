"""Continuous batching as a path of the engine: whether a model takes it, and how; what it refuses goes another way, and why.

Like the other paths it is tried, not looked up: in float32 strictly, on the first layers; in half precision against what the
model does to itself between plain batches.  The log-probabilities that it gives with its own tokens are compared with those of
plain passes over the same tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from harness.engine import plain, rounding, self_test, shared_length
from harness.engine.model_tests import ModelTests
from harness.engine.plain import TokenPair
from harness.engine.sequences import DecodingRow, Generation, TokenPrompt
from harness.engine.tree import TokenIds

if TYPE_CHECKING:
    from harness.engine.continuous_batching import OnStep, PagedMode

TEST_ROWS, TEST_TOKENS, TEST_PAGE = 3, 17, 4  # so that rows wait, prompts are cut, and pages fill


class PagedTexts:
    """The path of one model.  `rows` are decoded together, `tokens` are in a pass."""

    def __init__(self, tests: ModelTests, rows: int, tokens: int) -> None:
        self.tests, self.model, self.rows, self.tokens = tests, tests.model, rows, tokens
        self.refusals: list[str] = []  # of faster ways to run it, and of what was begun with it

    @cached_property
    def mode(self) -> PagedMode | None:
        """The fastest way to run it that gives what plain passes give; None where none does."""
        try:
            from harness.engine.continuous_batching import possible_modes  # another version of the library may lack it
        except ImportError as error:
            self.refusals.append(self_test.describe_error(error))
            return None
        for mode in possible_modes(self.model):
            reason = self.structure_reason(mode) or self.window_reason() or self.rounding_reason(mode)
            if not reason:
                return mode
            self.refusals.append(f"with {mode}, {reason}")
        return None

    @property
    def is_usable(self) -> bool:
        return self.mode is not None

    @property
    def note(self) -> str:
        """What of it is refused, and why; "" where nothing is."""
        way = f"texts are decoded by continuous batching with {self.mode}"
        way = way if self.is_usable else "continuous batching is not used"
        return f"{way}: {'; '.join(self.refusals)}" if self.refusals else ""

    def takes(self, prompt: TokenPrompt) -> bool:
        """Can it decode this one?  Not where positions depend on the longest row of a batch."""
        return self.is_usable and len(prompt.ids) + prompt.max_tokens <= shared_length.max_shared_length(self.model)

    def generate(self, open_rows: dict[int, DecodingRow], on_step: OnStep) -> Iterator[tuple[int, Generation]]:
        """The generation of each row with its key, which leaves `open_rows`.  Rows that stay there failed: see `note`."""
        from harness.engine.continuous_batching import PagedLimits, generate_in_pages

        if self.mode is None:
            return
        limits = PagedLimits(self.rows, self.tokens)
        try:
            yield from generate_in_pages(self.model, open_rows, limits, self.mode, on_step)
        except Exception as error:  # noqa: BLE001  whatever the library raises, the old way answers what is left
            self.refusals.append(self_test.describe_error(error))
            self.__dict__["mode"] = None

    def structure_reason(self, mode: PagedMode) -> str:
        """Why it gives other log-probabilities than plain passes of the float32 copy, or of a model that has none."""
        from harness.engine.continuous_batching import PagedMode

        return compare_with_plain(self.tests.float32_copy(), PagedMode() if self.tests.has_copy else mode, "in pages")

    def window_reason(self) -> str:
        """The same behind a sliding window that is shorter than the texts."""
        from harness.engine.continuous_batching import PagedMode

        if not shared_length.sliding_windows(self.model):
            return ""
        model = self.tests.float32_copy()
        with self_test.shorter_window(model, self_test.TEST_WINDOW):
            return compare_with_plain(model, PagedMode(), "in pages behind a window")

    def rounding_reason(self, mode: PagedMode) -> str:
        """Why it is farther from plain passes in half precision than these are from one another."""
        if not self.tests.has_copy:
            return ""
        texts = [list(p.context) for p in self.tests.pairs]
        try:
            pairs, values = generate_with_values(self.model, texts, mode, 0)
            plain_values = rounding.plain_compositions(self.model, pairs, not self.tests.caching_unsupported_reason)
            distances = rounding.measure_distances(plain_values, rounding.per_token(values, pairs))
            return distances.unsupported_reason(self.model.dtype, "when decoded in pages")
        except Exception as error:  # noqa: BLE001  a kernel may lack the type
            return self_test.describe_error(error)


def compare_with_plain(model: Any, mode: PagedMode, when: str) -> str:
    """Why the log-probabilities of tokens that are decoded in pages are not those of plain passes; "" where they are.

    The texts are random tokens with common beginnings of several lengths.
    """
    texts = [list(p.context) for p in self_test.branching_pairs(model)]
    try:
        pairs, values = generate_with_values(model, texts, mode, TEST_PAGE)
        reference = plain.loglikelihood_batch(model, pairs)
        alone = [value for pair in pairs for value in plain.loglikelihood_batch(model, [pair])]
        limit = self_test.limit_change(model.dtype, self_test.largest_change(alone, reference, pairs))
        return self_test.describe_change(self_test.largest_change(values, reference, pairs), limit, when)
    except Exception as error:  # noqa: BLE001  a strange architecture may raise anything
        return self_test.describe_error(error)


def generate_with_values(
    model: Any, texts: Sequence[TokenIds], mode: PagedMode, page: int
) -> tuple[list[TokenPair], list[plain.LogLikelihood]]:
    """Each text with the likeliest tokens behind it, and their log-likelihood, as the library gives both."""
    from harness.engine.continuous_batching import PagedBatch, PagedLimits

    prompts = [TokenPrompt(text, rounding.CONTINUED_TOKENS, lambda _: False) for text in texts]
    rows = [DecodingRow(prompt, frozenset()) for prompt in prompts]
    limits = PagedLimits(TEST_ROWS, TEST_TOKENS, 0 if mode.flash else page)
    with PagedBatch(model, rows, limits, mode, probs=True) as batch:
        while batch.finish_some(lambda _: None):
            pass
        values = [plain.LogLikelihood(sum(request.logprobs), greedy=True) for request in batch.requests]
    return [TokenPair(row.prompt.ids, row.ids) for row in rows], values
