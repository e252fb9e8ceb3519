"""Preference rows of every format that the trainers read, as questions to a judge or a reward model."""

from __future__ import annotations

from harness.grading.labelled_sets import LabelledQuestion, make_pair
from harness.training.datasets import parse_every
from harness.training.messages import RichMessage, Text, UnusableRowError, describe_faults
from harness.training.parse_settings import ParseSettings
from harness.training.preferences import Pair, parse_pair
from harness.training.source_rows import raw_rows
from harness.types import Message, SkilldeltaError

SPEAKERS = {"system": "System", "user": "Human", "assistant": "Assistant", "tool": "Tool"}


def read_pair_questions(name: str) -> tuple[list[LabelledQuestion], dict[str, int]]:
    """(the pairs of a file or of the Hub, the rows that no judge can be asked about by their fault).

    The column `subset` names the part that a row counts in; without it all are one, `all`.
    Raises SkilldeltaError for columns that are not understood, and where no pair is left.
    """
    pairs, faults = parse_every(
        raw_rows(name)[0],
        ParseSettings(source=name),
        lambda row, settings: as_question(parse_pair(row, settings), str(row.get("subset") or "all")),
    )
    if not pairs:
        raise SkilldeltaError(
            f"{name} holds no pairs to judge: {describe_faults(faults) or 'it is empty'}.  A row has prompt, chosen, rejected, "
            "or the columns of another format that `skilldelta train reward` reads; it may have subset."
        )
    return pairs, dict(sorted(faults.items()))


def as_question(pair: Pair, subset: str) -> LabelledQuestion:
    """The pair as texts, in an order that its content decides; several messages before the answers also as a conversation."""
    if not pair.prompt:
        raise UnusableRowError("no prompt")
    prompt = pair.prompt if isinstance(pair.prompt, str) else plain_messages(pair.prompt)
    better, worse = answer_text(pair.chosen), answer_text(pair.rejected)
    if isinstance(prompt, str):
        return make_pair(prompt, better, worse, subset)
    if len(prompt) == 1 and prompt[0].role == "user":
        return make_pair(prompt[0].content, better, worse, subset)
    text = "\n\n".join(f"{SPEAKERS[m.role]}: {m.content}" for m in prompt)
    return make_pair(text, better, worse, subset, conversation=prompt)


def plain_messages(turns: Text) -> tuple[Message, ...]:
    """Messages of words alone."""
    messages = tuple(m for m in turns if isinstance(m, Message))
    if len(messages) < len(turns):
        raise UnusableRowError("tools, calls or names in the prompt, which no judge reads")
    return messages


def answer_text(answer: Text) -> str:
    """The words of an answer of one message."""
    if isinstance(answer, str):
        return answer
    if len(answer) > 1 or isinstance(answer[0], RichMessage):
        raise UnusableRowError("an answer of several messages or with a call, which no judge reads")
    return answer[0].content
