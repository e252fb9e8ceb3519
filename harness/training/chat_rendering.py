"""Conversations as text through a model's chat template, with a check that nothing of them is lost on the way."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from jinja2 import TemplateError

from harness.prompts.template_completeness import (
    POINTER_TEMPLATE,
    PROBE,
    as_parts,
    is_part,
    is_unfetched,
    missing_message,
    wants_parts,
)
from harness.prompts.templates import CLOCK, TemplateSettings
from harness.training.column_names import TEMPLATE_SETTINGS
from harness.training.messages import Turns, UnusableRowError, as_chat
from harness.training.row_texts import nested_texts
from harness.types import SkilldeltaError

CALL_NAME = "a7f3_call"  # the name of a function, or of who speaks, likewise


@dataclass
class ChatRenderer:
    """A tokenizer's chat template.  A template without a system role gets the system prompt within the first user turn."""

    tokenizer: Any

    @cached_property
    def has_system_role(self) -> bool:
        """Does the template write a system message?  Some raise an error, others drop it without a word."""
        chat = [{"role": "system", "content": PROBE}, {"role": "user", "content": "?"}]
        try:
            return PROBE in self.apply(chat, None, False)
        except TemplateError:
            return False

    @cached_property
    def takes_parts(self) -> bool:
        """Whether the template takes messages as lists of parts alone: scoring renders such lists too."""
        return wants_parts(lambda chat: self.apply_unchecked(chat, None, True))

    def apply(self, chat: list[dict[str, Any]], tools: list[Any] | None, opening: bool, **settings: Any) -> str:
        """The template's text.  TemplateError where the template fails."""
        try:
            return self.apply_unchecked(as_parts(chat) if self.takes_parts else chat, tools, opening, **settings)
        except (TemplateError, MemoryError):
            raise
        except Exception as error:  # a template is a program: it divides, indexes and counts
            raise TemplateError(f"{type(error).__name__}: {error}") from error

    def apply_unchecked(self, chat: list[dict[str, Any]], tools: list[Any] | None, opening: bool, **settings: Any) -> str:
        """What the template makes of messages in their present form."""
        how: dict[str, Any] = {**settings, "tools": tools, "tokenize": False, "add_generation_prompt": opening}
        if CLOCK in str(self.tokenizer.chat_template):  # the day that scoring renders, so that two runs see the same texts
            how["chat_template"] = TemplateSettings().fix_clock(self.tokenizer.get_chat_template(tools=tools))
        return str(self.tokenizer.apply_chat_template(chat, **how))

    def render(self, turns: Turns, opening: bool) -> str:
        """The text of a conversation; with `opening`, also what the template writes before an answer.

        Raises UnusableRowError where the template refuses the conversation or leaves out a part of it, and SkilldeltaError for
        a tokenizer without a template.
        """
        if not turns:
            return ""
        if not self.tokenizer.chat_template:
            raise SkilldeltaError(
                "The data are conversations, and the tokenizer has no chat template.  Name one with --template: tulu, or a "
                "Jinja file."
            )
        if is_unfetched(self.tokenizer.chat_template):
            raise SkilldeltaError(f"The model's {POINTER_TEMPLATE}; or name a template with --template.")
        chat, tools, settings = as_chat(turns)
        if chat and chat[0]["role"] == "system" and not self.has_system_role:
            chat = merge_system(chat)
        try:
            text = self.apply(chat, tools, opening, **settings)
        except TemplateError as error:
            raise UnusableRowError(f"the chat template refuses the conversation: {error}") from error
        check_complete(text, chat)
        self.check_settings(text, settings)
        if has_functions(chat, tools):
            self.check_functions(chat, tools)
        if any(has_name(message) for message in chat):
            self.check_names(chat, tools)
        if not opening:
            check_answer(text, chat[-1])
        return text

    def check_settings(self, text: str, settings: dict[str, Any]) -> None:
        """Raises UnusableRowError where the template leaves out a text of its settings, or does not read one that is on."""
        for name, value in settings.items():
            is_read = re.search(rf"\b{re.escape(name)}\b", str(self.tokenizer.chat_template))
            if (value and not is_read) or not all(is_part(part.strip(), text) for part in nested_texts(value)):
                raise UnusableRowError(
                    f"the chat template leaves out {name} (--ignore-columns {TEMPLATE_SETTINGS} passes such settings over)"
                )

    def check_functions(self, chat: list[dict[str, Any]], tools: list[Any] | None) -> None:
        """Raises UnusableRowError where the template leaves out tool calls or tools.

        They get other names: a short one, or that of a tool which is called, stands in a text more often than once.
        """
        for what, probed_chat, probed_tools in (
            ("tool calls", [name_calls(message) for message in chat], tools),
            ("the tools", chat, [name_tool(tool) for tool in tools or ()]),
        ):
            names = re.findall(CALL_NAME, json.dumps([probed_chat, probed_tools]))
            try:
                text = self.apply(probed_chat, probed_tools or None, False)
            except TemplateError:  # a template that looks a called tool up among the tools
                continue
            if text.count(CALL_NAME) < len(names):
                raise UnusableRowError(f"the chat template leaves out {what}")

    def check_names(self, chat: list[dict[str, Any]], tools: list[Any] | None) -> None:
        """Raises UnusableRowError where the template leaves out who speaks: of several users, nobody knows then which."""
        probe_chat = [message | {"name": CALL_NAME} if has_name(message) else message for message in chat]
        if self.apply(probe_chat, tools, False).count(CALL_NAME) < sum(map(has_name, chat)):
            raise UnusableRowError("the chat template leaves out the name of a message (--ignore-columns name passes it over)")


def has_name(message: dict[str, Any]) -> bool:
    """Whether a message says who speaks.  A tool's name is that of a call before it."""
    return bool(message.get("name")) and message["role"] != "tool"


def has_functions(chat: list[dict[str, Any]], tools: list[Any] | None) -> bool:
    return bool(tools) or any(message.get("tool_calls") for message in chat)


def name_calls(message: dict[str, Any]) -> dict[str, Any]:
    """The message with another name in each of its tool calls."""
    calls = [call | {"function": call["function"] | {"name": CALL_NAME}} for call in message.get("tool_calls", ())]
    return message | ({"tool_calls": calls} if calls else {})


def name_tool(tool: dict[str, Any]) -> dict[str, Any]:
    """The tool under another name."""
    return tool | ({"function": tool["function"] | {"name": CALL_NAME}} if "function" in tool else {"name": CALL_NAME})


def merge_system(chat: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The conversation with its system prompt at the head of the first user turn."""
    system, *rest = chat
    if not rest or rest[0]["role"] != "user":
        raise UnusableRowError(
            "the chat template has no system role, and no user turn follows that could hold the system prompt"
        )
    return [rest[0] | {"content": f"{system['content']}\n\n{rest[0]['content']}"}, *rest[1:]]


def check_complete(text: str, chat: list[dict[str, Any]]) -> None:
    """Raises UnusableRowError where the text lacks a question or a tool's result of the conversation."""
    if message := missing_message(text, chat):
        raise UnusableRowError(f"the chat template leaves out a message of the role {message['role']!r}")


def check_answer(text: str, answer: dict[str, Any]) -> None:
    """Raises UnusableRowError where the text lacks a part of its last message: that is what is learnt.

    White space does not count, since templates put thoughts and answers onto lines of their own.
    """
    words = "".join(text.split())
    for key in ("content", "reasoning_content", "thinking"):
        part = "".join(str(answer.get(key) or "").split())
        if not is_part(part, words):
            what = "a part of the answer" if key == "content" else f"the {key} of the answer"
            raise UnusableRowError(f"the chat template leaves out {what}")
