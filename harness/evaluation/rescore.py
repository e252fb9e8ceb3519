"""Scores stored responses again, without asking a model: after a fix to a scorer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from shlex import quote

from harness import data, registry
from harness.evaluation.outcome import Outcome
from harness.evaluation.questions import EvaluationSettings, Question, choose_reader, task_record
from harness.evaluation.scoring import judge_work, score_block
from harness.evaluation.task_binding import bind_tasks
from harness.judge_binding import ALL
from harness.prompts.reading import Reader
from harness.records import CellRecord, utc_now
from harness.store import Cell, Results, SampleWriter
from harness.types import Request, SkilldeltaError, Task


def stored_tasks(results: Results, include: Iterable[Path] = ()) -> dict[str, Task]:
    """The tasks of every stored cell by name, without cells that were imported with the scores of another program.

    SkilldeltaError where one is neither this program's nor defined by `include`, the files of somebody's own tasks.
    """
    tasks = registry.tasks(include)
    names = sorted({record.task.name for _, record, _ in results.cells() if not record.imported})
    if foreign := [name for name in names if name not in tasks and ":" not in name]:
        raise SkilldeltaError(
            f"{results.folder} holds the task{'s' * (len(foreign) > 1)} {', '.join(map(repr, foreign))}, which no file of this "
            f"program defines: a file of your own does, which `score` was given as --include-path.\n"
            f"Name that file again: skilldelta rescore {quote(str(results.folder))} --include-path FILE"
        )
    try:
        return {name: tasks[name] if name in tasks else registry.task(name, include) for name in names}
    except SkilldeltaError as error:
        raise SkilldeltaError(
            f"{error}\nWhere it was scored with --include-path, name that folder again: "
            f"skilldelta rescore {quote(str(results.folder))} --include-path FOLDER"
        ) from error


def rescore(results: Results, tasks: Mapping[str, Task], settings: EvaluationSettings) -> list[Outcome]:
    """Scores every stored cell of the tasks again; cells of other tasks stay as they are."""
    results.upgrade()
    tasks_by_name = {task.name: task for task in bind_tasks(tasks.values(), settings)}
    outcomes = []
    for checkpoint, record, cell in results.cells():
        if (task := tasks_by_name.get(record.task.name)) and not record.imported:
            try:
                outcomes.append(rescore_cell(checkpoint, task, cell, settings))
            except SkilldeltaError as error:
                outcomes.append(Outcome(checkpoint, task.name, "failed", why=str(error)))
    return outcomes


def rescore_cell(checkpoint: str, task: Task, cell: Cell, settings: EvaluationSettings) -> Outcome:
    """One cell, whole or not at all.  SkilldeltaError where the data lacks a row, or the scorer cannot work."""
    examples = {e.id: e for e in data.examples(task, settings.folder)}
    with SampleWriter(cell):  # held from the reading on: what another process adds meanwhile would be lost
        before, old = cell.read(), list(cell.samples())
        if missing := [s.example for s in old if s.example not in examples]:
            raise SkilldeltaError(
                f"{len(missing)} of {len(old)} samples are of rows that the data no longer holds (the first: {missing[0]})"
            )
        refuse_other_judge(task, before, settings.judges)
        questions = [Question(examples[s.example], Request("", draw=s.draw)) for s in old]
        reader = choose_reader(stored_reader(before, settings), before.inputs.kind == "generate")
        pairs = list(zip(questions, (sample.response for sample in old), strict=True))
        new = [replace(sample, request=old[place].request) for place, sample in enumerate(score_block(task, pairs, reader))]
        conditions = dict(task.conditions(settings.sandbox)) if task.conditions else {}
        conditions |= {"judge": work} if (work := judge_work(task, new)) else {}
        about = task_record(task)
        if ":" in task.name:  # its prompts may have been built by other settings, which `source` tells
            about = replace(about, source=before.task.source)
        read_by = reader.record if reader else {}
        cell.rewrite(new, replace(before, task=about, reader=read_by, conditions=conditions, rescored=utc_now()))
    change_count = sum(a.score != b.score for a, b in zip(old, new, strict=True))
    unscored_count = sum(s.score.value is None for s in new)
    return Outcome(checkpoint, task.name, "done", len(new), unscored_count, f"{change_count} scores changed")


def stored_reader(record: CellRecord, settings: EvaluationSettings) -> Reader:
    """What told answers from reasoning when the cell was scored (--reasoning-tags), unless the settings name another."""
    return settings.reader if settings.reader != Reader() else Reader.from_record(record.reader)


def refuse_other_judge(task: Task, record: CellRecord, judges: Mapping[str, str]) -> None:
    """Raises SkilldeltaError where nobody named the judge that would take the place of the one that graded a cell."""
    old_judge, judge = record.task.judge, task.judge
    if task.judged and old_judge and old_judge != judge and not {task.name, ALL} & set(judges):
        raise SkilldeltaError(
            f"its answers were graded by {old_judge}, and {judge or 'no judge'} would grade them now.\n"
            f"Name the judge: --judge {task.name}=PLUGIN:WHERE, as `score` was given it."
        )
