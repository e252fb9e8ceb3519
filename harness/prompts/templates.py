"""How a request becomes text: the model's own chat template, none, or the study's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness.registry import unknown
from harness.types import Message, Request, digest

KINDS = ("auto", "none", "tulu")


@dataclass(frozen=True)
class Template:
    """What puts messages into text; `kind` and the template's own text say which."""

    kind: str
    tokenizer: Any = None

    @property
    def name(self) -> str:
        """For task.json: two results under different names were asked differently."""
        return f"own:{digest(self.tokenizer.chat_template)}" if self.kind == "own" else self.kind

    def render(self, request: Request) -> str:
        """The text that the model continues."""
        if request.raw:
            return f"{request.prompt}{request.prefix}"
        messages = [Message("user", request.prompt)] if isinstance(request.prompt, str) else request.prompt
        if self.kind == "none":
            return joined(messages, request.prefix)
        if self.kind == "tulu":
            return "".join(f"<|{m.role}|>\n{m.content}\n" for m in messages) + "<|assistant|>\n" + request.prefix
        said = [{"role": m.role, "content": m.content} for m in messages]
        text = self.tokenizer.apply_chat_template(said, tokenize=False, add_generation_prompt=True)
        return str(text) + request.prefix


def joined(messages: Sequence[Message], prefix: str) -> str:
    """Messages as plain text; what begins the answer stands on a line of its own."""
    text = "\n\n".join(m.content for m in messages)
    return f"{text}\n{prefix}" if prefix and text and not text[-1].isspace() else text + prefix


def choose(kind: str, tokenizer: Any) -> Template:
    """The template that is asked for; auto: the tokenizer's own, none where it has none."""
    if kind not in KINDS:
        raise unknown("chat template", kind, KINDS)
    if kind == "auto":
        return Template("own", tokenizer) if tokenizer.chat_template else Template("none")
    return Template(kind)
