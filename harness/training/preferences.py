"""Preference rows of every known format as pairs: a prompt, the preferred answer and the other one.

Known formats: TRL's standard and conversational pairs, with an explicit or an implicit prompt; a question, an instruction or a
system prompt next to two answers; dialogues like HH-RLHF's; several rated completions of one instruction (UltraFeedback);
votes between two answers.  A row without a preference raises `UnusableRowError` with its fault; `datasets` counts them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from harness.engine.tree import common_prefix_length
from harness.training.messages import (
    Text,
    Turns,
    UnusableRowError,
    as_assistant_turn,
    as_user_turn,
    parse_answer,
    require_content,
    strip_prompt,
)
from harness.training.parse_settings import ParseSettings
from harness.training.ratings import aspect_ratings, draw_rated_pair
from harness.training.row_columns import CONVERSATIONS, RowColumns, add_context, take_prompt, take_question
from harness.types import Json, Message, SkilldeltaError

__all__ = ["Pair", "ParseSettings", "Text", "Turns", "UnusableRowError", "parse_pair"]


@dataclass(frozen=True)
class Pair:
    """A prompt and two answers, of which raters preferred the first.  An empty prompt: the answers are whole texts."""

    prompt: Text
    chosen: Text
    rejected: Text
    margin: float | None = None  # the difference between the raters' scores
    aspects: Mapping[str, int] = field(default_factory=dict)  # +1: chosen is better in this aspect, -1: worse, 0: tied
    source: str = ""
    kind: str = ""

    @property
    def holdout_key(self) -> Text:
        """What decides whether a pair is held out: its prompt."""
        return self.prompt or self.chosen


HUMAN, ASSISTANT = "\n\nHuman:", "\n\nAssistant:"
LABELLED = "single answers with a label, no pairs.  `skilldelta train kto` learns from them."
LEFT = {"a", "model_a", "left", "response_a", "1"}
RIGHT = {"b", "model_b", "right", "response_b", "2"}
TIES = {"", "none", "0", "both", "neither", "equal", "same", "draw"}
# Where the prompt of two texts with a common beginning may end: after a line, a question or the label of a line ("Answer:").
# A full stop is no such place, because abbreviations have one.
BORDER = re.compile(r"\n+|[?!][\"'”’)\]]*(?=\s+(?![a-z]))|(?<![^\n])[\w#*][\w#*; -]{0,24}:(?=\s)")


def parse_pair(row: Json, settings: ParseSettings) -> Pair:
    """The pair in a row of any known format.

    Raises `UnusableRowError` for a row without a preference, and SkilldeltaError for columns that are not understood.
    """
    columns = RowColumns(row, settings)
    if "chosen" in row or "rejected" in row:
        pair = parse_chosen_rejected(columns, "chosen", "rejected")
    elif "response_w" in row or "response_l" in row:
        pair = parse_chosen_rejected(columns, "response_w", "response_l")
    elif "winner" in row or "score_A" in row:
        pair = parse_votes(columns)
    elif "label" in row or "labels" in row:
        is_stepwise = isinstance(row.get("labels"), list)
        raise SkilldeltaError(
            f"A row of {settings.source or 'the data'} has the columns {', '.join(row)}: "
            + ("steps with labels, which train process reward models; none is made here." if is_stepwise else LABELLED)
        )
    elif "completions" in row:
        pair = parse_ratings(columns)
    else:
        raise SkilldeltaError(
            f"A row of {settings.source or 'the data'} has the columns {', '.join(row)}, which is no known preference format.  "
            "Known are: chosen, rejected (text or messages), alone or with prompt, question or instruction and input, system, "
            "history, tools, or the messages before; prompt, response_w, response_l; prompt or instruction with "
            "completions that carry ratings; prompt, response_a, response_b, winner; conversation_a, conversation_b, winner; "
            "history, human_ref_A, human_ref_B, score_A, score_B."
        )
    columns.check_rest()
    if any(isinstance(answer, tuple) and answer[-1].role != "assistant" for answer in (pair.chosen, pair.rejected)):
        raise UnusableRowError("an answer does not end with the assistant")
    if pair.chosen == pair.rejected:
        raise UnusableRowError("identical answers")
    if settings.chat:
        pair = replace(
            pair,
            prompt=as_user_turn(pair.prompt),
            chosen=as_assistant_turn(pair.chosen),
            rejected=as_assistant_turn(pair.rejected),
        )
    return replace(pair, source=settings.source, kind=settings.kind)


def parse_chosen_rejected(columns: RowColumns, better: str, worse: str) -> Pair:
    """Two answers with a prompt of their own, or with one that both repeat or begin with."""
    chosen, rejected = columns.take_answer("chosen", better), columns.take_answer("rejected", worse)
    margin = columns.take_number("margin")
    question, conversation = take_question(columns), columns.take_text(*CONVERSATIONS)
    if conversation in (chosen, rejected):
        conversation = ""  # UltraFeedback's pairs repeat the chosen conversation as messages
    if question and conversation:
        raise UnusableRowError("a prompt next to a conversation")
    prompt, chosen, rejected = join_prompt(conversation or question, chosen, rejected)
    prompt = add_context(columns, prompt)
    if isinstance(prompt, tuple):
        chosen, rejected = as_assistant_turn(chosen), as_assistant_turn(rejected)
    answers = require_content(chosen, "chosen"), require_content(rejected, "rejected")
    return Pair(prompt, *answers, margin)


def join_prompt(prompt: Text, chosen: Text, rejected: Text) -> tuple[Text, Text, Text]:
    """(prompt, the rest of chosen, the rest of rejected) from a prompt and answers that may repeat it."""
    if isinstance(chosen, str) != isinstance(rejected, str):
        turns = rejected if isinstance(chosen, str) else chosen
        if not prompt or not isinstance(turns, tuple) or turns[0].role != "assistant":
            raise UnusableRowError("one answer is text, the other messages")
        chosen, rejected = as_assistant_turn(chosen), as_assistant_turn(rejected)
    if isinstance(chosen, str) and isinstance(rejected, str):
        if prompt:
            return prompt, *strip_prompt(prompt, chosen, rejected)
        if chosen.startswith(HUMAN):
            return split_messages(parse_dialogue(chosen), parse_dialogue(rejected))
        return split_text(chosen, rejected)
    assert not isinstance(chosen, str)
    assert not isinstance(rejected, str)
    if isinstance(prompt, tuple) and prompt in (chosen[: len(prompt)], rejected[: len(prompt)]):
        common, chosen, rejected = split_messages(chosen, strip_check(rejected, prompt, chosen))
        return common, chosen, rejected
    if prompt and chosen[0].role == rejected[0].role == "assistant":
        common, chosen, rejected = split_messages(chosen, rejected)
        return (*as_user_turn(prompt), *common), chosen, rejected
    common, chosen, rejected = split_messages(chosen, rejected)
    if isinstance(prompt, tuple) and prompt:
        raise UnusableRowError("the answers begin with other messages than the prompt")
    return place_question(prompt, common) if prompt else common, chosen, rejected


def strip_check(rejected: Turns, prompt: Turns, chosen: Turns) -> Turns:
    """`rejected`, if both answers repeat the prompt."""
    if rejected[: len(prompt)] != prompt or chosen[: len(prompt)] != prompt:
        raise UnusableRowError("only one answer repeats the prompt")
    return rejected


def place_question(question: Text, common: Turns) -> Turns:
    """The messages that both conversations begin with, if the question is one of them; behind a lone system turn it follows."""
    assert isinstance(question, str)
    turns = [m.content.strip() for m in common if m.role == "user"]
    is_dialogue = question.startswith(HUMAN) and [m.content for m in parse_dialogue(question) if m.role == "user"] == turns
    if is_dialogue or question.strip() in turns:
        return common
    if [m.role for m in common] == ["system"]:
        return (*common, Message("user", question))
    raise UnusableRowError("the prompt is no turn of the conversations")


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
    """(the common beginning, the rest of chosen, the rest of rejected); white space at the border belongs to the answers.

    The beginning ends at a BORDER, never inside a sentence.  Without one it is empty, and the whole texts are the answers: in a
    difference of log-probabilities their common part cancels out.
    """
    common = chosen[: common_prefix_length(chosen, rejected)]
    if not common.strip() or not re.search(r"\W", common.strip() + chosen[len(common) : len(common) + 1]):
        raise UnusableRowError("no common prompt")
    borders = [match.end() for match in BORDER.finditer(common + " ")]
    borders = [n for n in borders if n <= len(common) and not (chosen[n:].lstrip()[:1] + rejected[n:].lstrip()[:1]).islower()]
    n = borders[-1] if borders else 0
    return chosen[:n], chosen[n:], rejected[n:]


def parse_ratings(columns: RowColumns) -> Pair:
    """The best completion against a lower one that (seed, row) draws, as in the cleaned UltraFeedback pairs."""
    better, worse, margin = draw_rated_pair(columns.row, columns.take("completions"), columns.settings)
    prompt = take_prompt(columns)
    if not prompt:
        raise UnusableRowError("no prompt")
    first, second = aspect_ratings(better), aspect_ratings(worse)
    aspects = {a: (first[a] > second[a]) - (first[a] < second[a]) for a in first if a in second}
    answers = [
        as_assistant_turn(parse_answer(c.get("response", c.get("text")), side, columns.settings.ignore))
        for c, side in ((better, "chosen"), (worse, "rejected"))
    ]
    return Pair(as_user_turn(prompt), answers[0], answers[1], margin, aspects)


def parse_votes(columns: RowColumns) -> Pair:
    """Two answers and the winner: the Chatbot Arena's columns, SHP's scores, or prompt, response_a, response_b, winner."""
    row, margin = columns.row, None
    if "score_A" in row:
        gap = (columns.take_number("score_A") or 0) - (columns.take_number("score_B") or 0)
        sides = columns.take_answer("first", "human_ref_A"), columns.take_answer("second", "human_ref_B")
        prompt = as_user_turn(columns.take_text("history"))
        verdict, margin = "a" if gap > 0 else "b" if gap < 0 else "tie", abs(gap)
    else:
        verdict = str(columns.take("winner")).strip().lower()
        if "conversation_a" in row:
            left, right = (as_turns(columns.take_text(f"conversation_{s}")) for s in "ab")
            prompt, left, right = split_messages(left, right)
            sides = require_content(left, "first"), require_content(right, "second")
        else:
            prompt = as_user_turn(take_prompt(columns))
            sides = columns.take_answer("first", "response_a"), columns.take_answer("second", "response_b")
    if verdict not in LEFT | RIGHT:
        raise UnusableRowError("tied votes" if "tie" in verdict or verdict in TIES else f"the winner is {verdict[:20]!r}")
    chosen, rejected = sides if verdict in LEFT else sides[::-1]
    return Pair(prompt, as_assistant_turn(chosen), as_assistant_turn(rejected), margin)


def as_turns(conversation: Text) -> Turns:
    """A conversation as messages; raises `UnusableRowError` for plain text."""
    if isinstance(conversation, str):
        raise UnusableRowError("neither text nor messages")
    return conversation
