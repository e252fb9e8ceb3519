"""How a request becomes text: the model's own chat template, none, or the study's."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from harness.types import Message, Request, digest, unknown_name

TEMPLATE_KINDS = ("auto", "none", "tulu")
# Tulu 2's template, the study's: a tag and a line break before each turn, the end-of-sequence token after each answer.
# Scoring and training both render it.  Source: open-instruct, create_prompt_with_tulu_chat_format.
TULU = (
    "{% for m in messages %}{{ '<|' + m['role'] + '|>\\n' + m['content'] }}"
    "{% if m['role'] == 'assistant' %}{{ eos_token }}{% endif %}{{ '\\n' if not loop.last else '' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '\\n<|assistant|>\\n' }}{% endif %}"
)
TULU_EOS = "</s>"  # Llama's end-of-sequence token, the one of Tulu 2


@dataclass(frozen=True)
class ChatTemplate:
    """What turns messages into text: "own" (the tokenizer's), "tulu" or "none".

    "tulu" writes the tokenizer's end-of-sequence token after each earlier answer, as training did; nothing where the tokenizer
    has none.  Without a tokenizer (a server has it, not we) it writes Llama's, `TULU_EOS`.
    """

    kind: str
    tokenizer: Any = None

    @property
    def name(self) -> str:
        """For task.json: prompts rendered under different names may differ.  It holds the hash of the template's own text."""
        if self.kind == "own":
            return f"own:{digest(self.tokenizer.chat_template)}"
        return f"tulu:{digest(TULU)}" if self.kind == "tulu" else self.kind

    def render(self, request: Request) -> str:
        """The text that the model continues."""
        if request.raw or self.kind == "none":
            return plain_text(request)
        chat = as_dicts(request)
        if self.kind == "tulu":
            eos = TULU_EOS if self.tokenizer is None else self.tokenizer.eos_token or ""
            text = tulu_template().render(messages=chat, eos_token=eos, add_generation_prompt=True)
        else:
            text = self.tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
        return str(text) + request.prefix


@cache
def tulu_template() -> Any:
    """The Tulu template, compiled once."""
    import jinja2

    return jinja2.Template(TULU)


def as_messages(request: Request) -> tuple[Message, ...]:
    """The prompt as messages: text is one user turn."""
    return (Message("user", request.prompt),) if isinstance(request.prompt, str) else request.prompt


def as_dicts(request: Request) -> list[dict[str, str]]:
    """The prompt as chat templates and servers take it."""
    return [{"role": m.role, "content": m.content} for m in as_messages(request)]


def plain_text(request: Request) -> str:
    """The prompt without a template; the prefix of the answer stands on a line of its own, unless the prompt is raw."""
    text = "\n\n".join(m.content for m in as_messages(request))
    new_line = request.prefix and text and not text[-1].isspace() and not request.raw
    return f"{text}\n{request.prefix}" if new_line else text + request.prefix


def choose_template(kind: str, tokenizer: Any) -> ChatTemplate:
    """The template `kind`; auto: the tokenizer's own, none where it has none.  Raises SkilldeltaError for an unknown kind."""
    if kind not in TEMPLATE_KINDS:
        raise unknown_name("chat template", kind, TEMPLATE_KINDS)
    if kind == "auto":
        return ChatTemplate("own", tokenizer) if tokenizer.chat_template else ChatTemplate("none")
    return ChatTemplate(kind, tokenizer)
