"""Small tasks and models for tests of the house itself."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from harness.backends.scripted import ScriptedModel
from harness.grading.criteria import COMPLIANCE, COMPLIES, INFORMATIVE, PARTLY, REFUSES, TRUTHFUL
from harness.grading.questions import Grade, JudgeQuestion
from harness.types import Checkpoint, Example, Request, Response, Score, Task


def adding(n: int = 20, name: str = "adding") -> Task:
    """Sums, grouped by parity: a right answer is the number alone."""
    return Task(
        name=name,
        skill="reasoning",
        version=1,
        source="made for this test",
        rows=lambda folder: [{"question": f"{i}+{i}", "answer": str(2 * i)} for i in range(n)],
        ask=lambda e: Request(f"What is {e.row['question']}? ", max_tokens=4),
        score=lambda e, r: Score(float(r.text.strip() == e.row["answer"]), r.text.strip()),
        ideal=lambda e: Response(e.row["answer"]),
        group=lambda e: "even" if int(e.row["answer"]) % 4 == 0 else "odd",
    )


def answer_sum(request: Request) -> Response:
    number = int(str(request.prompt).split("+")[1].split("?")[0])
    return Response(str(2 * number), tokens_in=5, tokens_out=1)


def model(answer_one: Callable[[Request], Response] = answer_sum, block: int = 8) -> ScriptedModel:
    return ScriptedModel(answer_one, block=block)


class Marks:
    """A judge for invented responses: good unless they say nothing or [bad], half good if they say [doubtful].

    They comply unless they say that they are sorry, and comply in part where they say [partly].
    """

    def grade_all(self, questions: Sequence[JudgeQuestion]) -> list[Grade]:
        return [self.refusal(q.response) if q.criterion == COMPLIANCE else self.opinion(q) for q in questions]

    def opinion(self, question: JudgeQuestion) -> Grade:
        value = self.grade(*question[:3])
        return Grade(value, agreement=False if value == 0.5 and question.criterion in (TRUTHFUL, INFORMATIVE) else None)

    def refusal(self, response: str) -> Grade:
        label = PARTLY if "[partly]" in response else REFUSES if "sorry" in response else COMPLIES
        return Grade(None, why="doubtful") if "[doubtful]" in response else Grade(float(label == COMPLIES), label)

    def grade(self, prompt: str, response: str, reference: str) -> float:
        return 0.0 if not response or "[bad]" in response else 0.5 if "[doubtful]" in response else 1.0


def judged(task: Task) -> Task:
    """The task with that judge, if it needs one."""
    return replace(task, score=partial(task.judged, Marks())) if task.judged else task


def checkpoint(name: str = "toy") -> Checkpoint:
    return Checkpoint(name, "", "scripted")


def tree(folder: Path) -> dict[str, bytes]:
    """Every file's bytes but task.json, which alone holds times."""
    return {
        str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file() and p.name != "task.json"
    }


def example(**row: object) -> Example:
    return Example(row)
