"""The requests of the engine's bench: real rows, in parts small enough for minutes whose trees are those of the whole sets.

Tokens that lm-eval forwards over distinct tree tokens, whole set and part: a few-shot prefix is shared by every question behind
it, so that the ratio is near its limit after some dozens of questions of one prefix; of MMLU, whole subjects are run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from harness import data
from harness.types import Example, Request, Response, Task
from tasks import bbh, gsm8k, ifeval, mmlu, truthfulqa
from tests.support import tiny

SUBJECT = "astronomy"  # 152 questions, and a tree like that of the whole set
SUBTASKS = ("navigate", "date_understanding")
MAX_NEW_TOKENS, REAL_NEW_TOKENS = 256, 128  # the most tokens of an answer of a random and of a real model
END = "z"  # random models write it after 95 (18M) to 124 (135M) tokens in the mean, as widely spread as real answers end
SHAPES: dict[str, dict[str, Any]] = {  # a vocabulary, a random Llama
    "1M": {"vocabulary": 4096, "hidden_size": 128, "intermediate_size": 352, "num_hidden_layers": 4, "num_attention_heads": 4},
    "18M": {"vocabulary": 16384, "hidden_size": 384, "intermediate_size": 1024, "num_hidden_layers": 7,
            "num_attention_heads": 6, "num_key_value_heads": 3, "initializer_range": 0.1},
    "135M": {"vocabulary": 49152, "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30,
             "num_attention_heads": 9, "num_key_value_heads": 3, "initializer_range": 0.06},
}  # fmt: skip


@dataclass(frozen=True)
class Workload:
    """Requests, each with the task and the example that it is of."""

    tasks: list[Task]
    examples: list[Example]
    requests: list[Request]

    def scores(self, responses: list[Response]) -> list[float | None]:
        return [t.score(e, r).value for t, e, r in zip(self.tasks, self.examples, responses, strict=True)]

    def first_part(self, share: int) -> Workload:
        """Its first part, to find a batch size with."""
        size = max(8, len(self.requests) // share)
        return Workload(self.tasks[:size], self.examples[:size], self.requests[:size])


def make_workload(name: str, rows: Path, questions: int, answer_tokens: int = 0) -> Workload:
    """`questions`: of each task, subject or subtask; 0: all.  `answer_tokens`: the most of an answer; 0: for a random model."""
    limit = questions or None
    questions_of_tasks: list[tuple[Task, Example]] = []
    for task, groups in task_groups(name):
        every = data.examples(task, rows)
        for group in groups:
            of_group = (e for e in every if not group or (task.group and task.group(e) == group))
            questions_of_tasks += [(task, e) for e in islice(of_group, limit)]
    requests = [task.ask(example) for task, example in questions_of_tasks]
    return Workload(
        [t for t, _ in questions_of_tasks],
        [e for _, e in questions_of_tasks],
        [r if r.choices else limit_answer(r, answer_tokens) for r in requests],
    )


def task_groups(name: str) -> list[tuple[Task, tuple[str, ...]]]:
    """The tasks of a line of the table, with the groups of their examples that are run."""
    works: dict[str, Callable[[], list[tuple[Task, tuple[str, ...]]]]] = {
        "truthfulqa": lambda: [(find_task(truthfulqa, n), ("",)) for n in ("truthfulqa_mc1", "truthfulqa_mc2")],
        "mmlu": lambda: [(find_task(mmlu, "mmlu_5_shot"), (SUBJECT,))],
        "gsm8k": lambda: [(find_task(gsm8k, "gsm8k"), ("",))],
        "bbh": lambda: [(find_task(bbh, "bbh"), SUBTASKS)],
        "ifeval": lambda: [(find_task(ifeval, "ifeval"), ("",))],
    }
    return works[name]()


def find_task(module: Any, name: str) -> Task:
    return next(t for t in module.TASKS if t.name == name)


def limit_answer(request: Request, answer_tokens: int) -> Request:
    """The same with fewer tokens at the most, and for random models with an end that they find."""
    if answer_tokens:
        return replace(request, max_tokens=answer_tokens)
    return replace(request, max_tokens=MAX_NEW_TOKENS, stop=(*request.stop, END))


def write_model(folder: Path, rows: Path, size: str, seed: int = 0) -> Path:
    """A checkpoint of that size with a tokenizer trained on the rows."""
    every = [*gsm8k.rows(rows), *truthfulqa.rows(rows), *mmlu.rows(rows)]
    return tiny.llama(folder, seed, window=2048, texts=tuple(map(str, every[::3])), **SHAPES[size])
