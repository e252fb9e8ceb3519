"""An assistant's message as chat servers write it: answer and reasoning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def read_message(message: Mapping[str, Any]) -> tuple[str, str]:
    """(answer, reasoning) of an assistant's message.

    Servers have the reasoning in a field next to the content (vLLM, SGLang, DeepSeek: reasoning_content; OpenRouter and newer
    ones: reasoning), or as parts of the content (Mistral).  OpenAI puts a refusal into a field of its own.
    """
    content, reasoning = message.get("content"), message.get("reasoning_content") or message.get("reasoning") or ""
    if isinstance(content, list):
        parts = [part for part in content if isinstance(part, Mapping)]
        reasoning = reasoning or "".join(part_text(p, "thinking") for p in parts if p.get("type") in ("thinking", "reasoning"))
        content = "".join(part_text(p, "text") for p in parts if p.get("type") in ("text", "output_text"))
    return str(content or message.get("refusal") or ""), str(reasoning)


def part_text(part: Mapping[str, Any], field: str) -> str:
    """The text of one part of a message, which may itself be a list of parts."""
    value = part.get(field) or part.get("text") or ""
    return "".join(part_text(inner, "text") for inner in value) if isinstance(value, list) else str(value)
