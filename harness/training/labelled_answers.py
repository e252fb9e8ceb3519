"""Single answers with a label, desirable or not (KTO's rows), from unpaired data or from pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.training.batches import Tokens
from harness.training.messages import Text, UnusableRowError, as_assistant_turn, as_user_turn
from harness.training.parse_settings import ParseSettings
from harness.training.preferences import parse_pair
from harness.training.row_columns import RowColumns, take_prompt
from harness.types import Json, SkilldeltaError

if TYPE_CHECKING:
    from harness.training.tokenization import Encoder

TRUE, FALSE = (True, 1, "true", "1", "desirable"), (False, 0, "false", "0", "undesirable")


@dataclass(frozen=True)
class LabelledAnswer:
    prompt: Text
    answer: Text
    is_desirable: bool


@dataclass(frozen=True)
class LabelledTokens:
    tokens: Tokens
    is_desirable: bool


def parse_labels(row: Json, settings: ParseSettings) -> tuple[LabelledAnswer, ...]:
    """The labelled answers of a row: one of an unpaired row (prompt, completion, label), two of a pair."""
    if "label" not in row or "chosen" in row:
        pair = parse_pair(row, settings)
        return LabelledAnswer(pair.prompt, pair.chosen, True), LabelledAnswer(pair.prompt, pair.rejected, False)
    columns = RowColumns(row, settings)
    label = columns.take("label")
    if isinstance(label, str):
        label = label.strip().lower()
    if label is None or label not in (*TRUE, *FALSE):
        raise UnusableRowError("a label that is neither true nor false")
    answer, prompt = columns.take_answer("completion", "completion", "response", "output"), take_prompt(columns)
    columns.check_rest()
    if not prompt:
        raise UnusableRowError("no prompt")
    if isinstance(prompt, tuple) or isinstance(answer, tuple) or settings.chat:
        prompt, answer = as_user_turn(prompt), as_assistant_turn(answer)
    return (LabelledAnswer(prompt, answer, label in TRUE),)


def encode_labels(rows: Sequence[tuple[LabelledAnswer, ...]], encoder: Encoder) -> list[LabelledTokens]:
    """The answers as ids, without those that do not fit.  Raises SkilldeltaError unless both labels are there."""
    answers = [answer for row in rows for answer in row]
    sequences = encoder.encode_answers([(a.prompt, a.answer) for a in answers])
    fitting = [LabelledTokens(t, a.is_desirable) for a, t in zip(answers, sequences, strict=True) if t]
    if len({row.is_desirable for row in fitting}) < 2:
        raise SkilldeltaError(
            f"The {len(fitting)} answers that fit are all of one label ({dict(encoder.losses) or 'none was left out'}): KTO "
            "needs desirable and undesirable ones."
        )
    return fitting


def exchange_answer(row: LabelledTokens, other: LabelledTokens) -> Tokens:
    """The prompt of one row with the answer of another."""
    prompt = row.tokens.ids[: row.tokens.start]
    return Tokens((*prompt, *other.tokens.ids[other.tokens.start :]), len(prompt))
