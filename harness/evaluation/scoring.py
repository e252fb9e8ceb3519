"""From a model's responses to scored samples, as they come."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from harness.atomic_files import FULL
from harness.evaluation.questions import Question
from harness.prompts.reading import Reader, missing_answer
from harness.types import Example, Model, Request, Response, Sample, Score, SkilldeltaError, Task

if TYPE_CHECKING:
    from harness.store import Key

NO_ANSWER = {"overlong": "the prompt is longer than the model's window", "error": "no answer"}


@runtime_checkable
class SupportsAlign(Protocol):
    """A Model that must know which example each request is about, as one that answers from a file does."""

    def align(self, task: str, examples: Sequence[Example], requests: Sequence[Request]) -> None:
        """Called before the requests of a task are answered; `requests[i]` is about `examples[i]`."""
        ...


def collect_samples(
    task: Task,
    model: Model,
    questions: Sequence[Question],
    stored_keys: set[Key],
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
        for start in range(0, len(missing), model.block):
            block = missing[start : start + model.block]
            if all(q.key in stored_keys for q in block):
                continue
            try:
                for index, response in model.answer([q.request for q in block]):
                    if block[index].key not in stored_keys:
                        yield from scorer.submit(block[index], response)
            except Exception:
                yield from scorer.drain()  # what was answered before the failure is kept
                raise
        yield from scorer.drain()


class ResponseScorer:
    """Scores responses as they come; for a task whose scorer waits for other processes, in threads next to the model.

    At most `limit` responses wait for their score, and the model waits then: a kill loses no more.
    """

    def __init__(self, task: Task, reader: Reader | None = None, limit: int = 512) -> None:
        self.task, self.reader, self.limit = task, reader, limit
        self.pool = ThreadPoolExecutor(max_workers=os.cpu_count() or 1) if task.concurrent else None
        self.pending: set[Future[Sample]] = set()

    def __enter__(self) -> ResponseScorer:
        return self

    def __exit__(self, *_: object) -> None:
        if self.pool:
            self.pool.shutdown(wait=True, cancel_futures=True)

    def submit(self, question: Question, response: Response) -> Iterator[Sample]:
        """Takes one response; yields the samples that are scored by now, which may be of earlier ones."""
        if not self.pool:
            yield score_response(self.task, question, response, self.reader)
            return
        self.pending.add(self.pool.submit(score_response, self.task, question, response, self.reader))
        yield from self.take({f for f in self.pending if f.done()})
        while len(self.pending) > self.limit:
            yield from self.take(wait(self.pending, return_when=FIRST_COMPLETED).done)

    def drain(self) -> Iterator[Sample]:
        """The remaining samples, as they finish."""
        while self.pending:
            yield from self.take(wait(self.pending, return_when=FIRST_COMPLETED).done)

    def take(self, ready: set[Future[Sample]]) -> Iterator[Sample]:
        """The samples of futures that are done, each taken out before its result is asked for: one of them may raise."""
        for future in ready:
            self.pending.discard(future)
            yield future.result()


def score_response(task: Task, question: Question, response: Response, reader: Reader | None = None) -> Sample:
    """The sample for one response.  An answer that is missing, or that the scorer fails on, has no score but a reason.

    The task scores the answer that `reader` finds in the response; the sample keeps the response as it came.
    SkilldeltaError where the scorer cannot work at all (no sandbox, no judge).
    """
    example, reading = question.example, {}
    if response.finish in NO_ANSWER:
        score = Score(None, why=response.error or NO_ANSWER[response.finish])
    elif reader is None:
        score = score_answer(task, example, response)
    else:
        answer, contents = reader.read(response)
        reading = contents.to_json()
        why = missing_answer(answer, contents)
        own_rule = task.scores_silence and not contents.reasoning and not contents.unclosed
        score = Score(None, why=why) if why and not own_rule else score_answer(task, example, replace(response, text=answer))
    group = task.group(example) if task.group else ""
    cluster = task.cluster(example) if task.cluster else ""
    return Sample(example.id, question.request.id, response, score, question.request.draw, group, cluster, reading)


def score_answer(task: Task, example: Example, response: Response) -> Score:
    """The task's own score; none, with the reason, where its scorer fails."""
    try:
        return task.score(example, response)
    except SkilldeltaError:
        raise
    except Exception as error:  # an odd response must not lose the others; it is counted as unscored, with the reason
        if isinstance(error, OSError) and error.errno in FULL:
            raise  # of the machine, not of the response: asked again when there is room
        return Score(None, why=f"the scorer failed: {type(error).__name__}: {error}")
