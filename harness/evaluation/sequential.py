"""Two checkpoints asked item by item, in turn, until each task is decided: better, worse, or the same within a margin.

Stores samples as the ordinary loop does; what was left out can be asked later by scoring the same folder.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field

import numpy as np

from harness import training_log
from harness.evaluation import evaluate
from harness.evaluation.evaluate import Lazy, Question, Settings
from harness.judges import assignment
from harness.statistics.estimate import Floats
from harness.statistics.sequential_test import Decision, Plan, decide
from harness.store import Cell, Key, Results, Writer
from harness.types import SkilldeltaError, Task, digest


@dataclass(frozen=True)
class Settled:
    """How a task ended.  Units: points; `used` of `items` were asked of both."""

    task: str
    verdict: str
    used: int
    items: int
    delta: float
    low: float
    high: float
    why: str = ""

    @property
    def saved(self) -> float:
        return 1 - self.used / self.items


@dataclass(frozen=True)
class Items:
    """A task's questions by item (a cluster of questions that are not independent), in random order, and what each weighs."""

    questions: list[list[Question]]
    weights: Mapping[Key, float]  # of each question, as a share of the heaviest item
    scale: float  # the mean difference of items, times this, is the task's

    def blocks(self, size: int) -> Iterator[list[list[Question]]]:
        """Items gathered to about `size` questions at once."""
        block: list[list[Question]] = []
        for item in self.questions:
            block.append(item)
            if sum(map(len, block)) >= size:
                yield block
                block = []
        if block:
            yield block


def items(task: Task, asked: Sequence[Question], seed: int) -> Items:
    """The questions as items, in an order that depends on the seed and the items' names alone."""
    found: dict[str, list[Question]] = {}
    for question in asked:
        name = task.cluster(question.example) if task.cluster else question.example.id
        found.setdefault(name, []).append(question)
    groups = [task.group(q.example) if task.group and task.aggregate == "macro" else "" for q in asked]
    sizes = {g: groups.count(g) for g in set(groups)}
    weights = {q.key: 1 / (len(sizes) * sizes[g]) for q, g in zip(asked, groups, strict=True)}
    most = max(sum(weights[q.key] for q in item) for item in found.values())
    order = sorted(found, key=lambda name: digest([seed, name]))
    shares = {key: weight / most for key, weight in weights.items()}
    return Items([found[name] for name in order], shares, most * len(found))


@dataclass
class Side:
    """One of the two, at work on one task."""

    model: Lazy
    cell: Cell
    scores: dict[Key, float | None] = field(default_factory=dict)

    def begin(self, task: Task, asked: Sequence[Question], results: Results) -> Writer:
        identity = self.model.fingerprint()
        model = self.model.get()
        results.add(self.model.checkpoint, identity)
        training_log.keep(results, self.model.checkpoint)
        results.keep(task.name, (q.example for q in asked))
        if self.cell.about().get("state") != "done":
            facts = evaluate.about(task, asked, identity, model)
            self.cell.begin(facts | {"state": "running", "why": "", "started": evaluate.now()})
        elif not evaluate.matches(self.cell.about(), task, asked, identity):
            raise SkilldeltaError(f"{self.cell.folder} holds other samples: race into another folder (-o).")
        self.scores = {(s.example, s.draw): s.score.value for s in self.cell.samples()}
        return Writer(self.cell)

    def ask(self, task: Task, block: Sequence[Question], writer: Writer) -> None:
        for sample in evaluate.answers(task, self.model.get(), block, set(self.scores)):
            writer.append(sample)
            self.scores[sample.example, sample.draw] = sample.score.value


def race(
    pair: tuple[Lazy, Lazy], tasks: Sequence[Task], results: Results, settings: Settings, margin: float = 0.0
) -> Iterator[Settled]:
    """Asks the baseline and the candidate (in this order in `pair`) until each task is decided; `margin` in points."""
    for model in pair:
        if model.checkpoint.problem:
            raise SkilldeltaError(f"{model.checkpoint.name}: {model.checkpoint.problem}")
    for task in assignment.bind_all(tasks, settings.judges):
        yield run(pair, task, results, settings, margin)


def run(pair: tuple[Lazy, Lazy], task: Task, results: Results, settings: Settings, margin: float) -> Settled:
    asked = evaluate.questions(task, settings)
    laid = items(task, asked, settings.seed)
    plan = Plan(len(laid.questions), margin / 100 / laid.scale)
    sides = [Side(model, results.cell(model.checkpoint.name, task.name)) for model in pair]
    decision = Decision("unclear", 0, plan.items, 0.0, decide(np.zeros(0), plan).interval)
    done: list[list[Question]] = []
    with ExitStack() as stack:
        writers = [stack.enter_context(side.begin(task, asked, results)) for side in sides]
        for block in laid.blocks(max(model.get().block for model in pair)):
            for side, writer in zip(sides, writers, strict=True):
                side.ask(task, [q for item in block for q in item], writer)
            done += block
            if not whole(task):
                decision = decide(differences(laid, done, sides), plan)
                if decision.verdict != "unclear":
                    break
        for writer in writers:
            writer.sort([q.key for q in asked])
    settled = tell(task, decision, len(done), laid)
    for side in sides:
        everything = len(side.scores) == len(asked)
        side.cell.note(
            {"state": "done" if everything else "decided", "finished": evaluate.now(), "decision": asdict(settled)}
        )  # fmt: skip
    return settled


def whole(task: Task) -> bool:
    """Whether only all answers together have a score: F1, pass@k."""
    return task.aggregate == "f1" or task.pass_at > 0


def differences(laid: Items, done: Sequence[Sequence[Question]], sides: Sequence[Side]) -> Floats:
    """[items] candidate minus baseline; a question that one of them has no score for counts as no difference."""
    found = []
    for item in done:
        total = 0.0
        for question in item:
            old, new = (side.scores.get(question.key) for side in sides)
            if old is not None and new is not None:
                total += laid.weights[question.key] * (new - old)
        found.append(total)
    return np.array(found)


def tell(task: Task, decision: Decision, used: int, laid: Items) -> Settled:
    points = 100 * laid.scale
    why = "its score is no mean of answers: all of them were asked" if whole(task) else ""
    low, high = (max(-100.0, min(100.0, points * x)) for x in (decision.interval.low, decision.interval.high))
    return Settled(task.name, decision.verdict, used, len(laid.questions), points * decision.delta, low, high, why)
