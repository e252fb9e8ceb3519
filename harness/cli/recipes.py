"""skilldelta recipes: two training recipes compared over several runs of each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.options import Allow, Json, ResultsFolders
from harness.cli.screen import note, print_json, print_table
from harness.own_packages import own_imports
from harness.types import SkilldeltaError

if TYPE_CHECKING:
    from harness.comparison.recipes import RecipeRow


def recipes(
    results: ResultsFolders,
    recipe: Annotated[list[str], typer.Option(help="NAME=CHECKPOINT,CHECKPOINT,...; give two, the baseline first.")],
    allow: Allow = None,
    as_json: Json = False,
) -> None:
    """Compares two recipes with several training runs (seeds) each; intervals cover the variance of runs and of items."""
    from dataclasses import asdict

    from harness import config
    from harness.comparison.recipes import compare_recipes

    if unnamed := [text for text in recipe if "=" not in text]:
        raise SkilldeltaError(f"--recipe {unnamed[0]}: write NAME=CHECKPOINT,CHECKPOINT,... twice, the baseline first.")
    runs_by_recipe = {name: runs.split(",") for text in recipe for name, runs in config.parse_pairs([text]).items()}
    rows = compare_recipes(results, runs_by_recipe, tuple(allow or ()))
    if as_json:
        caveats = {"caveat": rows[0].contrast.caveat, "left_out": list(rows[0].left_out)}
        print_json([{"level": row.level, "name": row.name, **asdict(row.contrast), **caveats} for row in rows])
        return

    with own_imports():
        from reports.layout.text_tables import skill_order

    columns = ["", "difference", "95 %", "p", "variance from runs"]
    rows.sort(key=lambda row: (("average", "skill", "task").index(row.level), skill_order(row.name)))
    print_table(columns, [recipe_row(row) for row in rows], right=columns[1:])
    for line in filter(None, (*rows[0].left_out, rows[0].contrast.caveat)):
        note(line)


def recipe_row(row: RecipeRow) -> list[str]:
    """One level's difference as the cells of a table row, in points."""
    from harness.comparison.number_format import format_interval, format_number, format_p_value

    contrast, total = row.contrast, row.contrast.from_items + row.contrast.from_runs
    interval = format_interval(100 * contrast.interval.low, 100 * contrast.interval.high, signed=True)
    runs = f"{100 * contrast.from_runs / total:.0f} %" if total and not contrast.caveat else "not known"
    name = f"{row.level}: {row.name}".removeprefix("average: ")
    return [name, format_number(100 * contrast.delta, signed=True), interval, format_p_value(contrast.p), runs]


VERBS = (recipes,)
