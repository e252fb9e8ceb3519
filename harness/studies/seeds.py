"""Runs of one recipe that differ by their seed alone, taken together: what another seed makes of a difference."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.comparison.number_format import format_interval, format_number
from harness.comparison.recipes import compare_recipes
from harness.comparison.result import Comparison
from harness.grouping import group_by
from harness.types import SkilldeltaError


def describe_seeds(results: Path, comparison: Comparison, policies: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """A line for each recipe with several runs: each run's average against the baseline, and the recipe's with its interval.

    `policies`: the "cells" of study.json, each with its checkpoint, labels and seed.
    """
    by_run = {row.checkpoint: row.difference.delta for row in comparison.at("average") if row.difference}
    for recipe in group_by(policies, lambda policy: tuple(sorted(policy["labels"].items()))).values():
        runs = [policy["checkpoint"] for policy in recipe]
        if len(runs) < 2 or comparison.baseline in runs:
            continue
        recipes = {"baseline": [comparison.baseline], "recipe": runs}
        try:
            rows = compare_recipes([results], recipes, comparison.settings.allow)
        except SkilldeltaError as error:
            yield f"{', '.join(runs)} differ by their seed alone, and cannot be taken together: {error}"
            continue
        average = next((row.contrast for row in rows if row.level == "average"), None)
        if average is None:
            continue
        each = ", ".join(format_number(by_run[run], signed=True) for run in runs if run in by_run)
        interval = format_interval(100 * average.interval.low, 100 * average.interval.high, signed=True)
        yield (
            f"{', '.join(runs)} differ by their seed alone: {each} on average against {comparison.baseline}, and "
            f"{format_number(100 * average.delta, signed=True)} {interval} for what they have in common.  "
            "The interval of one run is not about the next seed."
        )
