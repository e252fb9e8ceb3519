"""What a checkpoint keeps of its training, read back: a file that is damaged, or another run's, is refused by its name.

Nothing is trained on from a state that does not fit: moments of another shape end the process, and a number that is none, or
another step, would change the weights without a word.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch

from harness.bounded_files import UnreadableFileError, explain_no_file, read_json
from harness.engine.memory import is_out_of_memory
from harness.typed_fields import check_fields
from harness.types import Json, SkilldeltaError
from harness.visible_text import first_line, printable

STATE = "trainer_state.json"
NAME = re.compile(r"checkpoint-[0-9]{1,15}")
ANEW = "Name another --output, or start again with --resume false, which removes the checkpoints of this folder."
DAMAGES = (SkilldeltaError, LookupError, TypeError, ValueError, AttributeError, OverflowError, RuntimeError, MemoryError)
# Parts of run.json that not every run or version has.
LATER: dict[str, Any] = {"method": "", "base": {}, "reward_model": {}, "files": {}}


@dataclass(frozen=True)
class SavedRun:
    """run.json, as far as a run that goes on reads it."""

    config: dict[str, Any]
    status: str
    data: list[dict[str, Any]]
    method: str
    base: dict[str, Any]
    reward_model: dict[str, Any]
    files: dict[str, str]


@dataclass(frozen=True)
class SavedCosts:
    """What the run cost so far (see `costs`)."""

    flops: float
    tokens: int
    seconds: dict[str, float]


@dataclass(frozen=True)
class SavedProgress:
    """trainer_state.json, as far as a run that goes on reads it."""

    global_step: int
    log_history: list[dict[str, int | float | None]]
    best: tuple[float, str] | None  # (metric, checkpoint's name)
    carried: dict[str, float]  # a trainer's own numbers
    costs: SavedCosts


@contextmanager
def naming_damage(place: Path) -> Iterator[None]:
    """SkilldeltaError, with the place and the ways out, for whatever a file's content makes of the code that takes it over."""
    try:
        yield
    except DAMAGES as error:
        if is_out_of_memory(error):
            why = f"{place} cannot be continued: memory ran out ({printable(first_line(error))[:300]})."
            raise SkilldeltaError(f"{why}\nFree some, and give the same command again.  {ANEW}") from error
        is_plain = isinstance(error, SkilldeltaError)
        reason = (
            first_line(error).rstrip(".") if is_plain else f"its files do not hold what a trainer writes ({first_line(error)})"
        )
        earlier = "Remove it, and the run goes on from the checkpoint before it.  " if place.is_dir() else ""
        raise SkilldeltaError(f"{place} cannot be continued: {printable(reason)[:300]}.\n{earlier}{ANEW}") from error


def read_run(file: Path) -> SavedRun:
    """What run.json says.  SkilldeltaError where it is damaged."""
    with naming_damage(file):
        run: SavedRun = build(SavedRun, LATER | read_json(file))
        if not run.data or not all(isinstance(entry.get(key), str) for entry in run.data for key in ("source", "sha256")):
            raise UnreadableFileError("it does not name the data of the run by their hashes")
        return run


def read_progress(checkpoint: Path) -> SavedProgress:
    """What a checkpoint says of the run so far.  SkilldeltaError where it is damaged, or of another step."""
    with naming_damage(checkpoint):
        state = read_json(checkpoint / STATE)
        own = state["stateful_callbacks"]["skilldelta"]
        costs: SavedCosts = build(SavedCosts, own["costs"])
        if min(costs.flops, costs.tokens, *costs.seconds.values()) < 0:
            raise UnreadableFileError("its costs are below 0")
        place = state["best_model_checkpoint"]
        best = (state["best_metric"], Path(place).name) if place else None
        progress: SavedProgress = build(SavedProgress, state | {"best": best, "carried": own["carried"], "costs": costs})
        if best and not NAME.fullmatch(best[1]):
            raise UnreadableFileError(f"{STATE} names {best[1]!r} the best checkpoint")
        if not checkpoint.name.endswith(f"-{progress.global_step}"):
            raise UnreadableFileError(f"{STATE} is of step {progress.global_step}")
        return progress


def read_costs(folder: Path) -> SavedCosts | None:
    """What the training of a model cost; None where none of these trainers made it.  SkilldeltaError for a damaged file."""
    file = folder / STATE
    if not file.is_file():
        return None
    state: Any = None
    try:
        state = read_json(file)
        for key in ("stateful_callbacks", "skilldelta", "costs"):
            state = state.get(key) or {}
        costs: SavedCosts | None = build(SavedCosts, state) if state else None
    except DAMAGES as error:
        reason = printable(first_line(error).rstrip("."))[:300]
        raise SkilldeltaError(f"{file} is damaged: it does not say what the training cost ({reason}).") from error
    return costs


def build(kind: type[Any], content: Json) -> Any:
    """A dataclass of the values that a file has for its fields.  KeyError or SkilldeltaError for one that does not fit."""
    return kind(**check_fields(kind, {field.name: content[field.name] for field in fields(kind)}))


def read_random_state(checkpoint: Path) -> torch.Tensor:
    """The state of the random numbers.  SkilldeltaError where it is damaged."""
    with naming_damage(checkpoint):
        state = read_tensors(checkpoint / "rng_state.pth")["cpu"]
        torch.Generator().set_state(state)  # it refuses what is none
        return torch.as_tensor(state)


def read_tensors(file: Path) -> Any:
    """What torch saved in a file.  UnreadableFileError for what is no ordinary file, or half of one."""
    if fault := explain_no_file(file):
        raise UnreadableFileError(fault)
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # torch, zip and pickle raise many kinds for a damaged file
        if is_out_of_memory(error):
            raise
        raise UnreadableFileError(f"{file.name} is damaged, or torch did not write it") from error
