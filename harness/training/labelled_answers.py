"""Single answers with a label, desirable or not (KTO's rows), from unpaired data or from pairs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

from harness.training.batches import Tokens
from harness.training.conversations import parse_last_turn
from harness.training.messages import Text, UnusableRowError, as_assistant_turn, as_user_turn, strip_turns
from harness.training.nested_columns import ROW_FORMS, unfold_columns
from harness.training.pair_prompts import require_open_end
from harness.training.parse_settings import ParseSettings
from harness.training.preferences import parse_pair
from harness.training.row_columns import ANSWERS, CONVERSATIONS, RowColumns, take_prompt
from harness.types import Json, SkilldeltaError

if TYPE_CHECKING:
    from harness.training.tokenization import Encoder

LABELS = ("label", "kto_tag")  # TRL's and LLaMA-Factory's
TRUE = {"true", "1", "+1", "desirable", "chosen", "accepted", "good", "positive", "yes", "like", "up", "thumbs_up"}
FALSE = {"false", "0", "-1", "undesirable", "rejected", "bad", "negative", "no", "dislike", "down", "thumbs_down"}


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
    columns = RowColumns(unfold_columns(row, ROW_FORMS, settings.unused), settings, file_columns=tuple(row))
    if not any(name in row for name in LABELS) or columns.holds("chosen"):
        pair = parse_pair(row, settings)
        return LabelledAnswer(pair.prompt, pair.chosen, True), LabelledAnswer(pair.prompt, pair.rejected, False)
    is_desirable = parse_label(columns)
    if columns.holds(*CONVERSATIONS) and not columns.holds(*ANSWERS):
        prompt, answer = parse_last_turn(columns)
    else:
        answer, prompt = columns.take_answer("completion", *ANSWERS), take_prompt(columns)
    columns.check_rest()
    if not prompt:
        raise UnusableRowError("no prompt")
    if isinstance(prompt, tuple) or isinstance(answer, tuple) or settings.chat:
        prompt, answer = as_user_turn(prompt), as_assistant_turn(answer)
    require_open_end(prompt)
    return (LabelledAnswer(prompt, strip_turns(prompt, answer), is_desirable),)


def parse_label(columns: RowColumns) -> bool:
    """Whether a row's label is that of a desirable answer, in any spelling."""
    value = columns.take(*LABELS)
    number = value if isinstance(value, bool) or not isinstance(value, int | float) else f"{value:g}"
    label = re.sub(r"[\s-]+(?=[a-z])", "_", str(number).strip().lower()).removesuffix(".0")
    columns.settings.numbers.update({label} & {"-1", "0", "1"})
    if label not in TRUE | FALSE:
        raise UnusableRowError("a label that is neither true nor false")
    return label in TRUE


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


def exchange_answers(rows: Sequence[LabelledTokens], others: Sequence[LabelledTokens]) -> list[Tokens]:
    """Each prompt with the answer of the nearest row before it, in a circle, that has another prompt; else one of `others`."""
    strangers = []
    for i, row in enumerate(rows):
        prompt = row_prompt(row)
        circle = chain((rows[i - offset] for offset in range(1, len(rows))), others)
        other = next((r for r in circle if row_prompt(r) != prompt), rows[i - 1])
        strangers.append(Tokens((*prompt, *other.tokens.ids[other.tokens.start :]), len(prompt)))
    return strangers


def row_prompt(row: LabelledTokens) -> tuple[int, ...]:
    return row.tokens.ids[: row.tokens.start]
