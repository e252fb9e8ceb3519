"""Answers of any task, compared with another checkpoint's answers to the same prompts, by a judge."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from harness import registry
from harness.evaluation.outcome import Outcome
from harness.evaluation.scoring import NO_ANSWER
from harness.grading.criteria import BETTER
from harness.grading.preferences import METRICS, PREFERENCE_METRIC, preference_score
from harness.grading.questions import Grade, JudgeQuestion, grade_all
from harness.prompts.reading import SILENCE, Reader, missing_answer
from harness.prompts.templates import plain_text
from harness.records import CellRecord, TaskRecord, utc_now
from harness.store import Cell, Results, SampleWriter
from harness.types import (
    Checkpoint,
    Example,
    Json,
    Message,
    Request,
    Response,
    Sample,
    Score,
    SkilldeltaError,
    Task,
    unknown_name,
)
from harness.visible_text import printable

if TYPE_CHECKING:
    from harness.judge_binding import LazyJudge

FINISHED = ("done", "decided")  # states of cells whose answers are compared
MESSAGES = "messages"  # the column of a row that is a conversation alone
ENDING = "_preferred"  # of the names of tasks that hold preferences
AskTask = Callable[[Example], Request]


@dataclass(frozen=True)
class HeadToHead:
    """Whose answers are the reference, and who judges.  `include`: files and folders of tasks beside the program's own."""

    results: Results
    against: str
    judge: LazyJudge
    output: Results
    include: tuple[Path, ...] = ()


def judge_against(match: HeadToHead, tasks: Sequence[str] = ()) -> list[Outcome]:
    """Stores, for every checkpoint and generated task (of `tasks`, () for all), how often its answers are preferred.

    The reference's own answers are as good as themselves: 1/2.  SkilldeltaError where the reference has no generated answers;
    a judge that cannot be asked ends one cell, and its replies so far are kept.
    """
    cells = [(name, record, cell) for name, record, cell in match.results.cells() if record.inputs.kind == "generate"]
    references = {record.task.name: (record, cell) for name, record, cell in cells if name == match.against}
    if not references:
        names = sorted({name for name, *_ in cells})
        raise SkilldeltaError(
            f"{match.against!r} has no texts in {match.results.folder}; checkpoints with texts: {', '.join(names)}."
        )
    if unknown := [task for task in tasks if task not in references]:
        raise unknown_name(f"task with answers of {match.against}", unknown[0], references)
    outcomes = []
    for name, record, cell in cells:
        if record.task.name in references and (not tasks or record.task.name in tasks):
            try:
                outcomes.append(judge_cell(match, name, record, cell, references[record.task.name]))
            except SkilldeltaError as error:
                outcomes.append(Outcome(name, record.task.name + ENDING, "failed", why=str(error)))
    return outcomes


def judge_cell(match: HeadToHead, name: str, record: CellRecord, cell: Cell, reference: tuple[CellRecord, Cell]) -> Outcome:
    """One checkpoint's answers to a task against the reference's."""
    reference_record, reference_cell = reference
    if record.inputs.prompts != reference_record.inputs.prompts:
        raise SkilldeltaError(f"{name} was asked other prompts of {record.task.name} than {match.against}: score both alike.")
    for who, state in ((name, record.state), (match.against, reference_record.state)):
        if state not in FINISHED:
            raise SkilldeltaError(f"{record.task.name} of {who} is {state}, not done: score it to its end first.")
    rows = match.results.rows(record.task.name)
    others = {s.key: s for s in reference_cell.samples()}
    own_samples = list(cell.samples())
    samples = [sample for sample in own_samples if sample.key in others]
    counts = Counter({name: len(own_samples) - len(samples), match.against: len(others) - len(samples)})
    note = describe_unshared(counts)
    if not samples:
        raise SkilldeltaError(f"{name} and {match.against} share no question of {record.task.name}: {note}.")
    is_own = all(set(row) == {MESSAGES} for row in rows.values())
    ask = ask_conversation if is_own else find_task(record.task.name, match.include).ask
    pairs = [(sample, others[sample.key]) for sample in samples]
    readers = Reader.from_record(record.reader), Reader.from_record(reference_record.reader)
    triples = [(question_of(ask, rows, a), a, b) for a, b in pairs]
    scores = prefer(triples, match.judge, readers, is_same=name == match.against)
    describe = match.results.checkpoints()[name]
    fields = {field: getattr(describe, field) for field in ("name", "path", "producer", "method", "run", "step", "content")}
    match.output.add(Checkpoint(**fields), describe.fingerprint)
    target = match.output.cell(name, record.task.name + ENDING)
    with SampleWriter(target):
        agreements = [score.parts["orders_agree"] for score in scores if "orders_agree" in score.parts]
        state = "decided" if note else record.state  # one side was asked a part
        preferences = (replace(sample, score=score) for sample, score in zip(samples, scores, strict=True))
        target.rewrite(preferences, replace(preference_record(match, record, agreements), state=state, note=note))
    match.output.keep(record.task.name + ENDING, [Example(rows[e]) for e in {s.example: None for s in samples} if e in rows])
    unscored = [score for score in scores if score.value is None]
    why = "; ".join(filter(None, (unscored[0].why if unscored else "", note)))
    return Outcome(name, record.task.name + ENDING, "done", len(samples), len(unscored), why)


def find_task(name: str, include: Sequence[Path]) -> Task:
    """The task that was scored.  SkilldeltaError, with the way out, where it is nowhere."""
    try:
        return registry.task(name, include)
    except SkilldeltaError as error:
        if include:
            raise
        raise SkilldeltaError(f"{error}\nWhere it was scored with --include-path, name that file or folder again.") from error


def describe_unshared(counts: Mapping[str, int]) -> str:
    """By checkpoint the answers to questions that the other one was not asked, in words; "" where there are none."""
    parts = [f"{count} of {name}" for name, count in counts.items() if count]
    return f"left out: {' and '.join(parts)}, to questions that the other was not asked" if parts else ""


def absent_references(match: HeadToHead) -> list[str]:
    """The tasks with texts of some checkpoint that the reference has no answers to, each with those checkpoints, in words."""
    names_by_task: dict[str, list[str]] = {}
    for name, record, _ in match.results.cells():
        if record.inputs.kind == "generate":
            names_by_task.setdefault(record.task.name, []).append(name)
    return [
        f"{match.against} has no answers to {task}: those of {', '.join(names)} are left out."
        for task, names in names_by_task.items()
        if match.against not in names
    ]


def preference_record(match: HeadToHead, record: CellRecord, agreements: Sequence[float]) -> CellRecord:
    """task.json of preferences: who was compared with whom, by which judge, with its errors where they are measured."""
    name = record.task.name
    task = TaskRecord(
        name=name + ENDING,
        skill=record.task.skill,
        version=record.task.version,
        source=f"answers to {name}, preferred to those of {match.against}",
        chance=0.5,
        metrics=METRICS,
        judge=match.judge.identity,
    )
    agreement = {"orders_agree": round(sum(agreements) / len(agreements), 4)} if agreements else {}
    work = {**match.judge.report(BETTER), **agreement}
    return replace(
        record,
        task=task,
        why="",
        note="",
        noise=None,
        decision=None,
        conditions={"judge": work} if work else {},
        imported={"task": name, "metric": f"{PREFERENCE_METRIC}{match.against}"},
        rescored=utc_now(),
    )


def ask_conversation(example: Example) -> Request:
    """What a row of the user's own prompts asks, whose task no file defines (`skilldelta behaviour`)."""
    return Request(tuple(Message(turn["role"], turn["content"]) for turn in example.row[MESSAGES]))


def request_of(ask: AskTask, rows: Mapping[str, Json], example: str) -> Request:
    """What was asked.  SkilldeltaError where the row was not stored, or is no row of the task."""
    if example not in rows:
        raise SkilldeltaError(f"The row {example} is not stored with the results: they are too old to be judged.")
    try:
        return ask(Example(rows[example]))
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        reason = printable(f"{type(error).__name__}: {error}")[:200]
        raise SkilldeltaError(f"The row {example} in _examples of the results is no row of its task ({reason}).") from error


def question_of(ask: AskTask, rows: Mapping[str, Json], sample: Sample) -> JudgeQuestion:
    """What was asked: a text, and where it is more than one user's message the conversation too.  SkilldeltaError as above."""
    request = request_of(ask, rows, sample.example)
    if isinstance(request.prompt, str):
        return JudgeQuestion(request.prompt, "")
    if len(request.prompt) == 1:
        return JudgeQuestion(request.prompt[0].content, "")
    return JudgeQuestion(plain_text(replace(request, prefix="")), "", conversation=request.prompt)


def prefer(
    triples: Sequence[tuple[JudgeQuestion, Sample, Sample]], judge: LazyJudge, readers: tuple[Reader, Reader], is_same: bool
) -> list[Score]:
    """A score for each (question, sample, reference): the probability that the answer is preferred."""
    pairs = [(answer_or_reason(a.response, readers[0]), answer_or_reason(b.response, readers[1])) for _, a, b in triples]
    reasons = [own_reason or other_reason for (_, own_reason), (_, other_reason) in pairs]
    asked_places = [place for place, reason in enumerate(reasons) if not reason]
    questions = [
        triples[p][0]._replace(response=pairs[p][0][0], reference=pairs[p][1][0], criterion=BETTER) for p in asked_places
    ]
    grades = [Grade(0.5)] * len(questions) if is_same else grade_all(judge.get(), questions)
    grade_by_place = dict(zip(asked_places, zip(questions, grades, strict=True), strict=True))
    return [
        compare_lengths(*grade_by_place[place]) if place in grade_by_place else Score(None, why=reason)
        for place, reason in enumerate(reasons)
    ]


def answer_or_reason(response: Response, reader: Reader) -> tuple[str, str]:
    """An answer, and why there is none.  Silence is one, for the judge to compare; reasoning alone and a failure are none."""
    if response.finish in NO_ANSWER:
        return "", response.error or NO_ANSWER[response.finish]
    text, contents = reader.read(response)
    why = missing_answer(text, contents)
    return text, "" if why == SILENCE else why


def compare_lengths(question: JudgeQuestion, grade: Grade) -> Score:
    """The score of a preference, with both lengths in characters."""
    lengths = {"length": float(len(question.response)), "reference_length": float(len(question.reference))}
    return preference_score(grade, lengths)
