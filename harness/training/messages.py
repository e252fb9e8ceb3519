"""Texts and messages of training rows: roles, contents and tool calls of every known format, ready for the chat template."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from harness.training.dialogues import question_turns
from harness.training.message_lists import ROLES, list_messages
from harness.training.row_texts import decode_text, holds_words, split_columns
from harness.types import Message
from harness.visible_text import is_blank


class UnusableRowError(Exception):
    """A row that cannot be learnt from; the message is the fault that it is counted under."""


def describe_faults(faults: Mapping[str, int]) -> str:
    """The faults of rows, each with how often: "2 x no text, 1 x no turn of the user at the end"."""
    return ", ".join(f"{count} x {fault}" for fault, count in faults.items())


class RichMessage(NamedTuple):
    """A message with more than words; `more` is the JSON of the further keys that chat templates read (tool calls, names)."""

    role: str
    content: str
    more: str


Turns = tuple[Message | RichMessage, ...]
Text = str | Turns  # plain text, or messages for the chat template

TEMPLATE_KEYS = (
    "tool_calls",
    "name",
    "tool_call_id",
    "reasoning_content",
    "thinking",
)  # what chat templates read besides words
READ_KEYS = (*TEMPLATE_KEYS, "role", "from", "content", "value", "function_call")
SENDER_KEYS = ("country", "header", "state", "timestamp")  # of who wrote a message (WildChat)
TOOLS = "tools"  # the role of a first message that declares the tools of a conversation
SETTINGS = "settings"  # what it may hold besides: the row's own arguments of the chat template


# Messages written down as a text, as tables of a CSV file hold them.
WRITTEN = re.compile(r"\s*\[?\s*\{\s*['\"](?:role|from|content|value)['\"]\s*:")


def parse_text(value: Any, ignore: Sequence[str] = ()) -> Text:
    """A column as text, or as messages if it is a message or a list of them ({role, content} or ShareGPT's {from, value}).

    A text that writes messages down, in JSON or as Python does, is read as these messages.
    """
    if isinstance(value, str):
        messages = parse_written(value) if WRITTEN.match(value) else None
        if messages is None:
            return value
        value = messages
    if isinstance(value, Mapping):
        value = split_columns(value)
    messages = list_messages(value)
    if messages is None:
        raise UnusableRowError("neither text nor messages")
    return tuple(parse_message(m, ignore) for m in messages)


def parse_written(text: str) -> list[Any] | None:
    """The messages that a text writes down; None where it writes something else, such as the JSON of an answer.

    Raises `UnusableRowError` for messages in a form that cannot be read, such as a table's own print of them.
    """
    value = None
    for parse in (decode_text, ast.literal_eval):
        try:
            value = parse(text)
            break
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
    if value is None:
        if re.search(r"['\"](?:role|from)['\"]\s*:", text) and re.search(r"['\"](?:content|value)['\"]\s*:", text):
            raise UnusableRowError("messages written as a text that is no JSON")
        return None
    messages = value if isinstance(value, list) else [value]
    is_message = [isinstance(m, Mapping) and m.keys() & {"role", "from"} and m.keys() & {"content", "value"} for m in messages]
    return messages if messages and all(is_message) else None


def parse_message(message: Mapping[str, Any], ignore: Sequence[str] = ()) -> Message | RichMessage:
    """A message in the words of chat templates.  Raises `UnusableRowError` for a role, a content or a key that is unknown."""
    role = str(message.get("role", message.get("from"))).lower()
    content = message.get("content", message.get("value"))
    more = {key: message[key] for key in TEMPLATE_KEYS if message.get(key) and key not in ignore}
    if role == "function_call":  # LLaMA-Factory's name for a turn that calls a tool
        role, more, content = "assistant", {"tool_calls": [parse_json(content)]}, None
    if role not in ROLES:
        raise UnusableRowError(f"a message of the unknown role {role!r}")
    if isinstance(message.get("function_call"), Mapping):  # OpenAI's form before tool_calls
        more.setdefault("tool_calls", [message["function_call"]])
    if message.get("channel") not in (None, "", "final"):
        raise UnusableRowError(f"a message of the channel {message['channel']!r}, which is no part of an answer")
    if ROLES.get(str(more.get("name")).lower()) == ROLES[role]:
        del more["name"]  # it says what the role says
    if "tool_calls" in more:
        more["tool_calls"] = [parse_tool_call(call) for call in more["tool_calls"]]
    for key, rest in message.items():
        if key not in (*READ_KEYS, *SENDER_KEYS, *ignore) and holds_words(rest):
            raise UnusableRowError(f"a message has {key!r}, which is not understood (--ignore-columns {key} passes it over)")
    if content is None and not more:
        raise UnusableRowError("a message without content")
    text = content_text(content, ROLES[role])
    role_name: Any = ROLES[role]
    return RichMessage(role_name, text, json.dumps(more, ensure_ascii=False)) if more else Message(role_name, text)


def content_text(content: Any, role: str) -> str:
    """The words of a message: text, nothing, or a list of parts of which all are text."""
    if content is None or isinstance(content, str):
        return content or ""
    if isinstance(content, Sequence) and all(isinstance(part, Mapping) and "type" in part for part in content):
        for part in content:
            if not isinstance(part.get("text"), str):
                raise UnusableRowError(f"a message holds a part of the type {part['type']!r}, which is no text")
        return "".join(part["text"] for part in content)
    if role == "tool" or isinstance(content, int | float):
        return json.dumps(content, ensure_ascii=False)  # the value that a tool returned
    raise UnusableRowError("a message whose content is no text")


def parse_tool_call(call: Any) -> dict[str, Any]:
    """A call in the form of chat templates: {type, function: {name, arguments}}, with the arguments as a mapping."""
    function = call.get("function", call) if isinstance(call, Mapping) else None
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        raise UnusableRowError("a tool call without the name of a function")
    arguments = function.get("arguments", {})
    arguments = parse_json(arguments) if isinstance(arguments, str) else arguments
    identity = {k: v for k, v in call.items() if k in ("id", "index") and v is not None}
    return {**identity, "type": "function", "function": {"name": function["name"], "arguments": arguments}}


def parse_json(value: Any) -> Any:
    """JSON in a text; what is no text is taken as it is."""
    if not isinstance(value, str):
        return value
    try:
        return decode_text(value)
    except ValueError as error:
        raise UnusableRowError("a tool call or a list of tools that is no JSON") from error


def declare_tools(value: Any, settings: Any = None) -> Turns:
    """The tools of a row (a list of JSON schemas, or its JSON) as a first message; none for an empty list.

    So are TRL's `chat_template_kwargs`, of which those that are empty say nothing.
    """
    if not isinstance(settings or {}, Mapping):
        raise UnusableRowError("settings of the chat template that are no mapping")
    more = {name: part for name, part in (settings or {}).items() if part not in (None, "", [])}
    tools = parse_json(value) or ()
    if not (tools or more):
        return ()
    if not isinstance(tools, Sequence) or not all(isinstance(tool, Mapping) for tool in tools):
        raise UnusableRowError("tools that are no list of schemas")
    parts = ((TOOLS, [as_function(tool) for tool in tools]), (SETTINGS, more))
    return (RichMessage(TOOLS, "", json.dumps({name: part for name, part in parts if part}, ensure_ascii=False)),)


def as_function(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    """Anthropic's {name, description, input_schema} as a function with parameters; other schemas as they are."""
    if "input_schema" not in tool or "parameters" in tool:
        return tool
    rest = {name: value for name, value in tool.items() if name != "input_schema"}
    return {"type": "function", "function": {**rest, "parameters": tool["input_schema"]}}


def as_chat(turns: Turns) -> tuple[list[dict[str, Any]], list[Any] | None, dict[str, Any]]:
    """(messages, tools, further settings of the template) as chat templates take them."""
    chat, tools, settings = [], None, dict[str, Any]()
    for turn in turns:
        more = json.loads(turn.more) if isinstance(turn, RichMessage) else {}
        if turn.role == TOOLS:
            tools, settings = more.get(TOOLS), more.get(SETTINGS, {})
        else:
            chat.append({"role": turn.role, "content": turn.content, **more})
    return chat, tools, settings


def require_content(answer: Text, side: str) -> Text:
    """The answer itself; raises `UnusableRowError` if it is white space, and calls no tool either."""
    text = answer if isinstance(answer, str) else "".join(m.content or getattr(m, "more", "") for m in answer)
    if is_blank(text):
        raise UnusableRowError(f"empty {side} answer")
    return answer


def parse_answer(value: Any, side: str, ignore: Sequence[str] = ()) -> Text:
    """An answer as text or messages; raises `UnusableRowError` for a missing or empty one."""
    if value is None:
        raise UnusableRowError(f"no {side} answer")
    return require_content(parse_text(value, ignore), side)


def require_question(prompt: Text) -> Text:
    """The prompt itself; raises `UnusableRowError` where it, or a turn of the user in it, is white space."""
    if isinstance(prompt, str):
        has_gap = bool(prompt) and is_blank(prompt)
    else:
        has_gap = any(m.role == "user" and is_blank(m.content) and not isinstance(m, RichMessage) for m in prompt)
    if has_gap:
        raise UnusableRowError("a question without words")
    return prompt


def strip_turns(prompt: Text, answer: Text) -> Text:
    """An answer of messages without those of the prompt, which it may repeat.

    Raises `UnusableRowError` where another than the assistant begins what is left: its turn would be learnt.
    """
    if isinstance(answer, str):
        return answer
    turns = as_user_turn(prompt)
    if prompt and answer[: len(turns)] == turns:
        answer = answer[len(turns) :]
    if not answer or answer[0].role != "assistant":
        raise UnusableRowError("an answer of messages that the assistant does not begin")
    return answer


def strip_prompt(prompt: Text, chosen: str, rejected: str) -> tuple[str, str]:
    """Two answers without the prompt, where both are whole texts that repeat it.  One word alone is no repetition."""
    question = prompt if isinstance(prompt, str) else prompt[-1].content
    rests = chosen.removeprefix(question), rejected.removeprefix(question)
    if len(question.split()) < 2 or rests[0] == chosen or rests[1] == rejected or not all(map(str.strip, rests)):
        return chosen, rejected
    return rests if isinstance(prompt, str) else (rests[0].strip(), rests[1].strip())


def as_user_turn(prompt: Text) -> Turns:
    """A prompt as messages: text is one user turn, or the turns of a dialogue that it writes down."""
    return tuple(Message(*turn) for turn in question_turns(prompt)) if isinstance(prompt, str) else prompt


def as_assistant_turn(answer: Text) -> Turns:
    """An answer as messages: text is one assistant turn."""
    return (Message("assistant", answer),) if isinstance(answer, str) else answer
