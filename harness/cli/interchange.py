"""skilldelta import, export: other harnesses' logs in, their formats out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.options import Json, Output
from harness.cli.progress import PlainProgress
from harness.cli.score import print_outcomes
from harness.cli.screen import note, print_json
from harness.types import SkilldeltaError

MAX_PATHS = 12  # paths that are named


def import_(
    files: Annotated[list[Path], typer.Argument(help="Logs, or folders of them.")],
    output: Output = Path("results"),
    from_: Annotated[
        str, typer.Option("--from", help="Their format (`skilldelta list importers`); auto: by their content.")
    ] = "auto",
    name: Annotated[str, typer.Option(help="The checkpoint's name in the results; default: as the log names it.")] = "",
    skill: Annotated[list[str] | None, typer.Option(help="TASK=SKILL, for tasks whose skill is not known.")] = None,
    as_json: Json = False,
) -> None:
    """Other harnesses' logs, with the scores that they gave, as results to compare."""
    from harness.interchange.import_logs import import_logs
    from harness.interchange.import_options import ImportOptions
    from harness.store import Results

    choices = ImportOptions(from_, name, dict(pair(s) for s in skill or ()))
    print_outcomes(import_logs(files, Results.make(output), choices), output, as_json, PlainProgress())


def export(
    results: Annotated[Path, typer.Argument(help="A results folder.")],
    to: Annotated[str, typer.Option(help="lm-eval, hub, csv or nel (`skilldelta list exporters`).")],
    output: Annotated[Path, typer.Option("--output", "-o", help="A new folder.")] = Path("export"),
    checkpoint: Annotated[list[str] | None, typer.Option(help="Only these checkpoints; default: all there are.")] = None,
    as_json: Json = False,
) -> None:
    """Results in other programs' formats."""
    from harness.interchange import export_results

    paths = [str(p) for p in export_results.export_results(results, to, output, checkpoint or ())]
    if as_json:
        print_json(paths)
        return
    for path in paths[:MAX_PATHS]:
        note(f"wrote {path}")
    if len(paths) > MAX_PATHS:
        note(f"... and {len(paths) - MAX_PATHS} more files in {output}")


def pair(text: str) -> tuple[str, str]:
    task, equals, skill = text.rpartition("=")
    if not equals or not task or not skill:
        raise SkilldeltaError(f"--skill {text}: write TASK=SKILL.")
    return task, skill


VERBS = (import_, export)
