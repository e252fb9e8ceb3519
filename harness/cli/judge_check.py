"""skilldelta judge-check: how far a judge can be trusted, on questions that people have labelled."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli import options
from harness.cli.screen import note, print_json, print_table
from harness.name_value_pairs import split_names
from harness.types import SkilldeltaError

if TYPE_CHECKING:
    from harness.grading.judge_check import SetCheck

COLUMNS = (
    *("set", "labels", "unreadable", "accuracy %", "95 % interval", "balanced %", "kappa", "orders agree %", "first place %"),
    *("right is longer / shorter %", "repeats %", "trust it"),
)


def judge_check(
    judge: Annotated[str, typer.Argument(help="PLUGIN:WHERE, as --judge takes it: llm:openai:NAME, reward:FOLDER, ...")],
    data: Annotated[
        Path | None, typer.Option("--data", envvar="SKILLDELTA_DATA", help="The folder with the labelled sets.")
    ] = None,
    sets: Annotated[str, typer.Option("--sets", help="Only these sets, separated by commas.")] = "",
    limit: Annotated[int, typer.Option("--limit", "-L", help="At most N questions of each set, spread over it; 0: all.")] = 0,
    twice: Annotated[bool, typer.Option("--twice", help="Ask everything again: how many decisions stay?")] = False,
    as_json: options.Json = False,
) -> None:
    """Measures a judge against labelled questions, and keeps its error rates: comparisons of what it grades then hold them."""
    from harness.data import default_folder
    from harness.grading.judge_check import check_judge, check_to_json
    from harness.grading.labelled_sets import read_sets
    from harness.grading.stored_checks import store_check
    from harness.judge_binding import LazyJudge

    folder = data or default_folder()
    if folder is None or not folder.is_dir():
        raise SkilldeltaError("judge-check reads labelled sets from a folder: name it with --data or SKILLDELTA_DATA.")
    if limit < 0:
        raise SkilldeltaError(f"--limit {limit}: write 1 or more, or 0 for all.")
    bound_judge = LazyJudge(judge)
    questions, missing = read_sets(split_names([sets]), folder, limit)
    again = LazyJudge(f"{judge},draw=1" if bound_judge.plugin == "llm" else judge).get() if twice else None
    checks = []
    for each, items in questions.items():
        note(f"{each.name}: {len(items)} labelled questions")
        checks.append(check_judge(bound_judge.get(), each, items, again))
    rates = {check.criterion: (check.name, check.rates) for check in reversed(checks) if check.criterion and check.rates}
    file = store_check(bound_judge.identity, rates)
    if as_json:
        print_json({"judge": bound_judge.identity, "sets": [check_to_json(check) for check in checks], "missing": missing})
        return
    print_table(COLUMNS, [list(check_row(check)) for check in checks], bound_judge.identity, COLUMNS[1:-1])
    for line in missing:
        note(f"Not measured: {line}")
    criteria = ", ".join(rates)
    note(
        f"Error rates for {criteria} are kept in {file}: what this judge grades from now on carries them, and "
        "`skilldelta compare` finds them for what it graded before."
        if file and rates
        else "No error rates are kept."
    )


def check_row(check: SetCheck) -> tuple[str, ...]:
    """A line of the table; "–" for what nothing says."""
    longer, shorter = check.longer
    lengths = f"{percent(longer)} / {percent(shorter)}" if longer == longer or shorter == shorter else "–"
    interval = f"{percent(check.interval.low)} to {percent(check.interval.high)}"
    kappa = f"{check.kappa:.2f}" if check.kappa == check.kappa else "–"
    counts = (str(check.n), str(check.unreadable))
    shares = (percent(check.agreement), percent(check.first_place), lengths, percent(check.repeats))
    return (check.name, *counts, percent(check.accuracy), interval, percent(check.balance), kappa, *shares, check.verdict)


def percent(share: float) -> str:
    return f"{100 * share:.1f}" if share == share else "–"


VERBS = (judge_check,)
