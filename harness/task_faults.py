"""What a task's own functions do wrong, as errors of the task: where they fail, and where they give something else.

Anybody may write a task, and its rows are from outside as well: a field that one row lacks must cost that task alone.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

from harness.types import Message, Request, Role, Score, SkilldeltaError, digest
from harness.visible_text import show_value

ROLES = get_args(Role)
MAX_NUMBER = 1e9  # as samples are read
ROUNDING = 1e-9  # by which a mean may be outside of 0..1, also as samples are read


@contextmanager
def task_errors(name: str, occasion: str) -> Iterator[None]:
    """What a function of the task `name` raises, or that it exits, as a SkilldeltaError with the line where it did."""
    try:
        yield
    except SkilldeltaError:
        raise
    except (Exception, SystemExit) as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(frame.filename).name}, line {frame.lineno}"
        raise SkilldeltaError(f"The task {name!r} fails {occasion}: {type(error).__name__}: {error} ({place}).") from error


def identify_row(row: Any, number: int) -> str:
    """The hash of a row's content.  SkilldeltaError for what is no object of JSON: no results folder could hold it."""
    if not isinstance(row, Mapping):
        raise SkilldeltaError(f"Row {number} is {show_value(row)}, and no object with columns.")
    try:
        return digest(row)
    except (TypeError, ValueError, RecursionError) as error:
        raise SkilldeltaError(
            f"Row {number} cannot be written as JSON ({error}): let its columns hold texts, numbers, truth values, lists and "
            "objects."
        ) from error


def require_request(value: Any) -> Request:
    """What a task asks.  SkilldeltaError for what no model could be asked."""
    if not isinstance(value, Request):
        raise SkilldeltaError(f"ask() gives {show_value(value)}: let it give a Request.")
    if odd := next((p for p in (value.prompt, *value.contexts) if not is_prompt(p)), None):
        raise SkilldeltaError(
            f"ask() gives a prompt that is {show_value(odd)}: write a text, or a tuple of Message(role, text)."
        )
    for field in ("choices", "stop"):
        texts = getattr(value, field)
        if not isinstance(texts, tuple) or not all(isinstance(text, str) for text in texts):
            raise SkilldeltaError(f"ask() gives {field}={show_value(texts)}: write a tuple of texts.")
    for field in ("max_tokens", "thinking", "seed"):
        if type(getattr(value, field)) is not int:
            raise SkilldeltaError(f"ask() gives {field}={show_value(getattr(value, field))}: write a whole number.")
    return value


def is_prompt(value: Any) -> bool:
    if isinstance(value, str):
        return True
    return isinstance(value, tuple) and all(
        isinstance(turn, Message) and turn.role in ROLES and isinstance(turn.content, str) for turn in value
    )


def require_text(value: Any, function: str) -> None:
    if not isinstance(value, str):
        raise SkilldeltaError(f"{function}() gives {show_value(value)}: let it give a text.")


def check_score(score: Any) -> Score:
    """A scorer's result, its numbers as Python has them; without a value, with the reason, where it is no score."""
    if not isinstance(score, Score):
        return Score(None, why=f"the scorer gave {show_value(score)}, not a Score")
    if texts := [text for text in (score.extracted, score.why) if not isinstance(text, str)]:
        return Score(None, why=f"the scorer gave {show_value(texts[0])} where a text belongs")
    if not isinstance(score.parts, Mapping) or not all(isinstance(name, str) for name in score.parts):
        return Score(None, why=f"the scorer gave the parts {show_value(score.parts)}: let them be numbers by name")
    if not score.parts and (score.value is None or (type(score.value) is float and 0.0 <= score.value <= 1.0)):
        return score  # as nearly all are
    value = plain_number(score.value)
    parts: dict[str, Any] = {name: plain_number(part) for name, part in score.parts.items()}  # None: of no number
    if odd := [score.parts[name] for name, part in parts.items() if part is None and score.parts[name] is not None]:
        return Score(None, why=f"the scorer gave a part that is {show_value(odd[0])}, no number")
    if score.value is not None and (value is None or not -ROUNDING <= value <= 1 + ROUNDING):
        return Score(None, score.extracted, why=f"the scorer gave {show_value(score.value)}, no number from 0 to 1")
    return replace(score, value=value, parts=parts)


def plain_number(value: Any) -> float | None:
    """A number as Python has it, also of numpy or torch; None for what is none, and for one that no mean could hold."""
    if type(value) not in (int, float):
        try:
            value = None if isinstance(value, str | bytes) else float(value)
        except (TypeError, ValueError, OverflowError, RuntimeError):
            return None
    return value if value is not None and abs(value) <= MAX_NUMBER else None
