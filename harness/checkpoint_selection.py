"""Which of the checkpoints of a run are taken: by step, the last ones, the best by the run's own log, or by name."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from harness.grouping import group_by
from harness.training_log import is_number, run_history
from harness.types import Checkpoint, SkilldeltaError

LOWER_IS_BETTER = re.compile(r"loss|error|perplexity|ppl|nll|kl(?![a-z])|wer\b", re.IGNORECASE)


@dataclass(frozen=True)
class Selection:
    """`steps`: FIRST:LAST:EVERY, or a list N,N,...  `last`: how many of each run, all adapters of a step counting as one.
    `best`: a metric, METRIC:min or METRIC:max.

    `match`: a pattern of names; `names`: of those that the others choose, only these.  `base` and `tokenizer`: folders that
    adapters, and all checkpoints, are loaded with.
    """

    steps: str = ""
    last: int = 0
    best: str = ""
    match: str = ""
    base: str = ""
    tokenizer: str = ""
    names: tuple[str, ...] = ()


def select_checkpoints(checkpoints: Sequence[Checkpoint], selection: Selection) -> list[Checkpoint]:
    """The checkpoints that the selection leaves.  SkilldeltaError where it leaves none."""
    left = list(checkpoints)
    if selection.match:
        left = [c for c in left if fnmatchcase(c.name, selection.match)]
    if selection.steps:
        is_among_steps = parse_steps(selection.steps)
        left = [c for c in left if c.step is not None and is_among_steps(c.step)]
    if selection.best:
        left = [c for run in runs_of(left) for c in best_of_run(run, selection.best)]
    if selection.last:
        if selection.last < 1:
            raise SkilldeltaError(f"--last {selection.last}: write 1 or more.")
        left = [c for run in runs_of(left) for step in steps_of(run)[-selection.last :] for c in step]
    if selection.names:
        left = [c for c in left if c.name in selection.names]
    if checkpoints and not left:
        names = ", ".join(c.name for c in checkpoints[:12]) + (", ..." if len(checkpoints) > 12 else "")
        raise SkilldeltaError(f"None of the {len(checkpoints)} checkpoints is chosen by these flags.  There are: {names}.")
    return left


def runs_of(checkpoints: Sequence[Checkpoint]) -> list[list[Checkpoint]]:
    """The checkpoints of each run, in their order; one without a run is a run of its own."""
    return list(group_by(checkpoints, lambda c: c.run or c.path).values())


def steps_of(run: Sequence[Checkpoint]) -> list[list[Checkpoint]]:
    """The checkpoints of each step of a run, in their order; peft may have saved several adapters at one.

    A checkpoint without a step is one of its own.
    """
    return list(group_by(run, lambda c: c.path if c.step is None else c.step).values())


def parse_steps(text: str) -> Callable[[int], bool]:
    """Whether a step is one of FIRST:LAST:EVERY (each may be left out; LAST belongs to it), or of a list."""
    try:
        if ":" not in text:
            numbers = {int(part) for part in text.split(",")}
            return lambda step: step in numbers
        parts = [int(part) if part.strip() else None for part in text.split(":")]
    except ValueError:
        parts = []
    if not 2 <= len(parts) <= 3 or (len(parts) == 3 and parts[2] is not None and parts[2] < 1):
        raise SkilldeltaError(f"--steps {text}: write FIRST:LAST, FIRST:LAST:EVERY or a list such as 100,200.")
    first, last, every = parts[0] or 0, parts[1], (parts[2] if len(parts) == 3 else None) or 1
    return lambda step: step >= first and (last is None or step <= last) and (step - first) % every == 0


def best_of_run(checkpoints: Sequence[Checkpoint], metric: str) -> list[Checkpoint]:
    """The checkpoints of a run at whose step the log has the best value of a metric; none of a run without numbered ones.

    SkilldeltaError where the log of a run does not have the metric.
    """
    candidates = [c for c in checkpoints if c.step is not None]
    if not candidates:
        return []
    key, _, direction = metric.partition(":")
    last = max(candidates, key=lambda c: c.step or 0)
    history = run_history(last.path, last.run)
    values = {int(e["step"]): float(e[key]) for e in history if is_number(e.get(key)) and is_number(e.get("step"))}
    steps = {c.step or 0 for c in candidates if c.step in values}
    if not steps:
        keys = sorted({k for e in history for k, v in e.items() if is_number(v) and k not in ("step", "epoch")})
        raise SkilldeltaError(
            f"The log of {Path(last.run).name} has no {key!r} at the steps of its checkpoints.  "
            f"It has: {', '.join(keys) or 'none'}."
        )
    lower = direction == "min" or (direction != "max" and bool(LOWER_IS_BETTER.search(key)))
    best = min(steps, key=lambda step: (values[step] * (1 if lower else -1), step))
    return [c for c in candidates if c.step == best]
