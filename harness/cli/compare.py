"""skilldelta compare: from stored samples to tables and plots."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.inspect import Json
from harness.cli.screen import note, say, say_json, table

if TYPE_CHECKING:
    from harness.comparison.result import Comparison

WIDE = 4  # up to so many candidates each gets its detailed table on the screen


def compare(
    results: Annotated[list[Path], typer.Argument(help="Results folders.")],
    baseline: Annotated[str, typer.Option(help="The checkpoint that the others are compared with.")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A folder for tables, plots and the page.")] = None,
    allow: Annotated[list[str] | None, typer.Option(help="Accept a named difference in how results were made.")] = None,
    margin: Annotated[float, typer.Option(help="Points: a difference shown to be smaller than this is none.")] = 2.0,
    family: Annotated[str, typer.Option(help="Correction for many tests: auto, holm, max-t, bh or none.")] = "auto",
    candidate: Annotated[list[str] | None, typer.Option(help="Only these checkpoints; default: all there are.")] = None,
    published: Annotated[list[str] | None, typer.Option(help="STUDY or STUDY:TABLE: others' tables beside one's own.")] = None,
    leave_out: Annotated[
        list[str] | None, typer.Option(help="A training run whose data gave examples away, or ids in a file: not counted.")
    ] = None,
    only: Annotated[list[str] | None, typer.Option(help="The same, and only these examples count.")] = None,
    as_json: Json = False,
) -> None:
    """Comparison tables and per-skill deltas: paired, with intervals, comparable or refused."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # small products: waiting threads would burn half the time
    from harness import api

    choices = {"margin": margin, "allow": allow or [], "family": family, "candidates": candidate or []}
    choices |= {"leave_out": leave_out or [], "only": only or []}
    found = api.compare(results, baseline, published=published or [], **choices)
    if output:
        for path in write(found, output):
            note(f"wrote {path}")
    if as_json:
        say_json(found.json())
    else:
        show(found)


def write(comparison: Comparison, folder: Path) -> list[Path]:
    """Every report, and comparison.json."""
    from harness import registry

    folder.mkdir(parents=True, exist_ok=True)
    comparison.write(folder / "comparison.json")
    paths = [folder / "comparison.json"]
    for name in registry.modules("reports"):
        paths += registry.module("reports", name).render(comparison, folder)
    return paths


def show(comparison: Comparison) -> None:
    """The tables on the screen: the matrix, and for few candidates every detail."""
    from reports import published_table, text_tables

    candidates = len(comparison.checkpoints) - 1
    shown = text_tables.tables(comparison)
    if candidates == 1:
        shown = [t for t in shown if t.title != text_tables.MATRIX]
    elif candidates > WIDE:
        shown = [t for t in shown if t.columns != text_tables.DETAIL]
    for one in (*shown, *published_table.tables(comparison)):
        numbers = text_tables.numeric(one) if one.title != text_tables.MATRIX else [False] * len(one.columns)
        table(one.columns, one.rows, title=one.title, right=[c for c, n in zip(one.columns, numbers, strict=True) if n])
        say("")
    for text in (*comparison.noticed, *text_tables.foot(comparison), *published_table.foot(comparison)):
        say(text)
    sys.stdout.flush()


VERBS = (compare,)
