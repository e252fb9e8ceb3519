"""Generation for many prompts: a prefix that several share is computed and kept once, and a row that ends makes room.

The prompts are prefilled along their tree.  Each prompt is then decoded as a row: behind the prefix of its group, which is
kept once, it has keys and values of its own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

import torch

from harness.engine.kv_cache import DecodingBatch, move_along
from harness.engine.memory import TokenBudget, halve_or_raise, return_freed_memory, rows_that_fit
from harness.engine.sequences import DecodingRow, Generation, TokenChooser, append_next_tokens, choose_tokens

if TYPE_CHECKING:
    from harness.engine.prompt_prefill import PlannedPrompts, PrefilledPrompt


@dataclass(frozen=True)
class DecodingRules:
    """At most `max_rows` are decoded together; `end_tokens` end a text; `choose` picks each next token.

    `run`: how they are decoded; None: as DecodingRun does.
    """

    max_rows: int
    end_tokens: frozenset[int]
    choose: TokenChooser = choose_tokens
    run: type[DecodingRun] | None = None


def generate_over_tree(
    model: Any, plan: PlannedPrompts, rules: DecodingRules, budget: TokenBudget
) -> Iterator[tuple[int, Generation]]:
    """The generation for every prompt, as it ends, with its place.

    Where memory runs out, the prompts that have not ended begin again, half as many at once.  That changes no text: a row draws
    its own random numbers from the start.
    """
    open_places, max_rows, current = list(range(len(plan.prompts))), rules.max_rows, plan
    while open_places:
        ended_places: set[int] = set()
        try:
            for at, generation in (rules.run or DecodingRun)(
                model, current, replace(rules, max_rows=max_rows), budget
            ).generations():
                ended_places.add(at)
                yield open_places[at], generation
        except RuntimeError as error:
            max_rows = halve_or_raise(min(max_rows, len(open_places) - len(ended_places)), error)
        open_places = [place for at, place in enumerate(open_places) if at not in ended_places]
        current = plan.select(open_places) if open_places else current


class DecodingRun:
    """Prompts that are decoded together: prefilled along their tree, as slots are free."""

    def __init__(self, model: Any, plan: PlannedPrompts, rules: DecodingRules, budget: TokenBudget) -> None:
        self.model, self.max_rows, self.choose = model, rules.max_rows, rules.choose
        self.rows = [DecodingRow(p, rules.end_tokens) for p in plan.prompts]
        self.prompt_tree = plan.tree
        self.prefill_steps = plan.prefill(model, budget)
        self.waiting: deque[tuple[int, PrefilledPrompt]] = deque()
        self.slot_places: list[int] = []  # the prompt in each slot
        self.next_tokens: list[int | torch.Tensor] = []  # what each slot is fed next; a tensor: known on the device alone
        self.batch: DecodingBatch | None = None
        self.all_prefilled = False

    @torch.inference_mode()
    def generations(self) -> Iterator[tuple[int, Generation]]:
        """Every generation with its prompt's place."""
        yield from self.fill_slots()
        while self.slot_places or not self.all_prefilled:
            if self.slot_places:
                yield from self.advance()
            yield from self.fill_slots()

    def fill_slots(self) -> Iterator[tuple[int, Generation]]:
        """Puts prompts into the free slots; yields those that end with their first token, which need no slot.

        Prompts are prefilled only once an eighth of the slots is free, because a pass for one prompt wastes most of its time.
        """
        worthwhile = not self.slot_places or self.max_rows - len(self.slot_places) >= max(1, self.max_rows // 8)
        while len(self.slot_places) < self.max_rows and (self.waiting or (worthwhile and self.prefill_more())):
            count = min(self.max_rows - len(self.slot_places), len(self.waiting))
            entering = list(islice(self.waiting, count))
            logits = torch.stack([prompt.logits for _, prompt in entering])
            tokens = append_next_tokens(logits, [self.rows[i] for i, _ in entering], self.choose)
            del entering, logits
            for token in tokens.tolist():
                place, prompt = self.waiting.popleft()  # here alone, so that its own copy of the keys and values is freed
                row = self.rows[place]
                if row.finish:
                    yield place, Generation(row.ids, row.finish)
                elif self.batch is not None:
                    self.batch.add_row(prompt.prefix, prompt.states)
                    self.slot_places.append(place)
                    self.next_tokens.append(token)
            del prompt
            self.trim_heap()  # of the passes, and of prompts that have their slots

    def prefill_more(self) -> bool:
        """Prefills the next prompts; False: there are none left."""
        prompts = next(self.prefill_steps, None)
        if prompts is None:
            self.all_prefilled = True
            self.trim_heap()  # of the last pass, which lived until now
            return False
        if self.batch is None:
            longest = self.prompt_tree.longest_suffix + max(r.prompt.max_tokens for r in self.rows)
            self.max_rows = rows_that_fit(prompts[0].states, longest, self.max_rows)
            self.batch = DecodingBatch(self.model, prompts[0].states, self.max_rows, longest)
        self.waiting.extend((place, prompt) for prompt in prompts for place in prompt.places)
        return True

    def trim_heap(self) -> None:
        if self.model.device.type == "cpu":
            return_freed_memory()

    def advance(self) -> Iterator[tuple[int, Generation]]:
        """One more token for every row; rows that end leave their slots."""
        assert self.batch is not None
        logits = self.batch.step(self.next_tokens)
        self.next_tokens = append_next_tokens(logits, [self.rows[i] for i in self.slot_places], self.choose).tolist()
        yield from self.leave_slots()

    def leave_slots(self) -> Iterator[tuple[int, Generation]]:
        """Those that have ended, and their slots to others."""
        for slot in reversed(range(len(self.slot_places))):
            place = self.slot_places[slot]
            row = self.rows[place]
            if row.finish and self.batch is not None:
                chain = self.batch.free_slot(slot)
                move_along(chain, self.slot_places)
                move_along(chain, self.next_tokens)
                yield place, Generation(row.ids, row.finish)
