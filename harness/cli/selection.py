"""Options that choose checkpoints: which of a run, and what they are loaded with; and what becomes of earlier answers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from harness.checkpoint_selection import Selection

CHECKPOINTS = "Which checkpoints, and what they are loaded with"


def choice(*names: str, text: str) -> Any:
    return typer.Option(*names, help=text, rich_help_panel=CHECKPOINTS)


@dataclass(frozen=True)
class SelectionOptions:
    """Which checkpoints of a folder are taken, and what they are loaded with."""

    steps: Annotated[str, choice("--steps", text="Of each run only these steps: FIRST:LAST:EVERY, or 100,200.")] = ""
    last: Annotated[int, choice("--last", text="Of each run only the last N checkpoints; 0: all.")] = 0
    best: Annotated[
        str, choice("--best", text="Of each run only the step with the best METRIC in its own log; METRIC:min, METRIC:max.")
    ] = ""
    match: Annotated[str, choice("--match", text="Only checkpoints whose name fits this pattern, such as 'dpo*'.")] = ""
    base: Annotated[str, choice("--base", text="The folder of the base of adapters whose base is not where they say.")] = ""
    tokenizer: Annotated[str, choice("--tokenizer", text="The folder of another tokenizer than the checkpoints' own.")] = ""

    def selection(self) -> Selection:
        from harness.checkpoint_selection import Selection

        return Selection(self.steps, self.last, self.best, self.match, self.base, self.tokenizer)


@dataclass(frozen=True)
class EarlierAnswerOptions:
    """What becomes of answers that are stored already."""

    ask_again: Annotated[
        bool, typer.Option("--ask-again", help="Replace stored answers that were asked for otherwise, instead of refusing.")
    ] = False
    exact_resume: Annotated[
        bool,
        typer.Option(
            "--exact-resume",
            help="Ask unfinished blocks whole after an interruption: the bytes of an undisturbed run, for more questions.",
        ),
    ] = False
    reuse: Annotated[
        list[Path] | None,
        typer.Option(
            "--reuse", help="A further results folder: its answers of the same checkpoint to the same questions count."
        ),
    ] = None

    def settings(self) -> dict[str, Any]:
        """Fields of EvaluationSettings."""
        return {"ask_again": self.ask_again, "exact_resume": self.exact_resume, "reuse": tuple(self.reuse or ())}
