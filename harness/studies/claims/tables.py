"""Tables of recipes in the shape of the published ones: mean scores with intervals, published cells beside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness import published
from harness.statistics import training_variance
from harness.statistics.training_variance import Recipe
from harness.studies.claims import claims_file, contrast, measures
from harness.studies.claims.claims_file import ACCURACY, AVERAGE, BEST_OF_N, Known, Row, Sheet
from harness.studies.claims.contrast import NotRun
from harness.studies.claims.grid import Entry
from harness.studies.claims.measures import SCORE, Book
from harness.types import SKILLS

LEVEL, POINTS = 0.95, 100
ALONE = {ACCURACY: "rewardbench", BEST_OF_N: BEST_OF_N}  # what a reward model shows alone: the published column


@dataclass(frozen=True)
class Cell:
    """A score in points, with its interval over items and runs; None: not measured.  `published` stands beside it."""

    score: float | None = None
    low: float | None = None
    high: float | None = None
    published: float | None = None


@dataclass(frozen=True)
class Line:
    """A recipe: its labels that apply, its runs, a cell for each column of the table."""

    recipe: str
    runs: int
    cells: tuple[Cell, ...]
    published: str = ""  # the published row, in words


@dataclass(frozen=True)
class Table:
    name: str
    title: str
    columns: tuple[str, ...]
    lines: tuple[Line, ...]

    def json(self) -> list[dict[str, Any]]:
        return [
            {"table": self.name, "recipe": line.recipe, "runs": line.runs, "column": column, **vars(cell)}
            for line in self.lines
            for column, cell in zip(self.columns, line.cells, strict=True)
        ]


def made(book: Book, found: Sheet) -> list[Table]:
    """The tables of a file of claims that have a recipe in this study."""
    tables = []
    for table in found.tables:
        columns = (*(ALONE if table.rewards else ()), AVERAGE, *skills(book))
        lines = tuple(line for row in table.rows for line in lines_of(book, found, row, columns))
        if lines:
            tables.append(Table(table.name, table.title, columns, lines))
    return tables


def skills(book: Book) -> list[str]:
    """The skills that were asked about, in the study's order."""
    there = book.answers.stored.skills()
    return sorted(there, key=lambda s: (SKILLS.index(s), "") if s in SKILLS else (len(SKILLS), s))


def lines_of(book: Book, found: Sheet, row: Row, columns: Sequence[str]) -> list[Line]:
    """A line for every recipe of a selection."""
    try:
        recipes = contrast.by(contrast.chosen(book.grid.cells, row.these), lambda e: e.recipe)
    except NotRun:
        return []
    beside = {c: cell_of(found, row, c) for c in columns}
    told = words(row)
    return [
        Line(runs[0].words, len(runs), tuple(cell(book, runs, c, beside[c]) for c in columns), told)
        for runs in recipes.values()
    ]


def words(row: Row) -> str:
    """The published row that stands beside a line."""
    return (row.published.note or ", ".join(row.published.row)) if row.published else ""


def cell_of(found: Sheet, row: Row, column: str) -> Known | None:
    """The published cell of a column, where its table has that column."""
    cite, name = row.published, ALONE.get(column, column)
    if cite is None or name not in published.load(found.published).table(cite.table).written.columns:
        return None
    return claims_file.figure(found, cite, [name])


def cell(book: Book, runs: Sequence[Entry], column: str, beside: Known | None) -> Cell:
    known = beside.value if beside else None
    try:
        low, score, high = alone(book, runs, column) if column in ALONE else policy(book, runs, column)
    except NotRun:
        return Cell(published=known)
    return Cell(POINTS * score, POINTS * low, POINTS * high, known)


def policy(book: Book, runs: Sequence[Entry], column: str) -> tuple[float, float, float]:
    """(low, mean, high) of a skill, or the average, over the runs of a recipe."""
    tasks = book.columns([column])
    laid = tuple(book.values(c, runs) for c in tasks)
    known = book.prior(runs[0], tasks) if len(runs) > 1 else None
    return bounded(training_variance.together([Recipe("", laid, prior=known)], np.array(list(tasks.values())), LEVEL))


def alone(book: Book, runs: Sequence[Entry], column: str) -> tuple[float, float, float]:
    """The same of the reward models of a recipe's runs; without one, of the first of n answers."""
    made_by = [r for e in runs if (r := book.grid.reward_of(e))]
    if column == BEST_OF_N:
        names = [r.name for r in made_by] or [book.best_of.baseline]
        tasks = book.best_of.tasks([AVERAGE])
        laid = tuple(book.best_of.laid((SCORE, t), names) for t in tasks)
        return bounded(training_variance.together([Recipe("", laid)], np.array(list(tasks.values())), LEVEL))
    if not made_by:
        raise NotRun("no reward model")
    shares = {r: 1 / len(made_by) for r in made_by}
    found = training_variance.together([Recipe("", (np.array([[measures.accuracy(r)] for r in made_by]),))], np.ones(1), LEVEL)
    return bounded(training_variance.widened(found, measures.sampling((ACCURACY, ""), shares), LEVEL))


def bounded(found: training_variance.Between) -> tuple[float, float, float]:
    return max(0.0, found.interval.low), found.delta, min(1.0, found.interval.high)
