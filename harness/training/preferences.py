"""Preference rows of every known format as pairs: a prompt, the preferred answer and the other one.

Known formats: TRL's standard and conversational pairs, with an explicit or an implicit prompt; a question, an instruction or a
system prompt next to two answers; dialogues like HH-RLHF's; several rated completions of one instruction (UltraFeedback);
votes between two answers.  A row without a preference raises `UnusableRowError` with its fault; `datasets` counts them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from harness.training.messages import (
    TOOLS,
    Text,
    Turns,
    UnusableRowError,
    as_assistant_turn,
    as_user_turn,
    parse_answer,
    require_content,
    require_question,
    strip_turns,
)
from harness.training.nested_columns import PAIR_FORMS, unfold_columns
from harness.training.pair_prompts import join_prompt, require_open_end, split_messages
from harness.training.parse_settings import ParseSettings
from harness.training.ratings import aspect_ratings, draw_rated_pair
from harness.training.row_columns import (
    CONVERSATIONS,
    RowColumns,
    add_context,
    asks,
    has_empty_question,
    take_prompt,
    take_question,
)
from harness.training.votes import holds_vote, parse_vote
from harness.types import Json, SkilldeltaError

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


LABELLED = "single answers with a label, no pairs.  `skilldelta train kto` learns from them."
BETTER_AND_WORSE = (
    ("chosen", "rejected"),
    ("response_w", "response_l"),
    ("response_j", "response_k"),
    ("chosen_response", "rejected_response"),
    ("preferred_output", "non_preferred_output"),
)

# What is read of a rated completion, and the notes on it.
COMPLETION_COLUMNS = ("response", "text", "annotations", "ratings", "overall_score", "overall")


def parse_pair(row: Json, settings: ParseSettings) -> Pair:
    """The pair in a row of any known format.

    Raises `UnusableRowError` for a row without a preference, and SkilldeltaError for columns that are not understood.
    """
    original = row
    row = unfold_columns(original, PAIR_FORMS, settings.unused)
    columns = RowColumns(row, settings, file_columns=tuple(original))
    if names := next((names for names in BETTER_AND_WORSE if any(name in row for name in names)), None):
        pair = parse_chosen_rejected(columns, *names)
    elif holds_vote(columns):
        pair = parse_voted_pair(columns)
    elif "label" in row or "labels" in row:
        is_stepwise = isinstance(row.get("labels"), list)
        raise SkilldeltaError(
            f"A row of {settings.source or 'the data'} has the columns {', '.join(original)}: "
            + ("steps with labels, which train process reward models; none is made here." if is_stepwise else LABELLED)
        )
    elif "completions" in row:
        pair = parse_ratings(columns)
    elif has_ranks(row.get("answers")):
        pair = parse_ranks(columns)
    else:
        raise SkilldeltaError(
            f"A row of {settings.source or 'the data'} has the columns {', '.join(original)}, which is no known preference "
            "format.  Known are: chosen, rejected (text or messages), alone or with prompt, question or instruction and input, "
            "system, history, tools, or the messages before; prompt, response_w, response_l; prompt or instruction with "
            "completions that carry ratings; prompt, response_a, response_b, winner; conversation_a, conversation_b, winner; "
            "history, human_ref_A, human_ref_B, with score_A, score_B or labels; the columns of HelpSteer, SafeRLHF, Nectar, "
            "WebGPT, UltraInteract, Stack Exchange's votes and the comparisons of summarize_from_feedback; OpenAI's input, "
            "preferred_output, non_preferred_output; and messages with rejected_response or rejected_messages."
        )
    columns.check_rest()
    require_question(pair.prompt)
    require_open_end(pair.prompt)
    if any(isinstance(answer, tuple) and answer[-1].role != "assistant" for answer in (pair.chosen, pair.rejected)):
        raise UnusableRowError("an answer does not end with the assistant")
    if pair.chosen == pair.rejected:
        raise UnusableRowError("identical answers")
    if settings.chat:
        pair = replace(
            pair,
            prompt=as_user_turn(pair.prompt) if pair.prompt else (),
            chosen=as_assistant_turn(pair.chosen),
            rejected=as_assistant_turn(pair.rejected),
        )
    require_prompt(pair.prompt, pair.chosen, pair.rejected)
    return replace(pair, source=settings.source, kind=settings.kind)


def require_prompt(prompt: Text, *answers: Text) -> None:
    """Raises `UnusableRowError` for answers of messages to nothing: a chat template's own system prompt would be learnt.

    Answers of text without a prompt are whole texts.
    """
    has_prompt = bool(prompt) if isinstance(prompt, str) else any(m.role != TOOLS for m in prompt)
    if not has_prompt and any(isinstance(answer, tuple) for answer in answers):
        raise UnusableRowError("no prompt")


def parse_chosen_rejected(columns: RowColumns, better: str, worse: str) -> Pair:
    """Two answers with a prompt of their own, or with one that both repeat or begin with."""
    chosen, rejected = columns.take_answer("chosen", better), columns.take_answer("rejected", worse)
    if str(columns.row.get("status")).lower() == "tie":  # distilabel's judge saw no better one
        raise UnusableRowError("tied ratings")
    margin = columns.take_number("margin")
    question, conversation = take_question(columns), columns.take_text(*CONVERSATIONS)
    if conversation in (chosen, rejected):
        conversation = ""  # UltraFeedback's pairs repeat the chosen conversation as messages
    if question and conversation and not asks(conversation, question):
        raise UnusableRowError("a prompt next to a conversation")
    conversation = strip_answer(conversation, chosen, rejected)
    if not (question or conversation) and isinstance(chosen, str) and has_empty_question(columns.row):
        raise UnusableRowError("no prompt")
    prompt, chosen, rejected = join_prompt(conversation or question, chosen, rejected)
    prompt = add_context(columns, prompt)
    if isinstance(prompt, tuple):
        chosen, rejected = as_assistant_turn(chosen), as_assistant_turn(rejected)
    answers = require_content(chosen, "chosen"), require_content(rejected, "rejected")
    return Pair(prompt, *answers, margin)


def parse_voted_pair(columns: RowColumns) -> Pair:
    """The answer that won, and the other one."""
    vote = parse_vote(columns)
    if vote.repeats_prompt:
        prompt, chosen, rejected = split_messages(as_user_turn(vote.chosen), as_user_turn(vote.rejected))
        return Pair(prompt, require_content(chosen, "chosen"), require_content(rejected, "rejected"), vote.margin)
    question = take_prompt(columns) if vote.prompt is None else vote.prompt
    if not question:
        raise UnusableRowError("no prompt")
    prompt = as_user_turn(question)
    better, worse = (strip_turns(prompt, as_assistant_turn(answer)) for answer in (vote.chosen, vote.rejected))
    return Pair(prompt, better, worse, vote.margin)


def strip_answer(conversation: Text, chosen: Text, rejected: Text) -> Text:
    """A conversation without its last turn, where that is one of the two answers.

    Raises `UnusableRowError` where it ends with another answer: nothing would ask for the two.
    """
    if isinstance(conversation, str) or not conversation or conversation[-1].role != "assistant":
        return conversation
    answers = [as_assistant_turn(answer)[-1].content.strip() for answer in (chosen, rejected)]
    if conversation[-1].content.strip() not in answers:
        raise UnusableRowError("the conversation ends with another answer")
    return conversation[:-1]


def has_ranks(answers: Any) -> bool:
    """Whether the answers of a row carry ranks, as Nectar's do."""
    return isinstance(answers, list) and bool(answers) and all(isinstance(a, dict) and "rank" in a for a in answers)


def parse_ranks(columns: RowColumns) -> Pair:
    """The answer of the first rank against a lower one that (seed, row) draws."""
    completions = [{"response": a.get("answer"), "ratings": {"rank": -a["rank"]}} for a in columns.take("answers")]
    better, worse, _ = draw_rated_pair(columns.row, completions, replace(columns.settings, rate="mean"))
    prompt = as_user_turn(take_prompt(columns))
    answers = [as_assistant_turn(parse_answer(c["response"], side)) for c, side in ((better, "chosen"), (worse, "rejected"))]
    return Pair(prompt, answers[0], answers[1])


def parse_ratings(columns: RowColumns) -> Pair:
    """The best completion against a lower one that (seed, row) draws, as in the cleaned UltraFeedback pairs."""
    better, worse, margin = draw_rated_pair(columns.row, columns.take("completions"), columns.settings)
    for completion in (better, worse):  # what else they hold may have moved the answer, such as a system prompt of their own
        RowColumns(completion, columns.settings, set(COMPLETION_COLUMNS)).check_rest()
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
