"""What cannot be answered at all is said before anything is asked: tasks of a server, and checkpoints that cannot be loaded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from harness.evaluation.outcome import OverviewListener, Progress
from harness.evaluation.questions import Question
from harness.types import Checkpoint, Model, Request, SkilldeltaError, Task

if TYPE_CHECKING:
    from harness.evaluation.lazy_model import LazyModel
    from harness.store import Cell, Results


@runtime_checkable
class ServerLoader(Protocol):
    """A loader that may be of a server: then a checkpoint is a name which the server knows, and costs nothing to load."""

    @property
    def is_server(self) -> bool: ...


@runtime_checkable
class SupportsContract(Protocol):
    """A loader that knows beforehand which checkpoints it cannot load."""

    def explain_unloadable(self, checkpoint: Checkpoint) -> str:
        """Why it cannot load this one, as far as its files tell; "" where nothing tells."""
        ...


@runtime_checkable
class SupportsPreflight(Protocol):
    """A Model that knows beforehand which requests it cannot answer."""

    def unsupported_reason(self, requests: Sequence[Request]) -> str:
        """Why these requests cannot be answered; "" where they can."""
        ...


def check_supported(model: Model, questions: Sequence[Question]) -> None:
    """Raises SkilldeltaError where the model cannot answer these questions at all."""
    if isinstance(model, SupportsPreflight) and (why := model.unsupported_reason([q.request for q in questions])):
        raise SkilldeltaError(why)


def is_server(loader: object) -> bool:
    """Whether a loader's checkpoints are names that a server knows."""
    return isinstance(loader, ServerLoader) and loader.is_server


def unsupported_first(
    tasks: Sequence[Task], ask: Callable[[Task], list[Question] | SkilldeltaError], model: LazyModel, results: Results
) -> list[Task]:
    """The tasks, those first that the model cannot answer: a run says so before hours go into the others."""
    failing = {task.name for task in tasks if is_refused(ask(task), model, results.cell(model.checkpoint.name, task.name))}
    return sorted(tasks, key=lambda task: task.name not in failing)


def is_refused(questions: list[Question] | SkilldeltaError, model: LazyModel, cell: Cell) -> bool:
    """Whether a task that is not done yet fails before it is asked."""
    try:
        record = cell.record()
        if not isinstance(questions, SkilldeltaError) and not (record and record.state == "done"):
            check_supported(model.get(), questions)
    except SkilldeltaError:  # the cell says why
        return True
    return False


def find_explanation(loader: object) -> Callable[[Checkpoint], str]:
    """What tells why this loader cannot load a checkpoint; it tells nothing where the loader does not know beforehand."""
    return loader.explain_unloadable if isinstance(loader, SupportsContract) else lambda _: ""


def announce_unloadable(
    checkpoints: Sequence[Checkpoint], tasks: Sequence[Task], loader: object, results: Results, progress: Progress
) -> None:
    """Says which checkpoints will fail before hours go into the others: they fail in their turn, with the same reason.

    Those are looked at of which a cell is not done yet.
    """
    if not isinstance(progress, OverviewListener) or not isinstance(loader, SupportsContract):
        return
    names_by_problem: dict[str, list[str]] = {}
    for checkpoint in checkpoints:
        if all(is_finished(results.cell(checkpoint.name, task.name)) for task in tasks):
            continue
        if problem := loader.explain_unloadable(checkpoint):
            names_by_problem.setdefault(problem, []).append(checkpoint.name)
    for problem, names in names_by_problem.items():
        progress.remark(f"{', '.join(names)} cannot be scored: {problem}")


def is_finished(cell: Cell) -> bool:
    """Whether a cell is done; one whose record is damaged is not."""
    try:
        record = cell.record()
    except SkilldeltaError:  # the cell says why
        return False
    return record is not None and record.state == "done"
