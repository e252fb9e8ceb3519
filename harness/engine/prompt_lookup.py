"""Decoding that tries what a text said before: tokens that followed the same words there are fed with the next one.

A processor multiplies a few tokens more in almost the same time.  A tried token counts only where the row's own choice is the
same, so the text is that of single steps (Leviathan et al. 2023, arXiv 2211.17192; the drafts: prompt lookup decoding, Saxena
2023).  Answers that repeat their prompt or themselves need fewer steps; a drawn token is drawn as ever.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any

import numpy as np

from harness.engine.generate import DecodingRun
from harness.engine.sequences import Generation, TokenPrompt, append_next_tokens

MATCHED_TOKENS = 3  # at the end of the text, that stand elsewhere in it too
DRAFT_TOKENS = 2  # of a row in a step.  Four were no faster on answers to GSM8K and BBH, and slower on those to IFEval


class TextSoFar:
    """A prompt and the answer to it, as far as it is known."""

    def __init__(self, prompt: TokenPrompt) -> None:
        self.prompt_length = self.length = len(prompt.ids)
        self.tokens = np.empty(self.length + prompt.max_tokens, np.int64)
        self.tokens[: self.length] = prompt.ids

    def take(self, answer: Sequence[int]) -> None:
        """Takes the new tokens of the answer, of which it has the first ones."""
        new = answer[self.length - self.prompt_length :]
        self.tokens[self.length : self.length + len(new)] = new
        self.length += len(new)

    def find_drafts(self, most: int) -> list[int]:
        """At most so many tokens: those behind the last place where the last MATCHED_TOKENS stand too; [] without one."""
        text = self.tokens[: self.length]
        ends = max(self.length - MATCHED_TOKENS, 0)  # the places behind which something follows
        is_match = np.ones(ends, bool)
        for n in range(MATCHED_TOKENS if ends else 0):
            is_match &= text[n : n + ends] == text[ends + n]
        places = np.flatnonzero(is_match)
        start = int(places[-1]) + MATCHED_TOKENS if len(places) else self.length
        return [int(token) for token in text[start : start + most]]


class LookupRun(DecodingRun):
    """Prompts that are decoded together, with drafts in the room that rows leave: a step has never more tokens than slots."""

    def __init__(self, *of_run: Any) -> None:
        super().__init__(*of_run)
        self.texts: dict[int, TextSoFar] = {}  # of the prompts in slots

    def advance(self) -> Iterator[tuple[int, Generation]]:
        """One more token for every row, and as many drafts as are its own choice; rows that end leave their slots."""
        assert self.batch is not None
        drafts = self.choose_drafts()
        logits = self.batch.step(self.next_tokens, drafts)
        first_tokens = list(accumulate((1 + len(draft) for draft in drafts), initial=0))
        slots, depth = list(range(len(self.slot_places))), 0
        while slots:
            places = [first_tokens[slot] + depth for slot in slots]
            rows = [self.rows[self.slot_places[slot]] for slot in slots]
            tokens = append_next_tokens(logits if len(places) == len(logits) else logits[places], rows, self.choose)
            token_by_slot = dict(zip(slots, tokens.tolist(), strict=True))
            for slot, token in token_by_slot.items():
                self.next_tokens[slot] = token
            # The keys of a draft are there already, so the row goes on behind it.
            right = {slot for slot, token in token_by_slot.items() if drafts[slot][depth : depth + 1] == [token]}
            slots = [slot for slot, row in zip(slots, rows, strict=True) if slot in right and not row.finish]
            for slot in slots:
                self.batch.add_token(slot)
            depth += 1
        yield from self.leave_slots()

    def choose_drafts(self) -> list[list[int]]:
        """What is tried behind the next token of each slot: as many tokens of each as there is room for."""
        drafts, room = [], self.max_rows - len(self.slot_places)
        for place in self.slot_places if room else ():
            row = self.rows[place]
            text = self.texts.setdefault(place, TextSoFar(row.prompt))
            text.take(row.ids)
            drafts.append(text.find_drafts(min(DRAFT_TOKENS, row.prompt.max_tokens - len(row.ids) - 1)))
        most = next(n for n in range(DRAFT_TOKENS, -1, -1) if sum(min(len(d), n) for d in drafts) <= room)
        return [draft[:most] for draft in drafts] or [[] for _ in self.slot_places]

    def leave_slots(self) -> Iterator[tuple[int, Generation]]:
        for place, generation in super().leave_slots():
            self.texts.pop(place, None)
            yield place, generation
