"""A comparison as tables of text: one matrix of checkpoints and skills, one detailed table for each candidate, and the foot."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from harness.comparison.result import Comparison, Difference, Level, Row
from harness.types import SKILLS

MARKS = {"better": "▲", "worse": "▼", "same": "=", "unclear": "·"}
MATRIX = "Scores, and differences from the baseline"
WORD = re.compile(r"(?!^nf$)[a-z]{2}")
MANY = 4  # columns; beyond, an interval has a line of its own
READING = (
    "Points of 0 to 100. Brackets: 95 % interval, of a difference paired item by item "
    "over the items that both have a score for; each is about its own number alone, the mark allows for all the tests. "
    "▲ better, ▼ worse, = no difference beyond the margin, · not decided by these data."
)


@dataclass(frozen=True)
class Table:
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def numeric(table: Table) -> tuple[bool, ...]:
    """Which columns hold numbers and no words: those stand flush right.  The first names the rows."""
    columns = zip(*table.rows, strict=True)
    return tuple(place > 0 and any(cells) and not any(map(WORD.search, cells)) for place, cells in enumerate(columns))


def number(value: float | None, signed: bool = False) -> str:
    """A number of points with one decimal; an em dash where there is none."""
    if value is None or math.isnan(value):
        return "—"
    value = float(f"{value:.8g}")  # as comparison.json has it, so that the page rounds alike
    text = f"{value:+.1f}" if signed else f"{value:.1f}"
    return text.replace("-", "−").replace("−0.0", "0.0").replace("+0.0", "0.0")


def span(low: float | None, high: float | None, signed: bool = False) -> str:
    return f"[{number(low, signed)}, {number(high, signed)}]"


def change(difference: Difference) -> str:
    """A difference with its interval and its mark."""
    interval = span(difference.delta_low, difference.delta_high, signed=True)
    return f"{number(difference.delta, signed=True)} {interval} {MARKS[difference.verdict]}"


def names(comparison: Comparison) -> list[tuple[Level, str]]:
    """(level, name) of the matrix's columns: the average first, then the skills."""
    found = [(r.level, r.name) for r in comparison.rows if r.level != "task"]
    return sorted(dict.fromkeys(found), key=lambda k: (k[0] != "average", place(k[1])))


def place(skill: str) -> tuple[int, str]:
    """Where a skill stands: the study's six in its order, then others by name."""
    return (SKILLS.index(skill), "") if skill in SKILLS else (len(SKILLS), skill)


def matrix(comparison: Comparison, tall: bool | None = None) -> Table:
    """One row a checkpoint, one column the average and each skill: score, and under it the difference.

    `tall`: the interval on a line of its own; by default where there are many columns.
    """
    columns = names(comparison)
    tall = len(columns) > MANY if tall is None else tall
    rows = {(r.checkpoint, r.level, r.name): r for r in comparison.rows}
    lines = []
    for checkpoint in comparison.checkpoints:
        label = f"{checkpoint} (baseline)" if checkpoint == comparison.baseline else checkpoint
        lines.append((label, *(cell(rows.get((checkpoint, level, name)), tall) for level, name in columns)))
    return Table(MATRIX, ("checkpoint", *(name for _, name in columns)), tuple(lines))


def cell(row: Row | None, tall: bool) -> str:
    if row is None:
        return "—"
    if (d := row.difference) is None:
        return f"{number(row.score)}\n{span(row.score_low, row.score_high)}"
    if not tall:
        return f"{number(row.score)}\n{change(d)}"
    moved = f"{number(d.delta, signed=True)} {MARKS[d.verdict]}"
    return f"{number(row.score)}\n{moved}\n{span(d.delta_low, d.delta_high, signed=True)}"


DETAIL = ("", "n", "baseline", "score", "difference", "p", "p adj.", "detectable", "lost / gained", "verdict")


def details(comparison: Comparison) -> Iterator[Table]:
    """For each candidate a table with a line for the average, each skill, and under it its tasks."""
    base = {(r.level, r.name): r for r in comparison.rows if r.checkpoint == comparison.baseline}
    for checkpoint in comparison.checkpoints:
        if checkpoint == comparison.baseline:
            continue
        mine = [r for r in comparison.rows if r.checkpoint == checkpoint]
        lines = [line(lone(r, mine), base.get((r.level, r.name)), label(r, mine)) for r in nested(mine)]
        yield Table(f"{checkpoint} against {comparison.baseline}", DETAIL, tuple(lines))


def nested(rows: Sequence[Row]) -> Iterator[Row]:
    """The average, then each skill, and under it its tasks where it has several."""
    yield from (r for r in rows if r.level == "average")
    for skill in sorted((r for r in rows if r.level == "skill"), key=lambda r: place(r.name)):
        yield skill
        tasks = [r for r in rows if r.level == "task" and r.skill == skill.name]
        yield from tasks if len(tasks) > 1 else ()


def label(row: Row, rows: Sequence[Row]) -> str:
    """A row's name; a skill with one task bears that task's name too."""
    if row.level == "task":
        return f"  {row.name}"
    tasks = [r.name for r in rows if r.level == "task" and row.level == "skill" and r.skill == row.name]
    return f"{row.name}: {tasks[0]}" if len(tasks) == 1 else row.name


def lone(row: Row, rows: Sequence[Row]) -> Row:
    """A skill's row; where it is one task, that task's, which knows its flips, under the skill's own correction."""
    tasks = [r for r in rows if r.level == "task" and row.level == "skill" and r.skill == row.name]
    if len(tasks) != 1 or row.difference is None or tasks[0].difference is None:
        return row
    return replace(row, difference=replace(row.difference, flips=tasks[0].difference.flips))


def line(row: Row, base: Row | None, name: str) -> tuple[str, ...]:
    first = (name, str(row.n), number(base.score if base else None), number(row.score))
    if (d := row.difference) is None:
        return (*first, "", "", "", "", "", "")
    flips = f"{d.flips.lost} / {d.flips.gained}" if d.flips else ""
    return (*first, change(d), probability(d.p), probability(d.p_adjusted), number(d.mde), flips, d.verdict)


def probability(value: float) -> str:
    if math.isnan(value):
        return "—"
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def extras(comparison: Comparison) -> Table | None:
    """The further metrics of tasks; None where no task has any."""
    lines = []
    for row in comparison.rows:
        for m in row.metrics:
            moved = "" if m.delta is None else f"{number(m.delta, signed=True)} {span(m.delta_low, m.delta_high, signed=True)}"
            wanted = " (lower is better)" if m.lower_is_better else ""
            lines.append((row.checkpoint, row.name, m.name + wanted, f"{number(m.value)} {span(m.low, m.high)}", moved))
    return Table("Further metrics", ("checkpoint", "task", "metric", "value", "difference"), tuple(lines)) if lines else None


def health(comparison: Comparison) -> Table | None:
    """What went wrong with answers: counts, and the score's bounds with everything unscored counted wrong or right."""
    lines = []
    for row in comparison.at("task"):
        found = [f"{count} {name}" for name, count in row.health.items() if count]
        bounds = f"{number(row.if_wrong)} to {number(row.if_right)}" if row.unscored else ""
        if row.unscored and not any("unscored" in f for f in found):
            found.append(f"{row.unscored} unscored")
        if found:
            lines.append((row.checkpoint, row.name, ", ".join(found), bounds))
    columns = ("checkpoint", "task", "of its answers", "score if the unscored were all wrong / right")
    return Table("Health of the answers", columns, tuple(lines)) if lines else None


def foot(comparison: Comparison) -> list[str]:
    """What a reader must know to believe the tables."""
    lines = [READING]
    for text in dict.fromkeys(comparison.families.values()):
        levels = [level for level, told in comparison.families.items() if told == text]
        lines.append(f"Many tests ({', '.join(levels)}): {text}.")
    lines.append(
        f"Margin for “=”: {number(comparison.settings.margin)} points. "
        "Detectable: the smallest difference that such data would have shown 4 times in 5."
    )
    lines += [f"Allowed difference: {text}" for text in comparison.allowed]
    lines += [f"Incomplete: {text}" for text in comparison.incomplete]
    lines += comparison.caveats
    return lines


def best(comparison: Comparison) -> Table | None:
    """The highest of several candidates, on average and on each skill; None for one candidate."""
    lines = []
    for b in sorted(comparison.best, key=lambda b: (b.level != "average", place(b.name))):
        others = [c for c in b.equals if c != b.checkpoint]
        told = ", ".join(others[:4]) + (f" and {len(others) - 4} more" if len(others) > 4 else "")
        lines.append(
            (b.name, b.checkpoint, number(b.score), f"{number(b.corrected)} {span(b.low, b.high)}",
             f"{100 * b.probability.get(b.checkpoint, 0.0):.0f} %", told or "none")
        )  # fmt: skip
    columns = ("", "highest", "shows", "less the luck of choosing it", "highest again with", "cannot be told from it")
    return Table("The best of the candidates", columns, tuple(lines)) if lines else None


def tables(comparison: Comparison) -> list[Table]:
    """Everything, in the order of reading."""
    found = [matrix(comparison), *details(comparison), best(comparison), extras(comparison), health(comparison)]
    return [t for t in found if t]
