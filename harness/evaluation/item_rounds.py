"""Rounds of items over several tasks, asked of many checkpoints: what choosing among them and bisecting a run share.

The items of a task come in random order.  Tasks over the same rows (TruthfulQA's mc1 and mc2) make one stratum, in which an
item is a row with all its questions, because their answers are not independent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from harness.comparison.problem_numbers import problem_numbers
from harness.evaluation.contestant import Contestant, ask_questions, close_part, recall_answers
from harness.evaluation.failures import describe_failure
from harness.evaluation.item_queues import FIRST_LOOK, ItemQueue, needs_every_answer, queue_items
from harness.evaluation.lazy_model import LazyModel
from harness.evaluation.questions import EvaluationSettings, Question, make_questions
from harness.evaluation.task_binding import bind_tasks
from harness.grouping import group_by
from harness.mean_rules import MeanRule
from harness.rust_panics import panics_as_errors
from harness.statistics.aggregates import Floats, Ints
from harness.statistics.elimination import Round, plan_rounds
from harness.types import SkilldeltaError, Task

if TYPE_CHECKING:
    from harness.store import Results


@dataclass(frozen=True)
class TaskQueue:
    """A task's items in their order; `questions`: all of the task's, in the order in which they are stored."""

    task: Task
    questions: Sequence[Question]
    queue: ItemQueue
    share: float  # of the task in the target, times the scale of its items

    def identify_items(self) -> list[frozenset[str]]:
        """What tells the rows of each item apart, in other tasks too: the numbers of their problems, or their ids."""
        numbers = problem_numbers(self.task.name, {q.example.id: q.example.row for q in self.questions})
        names = [frozenset(numbers.get(q.example.id, q.example.id) for q in item) for item in self.queue.items]
        return names if len(set(names)) == len(names) else [frozenset(q.example.id for q in item) for item in self.queue.items]


@dataclass(frozen=True)
class Stratum:
    """Tasks with the same items: item i of each is about the same rows."""

    parts: Sequence[TaskQueue]

    @property
    def size(self) -> int:
        return len(self.parts[0].queue.items)

    @property
    def share(self) -> float:
        return sum(part.share for part in self.parts)


def rounds_between_looks(question_counts: Ints) -> Iterator[tuple[int, int]]:
    """Blocks of rounds (first, end) from the questions after each round: FIRST_LOOK questions, then half of all before."""
    first = before = 0
    for end, so_far in enumerate(question_counts.tolist()):
        is_last = end == len(question_counts) - 1
        if end and (is_last or so_far - before >= max(FIRST_LOOK, before // 2)):
            yield first, end
            first, before = end, so_far


@dataclass(frozen=True)
class Course:
    """Which items of which stratum are asked in which round."""

    strata: Sequence[Stratum]

    @cached_property
    def counts(self) -> Ints:
        """[rounds + 1, strata]: the items after each round."""
        return plan_rounds(self.sizes)

    @property
    def rounds(self) -> int:
        return len(self.counts) - 1

    @property
    def sizes(self) -> Ints:
        return np.array([s.size for s in self.strata])

    @property
    def shares(self) -> Floats:
        return np.array([s.share for s in self.strata])

    @property
    def parts(self) -> list[TaskQueue]:
        return [part for stratum in self.strata for part in stratum.parts]

    @cached_property
    def question_counts(self) -> Ints:
        """[rounds + 1]: the questions after each round."""
        total = np.zeros(len(self.counts), np.int64)
        for ends, stratum in zip(self.counts.T, self.strata, strict=True):
            for part in stratum.parts:
                total += np.concatenate([[0], np.cumsum([len(item) for item in part.queue.items])])[ends]
        return total

    def blocks(self) -> Iterator[tuple[int, int]]:
        """The rounds between two looks."""
        return rounds_between_looks(self.question_counts)

    def questions(self, first: int, end: int) -> Iterator[tuple[TaskQueue, list[Question]]]:
        """The questions of each task in the rounds from `first` to before `end`."""
        for stratum, low, high in zip(self.strata, self.counts[first], self.counts[end], strict=True):
            for part in stratum.parts:
                yield part, [q for item in part.queue.items[low:high] for q in item]

    def round(self, number: int, entrants: Sequence[Entrant]) -> Round:
        """The scores of a round's items, which are 0..1; an item with a question without a score has none."""
        scores, strata = [], []
        for place, stratum in enumerate(self.strata):
            for item in range(self.counts[number, place], self.counts[number + 1, place]):
                scores.append([entrant.score_item(stratum, item) for entrant in entrants])
                strata.append(place)
        return Round(np.array(scores), np.array(strata))


@dataclass
class Entrant:
    """A checkpoint, with what it answered to each task; `failure`: why it is asked no more.

    `questions`: how many there are in the rounds that it took part in, whether asked now or before.
    """

    model: LazyModel
    contestants: dict[str, Contestant] = field(default_factory=dict)
    failure: str = ""
    questions: int = 0

    @property
    def name(self) -> str:
        return self.model.checkpoint.name

    def recall(self, course: Course, results: Results, settings: EvaluationSettings) -> None:
        """Reads what is stored.  SkilldeltaError where that was asked for otherwise, or the checkpoint cannot be loaded."""
        if self.model.checkpoint.problem:
            raise SkilldeltaError(self.model.checkpoint.problem)
        for part in course.parts:
            self.contestants[part.task.name] = recall_answers(self.model, part.task, part.questions, results, settings)

    def ask(self, course: Course, span: tuple[int, int], results: Results, settings: EvaluationSettings) -> None:
        """Asks what it was not asked yet of the rounds `span`, and stores it."""
        for part, questions in course.questions(*span):
            contestant = self.contestants[part.task.name]
            ask_questions(contestant, part.task, part.questions, questions, results, settings)
        self.questions += int(course.question_counts[span[1]] - course.question_counts[span[0]])

    def score_item(self, stratum: Stratum, number: int) -> float:
        """The score of an item, the mean over its tasks by their shares; NaN where a question has none."""
        total = 0.0
        for part in stratum.parts:
            contestant = self.contestants.get(part.task.name)
            scores = contestant.scores if contestant else {}
            for question in part.queue.items[number]:
                value = scores.get(question.key)
                total += part.share * part.queue.weights[question.key] * (np.nan if value is None else value)
        return total / stratum.share

    def close(self, course: Course) -> None:
        """Finishes its cells."""
        for part in course.parts:
            if part.task.name in self.contestants:
                close_part(self.contestants[part.task.name], part.questions)

    @property
    def unscored(self) -> int:
        """How many of its answers have no score."""
        return sum(value is None for c in self.contestants.values() for value in c.scores.values())

    @property
    def is_silent(self) -> bool:
        """Whether none of its answers has a score."""
        return all(value is None for c in self.contestants.values() for value in c.scores.values())

    def release(self) -> None:
        """Forgets the loaded model; an adapter stays, because it holds no more than its own tensors next to a shared base."""
        if not self.model.checkpoint.base:
            self.model.model = None


def plan_course(
    tasks: Sequence[Task],
    settings: EvaluationSettings,
    includes: Callable[[str], bool] | None = None,
    rule: MeanRule = MeanRule(),
) -> tuple[Course, tuple[str, ...]]:
    """The rounds over tasks, for their average by a rule; and sentences on what that is not.

    `includes`: which examples count, by id.  SkilldeltaError where a task has none.
    """
    bound = bind_tasks(tasks, settings)
    skills = {t.name: rule.skills.get(t.name, t.skill) for t in bound}
    notes = [
        f"{t.name}: its score (F1, pass@k) is no mean of items, so the mean of its items' scores decides here."
        for t in bound
        if needs_every_answer(t)
    ]
    shares = rule.shares(group_by((t.name for t in bound), lambda name: skills[name]))
    queues = []
    for task in bound:
        questions = make_questions(task, settings)
        counting = [q for q in questions if includes is None or includes(q.example.id)]
        if not counting:
            raise SkilldeltaError(f"{task.name}: none of its {len(questions)} questions counts in this half.")
        queue = queue_items(task, counting, settings.seed)
        queues.append(TaskQueue(task, questions, queue, queue.scale * shares[task.name]))
    return Course(merge_queues(queues)), tuple(notes)


def merge_queues(queues: Sequence[TaskQueue]) -> list[Stratum]:
    """Strata: the tasks over exactly the same rows together, their items in the order of the first one's."""
    strata: dict[frozenset[frozenset[str]], list[TaskQueue]] = {}
    orders: dict[frozenset[frozenset[str]], list[frozenset[str]]] = {}
    for queue in queues:
        names = queue.identify_items()
        rows = frozenset(names)
        items = dict(zip(names, queue.queue.items, strict=True))
        order = orders.setdefault(rows, names)
        in_order = replace(queue, queue=replace(queue.queue, items=[items[name] for name in order]))
        strata.setdefault(rows, []).append(in_order)
    return [Stratum(parts) for parts in strata.values()]


def ask_all(entrants: Sequence[Entrant], work: Callable[[Entrant], None], listener: Callable[[str], None]) -> None:
    """Does `work` for every entrant that has not failed; whatever goes wrong with one is its failure, and the others go on."""
    for entrant in entrants:
        if entrant.failure:
            continue
        try:
            with panics_as_errors():
                work(entrant)
        except Exception as error:  # noqa: BLE001  a checkpoint that fails is reported with its reason and leaves the race
            entrant.failure = describe_failure(error)
            listener(f"{entrant.name} failed: {entrant.failure}")
        entrant.release()
