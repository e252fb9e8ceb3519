"""Workers for tests of clusters: models that answer sums, and meet a fault at a moment; they travel to other processes."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.backends.scripted import ScriptedModel
from harness.cluster.hosts import Host, HostLostError
from harness.cluster.model_host import LoaderSource, ModelHost
from harness.cluster.orders import Order, Reply
from harness.evaluation.plugin_loader import PluginLoader
from harness.types import Checkpoint, Model, Request, Response
from tests.support import toys


@dataclass(frozen=True)
class Sums:
    """Answers sums.  `deaths`: a folder with a file for each death to come; a process that takes one kills itself.

    `log`: a file that gets a byte for each answer.  `pause_s`: how long an answer takes.
    """

    deaths: str = ""
    log: str = ""
    pause_s: float = 0.0
    block: int = 8

    def loader(self) -> PluginLoader:
        return PluginLoader(self.load, None, None)

    def load(self, checkpoint: Checkpoint) -> Model:
        return ScriptedModel(self.answer, {"backend": "sums"}, self.block)

    def answer(self, request: Request) -> Response:
        if self.log:
            with Path(self.log).open("ab") as stream:
                stream.write(b".")
        if self.pause_s:
            time.sleep(self.pause_s)
        number = int(str(request.prompt).split("+")[1].split("?")[0])
        if self.deaths and take_file(Path(self.deaths) / str(number)):
            os.kill(os.getpid(), signal.SIGKILL)
        return toys.answer_sum(request)


def take_file(path: Path) -> bool:
    """Whether this process is the one that removes the file."""
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    return True


class ThreadHost:
    """A worker in this process; `fault` may raise before any reply."""

    def __init__(self, source: LoaderSource, machine: str, fault: Callable[[str, Order], None]) -> None:
        self.host, self.machine, self.fault = ModelHost(source), machine, fault
        self.is_over = False

    def work(self, order: Order, requests: object) -> Iterator[Reply]:
        for reply in self.host.work(order, requests):  # type: ignore[arg-type]
            self.fault(self.machine, order)
            if self.is_over:
                raise HostLostError("stopped")
            yield reply
        self.fault(self.machine, order)  # it may be lost once all is said, too

    def stop(self) -> None:
        self.is_over = True


class ThreadStarter:
    """Starts workers in this process, on machines with numbers."""

    def __init__(self, source: LoaderSource, fault: Callable[[str, Order], None] = lambda machine, order: None) -> None:
        self.source, self.fault, self.count = source, fault, 0

    def start(self, is_over: Callable[[], bool]) -> Host:
        self.count += 1
        return ThreadHost(self.source, f"machine {self.count}", self.fault)

    def share(self, requests: object) -> object:
        return requests
