"""The two that are compared, each in a process of its own that stays: they take turns, and neither pays for the other."""

from __future__ import annotations

import multiprocessing
import re
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from harness.backends import lm_eval as theirs
from harness.backends import transformers as ours
from harness.engine import plain
from harness.engine.tree import build_tree
from harness.types import Checkpoint, Request, Response
from tests.bench.works import Workload, make_workload

TIE = 1e-4  # two best logits as near as this are a tie within floating point noise
STATUS, REFS = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@dataclass(frozen=True)
class Subject:
    """A model and the rows that it is asked.

    `answer_tokens`: the most of an answer; 0: the model is random, and does not end its answers itself.
    `rows_at_once`: as many answers are decoded together here; 0: as many as the engine chooses.
    """

    place: Path
    rows: Path
    dtype: str = "float32"
    answer_tokens: int = 0
    rows_at_once: int = 0
    chat_template: str = "none"

    def workload(self, name: str, questions: int) -> Workload:
        return make_workload(name, self.rows, questions, self.answer_tokens)


@dataclass(frozen=True)
class TimedAnswers:
    """What one run took: seconds of wall and processor, megabytes at the most, GFLOP/s of a large matmul just before."""

    responses: list[Response]
    wall: float
    cpu: float
    memory: float
    peak: float


@dataclass(frozen=True)
class OperationCounts:
    """Tokens given to forward passes of more than one column, padding and all: the prompts'; floating point operations of the
    model's linear layers alone."""

    tokens: int
    operations: int


class Side:
    """A process with one of the two models, or ours in float64 ("exact")."""

    def __init__(self, kind: str, subject: Subject) -> None:
        self.pipe, end = multiprocessing.get_context("spawn").Pipe()
        self.process = multiprocessing.get_context("spawn").Process(target=serve, args=(end, kind, subject), daemon=True)
        self.process.start()

    def call(self, what: str, *given: Any) -> Any:
        self.pipe.send((what, *given))
        found = self.pipe.recv()
        if isinstance(found, Exception):
            raise found
        return found

    def close(self) -> None:
        self.pipe.send(None)
        self.process.join()


def serve(pipe: Connection, kind: str, subject: Subject) -> None:
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    served = SideModel(kind, subject)
    while (asked := pipe.recv()) is not None:
        try:
            pipe.send(getattr(served, asked[0])(*asked[1:]))
        except Exception as error:  # noqa: BLE001  raised in the process that called
            pipe.send(error)


class SideModel:
    """A model with its requests."""

    def __init__(self, kind: str, subject: Subject) -> None:
        self.subject, self.ours, template = subject, kind != "theirs", subject.chat_template
        checkpoint = Checkpoint("bench", str(subject.place), "transformers")
        if self.ours:
            options = ours.TransformersOptions(
                dtype="float64" if kind == "exact" else subject.dtype,
                device="cpu",
                chat_template=template,
                batch_size=subject.rows_at_once,
            )
            self.model: Any = ours.load(checkpoint, options)
            dict(
                self.model.answer([Request("a", choices=(" b",)), Request("a", max_tokens=1)])
            )  # the self-test runs once for a model
        else:
            their_options = theirs.LmEvalOptions("hf", dtype=subject.dtype, device="cpu", chat_template=template)
            self.model = theirs.load(checkpoint, their_options)

    def ask(self, name: str, questions: int, share: int = 1, batch: int = 0) -> TimedAnswers:
        """One run.  `share`: only the first part of the requests; `batch`: lm-eval's batch size."""
        every = self.subject.workload(name, questions)
        asked = every.first_part(share) if share > 1 else every
        if self.ours:
            self.model.cached_tokenizer.plans.clear()  # encoded texts and trees of the run before
        else:
            self.model.model.batch_size_per_gpu = batch
        peak = gflops()
        REFS.write_text("5")  # forget the largest size so far
        wall, cpu = time.perf_counter(), time.process_time()
        found = dict(self.model.answer(asked.requests))
        spent = time.perf_counter() - wall, time.process_time() - cpu
        return TimedAnswers([found[i] for i in range(len(found))], *spent, memory(), peak)

    def count(self, name: str, questions: int) -> OperationCounts:
        """The same run, counted."""
        net = self.model.model if self.ours else self.model.model.model
        return count_operations(net, lambda: self.ask(name, questions, 1, 8))

    def tree(self, name: str, questions: int) -> int:
        """Distinct tokens of the requests' prefix tree."""
        rows = []
        for request in self.subject.workload(name, questions).requests:
            if request.choices:
                pairs = [t.pair for t in self.model.tokenizer.encode_choices(request, self.model.template)]
                rows += [[*p.context, *p.continuation][:-1] for p in pairs]
            else:
                rows.append(self.model.tokenizer.encode(self.model.template.render(request)))
        return len(build_tree(rows, [0] * len(rows)))

    def ties(self, requests: list[Request]) -> int:
        """How many of these greedy answers pass a place where the two best logits are a tie within noise."""
        return sum(self.closest(r) < TIE for r in requests)

    def closest(self, request: Request) -> float:
        """The least distance of the two best logits on the way of a greedy answer."""
        ids = self.model.tokenizer.encode(self.model.template.render(request))
        prompt = self.model.encoder.to_token_prompt(request, ids)
        generation = dict(plain.generate_in_batches(self.model.model, [prompt], self.model.end_tokens, 1))[0]
        with torch.inference_mode():
            logits = self.model.model(torch.tensor([[*ids, *generation.ids]])).logits[0, len(ids) - 1 :]
        best = logits.topk(2).values
        return float((best[:, 0] - best[:, 1]).min())


def count_operations(net: Any, run: Callable[[], object]) -> OperationCounts:
    """What a model does in a run."""
    tokens = operations = 0

    def fed(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        nonlocal tokens
        ids = kwargs["input_ids"] if "input_ids" in kwargs else args[0]
        tokens += ids.numel() if ids.shape[1] > 1 else 0

    def multiplied(layer: torch.nn.Linear, _: Any, out: torch.Tensor) -> None:
        nonlocal operations
        operations += 2 * out.numel() * layer.in_features

    hooks = [m.register_forward_hook(multiplied) for m in net.modules() if isinstance(m, torch.nn.Linear)]
    hooks.append(net.register_forward_pre_hook(fed, with_kwargs=True))
    run()
    for hook in hooks:
        hook.remove()
    return OperationCounts(tokens, operations)


def memory() -> float:
    """Megabytes of the largest resident size since it was last forgotten."""
    return int(re.findall(r"VmHWM:\s+(\d+) kB", STATUS.read_text())[0]) / 1024


def gflops(size: int = 1024) -> float:
    """Of a large float32 matmul, the best of a few."""
    a, b = torch.randn(2, size, size)
    spent = []
    for _ in range(4):
        start = time.process_time()
        a @ b
        spent.append(time.process_time() - start)
    return 2e-9 * size**3 / min(spent)


def largest_distance(some: list[Response], others: list[Response]) -> float:
    """The largest distance of two log-probabilities of a choice."""
    pairs = zip(some, others, strict=True)
    return max(abs(a - b) for one, other in pairs for a, b in zip(one.logprobs, other.logprobs, strict=True))


def describe_parity(asked: Workload, mine: TimedAnswers, official: TimedAnswers, tool: Side, exact: list[Response]) -> str:
    """What differs between the two: log-probabilities (the largest distance, and that of each from `exact`), greedy flags,
    texts, scores."""
    pairs = list(zip(asked.requests, mine.responses, official.responses, strict=True))
    both = zip(asked.scores(mine.responses), asked.scores(official.responses), strict=True)
    differing_scores = f"{sum(abs((a or 0) - (b or 0)) > TIE or (a is None) != (b is None) for a, b in both)} scores"
    if pairs[0][0].choices:
        flags = sum(m.greedy != o.greedy for _, m, o in pairs)
        apart = largest_distance(mine.responses, official.responses)
        each = " and ".join(f"{largest_distance(side.responses, exact):.1e}" for side in (mine, official))
        return f"{apart:.1e} nats (from float64: {each}), {flags} flags and {differing_scores} differ"
    other = [r for r, m, o in pairs if m.text != o.text]
    ties = tool.call("ties", other) if other else 0
    return f"{len(other)} texts ({ties} at a tie) and {differing_scores} differ"
