"""Answers that another program recorded: read from its files by the plug-ins in formats/, to be scored here."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness import registry
from harness.interchange.recorded_answers import is_missing
from harness.interchange.untrusted_files import UntrustedFile
from harness.types import Json, Response, SkilldeltaError, unknown_name

KIND = "recorded-outputs"

# Columns by the names that programs give them; the first that a row has counts.
IDS = ("example", "custom_id", "id", "task_id", "key")
PROMPTS = ("prompt", "instruction", "question", "input")
OUTPUTS = ("response", "completion", "output", "output_2", "model_output", "raw_output", "generation", "prediction", "solution")


class NoOutputsError(SkilldeltaError):
    """A file that holds no recorded outputs at all."""


@dataclass(frozen=True)
class RecordedOutput:
    """One recorded output, with everything that may tell which example it answers."""

    response: Response
    id: str = ""  # an example's id, or the id that the benchmark's own row has
    row: Json = field(default_factory=dict)  # the benchmark's row, as far as the file has it
    prompt: str = ""
    choices: tuple[str, ...] = ()  # what the log-probabilities belong to, where the file says it
    column: str = ""  # where it stood, in a row with several columns that may hold an answer
    other_columns: tuple[str, ...] = ()  # those others, which hold something else


def read_recorded(path: Path, format_name: str = "auto", model: str = "") -> list[RecordedOutput]:
    """The outputs in a file.  `format_name` names a plug-in; "auto" takes the first that recognises the content.

    `model` chooses one of several models in a file.  Raises NoOutputsError where no format fits.
    """
    plugins = {name.replace("_", "-"): registry.module(KIND, name) for name in registry.modules(KIND)}
    if format_name not in ("auto", *plugins):
        raise unknown_name("format of recorded outputs", format_name, ["auto", *plugins])
    if not path.is_file():
        raise SkilldeltaError(f"There is no file {path}.")
    file = UntrustedFile(path)
    by_order = sorted(plugins.items(), key=lambda item: int(getattr(item[1], "ORDER", 0)))
    fitting = [p for name, p in by_order if format_name in (name, "auto") and p.holds_outputs(file)]
    if not fitting:
        columns = ", ".join(map(str, file.content if isinstance(file.content, dict) else file.rows[0] if file.rows else ()))
        raise NoOutputsError(
            f"{path} holds no recorded outputs{'' if format_name == 'auto' else f' in the format {format_name!r}'}; "
            f"it has: {columns[:200] or 'no rows'}.\n"
            f"A row needs one of {', '.join(PROMPTS)} or {', '.join(IDS)}, and one of {', '.join(OUTPUTS)}; "
            f"or the file is one of: {', '.join(name for name in plugins if name != 'table')}."
        )
    return list(fitting[0].read_outputs(file, model))


def first_value(row: Json, names: Iterable[str]) -> Any:
    """The value of the first of `names` that the row has; None if it has none."""
    return next((row[n] for n in names if not is_missing(row.get(n))), None)


def first_text(row: Json, names: Iterable[str]) -> str:
    """The same as text, of messages the last one of the user; "" if the row has none of `names`."""
    value = first_value(row, names)
    if turns := message_turns(value):
        return str(([turn for turn in turns if turn.get("role") == "user"] or turns)[-1].get("content"))
    return "" if value is None else str(value)


def prompt_text(row: Json) -> str:
    """The whole prompt of a row, its messages one a line; "" if it has none."""
    turns = message_turns(first_value(row, PROMPTS))
    return "\n".join(str(turn.get("content")) for turn in turns) or first_text(row, PROMPTS)


def message_turns(value: Any) -> list[Json]:
    """The messages of a conversation; [] for another value."""
    return value if isinstance(value, list) and all(isinstance(turn, dict) for turn in value) else []


def choose_model(model: str, names: Iterable[str], path: Path) -> str:
    """The model to read from a file with several."""
    models = list(dict.fromkeys(names))
    if model in models:
        return model
    if not model and len(models) == 1:
        return models[0]
    hint = f"{path} holds the outputs of {len(models)} models; choose one with model=NAME."
    raise SkilldeltaError(
        f"{hint} {unknown_name('model', model, models)}" if model else f"{hint} There are: {', '.join(models)}."
    )
