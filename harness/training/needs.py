"""The needs, product and costs of a trainer, declared in its file as `NEEDS` and read from there without importing torch."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from harness import registry
from harness.own_packages import ROOT
from harness.types import SkilldeltaError, unknown_name


@dataclass(frozen=True)
class Needs:
    """The part of a trainer that studies, cost estimates and help depend on.

    The costs are processor time per token of a row, as multiples of one training pass (forward and backward) of a model.
    """

    stage: str  # what a study's stage does, for people: "tune by DPO"
    data: Literal["texts", "conversations", "pairs", "prompts"]  # what a row of the training data is
    makes: Literal["base model", "SFT model", "reward model", "policy"]
    labels: bool = False  # does it learn from single answers with a label, and from pairs as two of them?
    reward_model: bool = False  # does it need --reward, the folder of a reward model?
    cost: float = 1.0  # of passes through the trained model, its reference and its sampling
    reward_cost: float = 0.0  # of passes through models that have the size of the reward model


def read_needs(method: str, folder: Path | None = None) -> Needs:
    """`NEEDS = Needs(...)` of the trainer `method`, from its file; the arguments are literals."""
    if folder is None and method not in (methods := registry.modules("trainers")):
        raise unknown_name("method", method, methods)
    file = (folder or ROOT / "harness" / "trainers") / f"{method}.py"
    for statement in registry.parse_source(file.read_text(encoding="utf-8"), file.name).body:
        if isinstance(statement, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "NEEDS" for t in statement.targets):
            return Needs(**literal_arguments(statement.value, file))
    example = 'NEEDS = Needs(stage="...", data="...", makes="...")'
    raise SkilldeltaError(f"{file} does not say what the method needs: add {example}.")


def literal_arguments(call: ast.expr, file: Path) -> dict[str, Any]:
    """The keyword arguments of a call, all of them literals."""
    if not isinstance(call, ast.Call) or call.args or any(k.arg is None for k in call.keywords):
        raise SkilldeltaError(f"NEEDS in {file} is not of the form Needs(name=value, ...), which is read without running it.")
    try:
        return {str(k.arg): ast.literal_eval(k.value) for k in call.keywords}
    except ValueError as error:
        raise SkilldeltaError(
            f"NEEDS in {file} holds a value that is no literal: write numbers, texts, True or False."
        ) from error
