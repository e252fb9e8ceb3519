"""Text to token ids and back, with boundaries, windows and stop strings exactly as lm-eval has them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from harness.engine.plain import TokenPair
from harness.prompts.channels import FINAL
from harness.prompts.incremental_tokenizer import IncrementalTokenizer
from harness.prompts.reasoning_tags import TAGS
from harness.prompts.stopping import AnswerBudget, StopCheck, cut_at_stop
from harness.prompts.templates import ChatTemplate
from harness.types import Request, SkilldeltaError

MAX_TOKEN_LETTERS = 10_000  # that one token stands for: the longest of a real tokenizer are some hundred blanks or signs


@dataclass(frozen=True)
class ChoicePair:
    """The pair for one choice, by its number; `overflow` tokens of its context did not fit."""

    choice: int
    pair: TokenPair
    overflow: int = 0


def require_vocabulary(tokenizer: Any, source: str) -> Any:
    """`tokenizer`, if it has a vocabulary.

    transformers loads a folder that has tokenizer_config.json alone, and then encodes every text as no token: the model would
    answer empty prompts.  Raises SkilldeltaError.
    """
    if tokenizer("A text of 5 words.", add_special_tokens=False).input_ids:
        return tokenizer
    raise SkilldeltaError(
        f"The tokenizer of {source} has no vocabulary, so it reads every text as empty: tokenizer.json (or vocab.json, "
        "tokenizer.model) is missing.\nCopy the tokenizer's files into the folder.  For an adapter you can also remove "
        "tokenizer_config.json: then the base's tokenizer is used."
    )


class WindowedTokenizer:
    """A tokenizer, and how many tokens the model takes at once."""

    def __init__(self, tokenizer: Any, window: int) -> None:
        self.hf_tokenizer, self.window = tokenizer, window
        self.incremental = IncrementalTokenizer(tokenizer)
        start = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
        self.start_id: int = start  # stands for an empty context
        self.start_text = tokenizer.decode(start) if start is not None else ""
        self.appended = count_appended(tokenizer)  # tokens that the tokenizer puts behind every text
        all_tags = {tag.lower() for pair in TAGS for tag in pair}
        special_ids = zip(tokenizer.all_special_tokens, tokenizer.all_special_ids, strict=True)
        self.special_tags = {number: text for text, number in special_ids if text.lower() in all_tags}

    def encode(self, text: str) -> list[int]:
        """Token ids of a whole text, with the beginning-of-sequence token once where the tokenizer adds one.

        What the tokenizer appends is left out: a model would be asked after its own end.
        """
        has_start = self.has_start(text)
        ids = self.incremental.encode(text, special=not has_start)
        return ids[: len(ids) - self.appended] if self.appended and not has_start else ids

    def has_start(self, text: str) -> bool:
        """Whether the text has its beginning token already: a chat template may have written it."""
        return bool(self.start_text) and text.startswith(self.start_text)

    def encode_batch(self, texts: Sequence[str]) -> list[tuple[int, ...]]:
        """encode() for many texts at once, which is faster; nothing for an empty text."""
        encodings: list[tuple[int, ...]] = [()] * len(texts)
        for special in (False, True):
            places = [i for i, text in enumerate(texts) if text and self.has_start(text) != special]
            if places:
                batch = self.hf_tokenizer([texts[i] for i in places], add_special_tokens=special)["input_ids"]
                for i, ids in zip(places, batch, strict=True):
                    encodings[i] = tuple(ids[: len(ids) - self.appended] if special else ids)
        return encodings

    def encode_pair(self, context: str, continuation: str) -> TokenPair:
        """Ids of a context and its continuation: blanks at the boundary go with the latter, the whole is encoded at once.

        Raises SkilldeltaError where the continuation adds no token.
        """
        head_text = context.rstrip()
        if not context:
            ids = list(self.hf_tokenizer.encode(continuation, add_special_tokens=False))
            if ids[:1] == [self.start_id]:
                return make_pair(ids[:1], ids[1:])
            return make_pair(self.with_start([]), ids)
        head, joint = self.encode(head_text), self.encode(context + continuation)
        if continuation and len(joint) <= len(head):  # its letters went into the context's last token
            joint = head + list(self.hf_tokenizer.encode(context[len(head_text) :] + continuation, add_special_tokens=False))
        return make_pair(self.with_start(head), joint[len(head) :])

    def with_start(self, ids: list[int]) -> list[int]:
        """The ids, or for an empty text the token that begins (or ends) texts.  Raises SkilldeltaError where there is none."""
        if not ids and self.start_id is None:
            raise SkilldeltaError("The prompt is empty, and the tokenizer has no token that begins or ends texts.")
        return ids or [self.start_id]

    def encode_choices(self, request: Request, template: ChatTemplate) -> list[ChoicePair]:
        """The pairs of a request with choices, each within the window; of a whole text, one for each window."""
        if request.rolling:
            return [ChoicePair(0, pair) for pair in self.rolling_windows(self.encode(request.choices[0]))]
        if request.contexts:
            contexts = (template.render_context(request, context) for context in request.contexts)
            pairs = [self.encode_pair(context, choice) for context, choice in zip(contexts, request.choices, strict=True)]
        else:
            context = template.render(request)
            pairs = [self.encode_pair(context, choice) for choice in request.choices]
        return [self.fit_to_window(i, pair) for i, pair in enumerate(pairs)]

    def fit_to_window(self, choice: int, pair: TokenPair) -> ChoicePair:
        """A pair cut on its left to the window (the last token is predicted, never fed: one more than the window fits)."""
        over = min(max(len(pair.context) + len(pair.continuation) - (self.window + 1), 0), len(pair.context) - 1)
        return ChoicePair(choice, TokenPair(pair.context[over:], pair.continuation), over) if over else ChoicePair(choice, pair)

    def rolling_windows(self, ids: Sequence[int]) -> Iterator[TokenPair]:
        """Disjoint windows over a text, each token predicted once, with one token of context before the first of a window."""
        size = self.window
        for start in range(0, len(ids), size):
            piece = list(ids[start : start + size])
            before = [*self.with_start([]), *ids][: start + 1]
            # The last window is filled up with context from the left, as far as it has room.
            room = size + 1 - len(piece)
            yield TokenPair(before[-room:] if start else before[-1:], piece)

    def make_stop_check(self, stops: Sequence[str]) -> Callable[[list[int]], bool]:
        """A function of the new ids: is one of `stops` at the end of the text?  It decodes only the tail that can hold one."""
        strings = [s for s in stops if s]
        if not strings:
            return lambda ids: False
        # A stop string of n characters lies in at most n tokens, but for tokens that decode to nothing.
        tail = max(len(s.encode()) for s in strings) + 2
        last_characters = [s[-1] for s in strings]
        can_end: dict[int, bool] = {}  # can a stop string end with this token?

        def is_candidate(token: int) -> bool:
            if token not in can_end:
                text = self.decode([token])
                # A token alone may lose a blank, and half a character is decoded to another one.
                can_end[token] = any(c in text or c.isspace() or not c.isascii() for c in last_characters)
            return can_end[token]

        def should_stop(ids: list[int]) -> bool:
            if not is_candidate(ids[-1]):
                return False
            text = self.decode(ids[-tail:])
            return any(s in text for s in strings)

        return should_stop

    def make_answer_check(self, stops: Sequence[str], in_block: bool, budget: AnswerBudget) -> StopCheck:
        """The same for texts with reasoning before the answer."""
        closings = [*(closing for _, closing in TAGS), FINAL]
        return StopCheck(self.decode, self.make_stop_check(stops), self.make_stop_check(closings), in_block, budget)

    def decode(self, ids: Sequence[int]) -> str:
        """The text of generated ids without special tokens, but for tags around reasoning."""
        pieces, piece = list[str](), list[int]()
        for token in ids if self.special_tags else ():
            if token in self.special_tags:
                pieces += [self.decode_plainly(piece), self.special_tags[token]]
                piece = []
            else:
                piece.append(token)
        return "".join(pieces) + self.decode_plainly(piece if self.special_tags else ids)

    def decode_plainly(self, ids: Sequence[int]) -> str:
        """The text of ids.  Raises SkilldeltaError for more letters than tokens stand for: a decoder may insert any text."""
        text = str(self.hf_tokenizer.decode(list(ids), skip_special_tokens=True))
        if len(text) > MAX_TOKEN_LETTERS * max(len(ids), 1):
            raise SkilldeltaError(
                f"The tokenizer makes {len(text):,} letters of {len(ids):,} tokens: the `decoder` in its tokenizer.json is "
                "damaged.\nCopy tokenizer.json from the base model, or name its folder with --tokenizer DIR."
            )
        return text

    def decode_until_stop(self, ids: Sequence[int], stops: Sequence[str], in_block: bool = False) -> str:
        """The text of generated ids, cut before the first stop string of its answer."""
        return cut_at_stop(self.decode(ids), stops, in_block)


def count_appended(tokenizer: Any) -> int:
    """How many tokens the tokenizer puts behind a text, such as its end token."""
    bare = list(tokenizer.encode("a b", add_special_tokens=False))
    special = list(tokenizer.encode("a b"))
    starts = [at for at in range(len(special) - len(bare) + 1) if special[at : at + len(bare)] == bare]
    return len(special) - len(bare) - starts[0] if starts else 0


def make_pair(context: list[int], continuation: list[int]) -> TokenPair:
    """A pair; raises SkilldeltaError for an empty continuation."""
    if not continuation:
        raise SkilldeltaError("A choice adds no token to its context, so it has no probability: give it one character or more.")
    return TokenPair(context, continuation)
