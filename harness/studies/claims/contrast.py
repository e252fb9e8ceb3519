"""What a hypothesis compares: runs with their coefficients, in groups of which each is independent of the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.studies.claims.claims_file import OF_REWARDS, Labels, Test
from harness.studies.claims.grid import NONE, Entry, Grid

Column = tuple[str, str]  # (kind of value, task)
Coefficients = dict[Entry, float]


class NotRun(Exception):  # noqa: N818  an answer, not a fault
    """What a hypothesis is about is not in this study; says what."""


@dataclass(frozen=True)
class Contrast:
    """`coefficients`: +1 over `these` and -1 over `those` in all; `contexts`: the values of the labels that both share."""

    coefficients: Coefficients
    contexts: tuple[tuple[str, ...], ...]


def between(entries: Sequence[Entry], these: Labels, those: Labels) -> Contrast:
    """`these` minus `those`, paired by every label that applies to both and that the selections do not hold apart.

    The pairs weigh the same; of several recipes on one side of a pair each weighs the same, and so does each of its runs.
    """
    sides = chosen(entries, these), chosen(entries, those)
    shared = common(sides, {label for label in these if label in those and these[label] != those[label]})
    laid = [by(side, lambda e: tuple(e.labels[label] for label in shared)) for side in sides]
    contexts = [c for c in laid[0] if c in laid[1]]
    if not contexts:
        raise NotRun(f"nothing that pairs {told(these)} with {told(those)}")
    found: Coefficients = {}
    for sign, side in zip((1.0, -1.0), laid, strict=True):
        for context in contexts:
            recipes = by(side[context], lambda e: e.recipe)
            for runs in recipes.values():
                for run in runs:
                    found[run] = found.get(run, 0.0) + sign / (len(contexts) * len(recipes) * len(runs))
    return Contrast(found, tuple(contexts))


def chosen(entries: Iterable[Entry], labels: Labels) -> list[Entry]:
    """The entries that have one of the wanted values for every label."""
    found = [e for e in entries if all(e.labels.get(label, NONE) in values for label, values in labels.items())]
    if not found:
        raise NotRun(f"no {told(labels)}")
    return found


def common(sides: tuple[Sequence[Entry], Sequence[Entry]], apart: set[str]) -> list[str]:
    """The labels that apply to some of either side, but for those that the sides differ in."""
    applies = [{label for e in side for label, value in e.labels.items() if value != NONE} for side in sides]
    return sorted((applies[0] & applies[1]) - apart)


Key = tuple[Any, ...]


def by(entries: Iterable[Entry], key: Callable[[Entry], Key]) -> dict[Key, list[Entry]]:
    """Entries grouped by a key, in their order."""
    found: dict[Key, list[Entry]] = {}
    for entry in entries:
        found.setdefault(key(entry), []).append(entry)
    return found


def told(labels: Labels) -> str:
    return ", ".join(f"{label} {' or '.join(values)}" for label, values in labels.items()) or "anything"


def of(grid: Grid, test: Test) -> list[tuple[float, tuple[str, ...], Contrast]]:
    """(sign, measure, contrast) of each side of a hypothesis."""
    found = []
    for sign, side in test.sides():
        entries = grid.rewards if set(side.measure) & set(OF_REWARDS) else grid.cells
        found.append((sign, side.measure, between(entries, side.these, side.those)))
    return found


def groups(entries: Sequence[Entry]) -> list[list[list[Entry]]]:
    """Runs that are not independent together, and such groups that differ by their seeds alone side by side.

    Policies that one reward model has tuned share its errors.  The number of a seed alone makes nothing common: another
    recipe draws other things with it.
    """
    bound = by(entries, lambda e: e.tuned_by or (id(e),))
    alike: dict[Key, list[list[Entry]]] = {}
    for members in bound.values():
        alike.setdefault(tuple(sorted(e.recipe for e in members)), []).append(members)
    return list(alike.values())


def named(members: Sequence[Entry]) -> str:
    """A group by its recipes, in words."""
    return " with ".join(dict.fromkeys(f"({e.words})" for e in members))


def weights(sides: Sequence[tuple[float, Mapping[Column, float], Coefficients]]) -> dict[Column, Coefficients]:
    """What each run counts for in each column, over all sides."""
    found: dict[Column, Coefficients] = {}
    for sign, columns, coefficients in sides:
        for column, weight in columns.items():
            into = found.setdefault(column, {})
            for entry, share in coefficients.items():
                into[entry] = into.get(entry, 0.0) + sign * weight * share
    return found
