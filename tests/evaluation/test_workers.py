"""Several devices: the same files as with one, each model loaded once, and a worker that dies takes nothing with it."""

import multiprocessing
import os
import signal
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import api
from harness.evaluation import workers
from harness.evaluation.run import score_checkpoints
from harness.evaluation.work_queue import WorkQueue, WorkUnit
from harness.store import Results
from harness.types import Checkpoint, Model, SkilldeltaError
from tests.support import tiny, toys


def test_devices_are_read_from_a_list() -> None:
    assert workers.list_devices("cpu,cpu") == ["cpu", "cpu"]
    assert workers.list_devices("0, 1,mps") == ["cuda:0", "cuda:1", "mps"]
    with pytest.raises(SkilldeltaError, match="'gpu7' is no device"):
        workers.list_devices("cpu,gpu7")


def test_all_devices_are_the_gpus_that_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.engine.device.count_gpus", lambda: 2)
    assert workers.list_devices("all") == ["cuda:0", "cuda:1"]
    monkeypatch.setattr("harness.engine.device.count_gpus", lambda: 0)
    with pytest.raises(SkilldeltaError, match="no GPU here"):
        workers.list_devices("all")


def test_a_worker_keeps_to_its_checkpoint_and_then_helps_where_most_is_left() -> None:
    queue = WorkQueue(WorkUnit(c, t) for c in range(3) for t in range(4))
    assert [queue.next(w) for w in ("a", "b", "a", "b")] == [WorkUnit(*at) for at in ((0, 0), (1, 0), (0, 1), (1, 1))]
    for _ in range(2):
        queue.next("a")
    assert queue.next("a") == WorkUnit(2, 0), "of a checkpoint that nobody is at"
    for _ in range(2):
        queue.next("b")
    assert queue.next("b") == WorkUnit(2, 1), "helps"
    rest = [queue.next("a"), queue.next("b"), queue.next("a")]
    assert rest == [WorkUnit(2, 2), WorkUnit(2, 3), None]


def test_what_a_worker_refuses_is_left_for_others_and_what_comes_back_comes_first() -> None:
    queue = WorkQueue([WorkUnit(0, 0), WorkUnit(0, 1), WorkUnit(1, 0)])
    assert queue.next("a", refused={0}) == WorkUnit(1, 0)
    assert queue.next("a", refused={0}) is None
    unit = queue.next("b")
    assert unit == WorkUnit(0, 0)
    queue.add(unit, first=True)
    queue.remove(WorkUnit(0, 1))
    assert (list(queue), len(queue)) == ([WorkUnit(0, 0)], 1)


@given(st.lists(st.tuples(st.integers(0, 4), st.sampled_from("abc")), max_size=40))
def test_every_unit_is_handed_out_once(steps: list[tuple[int, str]]) -> None:
    queue, handed = WorkQueue(WorkUnit(c, t) for t, (c, _) in enumerate(steps)), list[WorkUnit]()
    for _, worker in steps:
        unit = queue.next(worker)
        assert unit is not None
        handed.append(unit)
    assert sorted(handed) == sorted(WorkUnit(c, t) for t, (c, _) in enumerate(steps))
    assert queue.next("a") is None


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    place = tmp_path_factory.mktemp("models")
    return [str(tiny.llama(place / f"model-{seed}", seed)) for seed in (1, 2, 3)]


def stored_samples(output: Path) -> dict[str, bytes]:
    return {str(f.relative_to(output)): f.read_bytes() for f in sorted(output.rglob("samples.jsonl*"))}


TASKS = ["world_sums_validation", "world_facts_validation"]


def run_once(folders: list[str], output: Path, devices: str = "") -> list[tuple[str, str, str]]:
    settings = api.default_settings()
    backend = api.Backend("transformers", {"dtype": "float32", "device": "cpu"})
    outcomes = api.score(folders, TASKS, output, backend=backend, settings=settings, options=api.RunOptions(devices=devices))
    return [(o.checkpoint, o.task, o.state) for o in outcomes]


@pytest.mark.slow
def test_two_workers_store_the_same_bytes_as_one(folders: list[str], tmp_path: Path) -> None:
    alone = run_once(folders, tmp_path / "alone")
    assert run_once(folders, tmp_path / "two", "cpu,cpu") == alone
    assert {state for *_, state in alone} == {"done"}
    samples = stored_samples(tmp_path / "alone")
    assert len(samples) == 6
    assert stored_samples(tmp_path / "two") == samples
    assert {state for *_, state in run_once(folders, tmp_path / "two", "cpu,cpu")} == {"already"}


@pytest.mark.slow
def test_a_worker_that_is_killed_fails_its_cell_alone_and_the_next_run_continues(folders: list[str], tmp_path: Path) -> None:
    checkpoints = [Checkpoint(Path(f).name, f, "transformers") for f in folders]
    tasks, settings = api.resolve_tasks(TASKS), api.default_settings()
    backend = api.Backend("transformers", {"dtype": "float32", "device": "cpu"})
    loader = backend.loader()

    def deadly(checkpoint: Checkpoint) -> Model:
        if checkpoint.name == "model-2":
            os.kill(os.getpid(), signal.SIGKILL)
        return loader(checkpoint)

    run = workers.SpreadRun(checkpoints, tasks, Results.make(tmp_path), settings)
    outcomes = workers.score_on_devices(run, {"cpu": deadly, "cpu (2)": deadly})
    assert Counter((o.checkpoint == "model-2", o.state) for o in outcomes) == {(True, "failed"): 2, (False, "done"): 4}
    failure = next(o for o in outcomes if o.state == "failed")
    assert "was killed, as a system does whose memory runs out" in failure.why
    again = score_checkpoints(checkpoints, tasks, loader, Results.make(tmp_path), settings)
    assert Counter(o.state for o in again) == {"already": 4, "done": 2}


def test_a_cell_that_is_sent_to_a_worker_that_has_just_died_is_not_lost() -> None:
    class Dying:
        exitcode = 1

        def is_alive(self) -> bool:
            return True

        def join(self) -> None: ...

    pipe, end = multiprocessing.Pipe()
    end.close()
    worker = workers.DeviceWorker("cpu", Dying(), pipe)  # type: ignore[arg-type]
    workers.hand_out(worker, WorkQueue([WorkUnit(0, 0)]))
    assert worker.unit == WorkUnit(0, 0)
    run = workers.SpreadRun([toys.checkpoint("a")], [toys.adding(1)], None, None)  # type: ignore[arg-type]
    unit, outcome = workers.receive(worker, run)
    assert (unit, outcome.state) == (WorkUnit(0, 0), "failed")  # type: ignore[union-attr]
