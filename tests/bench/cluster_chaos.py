"""Faults at seeded moments of runs on a Ray cluster of two machines, and what was lost by them.

python -m tests.bench.cluster_chaos [FAULTS] [SEED] [FOLDER]     e.g. 100 0

Each trial scores two checkpoints on two tasks and meets one fault: a worker is killed at an answer, a machine of the cluster is
killed, the disk of the process that stores is full, that process is interrupted, or it is killed.  Then the same work is done
again without a fault.  After the fault no stored sample may be wrong; in the end every file must be as in an undisturbed run
without a cluster, and no answer may have been asked again but those that were on their way.
"""

from __future__ import annotations

import errno
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from harness.cluster.ray_cluster import RayOptions, RaySession
from harness.cluster.spread import score_on_workers
from harness.evaluation.outcome import Outcome, Overview, SilentProgress
from harness.evaluation.questions import EvaluationSettings
from harness.evaluation.run import score_checkpoints
from harness.evaluation.workers import SpreadRun
from harness.store import Results, SampleWriter
from harness.types import Sample
from tests.support import toys
from tests.support.cluster_toys import Sums

MEBI = 1 << 20
NAMES, ITEMS = ("base", "dpo"), {"adding": 40, "more": 24}
TOTAL = len(NAMES) * sum(ITEMS.values())
BLOCK, SIZE = 8, 2
KINDS = ("worker", "machine", "worker", "disk", "interrupt", "head")
DEATHS = {"health_check_initial_delay_ms": 1000, "health_check_period_ms": 1000, "health_check_failure_threshold": 5}
# Answers on their way when a fault comes: a block of each worker; of an interrupted process also what it has not stored yet.
ON_THEIR_WAY = {"worker": BLOCK, "machine": SIZE * BLOCK, "disk": 4 * SIZE * BLOCK, "interrupt": 4 * SIZE * BLOCK}
ON_THEIR_WAY["head"] = ON_THEIR_WAY["interrupt"]


class BrokenPromiseError(Exception):
    """Something was lost or wrong."""


@dataclass(frozen=True)
class Trial:
    """One fault, at so many answers."""

    kind: str
    moment: int


@dataclass
class LocalCluster:
    """A head without processors, and machines with one each."""

    cluster: Any
    machines: list[Any] = field(default_factory=list)

    def fill(self) -> None:
        while len(self.machines) < SIZE:
            self.machines.append(self.cluster.add_node(num_cpus=1, object_store_memory=80 * MEBI))

    def kill_machine(self) -> None:
        self.cluster.remove_node(self.machines.pop(0), allow_graceful=False)
        self.machines.append(self.cluster.add_node(num_cpus=1, object_store_memory=80 * MEBI))


@contextmanager
def local_cluster() -> Iterator[LocalCluster]:
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0"}
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": 80 * MEBI, "_system_config": DEATHS}
    cluster = LocalCluster(Cluster(initialize_head=True, head_node_args=head))
    try:
        cluster.fill()
        yield cluster
    finally:
        cluster.cluster.shutdown()


class AtAnswers(SilentProgress):
    """Does something once so many answers have come."""

    def __init__(self, count: int, action: Callable[[], None] | None) -> None:
        self.count, self.action = count, action

    def overview(self, state: Overview) -> None:
        if self.action and state.answers >= self.count:
            action, self.action = self.action, None
            action()

    def remark(self, text: str) -> None: ...


def make_run(folder: Path) -> SpreadRun:
    tasks = [toys.adding(count, name) for name, count in ITEMS.items()]
    return SpreadRun(
        [toys.checkpoint(name) for name in NAMES], tasks, Results.make(folder), EvaluationSettings(exact_resume=False)
    )


def score(address: str, folder: Path, source: Sums, progress: SilentProgress | None = None) -> list[Outcome]:
    with RaySession(address, RayOptions(cpus=1, workers=SIZE), source) as session:
        return score_on_workers(make_run(folder), source.loader(), session, SIZE, progress)


@contextmanager
def full_disk(after: int) -> Iterator[None]:
    """No sample is written after so many."""
    append, left = SampleWriter.append, [after]

    def limited(self: SampleWriter, sample: Sample) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        append(self, sample)

    SampleWriter.append = limited  # type: ignore[method-assign]
    try:
        yield
    finally:
        SampleWriter.append = append  # type: ignore[method-assign]


def interrupt() -> None:
    raise KeyboardInterrupt


def meet_fault(trial: Trial, cluster: LocalCluster, folder: Path, source: Sums) -> None:
    """The run with its fault."""
    address = cluster.cluster.address
    if trial.kind == "worker":
        deaths = Path(source.deaths)
        deaths.mkdir()
        (deaths / str(trial.moment % min(ITEMS.values()))).touch()
        score(address, folder, source)
    elif trial.kind == "machine":
        score(address, folder, source, AtAnswers(trial.moment, cluster.kill_machine))
    elif trial.kind == "disk":
        with full_disk(trial.moment):
            score(address, folder, source)
    elif trial.kind == "interrupt":
        try:
            score(address, folder, source, AtAnswers(trial.moment, interrupt))
        except KeyboardInterrupt:
            return
    else:
        command = [
            sys.executable,
            "-m",
            "tests.bench.cluster_chaos",
            "head",
            address,
            str(folder),
            source.log,
            str(trial.moment),
        ]
        subprocess.run(command, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def check_samples(folder: Path, undisturbed: Path) -> None:
    """No stored line is wrong, and none is there twice."""
    for name in NAMES:
        for task in ITEMS:
            file = Path(name) / task / "samples.jsonl"
            lines = set((undisturbed / file).read_bytes().splitlines(keepends=True))
            stored = (folder / file).read_bytes().splitlines(keepends=True) if (folder / file).exists() else []
            whole = [line for line in stored if line.endswith(b"\n")]
            if set(whole) - lines or len(whole) != len(set(whole)):
                raise BrokenPromiseError(f"{file}: wrong samples after the fault")


def carry_out(trial: Trial, cluster: LocalCluster, folder: Path, undisturbed: Path) -> int:
    """One trial; gives the answers that were asked again."""
    log = folder.with_suffix(".log")
    log.touch()
    source = Sums(deaths=str(folder.with_suffix(".deaths")), log=str(log), pause_s=0.005, block=BLOCK)
    meet_fault(trial, cluster, folder, source)
    check_samples(folder, undisturbed)
    outcomes = score(cluster.cluster.address, folder, replace(source, deaths=""))
    if {outcome.state for outcome in outcomes} - {"done", "already"}:
        raise BrokenPromiseError(f"cells failed without a fault: {[o.why for o in outcomes if o.state == 'failed']}")
    if toys.tree(folder) != toys.tree(undisturbed):
        raise BrokenPromiseError("unlike an undisturbed run")
    again = log.stat().st_size - TOTAL
    if not 0 <= again <= ON_THEIR_WAY[trial.kind]:
        raise BrokenPromiseError(f"{again} answers were asked again")
    return again


def die_at(address: str, folder: str, log: str, moment: str) -> None:
    """The process that stores, which kills itself."""
    progress = AtAnswers(int(moment), lambda: os.kill(os.getpid(), 9))
    score(address, Path(folder), Sums(log=log, pause_s=0.005, block=BLOCK), progress)


def main() -> None:
    if sys.argv[1:2] == ["head"]:
        die_at(*sys.argv[2:6])
        return
    count, seed = (int(x) for x in (*sys.argv[1:3], *("100", "0")[len(sys.argv) - 1 :]))
    folder = Path(sys.argv[3] if len(sys.argv) > 3 else tempfile.mkdtemp(prefix="cluster-chaos-"))
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    alone = make_run(folder / "undisturbed")
    score_checkpoints(alone.checkpoints, alone.tasks, Sums(block=BLOCK).loader(), alone.results, alone.settings)
    source, broken = random.Random(seed), list[str]()
    asked: Counter[str] = Counter()
    times: Counter[str] = Counter()
    with local_cluster() as cluster:
        for number in range(count):
            trial = Trial(KINDS[number % len(KINDS)], source.randint(1, TOTAL - 1))
            target = folder / f"trial-{number}"
            times[trial.kind] += 1
            try:
                asked[trial.kind] += carry_out(trial, cluster, target, folder / "undisturbed")
                shutil.rmtree(target)
            except BrokenPromiseError as error:
                broken.append(f"{target}: {trial}: {error}")
            if (number + 1) % 10 == 0:
                print(f"{number + 1} of {count} faults, {len(broken)} broken promises", file=sys.stderr, flush=True)
    for kind, number in sorted(times.items()):
        print(f"{kind:10} {number:4} faults, {asked[kind]:4} answers asked again")
    print(f"{count} faults of {TOTAL} answers each; lost or wrong: {len(broken)}")
    print("\n".join(broken))
    sys.exit(bool(broken))


if __name__ == "__main__":
    main()
