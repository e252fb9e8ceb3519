"""A checkpoint at work on one task, all of it or a part; the rest can be asked later.

task.json describes all questions, so that a later run of any kind goes on with the same cell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from harness.evaluation.cell_identity import identify_cell, new_record, store_context
from harness.evaluation.questions import EvaluationSettings, Question, choose_reader, is_generated
from harness.evaluation.scoring import collect_samples
from harness.prompts.reading import Reader
from harness.records import utc_now
from harness.store import Cell, Results, SampleKey, SampleWriter
from harness.types import Task

if TYPE_CHECKING:
    from harness.evaluation.lazy_model import LazyModel
    from harness.statistics.sequential_test import SequentialDecision


@dataclass
class Contestant:
    """A checkpoint at work on one task.

    `decision`: a candidate's, against the baseline; `unscored_items`: those that lack a score on one side.
    """

    model: LazyModel
    cell: Cell
    scores: dict[SampleKey, float | None] = field(default_factory=dict)
    reader: Reader | None = None
    decision: SequentialDecision | None = None
    unscored_items: int = 0

    def begin(self, task: Task, questions: Sequence[Question], results: Results, settings: EvaluationSettings) -> SampleWriter:
        """Opens the cell.  SkilldeltaError where it is finished with other questions or another checkpoint."""
        store_context(results, self.model, task, questions)
        before = self.cell.record()
        self.reader = choose_reader(settings.reader, is_generated(questions), before)
        is_done = identify_cell(self.model, task, questions, self.reader).is_done(before, self.cell)
        record = None if is_done else new_record(task, questions, self.model, settings.sandbox, self.reader)
        writer = SampleWriter(self.cell)
        try:
            if record:
                self.cell.begin(record)
            self.scores = {s.key: s.score.value for s in self.cell.samples()}
        except BaseException:
            writer.close()
            raise
        return writer

    def ask(self, task: Task, questions: Sequence[Question], writer: SampleWriter) -> None:
        """Asks what it was not asked yet."""
        for sample in collect_samples(task, self.model.get(), questions, set(self.scores), self.reader):
            writer.append(sample)
            self.scores[sample.key] = sample.score.value


def recall_answers(
    model: LazyModel, task: Task, questions: Sequence[Question], results: Results, settings: EvaluationSettings
) -> Contestant:
    """What is stored of a task; no model is loaded.  SkilldeltaError where it was asked for otherwise."""
    cell = results.cell(model.checkpoint.name, task.name)
    before = cell.record()
    reader = choose_reader(settings.reader, is_generated(questions), before)
    scores = {s.key: s.score.value for s in cell.samples()} if before else {}
    if before and scores:
        identify_cell(model, task, questions, reader).check_stored(before, cell)
    return Contestant(model, cell, scores)


def ask_questions(
    contestant: Contestant,
    task: Task,
    questions: Sequence[Question],
    part: Sequence[Question],
    results: Results,
    settings: EvaluationSettings,
) -> None:
    """Asks what is not stored yet of `part`, which is some of the task's `questions`."""
    if all(question.key in contestant.scores for question in part):
        return
    if task.prepare:
        task.prepare()
    with contestant.begin(task, questions, results, settings) as writer:
        contestant.ask(task, part, writer)


def close_part(contestant: Contestant, questions: Sequence[Question]) -> None:
    """Puts the samples into the order of the questions; a cell that does not hold all of them is `decided`, not `done`."""
    keys = [question.key for question in questions]
    if not contestant.scores or (list(contestant.scores) == keys and contestant.cell.read().state == "done"):
        return
    with SampleWriter(contestant.cell) as writer:
        writer.sort(keys)
    state = "done" if len(contestant.scores) == len(questions) else "decided"
    contestant.cell.update(state=state, finished=utc_now())
