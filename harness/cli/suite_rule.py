"""The option --suite of verbs that average stored scores, and what a suite's weights leave in a results folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.screen import note

Suite = Annotated[
    str,
    typer.Option("--suite", help="Weigh tasks and skills as this suite does; none: all alike; default: as they were scored."),
]


def keep_rule(suite: str, output: Path) -> None:
    """Keeps the weights and skills of a suite in the results folder, which is made where there is none; "" keeps nothing."""
    from harness import suites
    from harness.mean_rules import store_rule
    from harness.store import Results

    if not suite or (rule := suites.find_suite(suite).rule).is_plain:
        return
    if before := store_rule(Results.make(output).folder, rule):
        note(f"Comparisons of {output} follow the suite {rule.suite} from now on, and no longer {before.suite}.")
