"""What a judge is asked, and what it says: one protocol for classifiers, reward models and language models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Protocol, runtime_checkable

from harness.types import Judge, Message

NO_VERDICT = "the judge gave no verdict"
AGREEMENTS = {"orders_agree": "two orders", "annotators_agree": "annotators"}  # parts of samples, and what agrees


class JudgeQuestion(NamedTuple):
    """Texts to judge.  With a `reference`: is `response` the better of the two?  `criterion`: a name of grading/criteria.py.

    `conversation`: the messages that `prompt` writes down as one text, where they are more than one of a user.
    """

    prompt: str
    response: str
    reference: str = ""
    criterion: str = ""
    conversation: tuple[Message, ...] = ()


@dataclass(frozen=True)
class Grade:
    """0..1, how far the criterion holds; None where nothing can be read, with the reason: never a number.

    `agreement`: whether the two orders of a question came to the same; None where it was asked in one order, or not at all.
    """

    value: float | None
    label: str = ""  # the option of the criterion that is the likeliest
    agreement: bool | None = None
    why: str = ""
    first_place: float | None = None  # mean value for the first place over both orders: 0.5 for a judge that likes no place
    measures: Mapping[str, float] = field(default_factory=dict, hash=False)  # further numbers, for the sample's line

    @property
    def holds(self) -> bool | None:
        """Whether the criterion holds; None where nobody can say: no value, or two orders that cancel each other out."""
        is_balanced = self.value == 0.5 and self.agreement is False
        return None if self.value is None or is_balanced else self.value >= 0.5

    @property
    def decision(self) -> float:
        """1 where the criterion is likelier to hold than not, 0 where it is not, 0.5 for neither, and without a value."""
        return 0.5 if self.value is None or self.value == 0.5 else float(self.value > 0.5)

    @property
    def reason(self) -> str:
        """Why nobody can say."""
        return self.why or "the two orders of the judge's question contradict each other"

    def parts(self) -> dict[str, float]:
        """For a sample's line: whether the orders agree, where that is known, and what else the judge measured."""
        return ({} if self.agreement is None else {"orders_agree": float(self.agreement)}) | dict(self.measures)


@runtime_checkable
class BatchJudge(Protocol):
    """A judge that is asked many questions at once."""

    def grade_all(self, questions: Sequence[JudgeQuestion]) -> Sequence[Grade]:
        """A verdict for each question, in their order.  SkilldeltaError where it cannot be asked at all."""
        ...


@runtime_checkable
class GradesJudge(Protocol):
    """A judge that gives grades by their question: what a task's scorer gets."""

    def grades(self, questions: Sequence[JudgeQuestion]) -> Sequence[Grade]: ...


def grade_all(judge: object, questions: Sequence[JudgeQuestion]) -> list[Grade]:
    """A verdict for each question, from a judge of either protocol."""
    if isinstance(judge, BatchJudge):
        return [check_grade(grade) for grade in judge.grade_all(questions)]
    from harness.grading.criteria import compares_answers  # here, because most judges are asked many at once

    assert isinstance(judge, Judge)
    references = [q.reference if compares_answers(q.criterion, q.reference) else "" for q in questions]  # else right answers
    return [check_grade(Grade(judge.grade(q.prompt, q.response, r))) for q, r in zip(questions, references, strict=True)]


def check_grade(grade: Grade) -> Grade:
    """The grade; none, with the reason, where a judge gives no number in 0..1, as a damaged model does."""
    if grade.value is None:
        return grade if grade.why else replace(grade, why=NO_VERDICT)
    return grade if 0.0 <= grade.value <= 1.0 else Grade(None, why=f"the judge's grade is {grade.value}, not in 0..1")


def ask_judge(judge: object, *questions: JudgeQuestion) -> list[Grade]:
    """What a task's scorer asks of its judge: all that it needs at once, so that nothing is asked one by one."""
    return list(judge.grades(questions)) if isinstance(judge, GradesJudge) else grade_all(judge, questions)
