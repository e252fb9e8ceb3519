"""What lives on a worker's machine: one base, the checkpoint that was asked last, and nothing of the results."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Protocol

from harness.cluster.orders import AnswerBatch, Failure, ModelFacts, Order, OrderEnd, Reply, Unfit, WorkerFacts
from harness.differences import changed_parts, differences
from harness.evaluation.cell_identity import SupportsRender
from harness.evaluation.lazy_model import LazyModel, Loader
from harness.evaluation.model_reports import SupportsNote
from harness.evaluation.preflight import SupportsPreflight
from harness.evaluation.scoring import SupportsAlign
from harness.file_hashes import hash_files
from harness.own_packages import ROOT
from harness.rust_panics import panics_as_errors
from harness.types import Request, SkilldeltaError

BATCH_S = 0.25  # so long answers are gathered before they travel
PACKAGES = ("torch", "transformers", "vllm")


class LoaderSource(Protocol):
    """What makes a loader on the worker's machine, as a Backend does; it travels there."""

    def loader(self) -> Loader: ...


class ModelHost:
    """Carries out orders, one after another.  A model stays loaded while orders are about its checkpoint."""

    def __init__(self, source: LoaderSource) -> None:
        self.loader = source.loader()
        self.model: LazyModel | None = None

    def describe(self) -> WorkerFacts:
        return WorkerFacts(machine_name(), code_hash(), package_versions())

    def work(self, order: Order, requests: Sequence[Request]) -> Iterator[Reply]:
        """The replies to one order; whatever goes wrong is the last one."""
        try:
            with panics_as_errors():
                yield from self.carry_out(order, requests)
        except SkilldeltaError as error:
            yield Failure(str(error))
        except Exception as error:  # noqa: BLE001  it is raised again where the cell is stored, with its trace
            yield Failure.of(error)

    def carry_out(self, order: Order, requests: Sequence[Request]) -> Iterator[Reply]:
        start = time.monotonic()
        if reason := self.take(order):
            yield Unfit(reason)
            return
        assert self.model is not None, "taken above"
        model = self.model.get()
        if isinstance(model, SupportsAlign):
            raise SkilldeltaError("This backend's answers are recorded, or need each example: score it without --cluster.")
        if order.settings and (unlike := differences(dict(order.settings), dict(model.settings))):
            name, there, here = unlike[0]
            change = f"{name}: {there} in the results, {here} here"
            yield Unfit(f"the worker on {machine_name()} would answer under other settings ({change})")
            return
        if order.places is None:
            prompt_hash = model.rendered_hash(requests) if isinstance(model, SupportsRender) else ""
            unsupported_reason = model.unsupported_reason(requests) if isinstance(model, SupportsPreflight) else ""
            yield ModelFacts(model.block, dict(model.settings), prompt_hash, unsupported_reason, model_note(model))
        else:
            yield from gather(model.answer([requests[place] for place in order.places]))
        yield OrderEnd(model_note(model), time.monotonic() - start)

    def take(self, order: Order) -> str:
        """Makes the order's checkpoint the one that is held; why it cannot be, or ""."""
        if self.model is not None and self.model.checkpoint == order.checkpoint:
            return ""
        if reason := find_absent(order):
            return reason
        self.model = None  # its memory is free before the next one is loaded
        model = LazyModel(order.checkpoint, self.loader)
        if unlike := changed_parts(order.fingerprint, model.fingerprint):
            names = ", ".join(name for name, *_ in unlike)
            return f"{machine_name()} sees other files at {order.checkpoint.path} than the machine that stores: {names} differ"
        self.model = model
        return ""


def find_absent(order: Order) -> str:
    """Which folder of a checkpoint this machine does not see, and the ways out; "" where it sees all."""
    absent = next((folder for folder in order.folders if not Path(folder).exists()), "")
    if not absent:
        return ""
    return (
        f"{machine_name()} does not see {absent}.  Put checkpoints where every machine mounts them under one path, or name "
        "them by their names on the Hub"
    )


def gather(answers: Iterator[tuple[int, object]]) -> Iterator[AnswerBatch]:
    """AnswerBatch that come within a moment, together."""
    batch, start = [], time.monotonic()
    for answer in answers:
        batch.append(answer)
        if time.monotonic() - start >= BATCH_S:
            yield AnswerBatch(tuple(batch))  # type: ignore[arg-type]
            batch, start = [], time.monotonic()
    if batch:
        yield AnswerBatch(tuple(batch))  # type: ignore[arg-type]


def model_note(model: object) -> str:
    return model.note if isinstance(model, SupportsNote) else ""


def machine_name() -> str:
    return os.environ.get("SKILLDELTA_MACHINE") or platform.node()


def code_hash() -> str:
    """The hash of this program's code: two machines with other code may answer otherwise."""
    files = sorted((ROOT / "harness").rglob("*.py"))
    return hash_files(files)


def package_versions() -> str:
    """The packages that move answers, for people."""
    names = []
    for name in PACKAGES:
        try:
            names.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return ", ".join(names)
