"""Cells whose questions several workers answer: the same files as one machine's, whatever becomes of a worker."""

import random
import threading
from collections import Counter
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.api import Backend
from harness.cluster import host_pool
from harness.cluster.hosts import Host, HostLostError, Job
from harness.cluster.model_host import ModelHost
from harness.cluster.orders import Failure, Order, Unfit
from harness.cluster.spread import score_on_workers
from harness.evaluation.outcome import Outcome, Overview, SilentProgress
from harness.evaluation.questions import EvaluationSettings
from harness.evaluation.run import score_checkpoints
from harness.evaluation.work_queue import WorkUnit
from harness.evaluation.workers import SpreadRun
from harness.fingerprint import hash_checkpoint
from harness.store import Results
from harness.types import Checkpoint, Example, Model, Response, Score, SkilldeltaError, Task
from tests.support import toys
from tests.support.cluster_toys import Sums, ThreadStarter

NAMES = ("base", "dpo", "ppo")


class Listener(SilentProgress):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.remarks: list[str] = []
        self.last = Overview(0)

    def overview(self, state: Overview) -> None:
        self.last = state

    def remark(self, text: str) -> None:
        self.remarks.append(text)


def spread_run(folder: Path, tasks: list[Task] | None = None, **changes: object) -> SpreadRun:
    checkpoints = [toys.checkpoint(name) for name in NAMES]
    chosen = tasks or [toys.adding(30), toys.adding(21, "more")]
    return SpreadRun(checkpoints, chosen, Results.make(folder), replace(EvaluationSettings(), **changes))


def score(run: SpreadRun, starter: ThreadStarter, size: int = 2, progress: Listener | None = None) -> list[Outcome]:
    return score_on_workers(run, Sums().loader(), starter, size, progress)


def undisturbed(folder: Path, **changes: object) -> dict[str, bytes]:
    run = spread_run(folder, **changes)
    score_checkpoints(run.checkpoints, run.tasks, Sums().loader(), run.results, run.settings)
    return toys.tree(folder)


@pytest.mark.parametrize("size", [1, 2, 5])
def test_several_workers_store_the_bytes_of_one_machine(size: int, tmp_path: Path) -> None:
    listener = Listener()
    outcomes = score(spread_run(tmp_path / "r"), ThreadStarter(Sums()), size, listener)
    assert [(o.checkpoint, o.task, o.state, o.samples) for o in outcomes] == [
        (name, task, "done", count) for name in NAMES for task, count in (("adding", 30), ("more", 21))
    ]
    assert toys.tree(tmp_path / "r") == undisturbed(tmp_path / "alone")
    again = score(spread_run(tmp_path / "r"), ThreadStarter(Sums()), size)
    assert {o.state for o in again} == {"already"}


def test_every_worker_gets_checkpoints_of_its_own_while_there_are_some(tmp_path: Path) -> None:
    orders: list[tuple[str, str]] = []
    score(
        spread_run(tmp_path / "r"),
        ThreadStarter(Sums(), lambda machine, order: orders.append((machine, order.checkpoint.name))),
    )
    first = dict(reversed(orders))
    assert len(set(first.values())) == len(first), "the first checkpoint of each"


@pytest.mark.slow
@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10_000), size=st.integers(1, 4))
def test_lost_workers_lose_nothing_and_move_no_byte(seed: int, size: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder, source, lock = tmp_path_factory.mktemp("lost"), random.Random(seed), threading.Lock()
    deaths = Counter[tuple[str, tuple[int, ...] | None]]()

    def fault(machine: str, order: Order) -> None:
        with lock:
            job = order.checkpoint.name, order.places
            if source.random() < 0.3 and deaths[job] < host_pool.MAX_LOSSES - 1:
                deaths[job] += 1
                raise HostLostError("killed")

    listener = Listener()
    outcomes = score(spread_run(folder / "r"), ThreadStarter(Sums(), fault), size, listener)
    assert {o.state for o in outcomes} == {"done"}
    assert toys.tree(folder / "r") == undisturbed(folder / "alone")
    assert len(listener.remarks) == deaths.total()


def test_what_takes_every_worker_with_it_fails_its_cell_alone(tmp_path: Path) -> None:
    def fault(machine: str, order: Order) -> None:
        if order.checkpoint.name == "dpo" and order.places is not None:
            raise HostLostError("out of memory")

    outcomes = score(spread_run(tmp_path / "r"), ThreadStarter(Sums(), fault))
    assert Counter((o.checkpoint == "dpo", o.state) for o in outcomes) == {(True, "failed"): 2, (False, "done"): 4}
    (why,) = {o.why.split(", the last")[0] for o in outcomes if o.state == "failed"}
    assert why == "3 workers were lost over it"
    assert "(out of memory)" in next(o.why for o in outcomes if o.state == "failed")
    assert {o.state for o in score(spread_run(tmp_path / "r"), ThreadStarter(Sums()))} == {"already", "done"}
    assert toys.tree(tmp_path / "r") == undisturbed(tmp_path / "alone")


@pytest.mark.slow
def test_a_machine_that_does_not_see_a_checkpoint_leaves_it_to_those_that_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tmp_path / "model"
    model.mkdir()
    blind = {"worker 1"}
    monkeypatch.setattr(
        "harness.cluster.model_host.find_absent",
        lambda order: f"it does not see {order.folders[0]}" if threading.current_thread().name in blind else "",
    )
    checkpoints = [Checkpoint("model", str(model), "scripted")]
    run = replace(spread_run(tmp_path / "r"), checkpoints=checkpoints)
    listener = Listener()
    outcomes = score(run, ThreadStarter(Sums()), 2, listener)
    assert {o.state for o in outcomes} == {"done"}
    blind.add("worker 2")
    failures = score(replace(run, results=Results.make(tmp_path / "blind")), ThreadStarter(Sums()), 2, listener)
    assert {o.state for o in failures} == {"failed"}
    assert all(f"no worker can take it: it does not see {model}." == o.why for o in failures)
    assert f"model is left to other workers: it does not see {model}" in listener.remarks


def test_a_machine_without_a_folder_says_how_it_can_have_it(tmp_path: Path) -> None:
    order = Order(toys.checkpoint(), {}, (str(tmp_path / "gone"),))
    (reply,) = ModelHost(Sums()).work(order, [])
    assert isinstance(reply, Unfit)
    assert f"does not see {tmp_path / 'gone'}.  Put checkpoints where every machine mounts them" in reply.reason


def test_recorded_answers_are_refused_on_a_cluster(tmp_path: Path) -> None:
    file = tmp_path / "outputs.jsonl"
    file.write_text('{"question": "1+1", "response": "2"}\n')
    backend = Backend("recorded", {"files": [str(file)]})
    (reply,) = ModelHost(backend).work(Order(toys.checkpoint(), hash_checkpoint(toys.checkpoint())), [])
    assert isinstance(reply, Failure)
    assert "score it without --cluster" in reply.reason


def test_a_machine_that_sees_other_weights_or_settings_is_not_asked(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    checkpoint = Checkpoint("m", str(tmp_path), "transformers")
    (reply,) = ModelHost(Sums()).work(Order(checkpoint, {"config": "another"}), [])
    assert isinstance(reply, Unfit)
    assert "sees other files" in reply.reason
    (reply,) = ModelHost(Sums()).work(
        Order(toys.checkpoint(), hash_checkpoint(toys.checkpoint()), settings={"backend": "sums", "torch": "2.6"}), []
    )
    assert isinstance(reply, Unfit)
    assert "torch" in reply.reason


def test_a_model_that_cannot_be_loaded_fails_its_cells_with_the_reason_from_there(tmp_path: Path) -> None:
    class Broken(Sums):
        def load(self, checkpoint: Checkpoint) -> Model:
            if checkpoint.name == "dpo":
                raise SkilldeltaError("its weights are damaged")
            if checkpoint.name == "ppo":
                raise ZeroDivisionError("somewhere")
            return super().load(checkpoint)

    outcomes = score(spread_run(tmp_path / "r"), ThreadStarter(Broken()))
    assert {(o.checkpoint, o.state, o.why) for o in outcomes} == {
        ("base", "done", ""),
        ("dpo", "failed", "its weights are damaged"),
        ("ppo", "failed", "RemoteError: ZeroDivisionError: somewhere"),
    }


def test_an_error_of_the_connection_itself_fails_a_cell_and_nobody_waits_for_ever(tmp_path: Path) -> None:
    errors = iter([TypeError("cannot be sent")])

    def fault(machine: str, order: Order) -> None:
        if error := next(errors, None):
            raise error

    outcomes = score(spread_run(tmp_path / "r"), ThreadStarter(Sums(), fault), 2)
    assert Counter(o.state for o in outcomes) == {"failed": 1, "done": 5}
    assert {o.why for o in outcomes} == {"", "RemoteError: TypeError: cannot be sent"}


@pytest.mark.slow
def test_a_run_without_workers_ends_with_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Never(ThreadStarter):
        def start(self, is_over: object) -> Host:
            raise SkilldeltaError("no room")

    with pytest.raises(SkilldeltaError, match="No worker could be started"):
        score(spread_run(tmp_path / "r"), Never(Sums()))

    class Lost(ThreadStarter):
        def start(self, is_over: object) -> Host:
            raise HostLostError("its machine is gone")

    monkeypatch.setattr(host_pool, "RETRY_S", 0.001)
    with pytest.raises(SkilldeltaError, match="5 workers in a row were lost as they started: its machine is gone"):
        score(spread_run(tmp_path / "r"), Lost(Sums()))
    monkeypatch.setattr(host_pool, "MAX_WAIT_S", 0.0)
    monkeypatch.setattr(host_pool, "RETRY_S", 30.0)
    with pytest.raises(SkilldeltaError, match="For 0 s there was no worker"):
        score(spread_run(tmp_path / "r"), Lost(Sums()))


@pytest.mark.slow
def test_an_interrupted_run_leaves_its_cells_to_the_next_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupting(Listener):
        def overview(self, state: Overview) -> None:
            if state.answers > 20:
                raise KeyboardInterrupt

    gate = threading.Semaphore(40)

    def fault(machine: str, order: Order) -> None:
        gate.acquire(timeout=2)

    monkeypatch.setattr("harness.cluster.spread.LOOK_S", 0.01)
    monkeypatch.setattr("harness.cluster.model_host.BATCH_S", 0.0)
    with pytest.raises(KeyboardInterrupt):
        score(spread_run(tmp_path / "r"), ThreadStarter(Sums(), fault), 2, Interrupting())
    records = [record for _, record, _ in Results(tmp_path / "r").cells()]
    assert {record.state for record in records} <= {"running", "done"}
    assert "running" in {record.state for record in records}
    score(spread_run(tmp_path / "r", exact_resume=True), ThreadStarter(Sums()))
    assert toys.tree(tmp_path / "r") == undisturbed(tmp_path / "alone")


@pytest.mark.slow
def test_scorers_run_in_one_thread_at_a_time_unless_they_are_made_for_several(tmp_path: Path) -> None:
    active, most, lock = [0], [0], threading.Lock()

    def count(example: Example, response: Response) -> Score:
        with lock:
            active[0] += 1
            most[0] = max(most[0], active[0])
        threading.Event().wait(0.001)
        with lock:
            active[0] -= 1
        return Score(1.0)

    tasks = [replace(toys.adding(40, name), score=count) for name in ("one", "two", "three")]
    score(spread_run(tmp_path / "r", tasks), ThreadStarter(Sums()), 3)
    assert most[0] == 1
    score(spread_run(tmp_path / "several", [replace(t, concurrent=True) for t in tasks]), ThreadStarter(Sums()), 3)
    assert most[0] > 1


def test_while_no_worker_is_there_none_has_refused_a_job() -> None:
    pool = host_pool.HostPool(ThreadStarter(Sums()), 1)
    job = Job("worker 1", WorkUnit(0, 0), Order(toys.checkpoint("a"), {}), None, SimpleQueue())
    (slot,) = pool.slots.values()
    slot.problem = "its machine is gone"
    assert not pool.is_refused_by_all(job)
    slot.problem, slot.refusals = "", {0: "it has other files"}
    assert pool.is_refused_by_all(job)
