"""Evaluation questions that training data give away: named by task, so that clean and dirty parts can be scored apart."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from harness import registry, suites
from harness.data import default_folder, examples, numbered, read
from harness.types import Example, Json, SkilldeltaError, Task

# Words in an n-gram.  As in Tulu 3 (arXiv 2411.15124, section 3.2) a question is dirty if the n-grams that it has in common
# with one training row cover a share of its words, there one half.  A shorter one is dirty if it is a line of a training row.
N = 8
# What data sets call the column that asks, the surest first; of a row without any, all texts are looked for.
ASKING = ("question", "prompt", "instruction", "problem", "query", "input", "text")
FILES = (".jsonl", ".json", ".csv", ".txt", ".gz")
Words = tuple[str, ...]


def overlap(texts: Iterable[str], names: Sequence[str], share: float = 0.5) -> dict[str, Any]:
    """By task or file: how many examples are dirty, and the ids (`Example.id`) that split a score in two parts.

    `texts` are the training rows, one text each; `names` are tasks, suites and files of evaluation rows.
    """
    sets = {name: found for given in names for name, found in evaluation(given).items()}
    asked = {name: [questions(e.row) for e in found] for name, found in sets.items()}
    known = given_away({q for rows in asked.values() for row in rows for q in row}, texts, share)
    dirty = {
        name: [e.id for e, row in zip(found, asked[name], strict=True) if not known.isdisjoint(row)]
        for name, found in sets.items()
    }
    return {name: {"rows": len(found), "dirty": len(dirty[name]), "examples": dirty[name]} for name, found in sets.items()}


def evaluation(name: str) -> dict[str, list[Example]]:
    """All the examples of a task, of each task of a suite, or of a file of rows, by its name."""
    if name.endswith(FILES):
        if not Path(name).is_file():
            raise SkilldeltaError(f"There is no file of evaluation rows {name}.  --overlap_with takes names of tasks as well.")
        return {name: numbered(read(Path(name)))}
    return {task.name: examples(task, default_folder()) for task in named(name)}


def named(name: str) -> list[Task]:
    """The task, or those of the suite, of that name."""
    sets, own = {suite.name for suite in suites.known()}, registry.tasks()
    if name in sets or name.endswith((".yaml", ".yml")):
        return suites.load(name)[0]
    if name in own or name.startswith(registry.LM_EVAL):
        return [registry.task(name)]
    raise SkilldeltaError(
        f"{registry.unknown('task or suite', name, [*own, *sets])}  --overlap_with takes one of them, {registry.LM_EVAL}NAME, "
        f"or a file of evaluation rows ({', '.join(FILES)})."
    )


def questions(row: Json) -> list[Words]:
    """The words of what a row asks; of a row with no such column, those of each of its texts."""
    texts = {name.lower(): value for name, value in row.items() if isinstance(value, str)}
    asking = next((texts[name] for name in ASKING if name in texts), None)
    return [words(asking)] if asking is not None else [words(text) for text in texts.values()]


def given_away(asked: set[Words], texts: Iterable[str], share: float) -> set[Words]:
    """The questions that are dirty by one of the texts."""
    long = [q for q in asked if len(q) >= N]
    places: dict[int, list[tuple[int, int]]] = defaultdict(list)  # n-gram -> question and place
    for number, question in enumerate(long):
        for place, gram in enumerate(grams(question)):
            places[gram].append((number, place))
    found: set[Words] = set()
    for text in texts:
        covered: dict[int, set[int]] = defaultdict(set)
        for gram in grams(words(text)):
            for number, place in places.get(gram, ()):
                covered[number].update(range(place, place + N))
        found |= {long[n] for n, there in covered.items() if len(there) >= share * len(long[n])}
        found |= {line for line in map(words, text.splitlines()) if 0 < len(line) < N} & asked
    return found


def words(text: str) -> Words:
    """Lower-case words without punctuation."""
    return tuple(re.findall(r"\w+", text.lower()))


def grams(tokens: Words) -> list[int]:
    """Hashes of the n-grams, in order; of fewer than N words there is none."""
    return [hash(tokens[i : i + N]) for i in range(len(tokens) - N + 1)]
