"""A comparison as tables of text: checkpoints by skill, the details of each candidate, and the notes beneath."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from harness.comparison import termination
from harness.comparison.number_format import (
    ABSENT,
    MARKS,
    format_difference,
    format_interval,
    format_number,
    format_p_value,
    format_verdict,
)
from harness.mean_rules import HABIT
from harness.types import SKILLS

if TYPE_CHECKING:
    from harness.comparison.result import Comparison, Level, MetricValue, Row

MATRIX_TITLE = "Scores, and differences from the baseline"
DETAIL_COLUMNS = ("", "n", "baseline", "score", "difference", "p", "p adj.", "detectable", "lost / gained", "verdict")
WORD = re.compile(r"(?!^nf$)[a-z]{2}")  # "nf", not found, stands for a number
MAX_ONE_LINE_COLUMNS = 4  # beyond, an interval has a line of its own
HABIT_VERDICTS = {"better": "more often", "worse": "less often"}
MAX_EQUALS = 4  # names that the table of the best lists
READING_GUIDE = (
    "Points from 0 to 100. Brackets: 95 % intervals. Differences are paired item by item, over the items that both "
    "checkpoints have a score for. An interval is about its own number alone; the mark is corrected for all the tests. "
    "▲ better, ▼ worse, = no difference beyond the margin, · inconclusive."
)


@dataclass(frozen=True)
class TextTable:
    """A table of finished texts; a line break in a cell begins a new line of it."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def all_tables(comparison: Comparison) -> list[TextTable]:
    """Every table of a comparison, in the order of reading."""
    matrix, details = score_matrix(comparison), detail_tables(comparison)
    ends = (termination_table(comparison), health_table(comparison))
    optional = (best_table(comparison), metrics_table(comparison), *ends)
    return [matrix, *details, *(table for table in optional if table)]


def numeric_columns(table: TextTable) -> tuple[bool, ...]:
    """Which columns hold numbers and no words: those stand flush right.  The first names the rows."""
    columns = zip(*table.rows, strict=True)
    return tuple(index > 0 and any(cells) and not any(map(WORD.search, cells)) for index, cells in enumerate(columns))


def matrix_columns(comparison: Comparison) -> list[tuple[Level, str]]:
    """(level, name) of the matrix's columns: the average first, then the skills."""
    columns = dict.fromkeys((r.level, r.name) for r in comparison.rows if r.level != "task")
    return sorted(columns, key=lambda column: (column[0] != "average", skill_order(column[1])))


def skill_order(skill: str) -> tuple[int, str]:
    """A key to sort skills by: the study's six in its order, then others by name."""
    return (SKILLS.index(skill), "") if skill in SKILLS else (len(SKILLS), skill)


def score_matrix(comparison: Comparison, tall: bool | None = None) -> TextTable:
    """One row a checkpoint, one column the average and each skill: score, and under it the difference.

    `tall`: the interval on a line of its own; by default where there are many columns.
    """
    columns = matrix_columns(comparison)
    tall = len(columns) > MAX_ONE_LINE_COLUMNS if tall is None else tall
    by_key = {(r.checkpoint, r.level, r.name): r for r in comparison.rows}
    rows = []
    for checkpoint in comparison.checkpoints:
        label = f"{checkpoint} (baseline)" if checkpoint == comparison.baseline else checkpoint
        rows.append((label, *(matrix_cell(by_key.get((checkpoint, *column)), tall) for column in columns)))
    return TextTable(MATRIX_TITLE, ("checkpoint", *(name for _, name in columns)), tuple(rows))


def matrix_cell(row: Row | None, tall: bool) -> str:
    if row is None:
        return ABSENT
    score = format_number(row.score)
    if (d := row.difference) is None:
        return f"{score}\n{format_interval(row.score_low, row.score_high)}"
    if not tall:
        return f"{score}\n{format_difference(d)}"
    delta = f"{format_number(d.delta, signed=True)} {MARKS[d.verdict]}"
    return f"{score}\n{delta}\n{format_interval(d.delta_low, d.delta_high, signed=True)}"


def detail_tables(comparison: Comparison) -> Iterator[TextTable]:
    """For each candidate a table with a line for the average, each skill, and under it its tasks."""
    baseline_scores = {(r.level, r.name): r.score for r in comparison.rows if r.checkpoint == comparison.baseline}
    for checkpoint in comparison.checkpoints:
        if checkpoint == comparison.baseline:
            continue
        own = [r for r in comparison.rows if r.checkpoint == checkpoint]
        rows = tuple(detail_row(r, own, baseline_scores.get((r.level, r.name))) for r in nest_tasks(own))
        if rows:  # a candidate without samples of anything has none
            yield TextTable(f"{checkpoint} against {comparison.baseline}", DETAIL_COLUMNS, rows)


def nest_tasks(rows: Sequence[Row]) -> Iterator[Row]:
    """The average, then each skill, and under it its tasks where it has several; then tasks that measure a habit."""
    yield from (r for r in rows if r.level == "average")
    for skill in sorted((r for r in rows if r.level == "skill"), key=lambda r: skill_order(r.name)):
        yield skill
        tasks = [r for r in rows if r.level == "task" and r.skill == skill.name]
        yield from tasks if len(tasks) > 1 else ()
    yield from (r for r in rows if r.level == "task" and r.skill == HABIT)


def detail_row(row: Row, rows: Sequence[Row], baseline_score: float | None) -> tuple[str, ...]:
    """One line of a candidate's details; `rows` are all of the candidate's."""
    task = only_task(row, rows)
    name = f"  {row.name}" if row.level == "task" else f"{row.name}: {task.name}" if task else row.name
    cells = (name, str(row.n), format_number(baseline_score), format_number(row.score))
    if (d := row.difference) is None:
        return (*cells, "", "", "", "", "", "")
    if task and task.difference:  # the task's difference counts lost and gained samples; its skill's corrects for the tests
        d = replace(d, flips=task.difference.flips)
    flips = f"{d.flips.lost} / {d.flips.gained}" if d.flips else ""
    p_values = (format_p_value(d.p), format_p_value(d.p_adjusted))
    verdict = HABIT_VERDICTS.get(d.verdict, format_verdict(d.verdict)) if row.skill == HABIT else format_verdict(d.verdict)
    return (*cells, format_difference(d), *p_values, format_number(d.mde), flips, verdict)


def only_task(row: Row, rows: Sequence[Row]) -> Row | None:
    """The row of a skill's task where the skill has exactly one."""
    tasks = [r for r in rows if r.level == "task" and row.level == "skill" and r.skill == row.name]
    return tasks[0] if len(tasks) == 1 else None


def best_table(comparison: Comparison) -> TextTable | None:
    """The highest of several candidates, on average and on each skill; None for one candidate."""
    rows = []
    for best in sorted(comparison.best, key=lambda b: (b.level != "average", skill_order(b.name))):
        equals = [c for c in best.equals if c != best.checkpoint]
        more = f" and {len(equals) - MAX_EQUALS} more" if len(equals) > MAX_EQUALS else ""
        estimate = f"{format_number(best.corrected)} {format_interval(best.low, best.high)}"
        probability = f"{100 * best.probability.get(best.checkpoint, 0.0):.0f} %"
        names = ", ".join(equals[:MAX_EQUALS]) + more or "none"
        rows.append((best.name, best.checkpoint, format_number(best.score), estimate, probability, names))
    columns = ("", "highest", "observed", "corrected for the selection",
               "probability of being highest", "indistinguishable from it")  # fmt: skip
    return TextTable("The best of the candidates", columns, tuple(rows)) if rows else None


def metrics_table(comparison: Comparison) -> TextTable | None:
    """The further metrics of tasks; None where no task has any."""
    rows = []
    for row in comparison.rows:
        for m in row.metrics:
            name = m.name + (" (lower is better)" if m.lower_is_better else "")
            value = f"{format_number(m.value)} {format_interval(m.low, m.high)}"
            interval = format_interval(m.delta_low, m.delta_high, signed=True)
            difference = "" if m.delta is None else f"{format_number(m.delta, signed=True)} {interval}"
            rows.append((row.checkpoint, row.name, name, value, difference))
    columns = ("checkpoint", "task", "metric", "value", "difference")
    return TextTable("Further metrics", columns, tuple(rows)) if rows else None


def termination_table(comparison: Comparison) -> TextTable | None:
    """How responses end, with differences to the baseline, for tasks with reasoning, loops, cut or unclosed texts; else None.

    A share that is nowhere 1 % or more, and reasoning that nobody wrote, stay blank.
    """
    names = [m.name for m in termination.METRICS]
    largest: dict[tuple[str, str], float] = {}  # by task and name
    for row in comparison.at("task"):
        for m in row.termination:
            largest[row.name, m.name] = max(largest.get((row.name, m.name), 0.0), m.value or 0.0)
    filled = {key for key, value in largest.items() if key[1] == "answer" or value >= 1}
    tasks = {task for task, name in filled if name != "answer"}
    rows = []
    for row in comparison.at("task"):
        values = {m.name: m for m in row.termination}
        if values and row.name in tasks:
            cells = (format_change(values[name]) if (row.name, name) in filled else "" for name in names)
            rows.append((row.checkpoint, row.name, *cells))
    titles = [*(f"{m.name} (characters)" for m in termination.LENGTHS), *(f"{m.name} (%)" for m in termination.SHARES)]
    columns = ("checkpoint", "task", *titles)
    return TextTable("Termination: how responses end", columns, tuple(rows)) if rows else None


def format_change(metric: MetricValue) -> str:
    """A value, and on a line of its own its difference to the baseline."""
    value = format_number(metric.value)
    if metric.delta is None:
        return value
    low, high = metric.delta_low, metric.delta_high
    return f"{value}\n{format_number(metric.delta, signed=True)} {format_interval(low, high, signed=True)}"


def health_table(comparison: Comparison) -> TextTable | None:
    """Problems of responses: counts, and the score's bounds with everything unscored counted wrong or right."""
    rows = []
    for row in comparison.at("task"):
        problems = [f"{count} {name}" for name, count in row.health.items() if count]
        if row.unscored and not any("unscored" in problem for problem in problems):
            problems.append(f"{row.unscored} unscored")
        if problems:
            bounds = f"{format_number(row.if_wrong)} to {format_number(row.if_right)}" if row.unscored else ""
            rows.append((row.checkpoint, row.name, ", ".join(problems), bounds))
    columns = ("checkpoint", "task", "responses", "score if the unscored were all wrong / right")
    return TextTable("Health of the responses", columns, tuple(rows)) if rows else None


def notes(comparison: Comparison) -> list[str]:
    """The facts that a reader needs to believe the tables."""
    lines = [READING_GUIDE]
    for correction in dict.fromkeys(comparison.families.values()):
        levels = [level for level, text in comparison.families.items() if text == correction]
        lines.append(f"Many tests ({', '.join(levels)}): {correction}.")
    lines.append(
        f"Margin for “=”: {format_number(comparison.settings.margin)} points. "
        "Detectable: the smallest difference that such data would show 4 times in 5."
    )
    for names in dict.fromkeys(best.left_out for best in comparison.best if best.left_out):
        places = [best.name for best in comparison.best if best.left_out == names]
        lines.append(f"Not in the table of the best ({', '.join(places)}), with fewer scored items: {', '.join(names)}.")
    lines += [f"Allowed difference: {text}" for text in comparison.accepted_differences]
    lines += [f"Incomplete: {text}" for text in comparison.incomplete]
    lines += comparison.caveats
    return lines
