"""How a request becomes text: the model's own chat template, none, or the study's."""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from typing import Any, Literal

from harness.name_value_pairs import parse_pairs
from harness.prompts.reasoning_blocks import ends_inside_block
from harness.prompts.reasoning_tags import TAGS
from harness.prompts.template_completeness import Chat, as_parts, failed_message, missing_message, omission_message, wants_parts
from harness.types import Message, Request, SkilldeltaError, digest, unknown_name

TEMPLATE_KINDS = ("auto", "none", "tulu")
# Tulu 2's template, the study's: a tag and a line break before each turn, the end-of-sequence token after each answer.
# Scoring and training both render it.  Source: open-instruct, create_prompt_with_tulu_chat_format.
TULU = (
    "{% for m in messages %}{{ '<|' + m['role'] + '|>\\n' + m['content'] }}"
    "{% if m['role'] == 'assistant' %}{{ eos_token }}{% endif %}{{ '\\n' if not loop.last else '' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '\\n<|assistant|>\\n' }}{% endif %}"
)
TULU_EOS = "</s>"  # Llama's end-of-sequence token, the one of Tulu 2
CLOCK = "strftime_now"  # the function by which templates read today's date
DAY = "2024-07-26"  # what Llama 3's own template writes where it has no clock
CLOCK_CALL = re.compile(CLOCK + r"\(\s*(['\"])(.*?)\1\s*\)")
STILL_CLOCK = (  # trim_blocks removes the line break, so that the template begins as it did
    "{{% macro strftime_now(format) %}}{{% set days = {days} %}}"
    "{{{{ days[format] if format in days else raise_exception('no fixed date in the format ' ~ format) }}}}{{% endmacro %}}\n"
)
PrefixMode = Literal["refuse", "close", "drop"]


class TemplateError(SkilldeltaError):
    """A chat template that cannot render a prompt as it is to be asked: true of the whole task, not of one row."""


@dataclass(frozen=True)
class TemplateSettings:
    """How the tokenizer's own template is rendered.

    `arguments` are its variables, such as enable_thinking.  `date` (YYYY-MM-DD) is the day that it reads instead of today's:
    the same prompts on every day.  `prefix`: what becomes of the beginning of an answer that would stand inside a block of
    reasoning which the template opens.
    """

    arguments: Mapping[str, Any] = field(default_factory=dict)
    date: str = ""
    prefix: PrefixMode = "refuse"

    @classmethod
    def from_text(cls, arguments: str, date: str, prefix: PrefixMode) -> TemplateSettings:
        """The settings from "name=value,..." and a day; SkilldeltaError for what is neither."""
        try:
            datetime.date.fromisoformat(date or DAY)
        except ValueError as error:
            raise SkilldeltaError(f"--template-date {date}: write a day as YYYY-MM-DD, such as {DAY}.") from error
        return cls(parse_arguments(arguments), date, prefix)

    def fix_clock(self, source: str) -> str:
        """A template's source with a clock of its own that stands still: it knows every format that the source asks for.

        transformers hands templates plain data alone, so that no other clock can be given to it.
        """
        day = datetime.datetime.fromisoformat(self.date or DAY)
        days = {form: day.strftime(form) for _, form in CLOCK_CALL.findall(source)}
        return STILL_CLOCK.format(days=json.dumps(days, ensure_ascii=False)) + source


def parse_arguments(text: str) -> dict[str, Any]:
    """ "enable_thinking=false,effort=low" as a template's variables: true, false, none and numbers are read as such."""
    words: dict[str, Any] = {"true": True, "false": False, "none": None, "null": None}
    values: dict[str, Any] = {}
    for name, value in parse_pairs(text).items():
        is_number = value.removeprefix("-").isdigit()
        values[name] = words[value.lower()] if value.lower() in words else int(value) if is_number else value
    return values


@dataclass(frozen=True)
class ChatTemplate:
    """What turns messages into text: "own" (the tokenizer's), "tulu" or "none".

    "tulu" writes the tokenizer's end-of-sequence token after each earlier answer, as training did; nothing where the tokenizer
    has none.  Without a tokenizer (a server has it, not we) it writes Llama's, `TULU_EOS`.
    """

    kind: str
    tokenizer: Any = None
    options: TemplateSettings = field(default_factory=TemplateSettings)

    @property
    def name(self) -> str:
        """For task.json: prompts rendered under different names may differ.  It holds the hash of the template's own text."""
        if self.kind == "own":
            return f"own:{digest(self.tokenizer.chat_template)}"
        return f"tulu:{digest(TULU)}" if self.kind == "tulu" else self.kind

    @property
    def reads_date(self) -> bool:
        """Whether the template's text asks for the time."""
        return self.kind == "own" and CLOCK in str(self.tokenizer.chat_template)

    @cached_property
    def still_source(self) -> str:
        return self.options.fix_clock(self.tokenizer.get_chat_template())

    @property
    def settings(self) -> dict[str, Any]:
        """For task.json, next to the name: what else moves the prompts, where there is something."""
        chosen = {
            "template_args": dict(self.options.arguments) if self.kind == "own" else {},
            "template_date": (self.options.date or DAY) if self.reads_date else "",
            "template_prefix": self.options.prefix if self.kind == "own" and self.options.prefix != "refuse" else "",
        }
        return {name: value for name, value in chosen.items() if value}

    @property
    def key(self) -> str:
        """The same for templates that render the same prompts."""
        return digest([self.name, self.settings])

    def render(self, request: Request) -> str:
        """The text that the model continues.  TemplateError where the template cannot render it as it is to be asked."""
        if request.raw or self.kind == "none":
            return plain_text(request)
        chat = as_dicts(request)
        if self.kind == "tulu":
            eos = TULU_EOS if self.tokenizer is None else self.tokenizer.eos_token or ""
            return str(tulu_template().render(messages=chat, eos_token=eos, add_generation_prompt=True)) + request.prefix
        if request.chat and request.prefix:  # as lm-eval renders it: some templates trim the message
            return self.apply([*chat, {"role": "assistant", "content": request.prefix}], continue_final_message=True)
        text = self.apply(chat, add_generation_prompt=True)
        if ends_inside_block(text) and (request.prefix or request.choices):
            return self.leave_block(text, request)
        return text + request.prefix

    def apply(self, chat: Chat, **how: Any) -> str:
        """The tokenizer's own template.  TemplateError where it fails, or leaves out a question or a system message."""
        try:
            text = self.apply_unchecked(as_parts(chat) if self.takes_parts else chat, **how)
        except Exception as error:  # templates raise errors of their own, of jinja2's kinds and of Python's
            raise TemplateError(failed_message(chat, error)) from error
        if message := missing_message(text, chat):
            raise TemplateError(omission_message(message, self.tokenizer.chat_template))
        return text

    def apply_unchecked(self, chat: Chat, **how: Any) -> str:
        """What the tokenizer's own template makes of messages in their present form."""
        if self.reads_date:
            how["chat_template"] = self.still_source
        return str(self.tokenizer.apply_chat_template(chat, tokenize=False, **how, **self.options.arguments))

    @cached_property
    def takes_parts(self) -> bool:
        """Whether the tokenizer's own template takes messages as lists of parts alone."""
        return wants_parts(lambda chat: self.apply_unchecked(chat, add_generation_prompt=True))

    def leave_block(self, text: str, request: Request) -> str:
        """A prompt that ends inside a block of reasoning, for a request that begins (or is) the answer itself."""
        opening = text.rstrip()
        closing = next(end for start, end in TAGS if opening.lower().endswith(start.lower()))
        if self.options.prefix == "close":
            return f"{opening}\n\n{closing}\n\n{request.prefix}"
        if self.options.prefix == "drop" and not request.choices:
            return text
        begin = f"begins the answer itself (with {request.prefix!r})" if request.prefix else "compares answers"
        raise TemplateError(
            f"This task {begin}, and the model's chat template ends inside a block of reasoning ({opening[-20:]!r}): it would "
            "be read as a thought.\nSay what to do with it: --template-prefix close ends the block first (the model does not "
            "think)"
            + ("" if request.choices else ", --template-prefix drop leaves the beginning out (it thinks, then answers)")
            + "; or turn thinking off where the template can: --template-args enable_thinking=false."
        )

    def render_context(self, request: Request, context: str | tuple[Message, ...]) -> str:
        """One of the request's contexts as text."""
        return context if isinstance(context, str) else self.render(replace(request, prompt=context))


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
    """The prompt without a template; the prefix of the answer stands on a line of its own, unless the prompt is raw.

    Raises SkilldeltaError for a request that only a chat template may render.
    """
    if request.chat:
        raise SkilldeltaError(
            "The prompts are to be rendered by a chat template, and here is none: the model has none of its own, or its server "
            "renders none for this kind of question.\nLeave --apply-chat-template out, or name a template (tulu)."
        )
    text = "\n\n".join(m.content for m in as_messages(request))
    new_line = request.prefix and text and not text[-1].isspace() and not request.raw
    return f"{text}\n{request.prefix}" if new_line else text + request.prefix


def choose_template(kind: str, tokenizer: Any, options: TemplateSettings = TemplateSettings()) -> ChatTemplate:
    """The template `kind`; auto: the tokenizer's own, none where it has none.

    Raises SkilldeltaError for an unknown kind, and for variables where there is no template to take them.
    """
    if kind not in TEMPLATE_KINDS:
        raise unknown_name("chat template", kind, TEMPLATE_KINDS)
    if kind == "auto":
        kind = "own" if tokenizer.chat_template else "none"
    if options.arguments and kind != "own":
        raise SkilldeltaError(
            f"--template-args {', '.join(options.arguments)}: they are for the model's own chat template, and prompts are "
            f"rendered by {'none' if kind == 'none' else kind} here."
        )
    return ChatTemplate(kind, None if kind == "none" else tokenizer, options)
