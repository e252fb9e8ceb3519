"""Conversations as lists of messages: who speaks, in all the ways in which data sets and services write it down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

ROLES = {
    **dict.fromkeys(("user", "human", "prompter"), "user"),
    **dict.fromkeys(("assistant", "gpt", "chatgpt", "chatbot", "bot", "bard", "bing", "model"), "assistant"),
    **dict.fromkeys(("system", "developer"), "system"),
    **dict.fromkeys(("tool", "function", "function_response", "observation", "ipython"), "tool"),
}
# A round names both sides at once: Capybara's {input, output}, {human, assistant}, {prompt, response}.
SIDES = {
    **ROLES,
    **dict.fromkeys(("input", "prompt", "question"), "user"),
    **dict.fromkeys(("output", "response", "answer"), "assistant"),
}
ORDER = ("system", "user", "assistant")
BLOCKS = frozenset(("text", "tool_use", "tool_result", "thinking"))  # Anthropic's parts of a message


def list_messages(value: Any) -> list[Mapping[str, Any]] | None:
    """The messages of a list of messages or of rounds; None for anything else."""
    if not isinstance(value, Sequence) or not all(isinstance(part, Mapping) for part in value):
        return None
    if all("role" in message or "from" in message for message in value):
        return [part for message in value for part in split_blocks(message)]
    if all(is_round(part) for part in value):
        return [message for part in value for message in split_round(part)]
    return None


def is_round(part: Mapping[str, Any]) -> bool:
    """Whether the keys of a mapping say who speaks, each once, and its values what."""
    keys = [key for key, text in part.items() if text is not None]
    sides = [SIDES.get(key) for key in keys]
    return (
        bool(keys) and set(sides) <= {*ORDER} and len(set(sides)) == len(sides) and all(isinstance(part[k], str) for k in keys)
    )


def split_round(part: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The messages of a round, the user's before the assistant's."""
    messages = [{"role": SIDES[key], "content": text} for key, text in part.items() if text is not None]
    return sorted(messages, key=lambda message: ORDER.index(message["role"]))


def split_blocks(message: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Anthropic's blocks in the words of chat templates: `tool_use` is a call, a `tool_result` a message of its own.

    A message of other parts stays as it is.
    """
    blocks = message.get("content")
    if not isinstance(blocks, list) or not all(isinstance(block, Mapping) for block in blocks):
        return [message]
    kinds = {block.get("type") for block in blocks}
    results = [block for block in blocks if block.get("type") == "tool_result"]
    if not kinds - {"text"} or not kinds <= BLOCKS or not all(isinstance(read_result(block), str) for block in results):
        return [message]
    tool_turns = [
        {"role": "tool", "content": read_result(block), "tool_call_id": block.get("tool_use_id")} for block in results
    ]
    calls = [
        {"id": block.get("id"), "name": block.get("name"), "arguments": block.get("input") or {}}
        for block in blocks
        if block.get("type") == "tool_use"
    ]
    words, thoughts = (
        "".join(str(block.get(kind, "")) for block in blocks if block.get("type") == kind) for kind in ("text", "thinking")
    )
    more = {name: part for name, part in (("tool_calls", calls), ("thinking", thoughts)) if part}
    rest = [{**message, "content": words, **more}] if words or more else []
    return [*tool_turns, *rest]


def read_result(block: Mapping[str, Any]) -> Any:
    """What a tool returned, as a text; what is no text is left as it is."""
    content = block.get("content")
    if isinstance(content, list) and all(isinstance(part, Mapping) and isinstance(part.get("text"), str) for part in content):
        return "".join(part["text"] for part in content)
    return "" if content is None else content
