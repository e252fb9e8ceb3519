"""Two answers and a verdict: Chatbot Arena's columns, SHP's, HelpSteer's, SafeRLHF's; or response_a, response_b, winner."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from harness.training.messages import Text, Turns, UnusableRowError, as_user_turn
from harness.training.row_texts import decode_text
from harness.types import Message

if TYPE_CHECKING:
    from harness.training.row_columns import RowColumns

FIRST = {"a", "model_a", "left", "response_a", "1"}
SECOND = {"b", "model_b", "right", "response_b", "2"}
TIES = {"", "none", "0", "both", "neither", "equal", "same", "draw"}
# The columns of two answers, and of the verdict on them.
SHP = ("human_ref_A", "human_ref_B", "score_A", "score_B", "labels")
HELPSTEER = (  # a number: positive where the second answer is better
    ("response1", "response2", "overall_preference"),  # HelpSteer3
    ("response_1", "response_2", "preference_strength"),  # HelpSteer2
)
SAFE_RLHF = ("response_0", "response_1", "better_response_id")  # SafeRLHF: 0 or 1
ARENA = ("winner_model_a", "winner_model_b")  # flags


class Vote(NamedTuple):
    prompt: Text | None  # None: what the row's columns for prompts ask
    chosen: Text
    rejected: Text
    margin: float | None
    repeats_prompt: bool  # the two are whole conversations, which begin with the prompt


def holds_vote(columns: RowColumns) -> bool:
    """Whether a row has a verdict on two answers."""
    names = ("winner", "score_A", SAFE_RLHF[2], *ARENA, *(verdict for *_, verdict in HELPSTEER))
    return any(name in columns.row for name in names) or holds_shp_label(columns)


def holds_shp_label(columns: RowColumns) -> bool:
    """Whether a row has SHP's answers with their label: its scores may have been left out."""
    return SHP[0] in columns.row and SHP[4] in columns.row


def parse_vote(columns: RowColumns) -> Vote:
    """The answer that won, and the other one.  Raises `UnusableRowError` for a tie."""
    row, margin, prompt, repeats_prompt = columns.row, None, None, False
    if "score_A" in row or holds_shp_label(columns):
        first, second = columns.take_answer("first", SHP[0]), columns.take_answer("second", SHP[1])
        prompt = as_user_turn(columns.take_text("history"))
        verdict, margin = read_shp(columns)
    elif grades := next((names for names in HELPSTEER if names[2] in row), None):
        gap = -(columns.take_number(grades[2]) or 0)
        first, second = (columns.take_answer(side, name) for side, name in zip(("first", "second"), grades, strict=False))
        verdict, margin = name_winner(gap), abs(gap)
    elif SAFE_RLHF[2] in row:
        first, second = columns.take_answer("first", SAFE_RLHF[0]), columns.take_answer("second", SAFE_RLHF[1])
        winner = columns.take_number(SAFE_RLHF[2])
        verdict = "a" if winner == 0 else "b" if winner == 1 else "none"
    else:
        verdict = read_winner(columns)
        first, second, repeats_prompt = take_sides(columns)
    if verdict not in FIRST | SECOND:
        raise UnusableRowError("tied votes" if "tie" in verdict or verdict in TIES else f"the winner is {verdict[:20]!r}")
    chosen, rejected = (first, second) if verdict in FIRST else (second, first)
    return Vote(prompt, chosen, rejected, margin, repeats_prompt)


def read_shp(columns: RowColumns) -> tuple[str, float | None]:
    """(the verdict, the difference of the scores or None) of SHP's columns, whose label is 1 where the first is better, else 0.

    Raises `UnusableRowError` where scores and label contradict each other.
    """
    label = columns.take_number(SHP[4]) if holds_shp_label(columns) else None
    if label not in (None, 0, 1):
        raise UnusableRowError(f"labels that is {label:g}, neither 0 nor 1")
    verdict = "none" if label is None else "a" if label else "b"
    if "score_A" not in columns.row:
        return verdict, None
    gap = (columns.take_number("score_A") or 0) - (columns.take_number("score_B") or 0)
    if gap and label is not None and verdict != name_winner(gap):
        raise UnusableRowError("labels that contradicts score_A and score_B")
    return name_winner(gap), abs(gap)


def name_winner(gap: float) -> str:
    """Which answer a difference of scores, the first's minus the second's, makes better."""
    return "a" if gap > 0 else "b" if gap < 0 else "tie"


def read_winner(columns: RowColumns) -> str:
    """The verdict as a word of FIRST, SECOND or TIES, or as it is written.

    Whether a number counts from 0 or from 1 only the whole source says: it is noted.
    """
    if ARENA[0] in columns.row:
        flags = [columns.take_number(name) for name in ARENA]
        return name_winner((flags[0] or 0) - (flags[1] or 0))
    verdict = str(columns.take("winner") if columns.row.get("winner") != 0 else 0).strip().lower().removesuffix(".0")
    columns.read.add("winner")
    if verdict in ("0", "1", "2"):
        columns.settings.numbers.add(f"winner {verdict}")
    return verdict.replace(" ", "_") if verdict.startswith(("response", "model")) else verdict


def take_sides(columns: RowColumns) -> tuple[Text, Text, bool]:
    """(the first answer, the second one, whether both are whole conversations)."""
    if "conversation_a" in columns.row:
        first, second = (as_turns(columns.take_text(f"conversation_{side}")) for side in "ab")
        return first, second, True
    names = ("prompt", "response_a", "response_b")
    questions, *answers = (read_rounds(columns.row.get(name)) for name in names)
    if questions and all(answers):
        columns.read.update(names)
        first, second = (join_rounds(questions, texts) for texts in answers)
        return first, second, True
    return columns.take_answer("first", names[1]), columns.take_answer("second", names[2]), False


def read_rounds(value: Any) -> list[Any]:
    """The texts of several turns, written as one JSON list (the Arena's table of 2024); [] for any other text."""
    try:
        texts = decode_text(value) if isinstance(value, str) and value.startswith("[") else value
    except ValueError:
        return []
    is_list = isinstance(texts, list) and all(isinstance(text, str | None) for text in texts)
    return texts if is_list else []


def join_rounds(questions: list[Any], answers: list[Any]) -> Turns:
    """A conversation of these turns.  Raises `UnusableRowError` where one is missing."""
    if len(questions) != len(answers) or None in (*questions, *answers):
        raise UnusableRowError("a conversation with a missing turn")
    pairs = zip(questions, answers, strict=True)
    return tuple(m for question, answer in pairs for m in (Message("user", question), Message("assistant", answer)))


def as_turns(conversation: Text) -> Turns:
    """A conversation as messages; raises `UnusableRowError` for plain text."""
    if isinstance(conversation, str):
        raise UnusableRowError("neither text nor messages")
    return conversation
