"""skilldelta compare: from stored samples to tables and plots."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from harness.cli import options
from harness.cli.options import Allow, Baseline, Candidates, Correction, Json, Margin, ResultsFolders
from harness.cli.screen import note, print_json, print_wide_table, say, say_sentences
from harness.cli.suite_rule import Suite
from harness.cli.trackers import LogTo, log_comparison, open_session
from harness.own_packages import own_imports
from harness.visible_text import show_controls

if TYPE_CHECKING:
    from harness.comparison.result import Comparison

Order = Literal["steps", "decision"]
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
    holdout: options.Holdout = 0.0,
    suite: Suite = "",
    log_to: LogTo = None,
    order: Annotated[Order, typer.Option(help="Rows by training step, or from the best choice to the worst.")] = "steps",
    as_json: Json = False,
) -> None:
    """Tables of scores and differences with intervals; refuses results that cannot be compared."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # the products are small: idle threads would waste half the time
    from harness import api
    from harness.comparison.candidate_names import refuse_baseline

    refuse_baseline(results, baseline, candidate or ())
    settings = {"margin": margin, "allow": allow or [], "family": correction, "candidates": candidate or []}
    settings |= {"leave_out": leave_out or [], "only": only or [], "published": published_tables or []}
    settings |= {"holdout": holdout, "suite": suite}
    with open_session(log_to, results[0]) as session:
        comparison = api.compare(results, baseline, **settings)
        log_comparison(session, comparison, list(comparison.checkpoints))
    if order == "decision":
        from harness.comparison.decision import order_by_decision

        comparison = order_by_decision(comparison)
    if output:
        for path in write_reports(comparison, output):
            note(f"wrote {path}")
    if as_json:
        print_json(content_with_decision(comparison))
    else:
        print_comparison(comparison)


def write_reports(comparison: Comparison, folder: Path) -> list[Path]:
    """Every report, and comparison.json."""
    from harness import registry
    from harness.atomic_files import whole_files, write_json

    with own_imports():
        from reports.layout.labels import drawable_text

    with whole_files(folder) as draft:
        write_json(draft / "comparison.json", content_with_decision(comparison))
        paths = [draft / "comparison.json"]
        for name in registry.modules("reports"):
            paths += registry.module("reports", name).render(comparison, draft)
    if any(drawable_text(name) != show_controls(name) for name in comparison.checkpoints):
        note("No font here has some letters of the names: pictures show their code points (U+57FA).  Noto Sans CJK has them.")
    return [folder / path.relative_to(draft) for path in paths]


def content_with_decision(comparison: Comparison) -> dict[str, Any]:
    """The content of comparison.json."""
    from harness.comparison.decision import decide

    return {"decision": decide(comparison).json()} | comparison.json()


def print_comparison(comparison: Comparison) -> None:
    """Prints the decision, then the tables: the matrix, and details for up to MAX_DETAILED candidates."""
    from harness.comparison.decision import decide

    with own_imports():
        from reports.layout import published_tables, text_tables

    say_sentences(decide(comparison).sentence)
    say("")
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
        print_wide_table(table.columns, table.rows, title=table.title, right=right)
        say("")
    for text in (*comparison.warnings, *text_tables.notes(comparison), *published_tables.source_notes(comparison)):
        say_sentences(text)
    sys.stdout.flush()


VERBS = (compare_,)
