"""Preference rows of every known format as pairs: a prompt, the preferred answer and the other one.

Known formats: TRL's standard and conversational pairs, with an explicit or an implicit prompt; dialogues like HH-RLHF's;
several rated completions of one instruction (UltraFeedback); votes between two answers.  A row without a preference raises
`UnusableRowError` with its fault, and `datasets` counts the faults.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.engine.tree import common_prefix_length
from harness.types import Json, Message, SkilldeltaError, digest

Turns = tuple[Message, ...]
Text = str | Turns  # plain text, or messages for the chat template


class UnusableRowError(Exception):
    """A row that cannot be learnt from; the message is the fault that it is counted under."""


@dataclass(frozen=True)
class Pair:
    """A prompt and two answers, of which raters preferred the first."""

    prompt: Text
    chosen: Text
    rejected: Text
    margin: float | None = None  # the difference between the raters' scores
    aspects: Mapping[str, int] = field(default_factory=dict)  # +1: chosen is better in this aspect, -1: worse, 0: tied
    source: str = ""
    kind: str = ""


@dataclass(frozen=True)
class ParseSettings:
    """The rating that orders completions ("mean" of the aspects, "overall", or one aspect), and the labels of the source."""

    rate: str = "mean"
    seed: int = 0
    source: str = ""
    kind: str = ""


HUMAN, ASSISTANT = "\n\nHuman:", "\n\nAssistant:"
LEFT = {"a", "model_a", "left", "response_a", "1"}
RIGHT = {"b", "model_b", "right", "response_b", "2"}


def parse_pair(row: Json, settings: ParseSettings) -> Pair:
    """The pair in a row of any known format.

    Raises `UnusableRowError` for a row without a preference, and SkilldeltaError for columns of no known format.
    """
    if "completions" in row:
        pair = parse_ratings(row, settings)
    elif "winner" in row or "score_A" in row:
        pair = parse_votes(row)
    elif "chosen" in row or "rejected" in row:
        pair = parse_chosen_rejected(row)
    else:
        raise SkilldeltaError(
            f"A row of {settings.source or 'the data'} has the columns {', '.join(row)}, which is no known preference format.  "
            "Known are: prompt, chosen, rejected (text or messages); chosen, rejected; prompt or instruction with "
            "completions that carry ratings; prompt, response_a, response_b, winner; conversation_a, conversation_b, winner; "
            "history, human_ref_A, human_ref_B, score_A, score_B."
        )
    if pair.chosen == pair.rejected:
        raise UnusableRowError("identical answers")
    return Pair(pair.prompt, pair.chosen, pair.rejected, pair.margin, pair.aspects, settings.source, settings.kind)


def parse_chosen_rejected(row: Json) -> Pair:
    """TRL's formats and HH's: chosen and rejected, with or without a prompt of their own."""
    chosen, rejected = (parse_answer(row.get(side), side) for side in ("chosen", "rejected"))
    margin = row.get("margin")
    if row.get("prompt"):
        prompt = parse_text(row["prompt"])
        if isinstance(chosen, tuple) and isinstance(prompt, tuple) and chosen[: len(prompt)] == prompt:
            chosen, rejected = chosen[len(prompt) :], strip_prompt(rejected, prompt)  # each answer repeats the prompt
    elif isinstance(chosen, str) and isinstance(rejected, str) and chosen.startswith(HUMAN):
        prompt, chosen, rejected = split_messages(parse_dialogue(chosen), parse_dialogue(rejected))
    elif isinstance(chosen, tuple) and isinstance(rejected, tuple):
        prompt, chosen, rejected = split_messages(chosen, rejected)
    elif isinstance(chosen, str) and isinstance(rejected, str):
        prompt, chosen, rejected = split_text(chosen, rejected)
    else:
        raise UnusableRowError("one answer is text, the other messages")
    if not prompt:
        raise UnusableRowError("no common prompt")
    answers = require_content(chosen, "chosen"), require_content(rejected, "rejected")
    return Pair(prompt, *answers, None if margin is None else float(margin))


def parse_text(value: Any) -> Text:
    """A column as text, or as messages if it is a list of {role, content}."""
    if isinstance(value, str):
        return value
    if isinstance(value, Sequence) and all(isinstance(m, Mapping) and "role" in m and "content" in m for m in value):
        return tuple(Message(m["role"], str(m["content"])) for m in value)
    raise UnusableRowError("neither text nor messages")


def parse_answer(value: Any, side: str) -> Text:
    """An answer as text or messages; raises `UnusableRowError` for a missing or empty one."""
    if value is None:
        raise UnusableRowError(f"no {side} answer")
    return require_content(parse_text(value), side)


def require_content(answer: Text, side: str) -> Text:
    """The answer itself; raises `UnusableRowError` if it is white space."""
    text = answer if isinstance(answer, str) else "".join(m.content for m in answer)
    if not text.strip():
        raise UnusableRowError(f"empty {side} answer")
    return answer


def strip_prompt(messages: Text, prompt: Turns) -> Text:
    """The messages after the prompt that they begin with."""
    if not isinstance(messages, tuple) or messages[: len(prompt)] != prompt:
        raise UnusableRowError("only one answer repeats the prompt")
    return messages[len(prompt) :]


def parse_dialogue(text: str) -> Turns:
    """An HH dialogue, "\\n\\nHuman: ...\\n\\nAssistant: ...", as messages."""
    parts = re.split(f"({re.escape(HUMAN)}|{re.escape(ASSISTANT)})", text)
    pieces = zip(parts[1::2], parts[2::2], strict=True)
    return tuple(Message("user" if tag == HUMAN else "assistant", content.strip()) for tag, content in pieces)


def split_messages(chosen: Turns, rejected: Turns) -> tuple[Turns, Turns, Turns]:
    """(the common first messages, the rest of chosen, the rest of rejected)."""
    n = common_prefix_length(chosen, rejected)
    if n == len(chosen) and n == len(rejected):
        raise UnusableRowError("identical answers")
    if not (chosen[n:] and rejected[n:] and chosen[n].role == rejected[n].role == "assistant"):
        raise UnusableRowError("the answers part before the assistant speaks")
    return chosen[:n], chosen[n:], rejected[n:]


def split_text(chosen: str, rejected: str) -> tuple[str, str, str]:
    """(the common beginning, the rest of chosen, the rest of rejected); a last space belongs to the answers' first word."""
    prompt = chosen[: common_prefix_length(chosen, rejected)]
    prompt = prompt[:-1] if prompt.endswith(" ") else prompt
    return prompt, chosen[len(prompt) :], rejected[len(prompt) :]


def parse_ratings(row: Json, settings: ParseSettings) -> Pair:
    """The best completion against a lower one that (seed, row) draws, as in the cleaned UltraFeedback pairs."""
    completions = [(deciding_rating(c, settings.rate), c) for c in row["completions"]]
    candidates = [(r, c) for r, c in completions if r is not None]
    if len(candidates) < 2:
        raise UnusableRowError(f"fewer than two completions with the rating {settings.rate!r}")
    best = max(r for r, _ in candidates)
    lower = [(r, c) for r, c in candidates if r < best]
    if not lower:
        raise UnusableRowError("tied ratings")
    generator = random.Random(digest([settings.seed, dict(row)]))
    chosen = generator.choice([c for r, c in candidates if r == best])
    worse, rejected = generator.choice(lower)
    prompt = parse_text(row.get("prompt") or row.get("instruction") or "")
    if not prompt:
        raise UnusableRowError("no prompt")
    first, second = aspect_ratings(chosen), aspect_ratings(rejected)
    aspects = {a: (first[a] > second[a]) - (first[a] < second[a]) for a in first if a in second}
    answers = [
        as_assistant_turn(parse_answer(c.get("response", c.get("text")), side))
        for c, side in ((chosen, "chosen"), (rejected, "rejected"))
    ]
    return Pair(as_user_turn(prompt), answers[0], answers[1], best - worse, aspects)


def aspect_ratings(completion: Json) -> dict[str, float]:
    """Rating by aspect: {"ratings": {aspect: number}}, or UltraFeedback's {"annotations": {aspect: {"Rating": "4"}}}."""
    values = completion.get("ratings")
    if values is None:
        annotations = completion.get("annotations") or {}
        values = {a: note.get("Rating") for a, note in annotations.items() if isinstance(note, Mapping)}
    numbers = {a: parse_rating(value) for a, value in values.items()}
    return {a: number for a, number in numbers.items() if number is not None}


def deciding_rating(completion: Json, rate: str) -> float | None:
    """The overall score, the mean over the aspects, or one aspect; None where a completion lacks it."""
    if rate == "overall":
        return parse_rating(completion.get("overall_score", completion.get("overall")))
    ratings = aspect_ratings(completion)
    if rate == "mean":
        return sum(ratings.values()) / len(ratings) if ratings else None
    return ratings.get(rate)


def parse_rating(value: Any) -> float | None:
    """A rating as a number; None for "N/A", NaN and the like."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if number == number else None


def parse_votes(row: Json) -> Pair:
    """Two answers and the winner: the Chatbot Arena's columns, SHP's scores, or prompt, response_a, response_b, winner."""
    if "score_A" in row:
        gap = float(row["score_A"]) - float(row["score_B"])
        sides = parse_answer(row["human_ref_A"], "first"), parse_answer(row["human_ref_B"], "second")
        prompt = as_user_turn(parse_text(row["history"]))
        verdict = "a" if gap > 0 else "b" if gap < 0 else "tie"
        margin: float | None = abs(gap)
    else:
        verdict, margin = str(row["winner"]).strip().lower(), None
        if "conversation_a" in row:
            prompt, left, right = split_messages(*(parse_messages(row[f"conversation_{s}"]) for s in "ab"))
            sides = (require_content(left, "first"), require_content(right, "second"))
        else:
            prompt = as_user_turn(parse_text(row["prompt"]))
            sides = (parse_answer(row.get("response_a"), "first"), parse_answer(row.get("response_b"), "second"))
    if verdict not in LEFT | RIGHT:
        raise UnusableRowError("tied votes")
    chosen, rejected = sides if verdict in LEFT else sides[::-1]
    return Pair(prompt, as_assistant_turn(chosen), as_assistant_turn(rejected), margin)


def parse_messages(value: Any) -> Turns:
    """A conversation as messages; raises `UnusableRowError` for plain text."""
    messages = parse_text(value)
    if isinstance(messages, str):
        raise UnusableRowError("neither text nor messages")
    return messages


def as_user_turn(prompt: Text) -> Turns:
    """A prompt as messages: text is one user turn."""
    return (Message("user", prompt),) if isinstance(prompt, str) else prompt


def as_assistant_turn(answer: Text) -> Turns:
    """An answer as messages: text is one assistant turn."""
    return (Message("assistant", answer),) if isinstance(answer, str) else answer
