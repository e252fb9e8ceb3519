"""Text to token ids: the chat template, the place where an answer begins, and its end-of-sequence token."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from transformers import AutoTokenizer

from harness.engine.tree import common_prefix_length
from harness.prompts.templates import TULU
from harness.training.batches import Tokens
from harness.training.preferences import Pair, Text
from harness.types import Message, SkilldeltaError

Overlong = Literal["drop", "cut"]
TEMPLATES = {"tulu": TULU}


def load_tokenizer(model: str, template: str = "") -> Any:
    """The tokenizer of a model folder, with another chat template if `template` names one (a key of TEMPLATES, or a file).

    Raises SkilldeltaError for a tokenizer without an end-of-sequence token, and for an unknown template.
    """
    tokenizer = AutoTokenizer.from_pretrained(model)
    if template:
        tokenizer.chat_template = TEMPLATES.get(template) or read_template(template)
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
    return path.read_text(encoding="utf-8")


def check_padding(tokenizer: Any, model: str) -> None:
    """Raises SkilldeltaError for a tokenizer whose padding equals its end: others would read the reward of a wrong token."""
    if tokenizer.pad_token_id is None or tokenizer.pad_token_id == tokenizer.eos_token_id:
        fault = "no padding token" if tokenizer.pad_token_id is None else f"its end token {tokenizer.eos_token!r} as padding"
        raise SkilldeltaError(
            f"The tokenizer of {model} has {fault}; a reward model is read at the last token that is not padding, so the two "
            "must differ.  Set pad_token to another (even an unused) token in its tokenizer_config.json."
        )


@dataclass
class Encoder:
    """Prompts and answers as ids, at most `max_length` of them; `losses` counts the rows that do not fit, by reason."""

    tokenizer: Any
    max_length: int
    overlong: Overlong = "drop"
    losses: Counter[str] = field(default_factory=Counter)

    def encode_answers(self, rows: Sequence[tuple[Text, Text]]) -> list[Tokens | None]:
        """Each (prompt, answer) as ids from the start of the prompt to one end token; None for a dropped row.

        An answer begins where the ids of the whole leave those of the prompt alone: a tokenizer may merge across the border.
        """
        prompts = self.encode_prompts([prompt for prompt, _ in rows])
        texts = [self.render(prompt, answer) for prompt, answer in rows]
        wholes = self.encode_texts(texts, [isinstance(prompt, str) for prompt, _ in rows])
        return [self.fit(self.end(w, common_prefix_length(p, w))) for p, w in zip(prompts, wholes, strict=True)]

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
        rejected = self.encode_answers([(p.prompt, p.rejected) for p in rows])
        for pair, better, worse in zip(rows, chosen, rejected, strict=True):
            if better and worse and better.ids != worse.ids:
                fitting.append((pair, (better, worse)))
            elif better and worse:
                self.losses["identical tokens"] += 1
        if rows and not fitting:
            raise SkilldeltaError(f"No pair is left to train on: {dict(self.losses)} at a --max-length of {self.max_length}.")
        return fitting

    def encode_prompts(self, prompts: Sequence[Text]) -> list[tuple[int, ...]]:
        """Prompts as ids, ready for an answer."""
        texts = [self.render(prompt, (), opening=True) for prompt in prompts]
        return self.encode_texts(texts, [isinstance(p, str) for p in prompts])

    def fitting_prompts(self, prompts: Sequence[Text]) -> list[tuple[int, ...]]:
        """Prompts as ids, without the long ones: a cut prompt would ask something else."""
        every = self.encode_prompts(prompts)
        fitting = [ids for ids in every if len(ids) <= self.max_length]
        self.losses["overlong"] += len(every) - len(fitting)
        if prompts and not fitting:
            raise SkilldeltaError(f"All {len(prompts)} prompts are longer than {self.max_length} tokens.")
        return fitting

    def render(self, prompt: Text, answer: Text, opening: bool = False) -> str:
        """The text of a prompt with its answer, or with the opening of an answer."""
        if isinstance(prompt, str) and not prompt and isinstance(answer, tuple) and answer:
            return self.render(answer, ())
        if isinstance(prompt, str):
            return prompt + (answer if isinstance(answer, str) else "".join(m.content for m in answer))
        if not self.tokenizer.chat_template:
            raise SkilldeltaError(
                "The data are conversations, and the tokenizer has no chat template.  Name one with --template "
                f"({', '.join(TEMPLATES)}, or a Jinja file)."
            )
        turns = prompt + (answer if isinstance(answer, tuple) else (Message("assistant", answer),) if answer else ())
        chat = [{"role": m.role, "content": m.content} for m in turns]
        return str(self.tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=opening))

    def encode_texts(self, texts: Sequence[str], is_plain: Sequence[bool]) -> list[tuple[int, ...]]:
        """Ids of texts; only plain text gets the tokenizer's own beginning token, because a template writes its own."""
        encodings: list[tuple[int, ...]] = [()] * len(texts)
        for special in (False, True):
            places = [i for i, plain in enumerate(is_plain) if plain == special and texts[i]]
            if places:
                batch = self.tokenizer([texts[i] for i in places], add_special_tokens=special)["input_ids"]
                for i, ids in zip(places, batch, strict=True):
                    encodings[i] = tuple(ids)
        return encodings

    def end(self, ids: tuple[int, ...], start: int) -> Tokens:
        """The ids up to the answer's last end token; one is added if the template writes none.

        White space that a template puts after the end token (a line break) goes.  No sampled answer has it, and a reward
        model must be trained on the sequences that it will score.
        """
        end = self.tokenizer.eos_token_id
        places = [i for i in range(max(start, 0), len(ids)) if ids[i] == end]
        rest = ids[places[-1] + 1 :] if places else ids
        is_last = bool(places) and not (rest and str(self.tokenizer.decode(rest)).strip())
        return Tokens(ids[: places[-1] + 1] if is_last else (*ids, end), start)

    def fit(self, tokens: Tokens) -> Tokens | None:
        """The sequence, cut or dropped if it is longer than `max_length`."""
        if len(tokens) <= self.max_length:
            return tokens
        if self.overlong == "cut" and tokens.start < self.max_length:
            self.losses["cut"] += 1
            return Tokens(tokens.ids[: self.max_length], tokens.start)
        self.losses["overlong"] += 1
        return None
