"""Text to token ids and back, with boundaries, windows and stop strings exactly as lm-eval has them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from harness.engine.plain import Pair
from harness.prompts.incremental_tokenizer import Splice
from harness.prompts.templates import Template
from harness.types import Request, SkilldeltaError


@dataclass(frozen=True)
class Target:
    """One pair to weigh for one choice; `cut` tokens of its context did not fit."""

    choice: int
    pair: Pair
    cut: int = 0


class Tokens:
    """A tokenizer and the window of its model."""

    def __init__(self, tokenizer: Any, window: int) -> None:
        self.tokenizer, self.window = tokenizer, window
        self.splice = Splice(tokenizer)
        first = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
        self.first: int = first  # what stands for an empty context
        self.first_text = tokenizer.decode(first) if first is not None else ""

    def encode(self, text: str) -> list[int]:
        """Token ids of a whole text, with the beginning-of-sequence token once where the tokenizer adds one."""
        begun = bool(self.first_text) and text.startswith(self.first_text)
        return self.splice.encode(text, special=not begun)

    def pair(self, context: str, continuation: str) -> Pair:
        """Ids of a context and its continuation: blanks at the boundary go with the latter, the whole is encoded at once."""
        bare = context.rstrip()
        if not context:
            ids = list(self.tokenizer.encode(continuation, add_special_tokens=False))
            return something(self.begun([]), ids) if ids[:1] != [self.first] else something(ids[:1], ids[1:])
        head, whole = self.encode(bare), self.encode(context + continuation)
        if continuation and len(whole) <= len(head):  # its letters went into the context's last token
            whole = head + list(self.tokenizer.encode(context[len(bare) :] + continuation, add_special_tokens=False))
        return something(self.begun(head), whole[len(head) :])

    def begun(self, ids: list[int]) -> list[int]:
        """Ids that a model can go on from: of an empty text, the token that begins or ends texts."""
        if not ids and self.first is None:
            raise SkilldeltaError("Nothing is given to go on from, and the tokenizer has no token that begins or ends texts.")
        return ids or [self.first]

    def pairs(self, request: Request, template: Template) -> list[Target]:
        """What is to be weighed for a request, each pair within the window."""
        if request.rolling:
            return [Target(0, pair) for pair in self.windows(self.encode(request.choices[0]))]
        if request.contexts:
            found = [self.pair(c, t) for c, t in zip(request.contexts, request.choices, strict=True)]
        else:
            context = template.render(request)
            found = [self.pair(context, choice) for choice in request.choices]
        return [self.fit(i, pair) for i, pair in enumerate(found)]

    def fit(self, choice: int, pair: Pair) -> Target:
        """A pair cut on its left to the window (the last token is predicted, never fed: one more than the window fits)."""
        over = min(max(len(pair.context) + len(pair.continuation) - (self.window + 1), 0), len(pair.context) - 1)
        return Target(choice, Pair(pair.context[over:], pair.continuation), over) if over else Target(choice, pair)

    def windows(self, ids: Sequence[int]) -> Iterator[Pair]:
        """Disjoint windows over a text, each token predicted once, with one token of context before the first of a window."""
        size = self.window
        for start in range(0, len(ids), size):
            piece = list(ids[start : start + size])
            before = [*self.begun([]), *ids][: start + 1]
            # The last window is filled up with context from the left, as far as it has room.
            room = size + 1 - len(piece)
            yield Pair(before[-room:] if start else before[-1:], piece)

    def stopper(self, stops: Sequence[str]) -> Callable[[list[int]], bool]:
        """Has one of `stops` appeared at the end of the text?  Only the tail that can hold it is decoded."""
        wanted = [s for s in stops if s]
        if not wanted:
            return lambda ids: False
        # A stop string of n characters lies in at most n tokens, but for tokens that decode to nothing.
        tail = max(len(s.encode()) for s in wanted) + 2
        lasts = [s[-1] for s in wanted]
        known: dict[int, bool] = {}  # can a stop string end with this token?

        def ends(token: int) -> bool:
            if token not in known:
                text = self.tokenizer.decode([token], skip_special_tokens=True)
                # A token alone may lose a blank, and half a character is decoded to another one.
                known[token] = any(c in text or c.isspace() or not c.isascii() for c in lasts)
            return known[token]

        def stopped(ids: list[int]) -> bool:
            if not ends(ids[-1]):
                return False
            text = self.tokenizer.decode(ids[-tail:], skip_special_tokens=True)
            return any(s in text for s in wanted)

        return stopped

    def text(self, ids: Sequence[int], stops: Sequence[str]) -> str:
        """The text of generated ids, cut before the first stop string."""
        text = str(self.tokenizer.decode(list(ids), skip_special_tokens=True))
        ends = [at for s in stops if s and (at := text.find(s)) >= 0]
        return text[: min(ends)] if ends else text


def something(context: list[int], continuation: list[int]) -> Pair:
    """Both, if there is anything to weigh."""
    if not continuation:
        raise SkilldeltaError("A choice adds no token to its context: it has no probability to be weighed by.")
    return Pair(context, continuation)
