"""skilldelta import, export: other harnesses' logs in, their formats out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.inspect import Json
from harness.cli.score import Output, finish
from harness.cli.screen import Lines
from harness.types import SkilldeltaError


def import_(
    files: Annotated[list[Path], typer.Argument(help="Logs, or folders of them.")],
    output: Output = Path("results"),
    from_: Annotated[str, typer.Option("--from", help="Their format (`skilldelta list importers`); default: seen.")] = "auto",
    name: Annotated[str, typer.Option(help="The checkpoint's name in the results; default: as the log names it.")] = "",
    skill: Annotated[list[str] | None, typer.Option(help="TASK=SKILL, for tasks whose skill is not known.")] = None,
    as_json: Json = False,
) -> None:
    """Other harnesses' logs, with the scores that they gave, as results to compare."""
    from harness import importing
    from harness.store import Results

    choices = importing.Choices(from_, name, dict(pair(s) for s in skill or ()))
    finish(importing.bring(files, Results.make(output), choices), output, as_json, Lines())


def pair(text: str) -> tuple[str, str]:
    task, equals, skill = text.rpartition("=")
    if not equals or not task or not skill:
        raise SkilldeltaError(f"--skill {text}: write TASK=SKILL.")
    return task, skill


VERBS = (import_,)
