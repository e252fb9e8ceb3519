"""How much faster two workers of a Ray cluster are than one, and what the cluster itself costs.

python -m tests.bench.cluster [MODEL]     MODEL: a folder with a real model, of which two copies are scored on processors

The first part waits where a device would compute, so that it measures the cluster alone, also on a machine with few processors.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

from harness import api
from harness.cluster.host_pool import HostPool
from harness.cluster.ray_cluster import RayOptions, RaySession
from harness.cluster.spread import ClusterRun
from harness.data import default_folder
from harness.evaluation.outcome import SilentProgress
from harness.evaluation.plugin_loader import PluginLoader
from harness.evaluation.questions import EvaluationSettings
from harness.evaluation.workers import SpreadRun
from harness.store import Results
from harness.types import Checkpoint
from tests.bench.devices import note_another_model
from tests.support import toys
from tests.support.cluster_toys import Sums

STORE_MIB = 80
ANSWER_S = 0.02


class Stopwatch(SilentProgress):
    """When the first answer came: until then machines start and models load."""

    def __init__(self) -> None:
        self.first = 0.0

    def overview(self, state: object) -> None:
        if not self.first and getattr(state, "answers", 0):
            self.first = time.monotonic()

    def remark(self, text: str) -> None:
        print(text)


def measure(run: SpreadRun, loader: PluginLoader, session: RaySession, size: int) -> tuple[float, float]:
    """Seconds of a run from its beginning, and from the first answer."""
    watch, start = Stopwatch(), time.monotonic()
    outcomes = ClusterRun(run, loader, HostPool(session, size), watch).score()
    assert {o.state for o in outcomes} == {"done"}, outcomes
    end = time.monotonic()
    return end - start, end - (watch.first or start)


def compare(name: str, source: object, run_of: object, folder: Path) -> None:
    """One worker against two, on the same cells."""
    seconds = {}
    with RaySession("", RayOptions(cpus=1, machine_cpus=2, store_mib=STORE_MIB), source) as session:  # type: ignore[arg-type]
        for size in (1, 2):
            run = run_of(folder / f"{name}-{size}")  # type: ignore[operator]
            seconds[size] = measure(run, source.loader(), session, size)  # type: ignore[attr-defined]
    same = toys.tree(folder / f"{name}-1") == toys.tree(folder / f"{name}-2")
    for part, what in ((1, "from the first answer"), (0, "with starts and loads")):
        one, two = seconds[1][part], seconds[2][part]
        print(f"{name}, {what}: 1 worker {one:.1f} s, 2 workers {two:.1f} s: {100 * one / two / 2:.0f} % efficiency")
    print(f"{name}: the files of both are {'the same bytes' if same else 'DIFFERENT'}")


def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="cluster-bench-"))
    try:

        def waiting(place: Path) -> SpreadRun:
            checkpoints = [toys.checkpoint(f"c{n}") for n in range(4)]
            tasks = [toys.adding(256), toys.adding(128, "more")]
            return SpreadRun(checkpoints, tasks, Results.make(place), EvaluationSettings())

        compare("a device that takes 20 ms an answer", Sums(pause_s=ANSWER_S, block=64), waiting, folder)
        ideal = 4 * 384 * ANSWER_S
        print(f"the device alone: {ideal:.1f} s with 1 worker, {ideal / 2:.1f} s with 2")
        if len(sys.argv) > 1:
            copies = []
            for name in ("first", "second"):
                shutil.copytree(sys.argv[1], folder / name)
                note_another_model(folder / name)
                copies.append(Checkpoint(name, str(folder / name), "transformers"))
            tasks = api.resolve_tasks(["truthfulqa_mc2", "gsm8k"])
            limits = {"": api.limits(24, None)[""]}

            def real(place: Path) -> SpreadRun:
                return SpreadRun(copies, tasks, Results.make(place), EvaluationSettings(default_folder(), limits))

            compare("a real model", api.Backend("transformers", {"device": "cpu"}), real, folder)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    os.environ |= {"OMP_NUM_THREADS": "1"}
    main()
