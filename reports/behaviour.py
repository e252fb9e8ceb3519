"""Behaviour: what answers are like, for every generated task of a comparison (behaviour.csv), and for a user's own prompts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.behaviour.choice_calibration import CalibrationRow, calibrate
from harness.behaviour.panel import BehaviourRow, is_generated, measure_behaviour
from harness.comparison import subset
from harness.comparison.load import load_results
from harness.csv_files import write_csv
from harness.store import Results
from reports.layout import drawing
from reports.layout.behaviour_plot import draw_behaviour
from reports.layout.behaviour_tables import calibration_table, measure_table
from reports.layout.text_tables import TextTable

if TYPE_CHECKING:
    from harness.behaviour.run import BehaviourReport
    from harness.comparison.load import LoadedResults
    from harness.comparison.result import Comparison

PAGE_TABLES = "Behaviour"  # the heading of this report's tables on the page
MOST = 250  # examples of a task that are measured: rules of words cost milliseconds each
Panels = tuple[list[BehaviourRow], list[CalibrationRow]]
_last: list[tuple[object, Panels]] = []


def render(comparison: Comparison, folder: Path) -> list[Path]:
    """Writes behaviour.csv; nothing where no task was answered in words."""
    rows, _ = measure_comparison(comparison)
    return [write_rows(rows, folder / "behaviour.csv")] if rows else []


def page_tables(comparison: Comparison) -> list[TextTable]:
    """A table for each task that is answered in words, and one of the calibration on tasks of choices."""
    rows, calibrations = measure_comparison(comparison)
    tables = []
    for task in dict.fromkeys(row.task for row in rows):
        of_task = [row for row in rows if row.task == task]
        n = max(row.value.pairs for row in of_task)
        tables.append(measure_table(task, of_task, f", {n} paired answers" if n else ""))
    table = calibration_table(calibrations)
    return [*tables, *([table] if table else [])]


def measure_comparison(comparison: Comparison) -> Panels:
    """The panels of all tasks.  Kept for the last comparison: the page and the file show the same."""
    if _last and _last[0][0] is comparison:
        return _last[0][1]
    results, level = load_cells(comparison), comparison.settings.level
    rows: list[BehaviourRow] = []
    calibrations: list[CalibrationRow] = []
    for task in results.tasks:
        if is_generated(results, task):
            rows += measure_behaviour(results, task, stored_rows(results, task), level, MOST)
        else:
            calibrations += calibrate(results, task, level)
    _last[:] = [(comparison, (rows, calibrations))]
    return rows, calibrations


def load_cells(comparison: Comparison) -> LoadedResults:
    """The cells that the comparison was made from."""
    records = comparison.checkpoints.values()
    folders = dict.fromkeys(folder for record in records for folder in (record.results, *record.elsewhere))
    candidates = [name for name in comparison.checkpoints if name != comparison.baseline]
    results = load_results([Path(folder) for folder in folders], comparison.baseline, candidates)
    settings = comparison.settings
    if example_filter := subset.read_filter(settings.leave_out, settings.only):
        results, _ = subset.apply_filter(results, example_filter)
    return results


def stored_rows(results: LoadedResults, task: str) -> dict[str, dict[str, object]]:
    """The rows of a task, from the folder of the baseline's cell."""
    return {k: dict(v) for k, v in Results(results.cells[results.baseline, task].cell.folder.parent.parent).rows(task).items()}


def write_rows(rows: Sequence[BehaviourRow], path: Path) -> Path:
    """A line for each task, checkpoint and measure."""
    flat = [row.to_json() for row in rows]
    return write_csv(path, flat[0], [list(line.values()) for line in flat])


def write_report(report: BehaviourReport, folder: Path) -> list[Path]:
    """The page, its plot, its tables and numbers: index.html, and behaviour.png, .svg, .md, .csv and .json; all or none."""
    from harness.atomic_files import whole_files

    with whole_files(folder) as draft:
        paths = write_files(report, draft)
    return [folder / path.relative_to(draft) for path in paths]


def write_files(report: BehaviourReport, folder: Path) -> list[Path]:
    """The files of a report, one after another."""
    from harness.atomic_files import write_json
    from harness.comparison.result import without_nan
    from reports.layout.behaviour_page import behaviour_document, behaviour_page

    write_json(folder / "behaviour.json", without_nan(report.to_json()))
    index = folder / "index.html"
    index.write_text(behaviour_page(report), encoding="utf-8", newline="\n")
    document = folder / "behaviour.md"
    document.write_text(behaviour_document(report), encoding="utf-8", newline="\n")
    paths = [index, document, folder / "behaviour.json", write_rows(report.rows, folder / "behaviour.csv")]
    figure = draw_behaviour(report.rows, report.baseline)
    return [*paths, *(drawing.save_figure(figure, folder, "behaviour") if figure else [])]
