"""The census: a small random model of every family of causal language models, run by the engine and by itself alone.

    python -m tests.bench.families [names...]

Each family has a process of its own, with a limit of memory and of time; the report says what ended it.  Nothing is read from a
network.
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

from harness.engine import self_test, shared_length
from harness.engine.engine import BatchLimits, Engine
from harness.loading.headers import BrokenWeightsError
from harness.loading.whole_model import require_language_model
from tests.bench import small
from tests.bench.alone import AnswerDistance, ModelAnswers, answer_alone, answer_by_engine, make_pairs, measure_distance

MEMORY = 9 << 30  # bytes of addresses
SECONDS = 120
MAX_ROUNDING = 1e-3  # nats: more than rounding
LIMITS, CHUNK = BatchLimits(rows=4, slots=4), 16  # so small that there are several batches, chunks and runs
PATHS = (
    "log-likelihoods and decoding behind shared prefixes",
    "log-likelihoods behind shared prefixes, plain decoding",
    "plain, with the model's own cache",
    "plain, each token from the whole text (slow)",
)
ENCODERS = ("encoder-decoder models", "encoders, which see what follows")

Kind = Literal["unmade", "refused", "broken"]


@dataclass(frozen=True)
class MeasuredFamily:
    """`path`: one of PATHS, by its place.  `runs`: do runs of a packed row read the keys that they see?  `window`: its sliding
    window, 0: none; `beyond`: are longer sequences packed too?  `published`: reason a model with the family's own config is
    refused, whose small one is a decoder; ""."""

    path: int
    runs: bool
    window: int
    beyond: bool
    published: str
    note: str
    engine: AnswerDistance
    plain: AnswerDistance

    def __str__(self) -> str:
        runs = "" if self.runs or self.path > 1 else ", without runs"
        return f"{PATHS[self.path]}{runs}: {self.engine}; plain: {self.plain}{f'; {self.note}' if self.note else ''}"


@dataclass(frozen=True)
class UnmeasuredFamily:
    """A family without answers: no small model of it could be made and run, or it was refused, or the engine broke on it."""

    kind: Kind
    reason: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.reason}"


FamilyResult = MeasuredFamily | UnmeasuredFamily


def measure_family(family: str) -> Iterator[Kind | FamilyResult]:
    """Makes the small model and runs it, alone and by the engine; before each, the result if nothing more came."""
    yield "unmade"
    try:
        model = small.make_model(family)
        reference = answer_alone(model, make_pairs())
    except Exception as error:  # noqa: BLE001  a strange architecture may raise anything
        yield UnmeasuredFamily("unmade", self_test.describe_error(error))
        return
    yield "broken"
    try:
        yield compare_paths(family, model, reference)
    except Exception as error:  # noqa: BLE001
        yield UnmeasuredFamily("broken", self_test.describe_error(error))


def compare_paths(family: str, model: Any, reference: ModelAnswers) -> FamilyResult:
    """The engine's answers, and those of its plain path, compared with the model's own."""
    engines = Engine(model, LIMITS), Engine(model, LIMITS, "plain")
    first = engines[0]
    first.budget.tokens, first.budget.run_length = CHUNK, self_test.RUN_LENGTH
    if first.not_causal_reason:
        return UnmeasuredFamily("refused", first.not_causal_reason)
    ours, plain = (measure_distance(model, make_pairs(), answer_by_engine(e, make_pairs()), reference) for e in engines)
    path = 0 if first.shares_prefixes else 1 if first.packs_trees else 2 if not first.caching_unsupported_reason else 3
    window = min(shared_length.sliding_windows(model), default=0)
    runs = first.packs_trees and first.budget.run_length > 0
    return MeasuredFamily(
        path, runs, window, first.max_shared_length > window, published_refusal(family), first.note, ours, plain
    )


def published_refusal(family: str) -> str:
    """Why a model with the family's own config is refused; "": it is not."""
    own = transformers.CONFIG_MAPPING[family]()
    try:
        require_language_model(own)
    except BrokenWeightsError:
        return ENCODERS[0]
    if getattr(own, "is_decoder", True):
        return ""
    try:
        encoder = Engine(small.make_model(family, is_decoder=False), LIMITS, "plain")
    except AssertionError:  # Reformer refuses it itself
        return ENCODERS[1]
    return ENCODERS[1] if encoder.not_causal_reason else ""


def serve(pipe: Connection, family: str) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    for message in measure_family(family):
        pipe.send(message)


def census(families: Sequence[str]) -> Iterator[tuple[str, FamilyResult]]:
    """Each family with its result; as many at once as there are processors."""
    most = len(os.sched_getaffinity(0))
    for start in range(0, len(families), most):
        some = families[start : start + most]
        for family, (pipe, process) in zip(some, [start_process(f) for f in some], strict=True):
            yield family, wait_for_result(pipe, process)
            process.kill()
            process.join()


def start_process(family: str) -> tuple[Connection, BaseProcess]:
    """A process of its own: forked, as the libraries need seconds to be imported."""
    fork = multiprocessing.get_context("fork")
    pipe, end = fork.Pipe(duplex=False)
    process = fork.Process(target=serve, args=(end, family), daemon=True)
    process.start()
    end.close()
    return pipe, process


def wait_for_result(pipe: Connection, process: BaseProcess) -> FamilyResult:
    """The result of a process when it has ended, or was silent for SECONDS."""
    message: Kind | FamilyResult = "unmade"
    try:
        while isinstance(message, str) and pipe.poll(SECONDS):
            message = pipe.recv()
        reason = f"no answer within {SECONDS} seconds"
    except EOFError:
        process.join()
        reason = f"its process ended with exit code {process.exitcode}"
    return UnmeasuredFamily(message, reason) if isinstance(message, str) else message


def path_table(measured: dict[str, MeasuredFamily]) -> str:
    """Which family goes which way."""
    rows = [(path, [n for n, f in measured.items() if f.path == at]) for at, path in enumerate(PATHS)]
    for kind in ENCODERS:
        rows += [(f"of these, refused as published: {kind}", [n for n, f in measured.items() if f.published == kind])]
    lines = [f"| {path} | {len(names)} | {', '.join(names)} |" for path, names in rows]
    return "\n".join([f"| path | families of the {len(measured)} | names |", "|---|---|---|", *lines])


def describe_runs(measured: dict[str, MeasuredFamily]) -> str:
    """Where a packed row is read by runs of its tokens."""
    packs = {name: f.runs for name, f in measured.items() if f.path < 2}
    without = [name for name, has in packs.items() if not has]
    return (
        f"packed rows read by runs of tokens: {len(packs) - len(without)} of {len(packs)} families; not: {join_names(without)}"
    )


def describe_windows(measured: dict[str, MeasuredFamily]) -> str:
    """Where sequences beyond a sliding window are packed."""
    slide = {name: f.beyond for name, f in measured.items() if f.path < 2 and f.window}
    without = [name for name, kept in slide.items() if not kept]
    return (
        f"sliding windows, here of {small.SLIDING} tokens: {len(slide)} families, longer sequences packed too in "
        f"{len(slide) - len(without)}; not: {join_names(without)}"
    )


def describe_distances(who: str, results: dict[str, AnswerDistance]) -> str:
    """The largest one, and the texts that differ."""
    near = {n: d.nats for n, d in results.items() if d.nats < MAX_ROUNDING}
    far = [f"{n} {d.nats:.2g}" for n, d in results.items() if n not in near]
    wrong = [f"{n} {d.differing}" for n, d in results.items() if d.differing]
    ties = [f"{n} {d.ties}" for n, d in results.items() if d.ties]
    most = f"{max(near.values()):.1e} nats ({max(near, key=near.__getitem__)})" if near else "-"
    texts = len(results) * len(make_pairs())
    return (
        f"{who}: log-probabilities within {most}; farther: {join_names(far)}; "
        f"of {texts} greedy texts, differing: {join_names(wrong)}; differing by a tie: {join_names(ties)}"
    )


def join_names(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"


def describe_unmeasured(results: dict[str, FamilyResult], kind: str) -> list[str]:
    return [f"{name} ({one.reason})" for name, one in results.items() if isinstance(one, UnmeasuredFamily) and one.kind == kind]


def main() -> None:
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity(transformers.logging.CRITICAL)
    torch.set_num_threads(1)  # before the first fork: a pool of threads does not survive one
    results: dict[str, FamilyResult] = {}
    for family, one in census(sys.argv[1:] or small.FAMILIES):
        results[family] = one
        print(f"{family}: {one}", file=sys.stderr, flush=True)
    measured = {name: one for name, one in results.items() if isinstance(one, MeasuredFamily)}
    versions = f"transformers {transformers.__version__}, torch {torch.__version__}, float32"
    print(f"{versions}: {len(results)} families\n\n{path_table(measured)}\n")
    unmade = describe_unmeasured(results, "unmade")
    for line in (
        f"could not be made small: {len(unmade)}: {join_names(unmade)}",
        f"refused: {join_names(describe_unmeasured(results, 'refused'))}",
        f"the engine broke on: {join_names(describe_unmeasured(results, 'broken'))}",
        describe_runs(measured),
        describe_windows(measured),
        describe_distances("the engine", {n: f.engine for n, f in measured.items()}),
        describe_distances("its plain path", {n: f.plain for n, f in measured.items()}),
    ):
        print(f"- {line}")


if __name__ == "__main__":
    main()
