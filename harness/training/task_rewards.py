"""Tasks as rewards: the function that scores a benchmark grades the answers of training, on rows that are not in its test.

`--reward task:NAME` names a task that generates texts.  Its prompts, its stop strings and its reading of an answer are those
of `skilldelta score`.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from harness import data, registry
from harness.evaluation.questions import EvaluationSettings, Question, make_questions
from harness.evaluation.scoring import score_response
from harness.evaluation.task_binding import bind_tasks
from harness.json_values import storable
from harness.prompts.reading import Reader
from harness.training.question_overlap import (
    OptionQuestions,
    copied_questions,
    question_texts,
    question_words,
)
from harness.training.reward_settings import PREFIX, RewardSettings, weighted_names
from harness.training.source_rows import raw_rows, row_text
from harness.types import Json, Response, SkilldeltaError, Task, digest

SILENT = "no answer"  # how the reasons begin for which the reader finds nothing to score


@dataclass(frozen=True)
class TaskReward:
    """A task that grades answers, with its weight in the reward."""

    task: Task
    weight: float = 1.0

    def grade(self, question: Question, text: str, is_complete: bool) -> float:
        """The task's score of an answer, 0 to 1; 0 for one that says nothing, NaN for one that the scorer fails on."""
        response = Response(text, "stop" if is_complete else "length")
        score = score_response(self.task, question, response, Reader()).score
        if score.value is None:
            return 0.0 if score.why.startswith(SILENT) else math.nan
        return score.value

    def grade_all(self, answers: Sequence[tuple[Question, str, bool]]) -> list[float]:
        """The scores of many answers; in threads where the scorer waits for other processes."""
        if not self.task.concurrent:
            return [self.grade(*answer) for answer in answers]
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            return list(pool.map(lambda answer: self.grade(*answer), answers))


def load_task_reward(name: str, weight: float) -> TaskReward:
    """The reward `task:NAME`.  Raises SkilldeltaError for a task that generates no text or needs a judge."""
    (task,) = bind_tasks([registry.task(name.removeprefix(PREFIX))], EvaluationSettings())
    if task.judged or task.judge:
        raise SkilldeltaError(f"The task {task.name} is graded by a judge ({task.judge}); a reward needs a task with a rule.")
    if task.prepare:
        task.prepare()
    return TaskReward(task, weight)


def training_questions(reward: TaskReward, files: Sequence[str]) -> tuple[list[Question], list[Json]]:
    """(a question for each training row, a report on the sources) of a task.

    Without files they are the benchmark's own training rows.  Raises SkilldeltaError for a task that weighs choices, and where
    a training row asks a question of the test.
    """
    task, folder, rows, report = reward.task, data.default_folder(), list[Json](), list[Json]()
    test_rows = list(task.rows(folder))
    require_generated(task, test_rows, folder)
    for name in files:
        part, sha = raw_rows(name)
        rows += map(storable, part)  # questions have hashes of what JSON holds
        report.append({"source": name, "sha256": sha, "kind": "", "rows": len(part), "skipped": {}, "used": len(part)})
    if not files:
        if task.training_rows is None:
            raise SkilldeltaError(f"The task {task.name} knows no training rows: name files with its columns with --data.")
        rows = list(task.training_rows(folder))
        facts = {"sha256": digest(storable(rows), 64), "kind": "", "rows": len(rows), "skipped": {}, "used": len(rows)}
        report.append({"source": f"{PREFIX}{task.name}", **facts})
    check_columns(task, rows, test_rows)
    refuse_test_rows(task, rows, test_rows)
    return make_questions(replace(task, rows=lambda _: rows, draws=1), EvaluationSettings(folder)), report


def require_generated(task: Task, test_rows: Sequence[Json], folder: Path | None) -> None:
    """Raises SkilldeltaError for a task that weighs choices, whatever the training rows are: its own test tells."""
    questions = make_questions(replace(task, rows=lambda _: list(test_rows[:1]), draws=1), EvaluationSettings(folder))
    if questions and questions[0].request.choices:
        raise SkilldeltaError(
            f"The task {task.name} compares the probabilities of given choices and generates no text, so it can grade no "
            "answer.  Name a task that generates."
        )


def check_columns(task: Task, rows: Sequence[Json], test_rows: Sequence[Json]) -> None:
    """Raises SkilldeltaError for training rows without a column that every row of the test has."""
    columns = set.intersection(*(set(row) for row in test_rows)) if test_rows else set()
    for number, row in enumerate(rows):
        if missing := sorted(columns - set(row)):
            raise SkilldeltaError(
                f"Row {number} of the training data of {task.name} has no column {', '.join(map(repr, missing))}; it has: "
                f"{', '.join(map(str, row))}.  A task grades rows with the columns of its own data."
            )
    if not rows:
        raise SkilldeltaError(f"The training data of {task.name} hold no rows.")


def refuse_test_rows(task: Task, rows: Sequence[Json], test_rows: Sequence[Json]) -> None:
    """Raises SkilldeltaError where a training row holds a question of the test: its score would mean nothing.

    Questions are compared by their words, so that another spacing, another answer, some changed words, or another order of the
    options hides none.
    """
    texts = [row_text(row) for row in rows]  # at any depth of a row
    leaks = copied_questions({words for row in test_rows for words in question_words(row)}, texts)
    with_options = OptionQuestions(text for row in test_rows for text in question_texts(row))
    leaks |= {words for text in texts for words in with_options.find(text)}
    if leaks:
        example = " ".join(sorted(leaks)[0][:12])
        raise SkilldeltaError(
            f"The training data hold {len(leaks)} questions of the test of {task.name} ({example!r}, ...).  A model that is "
            "trained on them has nothing left to be scored on: take them out, or name the benchmark's training rows."
        )


def reward_tasks(config: RewardSettings) -> list[TaskReward]:
    """The tasks among the rewards."""
    return [load_task_reward(name, weight) for name, weight in weighted_names(config) if name.startswith(PREFIX)]
