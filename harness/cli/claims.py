"""skilldelta claims: what a study says of the claims that were published."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.inspect import Json
from harness.cli.screen import note, say, say_json


def claims(
    study: Annotated[Path, typer.Argument(help="A study's folder (it holds study.json).")],
    file: Annotated[str, typer.Option(help="A YAML file of claims, or the name of one that comes along.")] = "claims",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A folder for it all; default: STUDY/report.")] = None,
    family: Annotated[str, typer.Option(help="Correction for many tests: holm, bh or none.")] = "holm",
    as_json: Json = False,
) -> None:
    """The published claims, tested on a study's stored results: supported, contradicted, or not decided at this scale."""
    from harness.studies.claims import report, written

    found = report.of(study, file, report.family(family))
    for path in written(found, output or study / "report"):
        note(f"wrote {path}")
    if as_json:
        say_json(report.json(found))
    else:
        say(report.text(found.findings))


VERBS = (claims,)
