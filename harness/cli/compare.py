"""skilldelta compare: from stored samples to tables and plots."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.options import Allow, Baseline, Candidates, Correction, Json, Margin, ResultsFolders
from harness.cli.screen import note, print_json, print_table, say

if TYPE_CHECKING:
    from harness.comparison.result import Comparison

MAX_DETAILED = 4  # with more candidates, the screen shows no table of details for each


def compare_(
    results: ResultsFolders,
    baseline: Baseline,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A folder for tables, plots and the page.")] = None,
    allow: Allow = None,
    margin: Margin = 2.0,
    correction: Correction = "auto",
    candidate: Candidates = None,
    published_tables: Annotated[
        list[str] | None, typer.Option("--published", help="Also show published tables: STUDY or STUDY:TABLE; may be repeated.")
    ] = None,
    leave_out: Annotated[
        list[str] | None, typer.Option(help="Leave out examples: those found in a training run's data, or a file of ids.")
    ] = None,
    only: Annotated[list[str] | None, typer.Option(help="Count only these examples, named as for --leave-out.")] = None,
    as_json: Json = False,
) -> None:
    """Tables of scores and differences with intervals; refuses results that cannot be compared."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # the products are small: idle threads would waste half the time
    from harness import api

    settings = {"margin": margin, "allow": allow or [], "family": correction, "candidates": candidate or []}
    settings |= {"leave_out": leave_out or [], "only": only or [], "published": published_tables or []}
    comparison = api.compare(results, baseline, **settings)
    if output:
        for path in write_reports(comparison, output):
            note(f"wrote {path}")
    if as_json:
        print_json(comparison.json())
    else:
        print_comparison(comparison)


def write_reports(comparison: Comparison, folder: Path) -> list[Path]:
    """Every report, and comparison.json."""
    from harness import registry

    folder.mkdir(parents=True, exist_ok=True)
    comparison.write(folder / "comparison.json")
    paths = [folder / "comparison.json"]
    for name in registry.modules("reports"):
        paths += registry.module("reports", name).render(comparison, folder)
    return paths


def print_comparison(comparison: Comparison) -> None:
    """Prints the tables: the matrix, and details for up to MAX_DETAILED candidates."""
    from reports.layout import published_tables, text_tables

    candidates = len(comparison.checkpoints) - 1
    tables = text_tables.all_tables(comparison)
    if candidates == 1:
        tables = [t for t in tables if t.title != text_tables.MATRIX_TITLE]
    elif candidates > MAX_DETAILED:
        tables = [t for t in tables if t.columns != text_tables.DETAIL_COLUMNS]
    for table in (*tables, *published_tables.render_tables(comparison)):
        numeric = (
            text_tables.numeric_columns(table) if table.title != text_tables.MATRIX_TITLE else [False] * len(table.columns)
        )
        right = [column for column, is_number in zip(table.columns, numeric, strict=True) if is_number]
        print_table(table.columns, table.rows, title=table.title, right=right)
        say("")
    for text in (*comparison.warnings, *text_tables.notes(comparison), *published_tables.source_notes(comparison)):
        say(text)
    sys.stdout.flush()


VERBS = (compare_,)
