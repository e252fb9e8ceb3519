"""Evaluation questions that the training data contain, by task, so that clean and contaminated examples can be scored apart."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness import registry
from harness.data import default_folder, examples, number_rows, read
from harness.json_values import storable
from harness.training.question_overlap import contaminated_questions, question_words
from harness.training.source_rows import raw_rows, row_text
from harness.types import Example, SkilldeltaError, Task, unknown_name

FILES = (".jsonl", ".json", ".csv", ".txt", ".gz")
ExampleSets = Mapping[str, Sequence[Example]]  # by task or file


def find_contamination(texts: Iterable[str], names: Sequence[str], share: float = 0.5) -> dict[str, Any]:
    """By task or file: the number of rows and of contaminated rows, and the ids (`Example.id`) of the contaminated ones.

    `texts` are the training rows, one text each; `names` are tasks, suites and files of evaluation rows.
    """
    return search_examples(texts, {task: rows for name in names for task, rows in evaluation_examples(name).items()}, share)


def search_sources(sources: Sequence[str], sets: ExampleSets, share: float) -> Iterator[dict[str, Any]]:
    """For each source of data its hash, its number of rows, and the contamination with the examples, as find_contamination().

    Every text of a row is searched, whatever its column is called.  SkilldeltaError for a source without rows.
    """
    for source in sources:
        rows, sha256 = raw_rows(source)
        if not rows:
            raise SkilldeltaError(f"{source} holds no rows.")
        texts = map(row_text, rows)
        yield {"source": source, "sha256": sha256, "rows": len(rows), "overlap": search_examples(texts, sets, share)}


def unite_overlaps(reports: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """By task, the examples that any of several sources contain."""
    union = {}
    for task, first in reports[0].items():
        ids = {example for report in reports for example in report[task]["examples"]}
        union[task] = {"rows": first["rows"], "dirty": len(ids), "examples": sorted(ids)}
    return union


def search_examples(texts: Iterable[str], sets: ExampleSets, share: float) -> dict[str, Any]:
    """The same as find_contamination(), for examples that are read already."""
    questions = {task: [question_words(e.row) for e in rows] for task, rows in sets.items()}
    every_question = {q for rows in questions.values() for row in rows for q in row}
    dirty_questions = contaminated_questions(every_question, texts, share)
    report = {}
    for task, rows in sets.items():
        ids = [e.id for e, row in zip(rows, questions[task], strict=True) if not dirty_questions.isdisjoint(row)]
        report[task] = {"rows": len(rows), "dirty": len(ids), "examples": ids}
    return report


def evaluation_examples(name: str, include: Sequence[Path] = (), flag: str = "--overlap-with") -> dict[str, list[Example]]:
    """Every example of a task, of each task of a suite, or of a file of rows, by its name; `flag` is what named it.

    Raises SkilldeltaError for a file that does not exist, and for a name that is no task and no suite.
    """
    if name.endswith(FILES):
        if not Path(name).is_file():
            raise SkilldeltaError(f"There is no file of evaluation rows {name}.  {flag} takes names of tasks as well.")
        return {name: number_rows(map(storable, read(Path(name))))}
    return {task.name: examples(task, default_folder()) for task in find_tasks(name, include, flag)}


def find_tasks(name: str, include: Sequence[Path], flag: str) -> list[Task]:
    """The task of that name, or the tasks of the suite."""
    from harness import suites  # most trainings are compared with nothing

    suite_names, task_names = {suite.name for suite in suites.bundled_suites()}, registry.tasks(include)
    if name in suite_names or name.endswith((".yaml", ".yml")):
        return suites.load_suite(name, include)[0]
    if name in task_names or name.startswith(registry.LM_EVAL):
        return [registry.task(name, include)]
    raise SkilldeltaError(
        f"{unknown_name('task or suite', name, [*task_names, *suite_names])}  {flag} takes one of them, "
        f"{registry.LM_EVAL}NAME, or a file of evaluation rows ({', '.join(FILES)})."
    )
