"""A judge at work for a task: asked about many responses at once, and its verdicts kept until they are scored."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from harness.grading.questions import Grade, JudgeQuestion, grade_all
from harness.types import Example, Json, Response, Score

MAX_ROUNDS = 8  # of questions that rest on earlier verdicts
ScoreByJudge = Callable[["GradeMemory", Example, Response], Score]


class UnansweredError(Exception):
    """A question that has no verdict yet: it is asked with the others of its block."""


@dataclass
class GradeMemory:
    """Verdicts by question, of one block of responses.  What is not here is asked of the judge at once."""

    ask: Callable[[Sequence[JudgeQuestion]], Sequence[Grade]]
    grades_by_question: dict[JudgeQuestion, Grade] = field(default_factory=dict)
    question_count: int = 0  # since the last report

    def take_count(self) -> int:
        """How many questions were graded since the last time."""
        count, self.question_count = self.question_count, 0
        return count

    def grades(self, questions: Sequence[JudgeQuestion]) -> list[Grade]:
        missing = list(dict.fromkeys(q for q in questions if q not in self.grades_by_question))
        if missing:
            self.grades_by_question |= dict(zip(missing, self.ask(missing), strict=True))
            self.question_count += len(missing)
        return [self.grades_by_question[q] for q in questions]

    def grade(self, prompt: str, response: str, reference: str) -> float | None:
        """The value of one verdict, for scorers that ask no more."""
        return self.grades([JudgeQuestion(prompt, response, reference)])[0].value

    def grade_ahead(self, judged: ScoreByJudge, pairs: Sequence[tuple[Example, Response]]) -> None:
        """Asks everything that scoring these responses will ask, each round of it at once."""
        self.grades_by_question.clear()
        for _ in range(MAX_ROUNDS):
            collector = QuestionCollector(self.grades_by_question)
            for example, response in pairs:
                collector.run(judged, example, response)
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

    def run(self, judged: ScoreByJudge, example: Example, response: Response) -> None:
        try:
            judged(self, example, response)  # type: ignore[arg-type]  # the same two methods
        except Exception:  # noqa: BLE001  an unanswered question is noted; another error comes again when the response is scored
            return


def report_of(judge: object) -> Json:
    """What a judge tells of its work since it was last asked; {} for one that keeps no account."""
    report = getattr(judge, "report", None)
    return report() if callable(report) else {}


def ask_of(get: Callable[[], object]) -> Callable[[Sequence[JudgeQuestion]], Sequence[Grade]]:
    """Asks a judge that is made ready with the first question."""
    return lambda questions: grade_all(get(), questions)
