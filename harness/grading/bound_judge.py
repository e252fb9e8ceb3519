"""A judge at work for a task: asked about many responses at once, and its verdicts kept until they are scored."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.grading.questions import Grade, JudgeQuestion, grade_all
from harness.types import Example, Json, Response, Score

MAX_ROUNDS = 8  # of questions that rest on earlier verdicts
ScoreByJudge = Callable[["GradeMemory", Example, Response], Score]


class UnansweredError(Exception):
    """A question that has no verdict yet: it is asked with the others of its block."""


@dataclass
class GradeMemory:
    """Verdicts by question, of one block of responses.  What is not here is asked of the judge at once.

    `work`: what its questions took since the last report, by name.
    """

    ask: Callable[[Sequence[JudgeQuestion]], Sequence[Grade]]
    grades_by_question: dict[JudgeQuestion, Grade] = field(default_factory=dict)
    work: dict[str, Any] = field(default_factory=dict)

    def take_work(self) -> Json:
        """How many questions were graded since the last time, and what the judge tells of its work on them."""
        work, self.work = self.work, {}
        return {"questions": 0, **work}

    def add_work(self, work: Json) -> None:
        """Numbers add up, to millionths; of anything else the last one counts."""
        for name, value in work.items():
            self.work[name] = round(self.work.get(name, 0) + value, 6) if isinstance(value, int | float) else value

    def grades(self, questions: Sequence[JudgeQuestion]) -> list[Grade]:
        missing = list(dict.fromkeys(q for q in questions if q not in self.grades_by_question))
        if missing:
            self.grades_by_question |= dict(zip(missing, self.ask(missing), strict=True))
            self.add_work({"questions": len(missing)})
        return [self.grades_by_question[q] for q in questions]

    def grade(self, prompt: str, response: str, reference: str) -> float | None:
        """The value of one verdict, for scorers that ask no more."""
        return self.grades([JudgeQuestion(prompt, response, reference)])[0].value

    def grade_ahead(self, scorer: ScoreByJudge, pairs: Sequence[tuple[Example, Response]]) -> None:
        """Asks everything that scoring these responses will ask, each round of it at once."""
        self.grades_by_question.clear()
        for _ in range(MAX_ROUNDS):
            collector = QuestionCollector(self.grades_by_question)
            for example, response in pairs:
                collector.run(scorer, example, response)
            if not collector.questions:
                return
            self.grades(list(collector.questions))


@dataclass
class QuestionCollector:
    """Stands for the judge while a scorer is run only to learn what it asks."""

    grades_by_question: dict[JudgeQuestion, Grade]
    questions: dict[JudgeQuestion, None] = field(default_factory=dict)

    def grades(self, questions: Sequence[JudgeQuestion]) -> list[Grade]:
        if missing := [q for q in questions if q not in self.grades_by_question]:
            self.questions |= dict.fromkeys(missing)
            raise UnansweredError
        return [self.grades_by_question[q] for q in questions]

    def grade(self, prompt: str, response: str, reference: str) -> float | None:
        return self.grades([JudgeQuestion(prompt, response, reference)])[0].value

    def run(self, scorer: ScoreByJudge, example: Example, response: Response) -> None:
        try:
            scorer(self, example, response)  # type: ignore[arg-type]  # the same two methods
        except Exception:  # noqa: BLE001  an unanswered question is noted; another error comes again when the response is scored
            return


class BoundJudge:
    """A judge, made ready with the first question, at work for one task.

    Several threads may work on cells of the task, each on one at a time: each has verdicts and an account of its own, so that
    none loses what it has asked ahead, and the work on a cell is that cell's.  The judge itself is asked by one after another.
    """

    def __init__(self, get: Callable[[], object], scorer: ScoreByJudge) -> None:
        self.get, self.scorer = get, scorer
        self.lock, self.of_thread = threading.Lock(), threading.local()

    @property
    def memory(self) -> GradeMemory:
        """This thread's."""
        if not hasattr(self.of_thread, "memory"):
            self.of_thread.memory = GradeMemory(self.ask)
        memory: GradeMemory = self.of_thread.memory
        return memory

    def ask(self, questions: Sequence[JudgeQuestion]) -> Sequence[Grade]:
        with self.lock:
            judge = self.get()
            try:
                return grade_all(judge, questions)
            finally:  # what was paid for before a failure, too
                self.memory.add_work(report_of(judge))

    def score(self, example: Example, response: Response) -> Score:
        return self.scorer(self.memory, example, response)

    def grade_ahead(self, pairs: Sequence[tuple[Example, Response]]) -> None:
        self.memory.grade_ahead(self.scorer, pairs)


def report_of(judge: object) -> Json:
    """What a judge tells of its work since it was last asked; {} for one that keeps no account."""
    report = getattr(judge, "report", None)
    return report() if callable(report) else {}
