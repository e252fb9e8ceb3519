"""How a backend runs a model: log-likelihoods of pairs and generation for prompts, on the fastest path that is right for it.

Three kinds of sequence fall back to ordinary batching: longer than the attention chunk, longer than an unsupported sliding
window, or longer than LongRoPE's original context.  The rest of a run still shares prefixes.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import torch

from harness.engine import generate, loglikelihood, memory, plain, prompt_prefill, shared_length
from harness.engine.generate import DecodingRun
from harness.engine.plans import GenerationPlan, LogLikelihoodPlan, places_by_kind, split_places
from harness.engine.sequences import DecodingRow, Generation, TokenChooser, TokenPrompt, choose_tokens
from harness.engine.token_meter import TokenMeter
from harness.engine.tree import TokenIds

PathName = Literal["tree", "plain", "continuous"]
RUN_LENGTHS = {"cpu": 128}  # tokens of a packed row that read the same keys


@dataclass(frozen=True)
class BatchLimits:
    """How much is computed at once.

    `rows`: sequences in a plain batch.  `slots`: sequences that are decoded together behind shared prefixes.  `tokens`: in a
    forward pass; 0: by the device.
    """

    rows: int
    slots: int
    tokens: int = 0


class Engine:
    """A model with its path.  `path` "auto": tests what the model can take; tree and plain are taken as they are, untested.

    "continuous" is auto, and texts go to the library's continuous batching where that passes its tests.

    `texts`: token ids of real texts that share beginnings, for the tests.
    """

    def __init__(
        self,
        model: Any,
        limits: BatchLimits,
        path: PathName | Literal["auto"] = "auto",
        texts: Sequence[TokenIds] = (),
    ) -> None:
        from harness.engine.model_tests import ModelTests  # the tests run the parts of the engine themselves
        from harness.engine.paged_texts import PagedTexts

        self.model, self.limits, self.path = model, limits, path
        self.tests = ModelTests(model, texts)
        self.meter: TokenMeter | None = None  # counts the tokens, where somebody wants to know
        device = model.device.type
        run_length = RUN_LENGTHS.get(device, 0) if path in ("auto", "continuous") else 0
        self.launches_ahead = device == "cuda"
        self.budget = memory.TokenBudget(limits.tokens or memory.pass_tokens(model), run_length)
        self.page_path = PagedTexts(self.tests, limits.slots, self.budget.tokens) if path == "continuous" else None
        # A longer sequence changes the positions of its whole batch.
        self.rope_switch = min(shared_length.rope_switch_lengths(model.config.get_text_config()), default=math.inf)

    @cached_property
    def unsupported_reason(self) -> str:
        """Why prefixes are not shared; "" where they are.

        The attention for packed rows is tried first, then the model's own under a mask: it is slower, and more models have it.
        """
        reasons = {"tree": "", "plain": "engine=plain"}
        if self.path in reasons:
            return reasons[self.path]
        if self.budget.run_length and not self.tests.packing_unsupported_reason(self.budget.run_length):
            return ""
        self.budget.run_length = 0
        return self.tests.packing_unsupported_reason(0)

    @cached_property
    def decoding_unsupported_reason(self) -> str:
        """Why rows are not decoded behind a shared prefix; "" where they are."""
        if self.unsupported_reason or self.path == "tree":
            return self.unsupported_reason
        return self.tests.decoding_unsupported_reason(self.budget.run_length)

    @cached_property
    def max_shared_length(self) -> float:
        """The longest sequence that may share prefixes; a sliding window limits it only where it fails the test."""
        windows = shared_length.sliding_windows(self.model) if self.packs_trees else []
        run_length = self.budget.run_length
        if windows and not self.tests.window_unsupported_reason(run_length, self.shares_prefixes):
            self.budget.has_windows = not run_length
            windows = []
        return min([shared_length.max_shared_length(self.model), *windows])

    @cached_property
    def caching_unsupported_reason(self) -> str:
        """Why the plain path computes each new token from the whole text; "" where it uses the model's own cache."""
        return self.tests.caching_unsupported_reason

    @cached_property
    def not_causal_reason(self) -> str:
        """Why the model has no log-likelihood of a text; "" where it has: a tested tree shows no token what follows it."""
        return "" if self.packs_trees else self.tests.not_causal_reason()

    @property
    def packs_trees(self) -> bool:
        """Are log-likelihoods computed over a tree?"""
        return not self.unsupported_reason

    @property
    def shares_prefixes(self) -> bool:
        """Are rows decoded behind shared prefixes?"""
        return not self.decoding_unsupported_reason

    @property
    def decodes_in_pages(self) -> bool:
        """Are texts decoded by continuous batching?"""
        return self.page_path is not None and self.page_path.is_usable

    @property
    def name(self) -> str:
        """The path, for the results."""
        if self.decodes_in_pages:
            return f"{'tree' if self.packs_trees else 'plain'}, decoding in pages"
        if self.packs_trees:
            return "tree" if self.shares_prefixes else "tree, decoding plain"
        return "plain"

    @property
    def note(self) -> str:
        """One line where something is not shared or not decoded in pages, with the reason."""
        pages = self.page_path.note if self.page_path else ""
        return "; ".join(filter(None, (pages, "" if self.decodes_in_pages and self.packs_trees else self.sharing_note)))

    @property
    def sharing_note(self) -> str:
        """Why no prefix is shared; "" where they are."""
        if not self.decoding_unsupported_reason:
            return ""
        where = "" if self.unsupported_reason else " in decoding"
        reason = self.caching_unsupported_reason
        slow = f"; each token is computed from the whole text: {reason}" if reason else ""
        return f"no prefix is shared{where}: {self.decoding_unsupported_reason}{slow}"

    def plan_pairs(self, pairs: Sequence[plain.TokenPair]) -> LogLikelihoodPlan:
        """Which pairs go into a tree, and that tree."""
        fits = [self.packs_trees and len(p.context) + len(p.continuation) <= self.max_shared_length for p in pairs]
        tree, others = split_places(fits)
        return LogLikelihoodPlan(tree, loglikelihood.PairTree([pairs[i] for i in tree]), others, [pairs[i] for i in others])

    def plan_prompts(self, prompts: Sequence[TokenPrompt], in_pages: bool = True) -> GenerationPlan:
        """Which prompts are decoded in pages, if any may be, and which behind shared prefixes, with their tree."""
        pages, rest = split_places([in_pages and self.page_path is not None and self.page_path.takes(p) for p in prompts])
        shares = self.shares_prefixes if rest else False
        fits = [shares and len(prompts[i].ids) + prompts[i].max_tokens <= self.max_shared_length for i in rest]
        tree, others = ([rest[i] for i in places] for places in split_places(fits))
        parts = [[prompts[i] for i in places] for places in (tree, others, pages)]
        return GenerationPlan(tree, prompt_prefill.PlannedPrompts(parts[0]), others, parts[1], pages, parts[2])

    def batch_rows(self, longest: int) -> int:
        """Sequences in a plain batch, the longest of so many tokens."""
        tokens = self.limits.tokens or memory.batch_tokens(self.model)
        return max(1, int(min(self.limits.rows, tokens // longest)))

    def loglikelihoods(self, plan: LogLikelihoodPlan) -> Iterator[tuple[int, plain.LogLikelihood]]:
        """The log-likelihood of every continuation with its pair's place, as they are ready."""
        start, nodes = time.monotonic(), len(plan.tree.tree)
        for at, value in loglikelihood.loglikelihoods_over_tree(self.model, plan.tree, self.budget):
            if self.meter:
                node_count = plan.tree.tree.paths[at][-1] + 1  # the tree is computed in the order of its nodes
                self.meter.count_part(node_count, node_count / nodes, start)
            yield plan.tree_places[at], value
        # Pairs beyond the switch have other positions than those before it: no batch may hold both kinds.
        beyond = [len(p.context) + len(p.continuation) - 1 > self.rope_switch for p in plan.plain_pairs]
        for places in places_by_kind(beyond):
            pairs = [plan.plain_pairs[i] for i in places]
            rows = self.batch_rows(max(len(p.context) + len(p.continuation) for p in pairs))
            for at, value in plain.loglikelihoods_in_batches(self.model, pairs, rows):
                yield plan.plain_places[places[at]], value

    def generate(
        self, plan: GenerationPlan, end_tokens: frozenset[int], choose: TokenChooser = choose_tokens
    ) -> Iterator[tuple[int, Generation]]:
        """The generation for every prompt with its place, as they are ready.  `end_tokens` end a text."""
        yield from self.generate_in_pages(plan, end_tokens, choose)
        run = self.decoding_run() if choose is choose_tokens else None  # another choice may ask for the tokens before
        choose = self.observe(plan, choose)
        slots = min(self.limits.slots, self.limits.tokens or self.limits.slots)
        rules = generate.DecodingRules(slots, end_tokens, choose, run)
        for at, generation in generate.generate_over_tree(self.model, plan.tree, rules, self.budget):
            yield plan.tree_places[at], generation
        # The lengths of what is fed, at first and at last: one batch holds one kind of positions, as above.
        lengths = [(len(p.ids), len(p.ids) + p.max_tokens - 1) for p in plan.plain_prompts]
        for places in places_by_kind([(first > self.rope_switch, last > self.rope_switch) for first, last in lengths]):
            # A prompt that may cross the switch is computed alone and anew: its cache holds positions from before it.
            crosses = lengths[places[0]][0] <= self.rope_switch < lengths[places[0]][1]
            recompute = crosses or self.caching_unsupported_reason
            kind: plain.BatchKind = plain.RecomputedBatch if recompute else plain.CachedBatch
            rows = 1 if crosses else self.batch_rows(max(lengths[i][0] for i in places))
            prompts = [plan.plain_prompts[i] for i in places]
            for at, generation in plain.generate_in_batches(self.model, prompts, end_tokens, rows, kind, choose):
                yield plan.plain_places[places[at]], generation

    def decoding_run(self) -> type[DecodingRun]:
        """How rows are decoded behind shared prefixes; each kind of device needs one of these modules."""
        if self.launches_ahead:
            from harness.engine.launch_ahead import AheadRun

            return AheadRun
        if self.model.dtype.itemsize < 4:  # there drafts round otherwise than single steps: 3 of 18 texts of SmolLM2 moved
            return DecodingRun
        from harness.engine.prompt_lookup import LookupRun

        return LookupRun

    def generate_in_pages(
        self, plan: GenerationPlan, end_tokens: frozenset[int], choose: TokenChooser
    ) -> Iterator[tuple[int, Generation]]:
        """Those that are planned for continuous batching; the old way where it fails, or where somebody else chooses tokens."""
        rows = {place: DecodingRow(p, end_tokens) for place, p in zip(plan.page_places, plan.page_prompts, strict=True)}
        if rows and self.page_path and choose is choose_tokens:
            if self.meter:
                self.meter.begin(len(plan.prompts), max(p.max_tokens for p in plan.prompts))
            yield from self.page_path.generate(rows, self.meter.count_step if self.meter else lambda _: None)
        if rows:
            places = list(rows)
            rest = self.plan_prompts([rows[place].prompt for place in places], in_pages=False)
            for at, generation in self.generate(rest, end_tokens, choose):
                yield places[at], generation

    def observe(self, plan: GenerationPlan, choose: TokenChooser) -> TokenChooser:
        """`choose`, and the meter sees each step."""
        meter, prompts = self.meter, [*plan.tree.prompts, *plan.plain_prompts]
        if meter is None or not prompts:
            return choose
        meter.begin(len(prompts), max(p.max_tokens for p in prompts))

        def choose_and_count(logits: torch.Tensor, rows: Sequence[DecodingRow]) -> torch.Tensor:
            meter.count_step(rows)
            return choose(logits, rows)

        return choose_and_count
