"""Text to token ids: the chat template, the place where an answer begins, and its end-of-sequence token."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from jinja2 import TemplateError

from harness.engine.tree import common_prefix_length
from harness.integrity import BrokenWeightsError
from harness.loading.generation_config import read_generation_config
from harness.own_template import read_source
from harness.prompts.template_trial import try_chat_template
from harness.prompts.templates import TULU
from harness.prompts.text_limits import end_tokens
from harness.prompts.tokenization import WindowedTokenizer
from harness.training import model_loading
from harness.training.batches import Tokens
from harness.training.chat_rendering import ChatRenderer
from harness.training.encoding_losses import SPECIAL_COUNT, SpecialTokens
from harness.training.messages import Text, UnusableRowError, as_assistant_turn
from harness.types import SkilldeltaError

if TYPE_CHECKING:
    from harness.training.preferences import Pair

Overlong = Literal["drop", "cut"]
TEMPLATES = {"tulu": TULU}


def load_tokenizer(model: str, template: str = "") -> Any:
    """The tokenizer of a model folder, with another chat template if `template` names one (a key of TEMPLATES, or a file).

    Raises SkilldeltaError for a tokenizer without an end-of-sequence token, and for an unknown template.
    """
    try:
        tokenizer = model_loading.load_own_tokenizer(model)
    except SkilldeltaError:
        raise
    except Exception as error:  # transformers checks few settings, and raises what Python does with a damaged one
        raise SkilldeltaError(model_loading.explain_failure(model_loading.tokenizer_folder(model), error)) from error
    if template:
        tokenizer.chat_template = TEMPLATES.get(template) or read_template(template)
        try_chat_template(tokenizer)
    if tokenizer.eos_token_id is None:
        raise SkilldeltaError(
            f"The tokenizer of {model} has no end-of-sequence token, so a model cannot learn to stop.  "
            "Set eos_token in its tokenizer_config.json."
        )
    return tokenizer


def read_template(name: str) -> str:
    """A chat template from a file."""
    path = Path(name)
    if not path.is_file():
        raise SkilldeltaError(f"There is no chat template {name!r}: known are {', '.join(TEMPLATES)}, or name a Jinja file.")
    try:
        return read_source(path)
    except ValueError as error:
        raise SkilldeltaError(f"The chat template {name} cannot be read: {error}.") from error


def padding_token(tokenizer: Any) -> int:
    """The id that fills up rows: the tokenizer's own, or its end.  No row is read past its length, so any id will do."""
    pad, end = tokenizer.pad_token_id, tokenizer.eos_token_id
    return int(end if pad is None else pad)


def separate_padding(tokenizer: Any) -> None:
    """Gives a tokenizer that pads with its end token another padding token, an unused special one, where it has one.

    Programs that know no lengths read a reward at the last token that is not padding: it must not be the end.
    """
    if tokenizer.pad_token_id not in (None, tokenizer.eos_token_id):
        return
    special = [str(token) for _, token in sorted(tokenizer.added_tokens_decoder.items()) if token.special]
    chat = [{"role": "user", "content": "?"}, {"role": "assistant", "content": "!"}]
    try:
        sample = ChatRenderer(tokenizer).apply(chat, None, False) if tokenizer.chat_template else ""
    except TemplateError:  # it refuses this chat, and every row that it refuses too is counted
        sample = ""
    others = {tokenizer.eos_token, tokenizer.bos_token}
    tokenizer.pad_token = next((t for t in special if t not in others and t not in f"{sample}{tokenizer.chat_template}"), None)


def answer_ends(tokenizer: Any, model: str) -> frozenset[int]:
    """The ids that end an answer, as in evaluation: the tokenizer's end, and those of the whole model's generation settings.

    A chat model may end turns with another token than texts; an adapter has no such settings of its own.
    """
    path = model_loading.model_folder(model)
    source = model_loading.base_of(path) if model_loading.is_adapter(path) else path
    try:
        return end_tokens(read_generation_config(source), tokenizer)
    except BrokenWeightsError as error:
        raise SkilldeltaError(f"{source} cannot be loaded: {error}.") from error


@dataclass
class Encoder:
    """Prompts and answers as ids, at most `max_length` of them; `losses` counts the rows that do not fit, by reason.

    It also counts the messages that spell a special token (see `SpecialTokens`).
    """

    tokenizer: Any
    max_length: int
    overlong: Overlong = "drop"
    losses: Counter[str] = field(default_factory=Counter)
    ends: frozenset[int] = frozenset()  # further ids that end an answer, besides the tokenizer's end

    @cached_property
    def renderer(self) -> ChatRenderer:
        return ChatRenderer(self.tokenizer)

    @cached_property
    def special_tokens(self) -> SpecialTokens:
        return SpecialTokens(self.tokenizer)

    @cached_property
    def windowed(self) -> WindowedTokenizer:
        """Ids as scoring makes them: a model is asked after the beginning token that it was trained with, or without one."""
        return WindowedTokenizer(self.tokenizer, self.max_length)

    def encode_answers(self, rows: Sequence[tuple[Text, Text]]) -> list[Tokens | None]:
        """Each (prompt, answer) as ids from the start of the prompt to one end token; None for a dropped row.

        An answer begins where the ids of the whole leave those of the prompt alone: a tokenizer may merge across the border.
        """
        texts = [self.try_rendering(prompt, answer) for prompt, answer in rows]
        prompts = self.windowed.encode_batch([text[0] if text else "" for text in texts])
        wholes = self.windowed.encode_batch([text[1] if text else "" for text in texts])
        return [
            self.fit(self.end(w, common_prefix_length(p, w))) if text else None
            for text, p, w in zip(texts, prompts, wholes, strict=True)
        ]

    def try_rendering(self, prompt: Text, answer: Text) -> tuple[str, str] | None:
        """The texts of a prompt and of the whole; None, and counted, for a row that the chat template cannot write."""
        try:
            texts = self.render(prompt, (), opening=True), self.render(prompt, answer)
        except UnusableRowError as fault:
            self.losses[str(fault)] += 1
            return None
        self.count_special(prompt, answer)
        return texts

    def count_special(self, prompt: Text, answer: Text = ()) -> None:
        """Counts a sequence of which a message spells a special token."""
        if token := self.special_tokens.find_special(prompt, answer):
            self.losses[f"{SPECIAL_COUNT}{token}"] += 1

    def fitting_answers(self, rows: Sequence[tuple[Text, Text]]) -> list[Tokens]:
        """The answers that fit.  Raises SkilldeltaError where none does."""
        fitting = [tokens for tokens in self.encode_answers(rows) if tokens]
        if rows and not fitting:
            raise SkilldeltaError(f"No row is left to train on: {dict(self.losses)} at a --max-length of {self.max_length}.")
        return fitting

    def fitting_pairs(self, rows: Sequence[Pair]) -> list[tuple[Pair, tuple[Tokens, Tokens]]]:
        """Pairs with (chosen, rejected) as ids, where both fit and differ: answers of the same ids teach nothing.

        Raises SkilldeltaError where no pair is left.
        """
        fitting = []
        chosen = self.encode_answers([(p.prompt, p.chosen) for p in rows])
        # A pair is counted once: where its chosen answer is left out, the other one is not looked at.
        rest = iter(self.encode_answers([(p.prompt, p.rejected) for p, tokens in zip(rows, chosen, strict=True) if tokens]))
        for pair, better, worse in (
            (pair, tokens, next(rest) if tokens else None) for pair, tokens in zip(rows, chosen, strict=True)
        ):
            if better and worse and better.ids != worse.ids:
                fitting.append((pair, (better, worse)))
            elif better and worse:
                self.losses["identical tokens"] += 1
        if rows and not fitting:
            raise SkilldeltaError(f"No pair is left to train on: {dict(self.losses)} at a --max-length of {self.max_length}.")
        return fitting

    def encode_prompts(self, prompts: Sequence[Text]) -> list[tuple[int, ...]]:
        """Prompts as ids, ready for an answer."""
        texts = []
        for prompt in prompts:
            try:
                texts.append(self.render(prompt, (), opening=True))
                self.count_special(prompt)
            except UnusableRowError as fault:
                self.losses[str(fault)] += 1
        return self.windowed.encode_batch(texts)

    def fitting_prompts(self, prompts: Sequence[Text]) -> list[tuple[int, ...]]:
        """Prompts as ids, without the long ones: a cut prompt would ask something else."""
        every = self.encode_prompts(prompts)
        fitting = [ids for ids in every if len(ids) <= self.max_length]
        if overlong := len(every) - len(fitting):
            self.losses["overlong"] += overlong
        if prompts and not fitting:
            raise SkilldeltaError(
                f"None of {len(prompts)} prompts is left: {dict(self.losses)}.  A prompt has at most {self.max_length} tokens."
            )
        return fitting

    def render(self, prompt: Text, answer: Text, opening: bool = False) -> str:
        """The text of a prompt with its answer, or with the opening of an answer."""
        if isinstance(prompt, str):
            return prompt + (answer if isinstance(answer, str) else "".join(m.content for m in answer))
        return self.renderer.render((*prompt, *(as_assistant_turn(answer) if answer else ())), opening)

    def end(self, ids: tuple[int, ...], start: int) -> Tokens:
        """The ids up to the answer's last end token; one is added if the template writes none.

        White space that a template puts after the end token (a line break) goes.  No sampled answer has it, and a reward
        model must be trained on the sequences that it will score.
        """
        end = self.tokenizer.eos_token_id
        places = [i for i in range(max(start, 0), len(ids)) if ids[i] == end or ids[i] in self.ends]
        rest = ids[places[-1] + 1 :] if places else ids
        is_last = bool(places) and not (rest and str(self.tokenizer.decode(rest)).strip())
        if not is_last:
            return Tokens((*ids, end), start)
        last = places[-1]
        while last - 1 in places and ids[last - 1] == ids[last]:  # an answer that was stored with its end
            last -= 1
        return Tokens(ids[: last + 1], start)

    def fit(self, tokens: Tokens) -> Tokens | None:
        """The sequence, cut or dropped if it is longer than `max_length`."""
        if len(tokens) <= self.max_length:
            return tokens
        if self.overlong == "cut" and tokens.start < self.max_length:
            self.losses["cut"] += 1
            return Tokens(tokens.ids[: self.max_length], tokens.start)
        self.losses["overlong"] += 1
        return None
