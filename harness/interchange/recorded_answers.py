"""What a recorded answer may be: a text, a message, a server's reply, draws of these, or log-probabilities.

Anything else is an answer that failed, with its reason: no object is scored as the text that Python prints of it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, get_args

from pydantic import ValidationError

from harness.interchange.whole_conversations import answer_of_conversation
from harness.prompts.reasoning_blocks import ends_inside_block
from harness.prompts.server_replies import FILTER_REASONS, LENGTH_REASONS, ReplyMessage
from harness.types import Finish, Json, Response

BROKEN_REASONS = {"error", "abort", "aborted", "cancelled", "canceled", "timeout", "failed"}
MESSAGE_FIELDS = set(ReplyMessage.model_fields) - {"audio", "images"}
# Objects that hold a list of answers, and those that hold one: OpenAI's replies and batches, vLLM's, the Responses interface.
LISTS, WRAPPERS = ("choices", "outputs", "candidates"), ("message", "body", "response")
TEXTS = ("text", "generated_text")
REASONING = ("reasoning", "reasoning_content")  # fields beside an answer


def is_missing(value: Any) -> bool:
    """Whether a field says nothing: null, or NaN, which pandas writes for null."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def parse_answers(value: Any, row: Json, prompt: str = "") -> Iterator[Response]:
    """One response for each draw that a value holds.

    `row`: how the answer ended, in fields beside it.  `prompt`: as the model read it, where the file has it; it may have opened
    a block of reasoning.  A value that is missing gives none.
    """
    finish, error = parse_ending(row)
    reasoning = next((text for name in REASONING if isinstance(text := row.get(name), str)), "")
    in_block = row.get("in_block") is True or ends_inside_block(prompt)
    for response in parse_value(value):
        if error:
            yield replace(response, finish="error", error=error)
        elif response.finish == "error":
            yield response
        else:
            ending = finish if response.finish == "stop" else response.finish
            yield replace(response, finish=ending, reasoning=response.reasoning or reasoning, in_block=in_block)


def parse_value(value: Any) -> Iterator[Response]:
    """The same without regard to the row."""
    if is_missing(value):
        return
    if isinstance(value, str):
        yield parse_answer_text(value)
    elif isinstance(value, Mapping):
        yield from parse_object(value)
    elif isinstance(value, bool | int | float):
        yield Response(str(value))
    elif not isinstance(value, Sequence):
        yield refused_answer(value)
    elif value and all(isinstance(each, int | float) and not isinstance(each, bool) for each in value):
        yield Response(logprobs=tuple(map(float, value)))
    elif is_one_message(value):
        yield parse_message_object({"content": list(value)})
    elif ends_with_answer(value):
        yield from parse_value(value[-1])
    else:
        for each in value:
            yield from parse_value(each) if not isinstance(each, list) or is_one_message(each) else [refused_answer(each)]


def parse_answer_text(text: str) -> Response:
    """A text; of one that holds the whole conversation, what follows the prompt."""
    answer, problem = answer_of_conversation(text)
    return Response(finish="error", error=problem) if problem else Response(answer)


def parse_object(value: Mapping[str, Any]) -> Iterator[Response]:
    """A message, or an object with answers in it."""
    finish, error = parse_ending(value)
    if error:
        yield Response(finish="error", error=error)
        return
    nested = next((value[name] for name in LISTS if isinstance(value.get(name), list)), None)
    nested = next((value[name] for name in WRAPPERS if isinstance(value.get(name), Mapping)), nested)
    nested = next((value[name] for name in TEXTS if isinstance(value.get(name), str | list)), nested)
    if nested is None and isinstance(value.get("output"), list):  # of the Responses interface: parts, and messages of parts
        nested = list(response_parts(value["output"]))
    if nested is None:
        yield parse_message_object(value) if MESSAGE_FIELDS & set(value) else refused_answer(value)
        return
    for response in parse_value(nested):
        yield replace(response, finish=finish) if response.finish == "stop" else response


def response_parts(items: Sequence[Any]) -> Iterator[Any]:
    """The parts of a reply of the Responses interface, those of its messages and of its summaries of reasoning among them."""
    for item in items:
        parts = item.get("content") or item.get("summary") if isinstance(item, Mapping) else None
        if isinstance(parts, list):
            reasons = item.get("type") == "reasoning"
            yield from ({"type": "reasoning", "text": part.get("text")} if reasons else part for part in parts)
        elif not (isinstance(item, Mapping) and item.get("type") == "reasoning"):
            yield item


def parse_message_object(message: Mapping[str, Any]) -> Response:
    """A message with its reasoning apart."""
    try:
        text, reasoning = ReplyMessage.model_validate(dict(message)).split()
    except ValidationError:
        return refused_answer(message)
    return Response(text, reasoning=reasoning)


def refused_answer(value: Any) -> Response:
    names = (
        f"an object with {', '.join(map(str, value))[:100] or 'no field'}" if isinstance(value, Mapping) else f"{value!r:.60}"
    )
    return Response(finish="error", error=f"the recorded answer is no text: {names}")


def is_one_message(value: Any) -> bool:
    """Are these the parts of one message, such as {"type": "text", "text": ...}?"""
    parts = value if isinstance(value, list) else []
    return bool(parts) and all(isinstance(part, Mapping) and "type" in part and "role" not in part for part in parts)


def ends_with_answer(value: Sequence[Any]) -> bool:
    """Is this a conversation that ends with the answer?  Several answers without a question between them are draws."""
    roles = [each.get("role") if isinstance(each, Mapping) else None for each in value]
    return None not in roles and roles[-1:] == ["assistant"] and len(set(roles)) > 1


def parse_ending(row: Mapping[str, Any]) -> tuple[Finish, str]:
    """(how an answer ended, the error of its row; "" for none), by the names that this and other programs give them."""
    error = row.get("error")
    if not is_missing(error) and str(error).strip().lower() not in ("", "none", "null", "false", "0", "[]", "{}"):
        return "error", str(error)[:500]
    if row.get("finish") in get_args(Finish):
        return row["finish"], "" if row["finish"] != "error" else "it gives none"
    reason = str(row.get("finish_reason") or row.get("stop_reason") or "").lower()
    if reason in FILTER_REASONS:
        return "error", "the server's filter withheld the answer"
    if reason in BROKEN_REASONS:
        return "error", f"the answer ended with {reason}"
    return ("length" if reason in LENGTH_REASONS else "stop"), ""
