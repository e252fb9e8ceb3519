"""Preference rows of every known format, read as pairs: which of two answers to a prompt was preferred.

Known formats: TRL's standard and conversational pairs, with an explicit or an implicit prompt; dialogues in the way of
HH-RLHF; several rated completions of one instruction (UltraFeedback); votes between two answers.  A row that holds no
preference raises `UnusableRowError` with the reason, and whoever reads a file counts them.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.types import Json, Message, SkilldeltaError, digest

Turns = tuple[Message, ...]
Text = str | Turns  # plain text, or messages that go through the chat template


class UnusableRowError(Exception):
    """A row that cannot be learnt from; the message is the reason under which it is counted."""


@dataclass(frozen=True)
class Pair:
    """A prompt and two answers, the first of which was preferred."""

    prompt: Text
    chosen: Text
    rejected: Text
    margin: float | None = None  # how far apart the raters put them
    aspects: Mapping[str, int] = field(default_factory=dict)  # +1: chosen is better in this aspect, -1: worse, 0: tied
    source: str = ""
    kind: str = ""


@dataclass(frozen=True)
class Reading:
    """How rows are read: what decides between rated completions ("mean" of the aspects, "overall", or one aspect)."""

    rate: str = "mean"
    seed: int = 0
    source: str = ""
    kind: str = ""


HUMAN, ASSISTANT = "\n\nHuman:", "\n\nAssistant:"
LEFT = {"a", "model_a", "left", "response_a", "1"}
RIGHT = {"b", "model_b", "right", "response_b", "2"}


def pair(row: Json, how: Reading) -> Pair:
    """The pair in a row of any known format; `UnusableRowError` where it holds none."""
    if "completions" in row:
        found = from_ratings(row, how)
    elif "winner" in row or "score_A" in row:
        found = from_votes(row)
    elif "chosen" in row or "rejected" in row:
        found = from_pair(row)
    else:
        raise SkilldeltaError(
            f"A row of {how.source or 'the data'} has the columns {', '.join(row)}, which is no known preference format.  "
            "Known are: prompt, chosen, rejected (text or messages); chosen, rejected; prompt or instruction with "
            "completions that carry ratings; prompt, response_a, response_b, winner; conversation_a, conversation_b, winner; "
            "history, human_ref_A, human_ref_B, score_A, score_B."
        )
    if found.chosen == found.rejected:
        raise UnusableRowError("identical answers")
    return Pair(found.prompt, found.chosen, found.rejected, found.margin, found.aspects, how.source, how.kind)


def from_pair(row: Json) -> Pair:
    """TRL's formats and HH's: chosen and rejected, with or without the prompt apart."""
    chosen, rejected = (answer(row.get(side), side) for side in ("chosen", "rejected"))
    margin = row.get("margin")
    if row.get("prompt"):
        prompt = text(row["prompt"])
        if isinstance(chosen, tuple) and isinstance(prompt, tuple) and chosen[: len(prompt)] == prompt:
            chosen, rejected = chosen[len(prompt) :], after(rejected, prompt)  # the prompt is repeated in each answer
    elif isinstance(chosen, str) and isinstance(rejected, str) and chosen.startswith(HUMAN):
        prompt, chosen, rejected = split_messages(dialogue(chosen), dialogue(rejected))
    elif isinstance(chosen, tuple) and isinstance(rejected, tuple):
        prompt, chosen, rejected = split_messages(chosen, rejected)
    elif isinstance(chosen, str) and isinstance(rejected, str):
        prompt, chosen, rejected = split_text(chosen, rejected)
    else:
        raise UnusableRowError("one answer is text, the other messages")
    if not prompt:
        raise UnusableRowError("no common prompt")
    return Pair(prompt, filled(chosen, "chosen"), filled(rejected, "rejected"), None if margin is None else float(margin))


def text(value: Any) -> Text:
    """A column as text, or as messages where it is a list of {role, content}."""
    if isinstance(value, str):
        return value
    if isinstance(value, Sequence) and all(isinstance(m, Mapping) and "role" in m and "content" in m for m in value):
        return tuple(Message(m["role"], str(m["content"])) for m in value)
    raise UnusableRowError("neither text nor messages")


def answer(value: Any, side: str) -> Text:
    """An answer as text or messages; `UnusableRowError` where there is none."""
    if value is None:
        raise UnusableRowError(f"no {side} answer")
    return filled(text(value), side)


def filled(value: Text, side: str) -> Text:
    """The answer itself, if it says anything."""
    said = value if isinstance(value, str) else "".join(m.content for m in value)
    if not said.strip():
        raise UnusableRowError(f"empty {side} answer")
    return value


def after(messages: Text, prompt: Turns) -> Text:
    """What follows the prompt in messages that begin with it."""
    if not isinstance(messages, tuple) or messages[: len(prompt)] != prompt:
        raise UnusableRowError("only one answer repeats the prompt")
    return messages[len(prompt) :]


def dialogue(said: str) -> Turns:
    """An HH dialogue, "\\n\\nHuman: ...\\n\\nAssistant: ...", as messages."""
    parts = re.split(f"({re.escape(HUMAN)}|{re.escape(ASSISTANT)})", said)
    pieces = zip(parts[1::2], parts[2::2], strict=True)
    return tuple(Message("user" if tag == HUMAN else "assistant", content.strip()) for tag, content in pieces)


def split_messages(chosen: Turns, rejected: Turns) -> tuple[Turns, Turns, Turns]:
    """The common messages at the start, and what each answer adds."""
    n = common(chosen, rejected)
    if n == len(chosen) and n == len(rejected):
        raise UnusableRowError("identical answers")
    if not (chosen[n:] and rejected[n:] and chosen[n].role == rejected[n].role == "assistant"):
        raise UnusableRowError("the answers part before the assistant speaks")
    return chosen[:n], chosen[n:], rejected[n:]


def split_text(chosen: str, rejected: str) -> tuple[str, str, str]:
    """The common beginning of two texts, less a space that belongs to the answers' first word."""
    prompt = chosen[: common(chosen, rejected)]
    prompt = prompt[:-1] if prompt.endswith(" ") else prompt
    return prompt, chosen[len(prompt) :], rejected[len(prompt) :]


def from_ratings(row: Json, how: Reading) -> Pair:
    """The best rated completion against a lower one drawn by (seed, row), as in the cleaned UltraFeedback pairs."""
    rated = [(rating(c, how.rate), c) for c in row["completions"]]
    kept = [(r, c) for r, c in rated if r is not None]
    if len(kept) < 2:
        raise UnusableRowError(f"fewer than two completions with the rating {how.rate!r}")
    best = max(r for r, _ in kept)
    lower = [(r, c) for r, c in kept if r < best]
    if not lower:
        raise UnusableRowError("tied ratings")
    draw = random.Random(digest([how.seed, dict(row)]))
    chosen = draw.choice([c for r, c in kept if r == best])
    worse, rejected = draw.choice(lower)
    prompt = text(row.get("prompt") or row.get("instruction") or "")
    if not prompt:
        raise UnusableRowError("no prompt")
    first, second = ratings(chosen), ratings(rejected)
    aspects = {a: (first[a] > second[a]) - (first[a] < second[a]) for a in first if a in second}
    said = [reply(answer(c.get("response", c.get("text")), side)) for c, side in ((chosen, "chosen"), (rejected, "rejected"))]
    return Pair(user(prompt), said[0], said[1], best - worse, aspects)


def ratings(completion: Json) -> dict[str, float]:
    """Rating by aspect: {"ratings": {aspect: number}}, or UltraFeedback's {"annotations": {aspect: {"Rating": "4"}}}."""
    given = completion.get("ratings")
    if given is None:
        given = {
            a: note.get("Rating") for a, note in (completion.get("annotations") or {}).items() if isinstance(note, Mapping)
        }
    read = {a: number(value) for a, value in given.items()}
    return {a: value for a, value in read.items() if value is not None}


def rating(completion: Json, rate: str) -> float | None:
    """What decides: the overall score, the mean over the aspects, or one aspect; None where it is not there."""
    if rate == "overall":
        return number(completion.get("overall_score", completion.get("overall")))
    found = ratings(completion)
    if rate == "mean":
        return sum(found.values()) / len(found) if found else None
    return found.get(rate)


def number(value: Any) -> float | None:
    """A rating as a number; "N/A", None and the like are no rating."""
    try:
        read = float(value)
    except (TypeError, ValueError):
        return None
    return read if read == read else None


def from_votes(row: Json) -> Pair:
    """Two answers and who won: the Chatbot Arena's columns, SHP's scores, or prompt, response_a, response_b, winner."""
    if "score_A" in row:
        margin = float(row["score_A"]) - float(row["score_B"])
        sides, prompt = (answer(row["human_ref_A"], "first"), answer(row["human_ref_B"], "second")), user(text(row["history"]))
        verdict = "a" if margin > 0 else "b" if margin < 0 else "tie"
        weight: float | None = abs(margin)
    else:
        verdict, weight = str(row["winner"]).strip().lower(), None
        if "conversation_a" in row:
            prompt, left, right = split_messages(*(as_turns(row[f"conversation_{s}"]) for s in "ab"))
            sides = (filled(left, "first"), filled(right, "second"))
        else:
            prompt = user(text(row["prompt"]))
            sides = (answer(row.get("response_a"), "first"), answer(row.get("response_b"), "second"))
    if verdict not in LEFT | RIGHT:
        raise UnusableRowError("tied votes")
    chosen, rejected = sides if verdict in LEFT else sides[::-1]
    return Pair(prompt, reply(chosen), reply(rejected), weight)


def as_turns(value: Any) -> Turns:
    """A conversation, which must be messages."""
    found = text(value)
    if isinstance(found, str):
        raise UnusableRowError("neither text nor messages")
    return found


def user(prompt: Text) -> Turns:
    """A prompt as messages: text is one user turn."""
    return (Message("user", prompt),) if isinstance(prompt, str) else prompt


def reply(said: Text) -> Turns:
    """An answer as messages: text is one assistant turn."""
    return (Message("assistant", said),) if isinstance(said, str) else said


def common(first: Iterable[object], second: Iterable[object]) -> int:
    """The length of the common beginning."""
    n = 0
    for a, b in zip(first, second, strict=False):
        if a != b:
            break
        n += 1
    return n
