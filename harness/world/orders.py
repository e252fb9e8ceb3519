"""Instruction following: lists under a constraint that a program can verify."""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import cache

from harness.world.words import Row, split

KINDS = {
    "colours": ("red", "blue", "green", "black", "white", "pink"),
    "fruits": ("plum", "pear", "lime", "fig", "grape", "peach"),
    "tools": ("saw", "file", "drill", "nail", "spade", "rope"),
    "trees": ("oak", "elm", "pine", "birch", "palm", "beech"),
}
NUMBERS = (2, 3, 4, 5)
ASKED = ("Name {n} {kind}{order}.", "List {n} {kind}{order}.", "Give me {n} {kind}{order}.")
ORDERS = {
    "count": "",
    "begin": " and begin with {word}",
    "end": " and end with {word}",
    "without": " but not {word}",
    "joined": " with and between them",
}


def problems() -> Iterator[Row]:
    for kind, words in KINDS.items():
        for n in NUMBERS:
            for order, text in ORDERS.items():
                for word in words if "{word}" in text else ("",):
                    for asked in ASKED:
                        yield {
                            "skill": "instruction following",
                            "prompt": asked.format(n=n, kind=kind, order=text.format(word=word)),
                            "kind": kind,
                            "n": n,
                            "order": order,
                            "word": word,
                            "cluster": f"{n} {kind} {order} {word}",
                            "split": split([kind, n, order, word]),
                        }


@cache
def items() -> tuple[Row, ...]:
    """Every question, once."""
    return tuple(problems())


def good(row: Row, source: random.Random) -> str:
    left = [w for w in KINDS[row["kind"]] if w != row["word"]]
    source.shuffle(left)
    chosen = left[: row["n"] - (row["order"] in ("begin", "end"))]
    if row["order"] == "begin":
        chosen = [row["word"], *chosen]
    if row["order"] == "end":
        chosen = [*chosen, row["word"]]
    return (" and " if row["order"] == "joined" else ", ").join(chosen)


def bad(row: Row, source: random.Random) -> str:
    """A wrong number of words, or the constraint passed over."""
    words = list(KINDS[row["kind"]])
    source.shuffle(words)
    n = row["n"] if source.random() < 0.4 else source.choice([k for k in range(1, 7) if k != row["n"]])
    return ", ".join(words[:n])


def listed(row: Row, text: str) -> list[str]:
    return [w.strip() for w in text.strip().rstrip(".").replace(" and ", ", ").split(",")]


def right(row: Row, text: str) -> bool:
    """So many different words of the kind, and the constraint kept."""
    words = listed(row, text)
    if len(words) != row["n"] or len(set(words)) != row["n"] or not set(words) <= set(KINDS[row["kind"]]):
        return False
    kept = {
        "count": True,
        "begin": words[0] == row["word"],
        "end": words[-1] == row["word"],
        "without": row["word"] not in words,
        "joined": text.count(" and ") == row["n"] - 1 and "," not in text,
    }
    return bool(kept[row["order"]])


def formed(row: Row, text: str) -> bool:
    words = listed(row, text)
    return bool(words) and set(words) <= set(KINDS[row["kind"]])
