"""From what each instruction of a row says of a response to its score: IFEval's and IFBench's."""

from __future__ import annotations

from collections.abc import Sequence

from harness.types import Metric, Score

METRICS = (
    Metric("prompt_strict", part="strict"),
    Metric("instruction_loose", part="followed", over="instructions"),
    Metric("instruction_strict", part="followed_strictly", over="instructions"),
)


def score_instructions(names: Sequence[str], strict: Sequence[bool], loose: Sequence[bool]) -> Score:
    """1 if every instruction is followed, loosely read; the parts count instructions."""
    missed_names = [name for name, follows in zip(names, loose, strict=True) if not follows]
    parts = {
        "strict": float(all(strict)),
        "followed": float(sum(loose)),
        "followed_strictly": float(sum(strict)),
        "instructions": float(len(names)),
    }
    summary = f"missed {', '.join(missed_names)}" if missed_names else "all followed"
    return Score(float(all(loose)), extracted=summary, parts=parts)
