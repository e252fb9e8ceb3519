"""From a model's responses to scored samples, as they come."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from harness.evaluation.questions import Question
from harness.grading.questions import AGREEMENTS
from harness.prompts.reading import Reader, missing_answer
from harness.rust_panics import panics_as_errors
from harness.system_errors import FULL
from harness.task_faults import check_score
from harness.types import Example, Model, Request, Response, Sample, Score, SkilldeltaError, Task

if TYPE_CHECKING:
    from harness.store import Cell, SampleKey

NO_ANSWER = {"overlong": "the prompt is longer than the model's window", "error": "no answer"}
JUDGE_BLOCK = 64  # responses that a judge grades at once: so many wait for their score at most
AWAITS_JUDGE = "the judge could not be asked: the same command asks it again"


@runtime_checkable
class SupportsAlign(Protocol):
    """A Model that must know which example each request is about, as one that answers from a file does."""

    def align(self, task: str, examples: Sequence[Example], requests: Sequence[Request]) -> None:
        """Called before the requests of a task are answered; `requests[i]` is about `examples[i]`."""
        ...


@runtime_checkable
class SupportsBlocks(Protocol):
    """A Model that answers several blocks at once, as one on several machines does."""

    def answer_blocks(self, blocks: Sequence[Sequence[Request]]) -> Iterator[tuple[int, int, Response]]:
        """Each response with the places of its block and of its request in that block, as it finishes."""
        ...


def collect_samples(
    task: Task,
    model: Model,
    questions: Sequence[Question],
    stored_keys: set[SampleKey],
    reader: Reader | None = None,
    whole_blocks: bool = False,
) -> Iterator[Sample]:
    """Samples of the questions whose key is not in `stored_keys`, as they finish; `reader` tells answers from reasoning.

    The model is asked what is missing.  With `whole_blocks` it gets the same blocks as an undisturbed run, also where some of
    a block are stored: batches, and with them the last bits of every answer, are then the same.
    """
    if isinstance(model, SupportsAlign):
        model.align(task.name, [q.example for q in questions], [q.request for q in questions])
    missing = questions if whole_blocks else [q for q in questions if q.key not in stored_keys]
    with ResponseScorer(task, reader, model.block) as scorer:
        blocks = [missing[start : start + model.block] for start in range(0, len(missing), model.block)]
        unfinished = [block for block in blocks if any(q.key not in stored_keys for q in block)]
        try:
            with panics_as_errors():
                for question, response in answer_blocks(model, unfinished):
                    if question.key not in stored_keys:
                        yield from scorer.submit(question, response)
        except Exception:
            yield from scorer.drain()  # what was answered before the failure is kept
            raise
        yield from scorer.drain()


def grade_waiting(task: Task, questions: Sequence[Question], cell: Cell, reader: Reader | None) -> None:
    """Has the judge grade the stored responses for which it could not be asked before."""
    samples = list(cell.samples()) if task.grade_ahead else []
    question_by_key = {question.key: question for question in questions}
    waiting = [(question_by_key[s.key], s.response) for s in samples if s.score.why == AWAITS_JUDGE]
    if waiting:
        grades = {s.key: s for s in score_block(task, waiting, reader)}
        cell.rewrite(grades.get(s.key, s) for s in samples)


def answer_blocks(model: Model, blocks: Sequence[Sequence[Question]]) -> Iterator[tuple[Question, Response]]:
    """Each question with its response, as it finishes: block after block, or as a model of several machines has them."""
    requests = [[q.request for q in block] for block in blocks]
    if isinstance(model, SupportsBlocks):
        for place, index, response in model.answer_blocks(requests):
            yield blocks[place][index], response
        return
    for block, block_requests in zip(blocks, requests, strict=True):
        for index, response in model.answer(block_requests):
            yield block[index], response


def judge_work(task: Task, samples: Sequence[Sample]) -> dict[str, Any]:
    """What a judge's work on a cell took, and how often its orders and annotators agreed, for task.json; {} for no judge."""
    work = dict(task.report()) if task.report else {}
    for name in AGREEMENTS:
        if agreements := [s.score.parts[name] for s in samples if name in s.score.parts]:
            work[name] = round(sum(agreements) / len(agreements), 4)
    return work


class ResponseScorer:
    """Scores responses as they come; for a task whose scorer waits for other processes, in threads next to the model.

    At most `limit` responses wait for their score, and the model waits then: a kill loses no more.  A judge gets JUDGE_BLOCK
    responses at once; where it fails they come without a score, and its error after them.
    """

    def __init__(self, task: Task, reader: Reader | None = None, limit: int = 512) -> None:
        self.task, self.reader, self.limit = task, reader, limit
        self.pool = ThreadPoolExecutor(max_workers=os.cpu_count() or 1) if task.concurrent else None
        self.pending: set[Future[Sample]] = set()
        self.block: list[tuple[Question, Response]] = []

    def __enter__(self) -> ResponseScorer:
        return self

    def __exit__(self, *_: object) -> None:
        if self.pool:
            self.pool.shutdown(wait=True, cancel_futures=True)

    def submit(self, question: Question, response: Response) -> Iterator[Sample]:
        """Takes one response; yields the samples that are scored by now, which may be of earlier ones."""
        if self.task.grade_ahead:
            self.block.append((question, response))
            if len(self.block) >= JUDGE_BLOCK:
                yield from self.grade()
            return
        if not self.pool:
            yield score_response(self.task, question, response, self.reader)
            return
        self.pending.add(self.pool.submit(score_response, self.task, question, response, self.reader))
        yield from self.take({f for f in self.pending if f.done()})
        while len(self.pending) > self.limit:
            yield from self.take(wait(self.pending, return_when=FIRST_COMPLETED).done)

    def drain(self) -> Iterator[Sample]:
        """The remaining samples, as they finish."""
        yield from self.grade()
        while self.pending:
            yield from self.take(wait(self.pending, return_when=FIRST_COMPLETED).done)

    def grade(self) -> Iterator[Sample]:
        """The samples of the responses that wait for the judge."""
        block, self.block = self.block, []
        yield from score_block(self.task, block, self.reader)

    def take(self, ready: set[Future[Sample]]) -> Iterator[Sample]:
        """The samples of futures that are done, each taken out before its result is asked for: one of them may raise."""
        for future in ready:
            self.pending.discard(future)
            yield future.result()


def score_block(task: Task, block: Sequence[tuple[Question, Response]], reader: Reader | None = None) -> Iterator[Sample]:
    """The samples of several responses, which a judge grades at once.

    Where the judge cannot be asked, they come without a score, as the task's own error does after them: answers are not lost.
    """
    failure: SkilldeltaError | None = None
    readings = [(question.example, read_response(task, response, reader)[0]) for question, response in block]
    if task.grade_ahead:
        try:
            task.grade_ahead([(example, answer) for example, answer in readings if isinstance(answer, Response)])
        except SkilldeltaError as error:
            failure = error
    for question, response in block:
        sample = score_response(task if failure is None else replace(task, score=unasked_score), question, response, reader)
        yield sample
    if failure is not None:
        raise failure


def unasked_score(example: Example, response: Response) -> Score:
    """The score where the judge could not be asked."""
    return Score(None, why=AWAITS_JUDGE)


def score_response(task: Task, question: Question, response: Response, reader: Reader | None = None) -> Sample:
    """The sample for one response.  An answer that is missing, or that the scorer fails on, has no score but a reason.

    The task scores the answer that `reader` finds in the response; the sample keeps the response as it came.
    SkilldeltaError where the scorer cannot work at all (no sandbox, no judge).
    """
    example = question.example
    answer, reading = read_response(task, response, reader)
    score = answer if isinstance(answer, Score) else score_answer(task, example, answer)
    group = task.group(example) if task.group else ""
    cluster = task.cluster(example) if task.cluster else ""
    return Sample(example.id, question.request.id, response, score, question.request.draw, group, cluster, reading)


def read_response(task: Task, response: Response, reader: Reader | None) -> tuple[Response | Score, dict[str, int]]:
    """What the task scores, or the score where there is nothing to score; and what was seen of the reasoning."""
    if response.finish in NO_ANSWER:
        return Score(None, why=response.error or NO_ANSWER[response.finish]), {}
    if reader is None:
        return response, {}
    text, contents = reader.read(response)
    why = missing_answer(text, contents)
    own_rule = task.scores_silence and not contents.reasoning and not contents.unclosed
    return Score(None, why=why) if why and not own_rule else replace(response, text=text), contents.to_json()


def score_answer(task: Task, example: Example, response: Response) -> Score:
    """The task's own score; none, with the reason, where its scorer fails."""
    try:
        return check_score(task.score(example, response))
    except (SkilldeltaError, KeyboardInterrupt):
        raise
    except BaseException as error:  # an odd response must not lose the others; it is counted as unscored
        if isinstance(error, OSError) and error.errno in FULL:
            raise  # of the machine, not of the response: asked again when there is room
        return Score(None, why=f"the scorer failed: {type(error).__name__}: {error}")
