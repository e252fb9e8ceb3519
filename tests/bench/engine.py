"""Time, forwarded tokens and parity against lm-eval's hf backend: same checkpoint, same requests, in turn, one process and
thread.  A random Llama of 18 M parameters with a tokenizer trained on the real rows.

    SKILLDELTA_DATA=... python -m tests.bench.engine [--rounds 3] [--questions 16] [--only truthfulqa]
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from harness import data
from harness.engine.tree import grow
from harness.models import lm_eval as theirs
from harness.models import transformers as ours
from harness.types import Checkpoint, Model, Request, Response, Task
from tasks import gsm8k, mmlu, truthfulqa
from tests import tiny

SIZES = {
    "hidden_size": 384,
    "intermediate_size": 1024,
    "num_hidden_layers": 7,
    "num_attention_heads": 6,
    "initializer_range": 0.1,
}
NEW = 48  # most tokens of an answer: random models seldom stop by themselves


class Counted:
    """Counts the tokens that a model's forward passes are given, padding and all."""

    def __init__(self, model: Any) -> None:
        self.tokens = 0
        model.register_forward_pre_hook(self.count, with_kwargs=True)

    def count(self, _: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
        self.tokens += (kwargs["input_ids"] if "input_ids" in kwargs else args[0]).numel()


def requests(task: Task, folder: Path, questions: int, group: str = "") -> list[Request]:
    chosen = (e for e in data.examples(task, folder) if not group or (task.group and task.group(e) == group))
    return [task.ask(e) for e, _ in zip(chosen, range(questions), strict=False)]


def timed(model: Model, asked: Sequence[Request]) -> tuple[float, list[Response]]:
    """Seconds of processor time, and every response in its place."""
    start = time.process_time()
    found = dict(model.answer(asked))
    return time.process_time() - start, [found[i] for i in range(len(asked))]


def parity(mine: Sequence[Response], official: Sequence[Response]) -> str:
    """The largest distance of log-probabilities with the share of equal greedy flags, or the share of equal texts."""
    if mine[0].logprobs:
        far = max(abs(a - b) for m, o in zip(mine, official, strict=True) for a, b in zip(m.logprobs, o.logprobs, strict=True))
        flags = sum(m.greedy == o.greedy for m, o in zip(mine, official, strict=True))
        return f"{far:.1e}, greedy {flags}/{len(mine)}"
    return f"texts {sum(m.text == o.text for m, o in zip(mine, official, strict=True))}/{len(mine)}"


def distinct(model: ours.Transformers, asked: Sequence[Request]) -> int:
    """Tokens of the requests' prefix tree."""
    rows = [
        [*t.pair.context, *t.pair.continuation][:-1] for r in asked if r.choices for t in model.tokens.pairs(r, model.template)
    ] + [model.tokens.encode(model.template.render(r)) for r in asked if not r.choices]
    return len(grow(rows, [0] * len(rows)))


def measure(place: Path, name: str, asked: Sequence[Request], rounds: int, batches: Sequence[int]) -> str:
    """One line of the table, against lm-eval at the best of its batch sizes."""
    checkpoint = Checkpoint("bench", str(place), "transformers")
    mine = ours.load(checkpoint, ours.Options(dtype="float32", device="cpu"))
    rivals = [theirs.load(checkpoint, theirs.Options("hf", dtype="float32", device="cpu", batch_size=str(b))) for b in batches]
    timed(mine, asked[:2])  # what is done once for a model: the trial, the kernels
    ratios, spent, said = [], [], []
    for _ in range(rounds):
        first, answers = timed(mine, asked)
        each = [timed(r, asked) for r in rivals]
        best = min(range(len(each)), key=lambda i: each[i][0])
        ratios.append(each[best][0] / first)
        spent.append((first, each[best][0], batches[best]))
        said.append(parity(answers, each[best][1]))
    counts = [Counted(mine.model), Counted(rivals[0].model.model)]
    timed(mine, asked)
    timed(rivals[0], asked)
    tree = distinct(mine, asked)
    fed = " / ".join(f"{c.tokens / tree:.2f}" for c in counts)
    seconds = "{:.1f} / {:.1f} (batch {})".format(*spent[-1])
    return f"| {name} | {len(asked)} | {statistics.median(ratios):.1f} | {seconds} | {tree} | {fed} | {said[-1]} |"


def model(folder: Path, rows: Path) -> Path:
    """The checkpoint, 18 M parameters with its 16 k vocabulary."""
    texts = (
        [str(r) for r in gsm8k.test_rows(rows)]
        + [str(r) for r in truthfulqa.mc_rows(rows)]
        + [str(r) for r in mmlu.test_rows(rows)]
    )
    tiny.llama(folder, window=2048, texts=tuple(texts[::3]), vocabulary=16384, num_key_value_heads=3, **SIZES)
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--questions", type=int, default=16)
    parser.add_argument("--batches", default="8", help="lm-eval's batch sizes; the best counts")
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = Path(os.environ.get("SKILLDELTA_DATA", "../shared/data"))
    n = options.questions
    works: dict[str, Callable[[], list[Request]]] = {
        "truthfulqa": lambda: [r for t in truthfulqa.TASKS for r in requests(t, rows, n // 2)],
        "mmlu": lambda: requests(named(mmlu, "mmlu_5_shot"), rows, 2 * n, "astronomy"),
        "gsm8k": lambda: [short(r) for r in requests(named(gsm8k, "gsm8k"), rows, n)],
    }
    print(
        "| work | requests | ratio, median | seconds, ours / theirs | tree tokens | forwarded / tree, ours / theirs | parity |"
    )
    print("|---|---|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        place = model(Path(folder) / "model", rows)
        for name, ask in works.items():
            if options.only in ("", name):
                batches = [int(b) for b in options.batches.split(",")]
                print(measure(place, name, ask(), options.rounds, batches), flush=True)


def named(module: Any, name: str) -> Task:
    return next(t for t in module.TASKS if t.name == name)


def short(request: Request) -> Request:
    return replace(request, max_tokens=min(request.max_tokens, NEW))


if __name__ == "__main__":
    main()
