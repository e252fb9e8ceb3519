"""Subsets of the results, with or without given examples, such as those that training data contain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.bounded_files import UnreadableFileError, read_bytes, read_json
from harness.types import SkilldeltaError

if TYPE_CHECKING:
    from harness.comparison.load import LoadedResults


@dataclass(frozen=True)
class NamedExamples:
    """Example ids from files, and the tasks (or files of rows) for which the data of training runs were searched."""

    examples: frozenset[str] = frozenset()
    searched_tasks: frozenset[str] = frozenset()


@dataclass(frozen=True)
class ExampleFilter:
    """Which examples count: all but those left out; with `only`, no others than those."""

    left_out: NamedExamples
    only: NamedExamples | None = None

    def __call__(self, example: str) -> bool:
        return example not in self.left_out.examples and (self.only is None or example in self.only.examples)


def read_filter(left_out: Sequence[str], only: Sequence[str]) -> ExampleFilter | None:
    """The filter that files describe; None where every example counts."""
    return ExampleFilter(read_ids(left_out), read_ids(only) if only else None) if left_out or only else None


def read_ids(files: Sequence[str]) -> NamedExamples:
    """The ids in files: the contaminated examples of a training run (folder or run.json), or text with one id a line.

    SkilldeltaError for a file that does not exist.
    """
    examples: set[str] = set()
    searched_tasks: set[str] = set()
    for file in files:
        path = Path(file) / "run.json" if Path(file).is_dir() else Path(file)
        if not path.is_file():
            raise SkilldeltaError(f"There is no {path}: name a training run's folder, its run.json, or a file of example ids.")
        if path.suffix == ".json":
            tasks = read_contamination(path)
            searched_tasks |= tasks.keys()
            examples |= {str(example) for ids in tasks.values() for example in ids}
        else:
            examples |= set(read_id_list(path))
    return NamedExamples(frozenset(examples), frozenset(searched_tasks))


def read_contamination(run: Path) -> dict[str, list[Any]]:
    """By task, the evaluation examples that a run's training data contain.  SkilldeltaError where nobody searched them."""
    try:
        audit = read_json(run).get("audit")
    except UnreadableFileError as error:
        raise SkilldeltaError(f"{run.parent}: {error}.") from error
    contamination = audit.get("overlap") if isinstance(audit, Mapping) else None
    if not contamination:
        raise SkilldeltaError(f"{run} tells of no overlap: train with --overlap-with and the names of the tasks.")
    tasks = contamination if isinstance(contamination, Mapping) else {"overlap": contamination}
    ids = {name: task.get("examples") if isinstance(task, Mapping) else None for name, task in tasks.items()}
    if damaged := [name for name, examples in ids.items() if not isinstance(examples, list)]:
        raise SkilldeltaError(f"{run} is damaged: its overlap of {damaged[0]!r:.80} has no list of `examples`.")
    return {name: examples or [] for name, examples in ids.items()}


def read_id_list(path: Path) -> list[str]:
    """The ids in a text.  SkilldeltaError where it is none."""
    try:
        return read_bytes(path).decode("utf-8-sig").split()
    except ValueError as error:
        raise SkilldeltaError(f"{path} is no text with one example id a line: {error}.") from error


def apply_filter(results: LoadedResults, example_filter: ExampleFilter) -> tuple[LoadedResults, str]:
    """The results with the filtered part of each cell, and a sentence that says so.

    SkilldeltaError where no sample of the baseline remains.
    """
    part = results.select_examples(example_filter)
    kept_count = total_count = 0
    untouched_tasks = []
    for key, cell in results.cells.items():
        if key[0] == results.baseline:
            before, now = len(cell.columns().keys), len(part.cells[key].columns().keys) if key in part.cells else 0
            total_count, kept_count = total_count + before, kept_count + now
            untouched_tasks += [key[1]] if before == now else []
    if not kept_count:
        raise SkilldeltaError(
            f"None of the baseline's {total_count} samples is of an example that counts: check --leave-out and --only."
        )
    note = f"Only a part of the examples counts here: {kept_count} of the baseline's {total_count} samples."
    return part, note + unsearched_note(example_filter.left_out.searched_tasks, untouched_tasks)


def unsearched_note(searched_tasks: frozenset[str], untouched_tasks: Sequence[str]) -> str:
    """A sentence on tasks that count as clean although the training data were not searched for them."""
    unknown = [task for task in untouched_tasks if task not in searched_tasks] if searched_tasks else []
    return f"  All of {', '.join(unknown)} counts: the training data were not searched for it by name." if unknown else ""
