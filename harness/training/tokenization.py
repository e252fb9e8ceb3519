"""Text to token ids: the chat template, where an answer begins, and that it ends with the end-of-sequence token."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from transformers import AutoTokenizer

from harness.training.preferences import Pair, Text, Turns, common
from harness.types import Message, SkilldeltaError

Overlong = Literal["drop", "cut"]
TEMPLATES = {
    # Tulu 2's template, the one of the study: a tag and a line break before each turn, the end token after each answer.
    "tulu": (
        "{% for m in messages %}{{ '<|' + m['role'] + '|>\\n' + m['content'] }}"
        "{% if m['role'] == 'assistant' %}{{ eos_token }}{% endif %}{{ '\\n' if not loop.last else '' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '\\n<|assistant|>\\n' }}{% endif %}"
    ),
}


@dataclass(frozen=True)
class Tokens:
    """Token ids, of which those from `start` on are learnt."""

    ids: tuple[int, ...]
    start: int

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def learnt(self) -> int:
        """How many tokens are learnt: never the first, which nothing predicts."""
        return len(self.ids) - max(1, self.start)


def tokenizer_of(model: str, template: str = "") -> Any:
    """The tokenizer of a model folder, with another chat template where one is named (a key of TEMPLATES, or a file)."""
    found = AutoTokenizer.from_pretrained(model)
    if template:
        found.chat_template = TEMPLATES.get(template) or template_file(template)
    if found.eos_token_id is None:
        raise SkilldeltaError(
            f"The tokenizer of {model} has no end-of-sequence token, so a model cannot learn to stop.  "
            "Set eos_token in its tokenizer_config.json."
        )
    return found


def template_file(name: str) -> str:
    """A chat template from a file."""
    path = Path(name)
    if not path.is_file():
        raise SkilldeltaError(f"There is no chat template {name!r}: known are {', '.join(TEMPLATES)}, or name a Jinja file.")
    return path.read_text(encoding="utf-8")


def check_pad(tokenizer: Any, model: str) -> None:
    """Refuses a tokenizer whose padding cannot be told from the end: others would read the reward of the wrong token."""
    if tokenizer.pad_token_id is None or tokenizer.pad_token_id == tokenizer.eos_token_id:
        is_what = "no padding token" if tokenizer.pad_token_id is None else f"its end token {tokenizer.eos_token!r} as padding"
        raise SkilldeltaError(
            f"The tokenizer of {model} has {is_what}; a reward model is read at the last token that is not padding, so the two "
            "must differ.  Set pad_token to another (even an unused) token in its tokenizer_config.json."
        )


@dataclass
class Encoder:
    """Prompts and answers as ids, at most `max_length` of them; what does not fit is counted."""

    tokenizer: Any
    max_length: int
    overlong: Overlong = "drop"
    lost: Counter[str] = field(default_factory=Counter)

    def answers(self, rows: Sequence[tuple[Text, Text]]) -> list[Tokens | None]:
        """(prompt, answer) each as ids from the start of the prompt to one end token; None where it is dropped."""
        prompts = self.ids([self.rendered(prompt, (), opening=True) for prompt, _ in rows], [plain(p) for p, _ in rows])
        wholes = self.ids([self.rendered(prompt, said) for prompt, said in rows], [plain(p) for p, _ in rows])
        return [self.fitted(self.ended(whole, common(prompt, whole))) for prompt, whole in zip(prompts, wholes, strict=True)]

    def kept(self, rows: Sequence[tuple[Text, Text]]) -> list[Tokens]:
        """The answers that fit."""
        kept = [found for found in self.answers(rows) if found]
        if rows and not kept:
            raise SkilldeltaError(f"No row is left to train on: {dict(self.lost)} at a --max_length of {self.max_length}.")
        return kept

    def kept_pairs(self, rows: Sequence[Pair]) -> list[tuple[Pair, tuple[Tokens, Tokens]]]:
        """Pairs with (chosen, rejected) as ids, where both fit; those whose answers are the same ids teach nothing."""
        kept = []
        chosen = self.answers([(p.prompt, p.chosen) for p in rows])
        rejected = self.answers([(p.prompt, p.rejected) for p in rows])
        for pair, better, worse in zip(rows, chosen, rejected, strict=True):
            if better and worse and better.ids != worse.ids:
                kept.append((pair, (better, worse)))
            elif better and worse:
                self.lost["identical tokens"] += 1
        if rows and not kept:
            raise SkilldeltaError(f"No pair is left to train on: {dict(self.lost)} at a --max_length of {self.max_length}.")
        return kept

    def prompts(self, rows: Sequence[Text]) -> list[tuple[int, ...]]:
        """Prompts as ids, ready for an answer."""
        return self.ids([self.rendered(prompt, (), opening=True) for prompt in rows], [plain(p) for p in rows])

    def short_prompts(self, rows: Sequence[Text]) -> list[tuple[int, ...]]:
        """Prompts as ids, without those that are over-long: a cut prompt asks something else."""
        found = self.prompts(rows)
        kept = [ids for ids in found if len(ids) <= self.max_length]
        self.lost["overlong"] += len(found) - len(kept)
        if rows and not kept:
            raise SkilldeltaError(f"All {len(rows)} prompts are longer than {self.max_length} tokens.")
        return kept

    def rendered(self, prompt: Text, said: Text, opening: bool = False) -> str:
        """The text of a prompt, with the answer or with the opening of one."""
        if isinstance(prompt, str) and not prompt and isinstance(said, tuple) and said:
            return self.rendered(said, ())
        if isinstance(prompt, str):
            return prompt + (said if isinstance(said, str) else "".join(m.content for m in said))
        if not self.tokenizer.chat_template:
            raise SkilldeltaError(
                "The data are conversations, and the tokenizer has no chat template.  Name one with --template "
                f"({', '.join(TEMPLATES)}, or a Jinja file)."
            )
        turns = prompt + (said if isinstance(said, tuple) else assistant(said))
        chat = [{"role": m.role, "content": m.content} for m in turns]
        return str(self.tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=opening))

    def ids(self, texts: Sequence[str], special: Sequence[bool]) -> list[tuple[int, ...]]:
        """Ids of texts; only plain text gets the tokenizer's own beginning token: a template writes its own."""
        found: list[tuple[int, ...]] = [()] * len(texts)
        for wanted in (False, True):
            places = [i for i, s in enumerate(special) if s == wanted and texts[i]]
            if places:
                encoded = self.tokenizer([texts[i] for i in places], add_special_tokens=wanted)["input_ids"]
                for i, ids in zip(places, encoded, strict=True):
                    found[i] = tuple(ids)
        return found

    def ended(self, ids: tuple[int, ...], start: int) -> Tokens:
        """The ids up to the answer's last end token; one is added where the template writes none.

        What a template puts after it (a line break) goes: no sampled answer has it, and a reward model must be trained on
        what it will be asked.
        """
        end = self.tokenizer.eos_token_id
        places = [i for i in range(max(start, 0), len(ids)) if ids[i] == end]
        kept = ids[: places[-1] + 1] if places and not self.said(ids[places[-1] + 1 :]) else (*ids, end)
        return Tokens(kept, start)

    def said(self, ids: tuple[int, ...]) -> bool:
        """Do these ids say more than white space?"""
        return bool(ids) and bool(str(self.tokenizer.decode(ids)).strip())

    def fitted(self, found: Tokens) -> Tokens | None:
        """The sequence, cut or dropped where it is over-long."""
        if len(found) <= self.max_length:
            return found
        if self.overlong == "cut" and found.start < self.max_length:
            self.lost["cut"] += 1
            return Tokens(found.ids[: self.max_length], found.start)
        self.lost["overlong"] += 1
        return None


def plain(value: Text) -> bool:
    return isinstance(value, str)


def assistant(said: str) -> Turns:
    """Text as the assistant's turn; no text, no turn."""
    return (Message("assistant", said),) if said else ()
