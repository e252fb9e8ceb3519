"""The census: a small random model of every family of causal language models, asked by the engine and by itself alone.

    python -m tests.bench.families [names...]

Each family has a process of its own, with a limit of memory and of time; what ends it is told.  Nothing is read from a network.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import sys
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, Literal

import torch
import transformers

from harness.backends.transformers import require_language_model
from harness.engine import self_test, shared_length
from harness.engine.engine import Engine, BatchLimits
from harness.types import SkilldeltaError
from tests.bench import small
from tests.bench.alone import Answers, Distance, alone, answers, distance, pairs

MEMORY = 9 << 30  # bytes of addresses
SECONDS = 120
FAR = 1e-3  # nats: more than rounding
LIMITS, CHUNK = BatchLimits(rows=4, slots=4), 16  # so small that there are several batches, chunks and runs
PATHS = (
    "weighed and decoded behind shared prefixes",
    "weighed so, decoded plainly",
    "plain, with what the model keeps itself",
    "plain, each token from the whole text (slow)",
)
ENCODERS = ("encoder-decoder models", "encoders, which see what follows")

Kind = Literal["unmade", "refused", "broken"]


@dataclass(frozen=True)
class Family:
    """`path`: one of PATHS, by its place.  `runs`: do runs of a packed row read the keys that they see?  `window`: its sliding
    window, 0: none; `beyond`: are longer sequences packed too?  `published`: why a model with the family's own config is
    refused, whose small one is a decoder; ""."""

    path: int
    runs: bool
    window: int
    beyond: bool
    published: str
    note: str
    engine: Distance
    plain: Distance

    def __str__(self) -> str:
        runs = "" if self.runs or self.path > 1 else ", without runs"
        return f"{PATHS[self.path]}{runs}: {self.engine}; plain: {self.plain}{f'; {self.note}' if self.note else ''}"


@dataclass(frozen=True)
class Missing:
    """A family without answers: no small model of it could be made and asked, or it was refused, or the engine broke on it."""

    kind: Kind
    why: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.why}"


Found = Family | Missing


def ask(family: str) -> Iterator[Kind | Found]:
    """Makes the small model and asks it, alone and by the engine; before that, what it would be if nothing came any more."""
    yield "unmade"
    try:
        model = small.make(family)
        known = alone(model, pairs())
    except Exception as error:  # noqa: BLE001  whatever a strange architecture raises is told
        yield Missing("unmade", self_test.describe_error(error))
        return
    yield "broken"
    try:
        yield held(family, model, known)
    except Exception as error:  # noqa: BLE001
        yield Missing("broken", self_test.describe_error(error))


def held(family: str, model: Any, known: Answers) -> Found:
    """The engine's answers, and those of its plain path, held against the model's own."""
    engines = Engine(model, LIMITS), Engine(model, LIMITS, "plain")
    first = engines[0]
    first.budget.tokens, first.budget.run_length = CHUNK, self_test.RUN_LENGTH
    if first.not_causal_reason:
        return Missing("refused", first.not_causal_reason)
    ours, plain = (distance(model, pairs(), answers(e, pairs()), known) for e in engines)
    path = 0 if first.shares_prefixes else 1 if first.packs_trees else 2 if not first.caching_unsupported_reason else 3
    window = min(shared_length.sliding_windows(model), default=0)
    runs = first.packs_trees and first.budget.run_length > 0
    return Family(path, runs, window, first.max_shared_length > window, published(family), first.note, ours, plain)


def published(family: str) -> str:
    """What is refused of a model with the family's own config."""
    own = transformers.CONFIG_MAPPING[family]()
    try:
        require_language_model(family, own)
    except SkilldeltaError:
        return ENCODERS[0]
    if getattr(own, "is_decoder", True):
        return ""
    try:
        encoder = Engine(small.make(family, is_decoder=False), LIMITS, "plain")
    except AssertionError:  # Reformer refuses it itself
        return ENCODERS[1]
    return ENCODERS[1] if encoder.not_causal_reason else ""


def serve(pipe: Connection, family: str) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    for told in ask(family):
        pipe.send(told)


def census(families: Sequence[str]) -> Iterator[tuple[str, Found]]:
    """Each with what came of it; as many at once as there are processors."""
    most = len(os.sched_getaffinity(0))
    for start in range(0, len(families), most):
        some = families[start : start + most]
        for family, (pipe, process) in zip(some, [begin(f) for f in some], strict=True):
            yield family, last(pipe, process)
            process.kill()
            process.join()


def begin(family: str) -> tuple[Connection, BaseProcess]:
    """A process of its own: forked, as the libraries need seconds to be imported."""
    fork = multiprocessing.get_context("fork")
    pipe, end = fork.Pipe(duplex=False)
    process = fork.Process(target=serve, args=(end, family), daemon=True)
    process.start()
    end.close()
    return pipe, process


def last(pipe: Connection, process: BaseProcess) -> Found:
    """What a process has told when it is done, or dead, or says nothing for SECONDS."""
    told: Kind | Found = "unmade"
    try:
        while isinstance(told, str) and pipe.poll(SECONDS):
            told = pipe.recv()
        why = f"no answer within {SECONDS} seconds"
    except EOFError:
        process.join()
        why = f"its process ended with exit code {process.exitcode}"
    return Missing(told, why) if isinstance(told, str) else told


def table(asked: dict[str, Family]) -> str:
    """Which family goes which way."""
    rows = [(path, [n for n, f in asked.items() if f.path == at]) for at, path in enumerate(PATHS)]
    for kind in ENCODERS:
        rows += [(f"of these, refused as published: {kind}", [n for n, f in asked.items() if f.published == kind])]
    lines = [f"| {path} | {len(names)} | {', '.join(names)} |" for path, names in rows]
    return "\n".join([f"| path | families of the {len(asked)} | names |", "|---|---|---|", *lines])


def runs(asked: dict[str, Family]) -> str:
    """Where a packed row is read by runs of its tokens."""
    packs = {name: f.runs for name, f in asked.items() if f.path < 2}
    without = [name for name, has in packs.items() if not has]
    return f"packed rows read by runs of tokens: {len(packs) - len(without)} of {len(packs)} families; not: {listed(without)}"


def windows(asked: dict[str, Family]) -> str:
    """Where sequences beyond a sliding window are packed."""
    slide = {name: f.beyond for name, f in asked.items() if f.path < 2 and f.window}
    without = [name for name, kept in slide.items() if not kept]
    return (
        f"sliding windows, here of {small.SLIDING} tokens: {len(slide)} families, longer sequences packed too in "
        f"{len(slide) - len(without)}; not: {listed(without)}"
    )


def distances(who: str, found: dict[str, Distance]) -> str:
    """The largest one, and the texts that differ."""
    near = {n: d.nats for n, d in found.items() if d.nats < FAR}
    far = [f"{n} {d.nats:.2g}" for n, d in found.items() if n not in near]
    wrong = [f"{n} {d.differing}" for n, d in found.items() if d.differing]
    ties = [f"{n} {d.ties}" for n, d in found.items() if d.ties]
    most = f"{max(near.values()):.1e} nats ({max(near, key=near.__getitem__)})" if near else "-"
    texts = len(found) * len(pairs())
    return (
        f"{who}: log-probabilities within {most}; farther: {listed(far)}; "
        f"of {texts} greedy texts, differing: {listed(wrong)}; differing by a tie: {listed(ties)}"
    )


def listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"


def missing(found: dict[str, Found], kind: str) -> list[str]:
    return [f"{name} ({one.why})" for name, one in found.items() if isinstance(one, Missing) and one.kind == kind]


def main() -> None:
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity(transformers.logging.CRITICAL)
    torch.set_num_threads(1)  # before the first fork: a pool of threads does not survive one
    found: dict[str, Found] = {}
    for family, one in census(sys.argv[1:] or small.FAMILIES):
        found[family] = one
        print(f"{family}: {one}", file=sys.stderr, flush=True)
    asked = {name: one for name, one in found.items() if isinstance(one, Family)}
    versions = f"transformers {transformers.__version__}, torch {torch.__version__}, float32"
    print(f"{versions}: {len(found)} families\n\n{table(asked)}\n")
    for line in (
        f"could not be made small: {len(missing(found, 'unmade'))}: {listed(missing(found, 'unmade'))}",
        f"refused: {listed(missing(found, 'refused'))}",
        f"the engine broke on: {listed(missing(found, 'broken'))}",
        runs(asked),
        windows(asked),
        distances("the engine", {n: f.engine for n, f in asked.items()}),
        distances("its plain path", {n: f.plain for n, f in asked.items()}),
    ):
        print(f"- {line}")


if __name__ == "__main__":
    main()
