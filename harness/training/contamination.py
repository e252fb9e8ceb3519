"""Evaluation questions that the training data contain, by task, so that clean and contaminated examples can be scored apart."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from harness import registry, suites
from harness.data import default_folder, examples, number_rows, read
from harness.types import Example, Json, SkilldeltaError, Task, unknown_name

# The rule of Tulu 3 (arXiv 2411.15124, section 3.2): a question is contaminated if the 8-grams that it shares with one training
# row cover half of its words.  A whole-question match would miss paraphrased ends; single 8-grams would mark common phrases.
# A question of fewer than 8 words has no n-gram: it is contaminated if it is a whole line of a training row.
N = 8
# Names of the column that holds the question, the surest first.  A row without any of them is searched for all of its texts.
QUESTION_COLUMNS = ("question", "prompt", "instruction", "problem", "query", "input", "text")
FILES = (".jsonl", ".json", ".csv", ".txt", ".gz")
Words = tuple[str, ...]


def find_contamination(texts: Iterable[str], names: Sequence[str], share: float = 0.5) -> dict[str, Any]:
    """By task or file: the number of rows and of contaminated rows, and the ids (`Example.id`) of the contaminated ones.

    `texts` are the training rows, one text each; `names` are tasks, suites and files of evaluation rows.
    """
    sets = {task: rows for name in names for task, rows in evaluation_examples(name).items()}
    questions = {task: [question_words(e.row) for e in rows] for task, rows in sets.items()}
    every_question = {q for rows in questions.values() for row in rows for q in row}
    dirty_questions = contaminated_questions(every_question, texts, share)
    report = {}
    for task, rows in sets.items():
        ids = [e.id for e, row in zip(rows, questions[task], strict=True) if not dirty_questions.isdisjoint(row)]
        report[task] = {"rows": len(rows), "dirty": len(ids), "examples": ids}
    return report


def evaluation_examples(name: str) -> dict[str, list[Example]]:
    """Every example of a task, of each task of a suite, or of a file of rows, by its name.

    Raises SkilldeltaError for a file that does not exist, and for a name that is no task and no suite.
    """
    if name.endswith(FILES):
        if not Path(name).is_file():
            raise SkilldeltaError(f"There is no file of evaluation rows {name}.  --overlap-with takes names of tasks as well.")
        return {name: number_rows(read(Path(name)))}
    return {task.name: examples(task, default_folder()) for task in find_tasks(name)}


def find_tasks(name: str) -> list[Task]:
    """The task of that name, or the tasks of the suite."""
    suite_names, task_names = {suite.name for suite in suites.bundled_suites()}, registry.tasks()
    if name in suite_names or name.endswith((".yaml", ".yml")):
        return suites.load_suite(name)[0]
    if name in task_names or name.startswith(registry.LM_EVAL):
        return [registry.task(name)]
    raise SkilldeltaError(
        f"{unknown_name('task or suite', name, [*task_names, *suite_names])}  --overlap-with takes one of them, "
        f"{registry.LM_EVAL}NAME, or a file of evaluation rows ({', '.join(FILES)})."
    )


def question_words(row: Json) -> list[Words]:
    """The words of a row's question; of a row without a question column, the words of each of its texts."""
    texts = {name.lower(): value for name, value in row.items() if isinstance(value, str)}
    question = next((texts[name] for name in QUESTION_COLUMNS if name in texts), None)
    return [split_words(question)] if question is not None else [split_words(text) for text in texts.values()]


def contaminated_questions(questions: set[Words], texts: Iterable[str], share: float) -> set[Words]:
    """The questions of which one text contains at least `share` (or, below N words, the whole as a line)."""
    long = [q for q in questions if len(q) >= N]
    places: dict[int, list[tuple[int, int]]] = defaultdict(list)  # n-gram -> (question, first word)
    for number, question in enumerate(long):
        for place, ngram in enumerate(hash_ngrams(question)):
            places[ngram].append((number, place))
    dirty: set[Words] = set()
    for text in texts:
        # Coverage is counted within one row: words scattered over many rows give nothing away.
        matches: dict[int, set[int]] = defaultdict(set)  # question -> places of its words that the text repeats
        for ngram in hash_ngrams(split_words(text)):
            for number, place in places.get(ngram, ()):
                matches[number].update(range(place, place + N))
        dirty |= {long[n] for n, words in matches.items() if len(words) >= share * len(long[n])}
        dirty |= {line for line in map(split_words, text.splitlines()) if 0 < len(line) < N} & questions
    return dirty


def split_words(text: str) -> Words:
    """Lower-case words without punctuation."""
    return tuple(re.findall(r"\w+", text.lower()))


def hash_ngrams(words: Words) -> list[int]:
    """Hashes of the n-grams, in order; empty for fewer than N words."""
    return [hash(words[i : i + N]) for i in range(len(words) - N + 1)]
