"""skilldelta recipes: two training recipes compared over several runs of each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.options import Allow, Json, ResultsFolders
from harness.cli.screen import note, print_json, print_table

if TYPE_CHECKING:
    from harness.comparison.recipes import Line


def recipes(
    results: ResultsFolders,
    recipe: Annotated[list[str], typer.Option(help="NAME=CHECKPOINT,CHECKPOINT,...; give two, the baseline first.")],
    allow: Allow = None,
    as_json: Json = False,
) -> None:
    """Compares two recipes with several training runs (seeds) each; intervals cover the variance of runs and of items."""
    from dataclasses import asdict

    from harness import config
    from harness.comparison.recipes import compare

    named = {name: runs.split(",") for text in recipe for name, runs in config.pairs([text]).items()}
    lines = compare(results, named, tuple(allow or ()))
    if as_json:
        caveats = {"caveat": lines[0].found.caveat}
        print_json([{"level": line.level, "name": line.name, **asdict(line.found), **caveats} for line in lines])
        return
    from reports.layout.text_tables import skill_order

    columns = ["", "difference", "95 %", "p", "variance from runs"]
    lines.sort(key=lambda line: (("average", "skill", "task").index(line.level), skill_order(line.name)))
    print_table(columns, [recipe_row(line) for line in lines], right=columns[1:])
    if caveat := lines[0].found.caveat:
        note(caveat)


def recipe_row(line: Line) -> list[str]:
    """One level's difference as the cells of a table row, in points."""
    from harness.comparison.number_format import format_interval, format_number, format_p_value

    found, total = line.found, line.found.from_items + line.found.from_runs
    interval = format_interval(100 * found.interval.low, 100 * found.interval.high, signed=True)
    runs = f"{100 * found.from_runs / total:.0f} %" if total and not found.caveat else "not known"
    name = f"{line.level}: {line.name}".removeprefix("average: ")
    return [name, format_number(100 * found.delta, signed=True), interval, format_p_value(found.p), runs]


VERBS = (recipes,)
