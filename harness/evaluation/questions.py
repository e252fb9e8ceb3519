"""What a task asks under given settings: its requests in order, and the records that describe them in task.json."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from harness import data
from harness.prompts.reading import Reader
from harness.records import CellRecord, Inputs, TaskRecord
from harness.task_faults import require_request, require_text, task_errors
from harness.types import Example, Request, SandboxOptions, SkilldeltaError, Task, digest

OVERRIDES = ("max_tokens", "temperature", "top_p", "stop", "seed", "thinking")
MAX_QUESTIONS = 10_000_000  # of one task


@dataclass(frozen=True)
class EvaluationSettings:
    """What is the same for every checkpoint and task of a run."""

    folder: Path | None = None  # local data; None: the Hub
    selections: Mapping[str, data.ExampleSelection] = field(default_factory=dict)  # by task, "" for all others
    overrides: Mapping[str, Any] = field(default_factory=dict)  # fields of Request, see OVERRIDES
    draws: int | None = None  # None: as many as the task asks for
    seed: int = 0
    judges: Mapping[str, str] = field(default_factory=dict)  # by task, see judge_binding.bind_judge
    margin: float = 0.0  # points: two checkpoints that are asked in turn are the same within it
    sandbox: SandboxOptions = field(default_factory=SandboxOptions)
    reader: Reader = field(default_factory=Reader)  # tells answers from reasoning
    exact_resume: bool = False  # a cell that goes on asks its unfinished blocks whole, for the bytes of an undisturbed run
    ask_again: bool = False  # stored answers that were asked for otherwise are replaced
    reuse: tuple[Path, ...] = ()  # further results folders, whose answers to the same questions are taken


@dataclass(frozen=True)
class Question:
    """One request with the example that it is about."""

    example: Example
    request: Request

    @property
    def key(self) -> tuple[str, int]:
        """The Sample.key of its sample."""
        return self.example.id, self.request.draw


def make_questions(task: Task, settings: EvaluationSettings) -> list[Question]:
    """Every request of a task, in the order of its examples and draws.

    SkilldeltaError where the rows cannot be read, the task fails to ask about one, or an override is no generation setting.
    """
    selection = settings.selections.get(task.name, settings.selections.get("", data.ExampleSelection()))
    draws = task.draws if settings.draws is None else settings.draws
    changes: dict[str, Any] = {"seed": settings.seed, **settings.overrides}
    if unknown := set(changes) - set(OVERRIDES):
        raise SkilldeltaError(f"Not a generation setting: {', '.join(sorted(unknown))}.  There are: {', '.join(OVERRIDES)}.")
    check_ranges(changes)
    examples = data.examples(task, settings.folder, selection)
    require_number_of_questions(task.name, len(examples), draws)
    return [
        Question(example, replace(request, **changes, draw=draw))
        for example in examples
        for request in [ask_about(task, example)]
        for draw in range(draws)
    ]


def require_number_of_questions(task: str, rows: int, draws: int) -> None:
    """SkilldeltaError where there is nothing to ask, or more than any model answers."""
    if not rows:
        raise SkilldeltaError(f"The task {task!r} has no rows to ask about.")
    if draws < 1:
        raise SkilldeltaError(f"draws={draws}: write 1 or more.")
    if rows * draws > MAX_QUESTIONS:
        raise SkilldeltaError(f"{draws:,} draws of {rows:,} rows of {task} are over {MAX_QUESTIONS:,} questions: draw fewer.")


def ask_about(task: Task, example: Example) -> Request:
    """The task's request about a row.  SkilldeltaError where it cannot ask, or cannot say where the row belongs."""
    with task_errors(task.name, f"as it asks about the row {example.id}"):
        for name, function in (("group", task.group), ("cluster", task.cluster)):
            if function:
                require_text(function(example), name)
        request = require_request(task.ask(example))
    check_ranges({name: getattr(request, name) for name in ("temperature", "top_p", "max_tokens")})
    return request


def check_ranges(changes: Mapping[str, Any]) -> None:
    """Raises SkilldeltaError for a temperature, a top_p or a length that nothing can be drawn with."""
    if not 0 <= (temperature := changes.get("temperature", 0.0)) < math.inf:
        raise SkilldeltaError(f"temperature={temperature}: write 0, which is greedy, or more.")
    if not 0 <= (top_p := changes.get("top_p", 1.0)) <= 1:
        raise SkilldeltaError(f"top_p={top_p}: write a share of the probability, 0 to 1.")
    if (max_tokens := changes.get("max_tokens", 1)) < 1:
        raise SkilldeltaError(f"max_tokens={max_tokens}: write 1 or more.")


def choose_reader(reader: Reader, is_generated: bool, before: CellRecord | None = None) -> Reader | None:
    """The reader of a cell's responses; None: nothing is read, as where choices are compared.

    A cell that an older version began is continued as it was begun, without one; `rescore` reads it.
    """
    is_older = before is not None and not before.reader
    return reader if is_generated and not is_older else None


def task_record(task: Task) -> TaskRecord:
    """What task.json tells of a task: the fields that both have, and no judge where rules score it."""
    shared_fields = {f.name: getattr(task, f.name) for f in fields(TaskRecord) if hasattr(task, f.name)}
    return TaskRecord(**shared_fields | {"judge": task.judge if task.judged else None})


def inputs_record(questions: Sequence[Question]) -> Inputs:
    """What task.json tells of the questions: hashes of rows and requests, and the settings of generation."""
    first = questions[0].request
    is_generated = not first.choices
    settings = {n: getattr(first, n) for n in OVERRIDES if n != "thinking" or first.thinking} | {"stop": list(first.stop)}
    return Inputs(
        data=data.content_hash([q.example for q in questions if q.request.draw == 0]),
        prompts=digest([q.request.id for q in questions]),
        examples=sum(q.request.draw == 0 for q in questions),
        draws=max(q.request.draw for q in questions) + 1,
        kind="generate" if is_generated else "loglikelihood",
        settings=settings if is_generated else {},
    )


def is_generated(questions: Sequence[Question]) -> bool:
    """Whether the questions ask for texts."""
    return not questions[0].request.choices
