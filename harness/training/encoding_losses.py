"""What becomes of rows on their way to token ids, besides what was meant: left out, cut, or with tokens that a text spells."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from harness.training.messages import Text, describe_faults

SPECIAL_COUNT = "special token in a message: "  # the beginning of a count's name, before the token


class SpecialTokens:
    """The special tokens of a tokenizer, which the text of a message may spell.

    A chat template writes messages into one text, and a tokenizer reads every special token in it, whoever wrote it.  So do
    servers, and so does scoring: training must see the same ids.
    """

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer

    @cached_property
    def pattern(self) -> re.Pattern[str] | None:
        tokens = {str(token) for token in self.tokenizer.added_tokens_decoder.values() if token.special}
        return re.compile("|".join(map(re.escape, sorted(tokens, key=len, reverse=True)))) if tokens else None

    def find_special(self, prompt: Text, answer: Text) -> str:
        """The first special token that a message spells; "" for none.

        The end of the last message may be stored with it.  Plain text writes its own template.
        """
        if self.pattern is None or (isinstance(prompt, str) and isinstance(answer, str)):
            return ""
        contents = [
            text for part in (prompt, answer) for text in ([part] if isinstance(part, str) else [m.content for m in part])
        ]
        contents[-1:] = [text.rstrip().removesuffix(self.tokenizer.eos_token or "") for text in contents[-1:]]
        return next((match.group() for text in contents if (match := self.pattern.search(text))), "")


def describe_losses(losses: Mapping[str, int], config: object) -> list[str]:
    """Sentences on what is left out, shortened or spelled, by an encoder's counts and the lengths in a trainer's settings."""
    name = "max_prompt" if hasattr(config, "max_prompt") else "max_length"
    bound = f"--{name.replace('_', '-')} {getattr(config, name)} tokens"
    spellings = {name.removeprefix(SPECIAL_COUNT): count for name, count in losses.items() if name.startswith(SPECIAL_COUNT)}
    faults = {
        f"longer than {bound}" if fault == "overlong" else fault: n
        for fault, n in losses.items()
        if fault != "cut" and not fault.startswith(SPECIAL_COUNT)
    }
    sentences = [f"Left out: {describe_faults(faults)}."] if faults else []
    sentences += [f"Cut: {losses['cut']} x to {bound}."] if losses.get("cut") else []
    if spellings:
        sentences.append(
            f"Messages spell special tokens: {describe_faults(spellings)}.  They are encoded as these tokens, as servers and "
            "scoring do: such a text may end its own turn."
        )
    return sentences
