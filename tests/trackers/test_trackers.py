"""Trackers: each skill's score, difference and interval at the checkpoint's training step, written once and sent nowhere."""

import gc
import json
import os
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness import api, tracking
from harness.cli import main
from harness.run_logs.tensorboard import read_events
from harness.tracking import TrackerSession, make_points
from harness.types import SkilldeltaError
from tests.checkpoints.test_discovery import model, run
from tests.support.results_folder import store_scores

KEYS = {f"skills/{name}/{key}" for name in ("coding", "average") for key in ("score", "score_low", "score_high")}
CHANGES = {key.replace("score", "difference") for key in KEYS}


def store_run(folder: Path, run: str = "dpo", steps: tuple[int | None, ...] = (100, 20)) -> Path:
    """A baseline and the checkpoints of a run: the n-th has n fewer right answers of 40."""
    store_scores(folder, "sft", "mbpp", [1.0] * 30 + [0.0] * 10, "coding")
    for place, step in enumerate(steps, 1):
        name = run if step is None else f"{run}@{step}"
        store_scores(folder, name, "mbpp", [1.0] * (30 - place) + [0.0] * (10 + place), "coding")
        record = folder / name / "checkpoint.json"
        record.write_text(json.dumps(json.loads(record.read_text()) | {"run": f"/runs/{run}", "step": step}))
    return folder


class Recorder:
    place = "here"

    def __init__(self) -> None:
        self.points: list[tuple[int, dict[str, float]]] = []
        self.is_open = True

    def log(self, step: int, values: Mapping[str, float]) -> None:
        self.points.append((step, dict(values)))

    def close(self) -> None:
        self.is_open = False


@pytest.fixture
def recorders(monkeypatch: pytest.MonkeyPatch) -> dict[str, Recorder]:
    """The runs of a tracker that needs no library, by name."""
    runs: dict[str, Recorder] = {}

    def start(run: str, where: str, folder: Path) -> Recorder:
        return runs.setdefault(f"{where}/{run}", Recorder())

    plugin = SimpleNamespace(start=start, RUN_VARIABLE="TOY_RUN")
    monkeypatch.setattr(tracking, "find_tracker", lambda text: (plugin, text.partition(":")[2]))
    return runs


def test_every_skill_has_its_score_difference_and_interval_at_its_step(tmp_path: Path) -> None:
    comparison = api.compare(store_run(tmp_path / "r"), "sft")
    late, early = sorted(make_points(comparison, ["dpo@20", "dpo@100"]), key=lambda p: -p.step)
    assert (late.run, late.step, early.step) == ("dpo", 100, 20)
    assert set(late.values) == KEYS | CHANGES
    row = next(r for r in comparison.at("skill") if r.checkpoint == "dpo@100")
    assert row.difference
    assert late.values["skills/coding/score"] == pytest.approx(row.score) == 72.5
    assert late.values["skills/coding/difference"] == pytest.approx(row.difference.delta) == -2.5
    assert late.values["skills/coding/difference_low"] == pytest.approx(row.difference.delta_low)


def test_the_baseline_has_scores_alone_and_no_step_is_step_0(tmp_path: Path) -> None:
    (point,) = make_points(api.compare(store_run(tmp_path / "r"), "sft"), ["sft"])
    assert (point.run, point.step, set(point.values)) == ("sft", 0, KEYS)


def test_a_skill_without_a_score_is_no_point(tmp_path: Path) -> None:
    store_scores(tmp_path / "r", "sft", "mbpp", [1.0, 0.0] * 10, "coding")
    store_scores(tmp_path / "r", "dpo", "mbpp", [None] * 20, "coding")
    assert make_points(api.compare(tmp_path / "r", "sft"), ["dpo"]) == []


def test_a_final_model_stands_at_the_last_step_of_its_log(tmp_path: Path) -> None:
    folder = store_run(tmp_path / "r", steps=(None, 90))
    (point,) = make_points(api.compare(folder, "sft", candidates=["dpo"]), ["dpo"])
    assert point.step == 90  # of another checkpoint of its run, where there is no log
    curve = {"loss": {"key": "loss", "steps": [10, 250], "values": [0.7, 0.2]}}
    (folder / "dpo" / "training.json").write_text(json.dumps(curve))
    (point,) = make_points(api.compare(folder, "sft"), ["dpo"])
    assert (point.run, point.step) == ("dpo", 250)


def test_what_was_written_is_not_written_again_unless_it_changed(tmp_path: Path, recorders: dict[str, Recorder]) -> None:
    folder = store_run(tmp_path / "r")
    points = make_points(api.compare(folder, "sft"), ["dpo@20", "dpo@100"])
    assert [TrackerSession(["toy:a"], folder).write(points) for _ in range(2)] == [2, 0]
    assert TrackerSession(["toy:b"], folder).write(points) == 2  # another place has none of it
    store_scores(folder, "dpo@20", "mbpp", [1.0] * 10 + [0.0] * 30, "coding")
    record = folder / "dpo@20" / "checkpoint.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"run": "/runs/dpo", "step": 20}))
    points = make_points(api.compare(folder, "sft"), ["dpo@20", "dpo@100"])
    assert TrackerSession(["toy:a"], folder).write(points) == 1
    assert [step for step, _ in recorders["a/dpo"].points] == [20, 100, 20]


def test_runs_are_apart_and_are_closed(tmp_path: Path, recorders: dict[str, Recorder], monkeypatch: pytest.MonkeyPatch) -> None:
    folder = store_run(store_run(tmp_path / "r"), "ppo", (5,))
    points = make_points(api.compare(folder, "sft"), ["dpo@20", "ppo@5"])
    session = TrackerSession(["toy"], folder)
    session.write(points)
    assert session.new_places() == ["toy: dpo, here", "toy: ppo, here"]
    assert session.new_places() == []
    session.close()
    assert {name: run.is_open for name, run in recorders.items()} == {"/dpo": False, "/ppo": False}
    (folder / tracking.LEDGER).unlink()
    monkeypatch.setenv("TOY_RUN", "the-trainers-own")
    with pytest.raises(SkilldeltaError, match="TOY_RUN names one run, and there are dpo and ppo"):
        TrackerSession(["toy"], folder).write(points)


TASK = """
from harness.types import Request, Response, Score, Task

TASKS = (Task(
    name="words", skill="reasoning", version=1, source="made for this test",
    rows=lambda folder: [{"word": f"w{i}"} for i in range(12)],
    ask=lambda e: Request(e.row["word"]), score=lambda e, r: Score(1.0), ideal=lambda e: Response("a"),
),)
"""


@pytest.mark.slow
def test_score_and_watch_write_what_they_have_scored(
    tmp_path: Path, recorders: dict[str, Recorder], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("words.py").write_text(TASK)
    model(tmp_path / "sft")
    run(tmp_path / "dpo", (10, 20))
    flags = [
        "-t",
        "words",
        "--include-path",
        "words.py",
        "--backend",
        "scripted",
        "--backend-args",
        "text=a",
        "-o",
        "r",
        "--log-to",
        "toy:here",
    ]

    def call(*arguments: str) -> object:
        with pytest.raises(SystemExit) as end:
            main([*arguments, *flags])
        return end.value.code

    assert call("score", "sft", "dpo/checkpoint-10") == 0
    assert set(recorders["here/sft"].points[0][1]) == {
        f"skills/{name}/{key}" for name in ("reasoning", "average") for key in ("score", "score_low", "score_high")
    }
    assert [step for step, _ in recorders["here/dpo"].points] == [10]
    assert call("score", "dpo/checkpoint-20", "--baseline", "sft") == 0
    assert recorders["here/dpo"].points[1][1]["skills/reasoning/difference"] == 0
    recorders.clear()
    run(tmp_path / "ppo", (5, 6))
    refusals = iter([ConnectionError("no route to host")])

    def log(self: Recorder, step: int, values: Mapping[str, float]) -> None:
        for refusal in refusals:
            raise refusal
        self.points.append((step, dict(values)))

    monkeypatch.setattr(Recorder, "log", log)
    assert call("watch", "ppo", "--baseline", "sft", "--idle", "1e-9", "--every", "0") == 0
    assert [step for step, _ in recorders["here/ppo"].points] == [5, 6]  # the first was taken at the second try


def test_a_failing_tracker_is_said_with_the_way_out(
    tmp_path: Path, recorders: dict[str, Recorder], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise ConnectionError("no route to host")

    folder = store_run(tmp_path / "r")
    points = make_points(api.compare(folder, "sft"), ["dpo@20"])
    with monkeypatch.context() as patch:
        patch.setattr(Recorder, "log", refuse)
        with pytest.raises(SkilldeltaError, match=r"step 20 of dpo \(ConnectionError: no route to host\)(.|\n)*--log-to toy"):
            TrackerSession(["toy"], folder).write(points)
    assert TrackerSession(["toy"], folder).write(points) == 1


def test_a_tracker_that_fails_at_its_end_is_said_and_its_points_are_written_again(
    tmp_path: Path, recorders: dict[str, Recorder], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(run: Recorder) -> None:
        run.is_open = False
        raise ConnectionError("no route to host")

    folder = store_run(store_run(tmp_path / "r"), "ppo", (5,))
    points = make_points(api.compare(folder, "sft"), ["dpo@20", "ppo@5"])
    session = TrackerSession(["toy"], folder)
    session.write(points)
    with monkeypatch.context() as patch:
        patch.setattr(Recorder, "close", refuse)
        with pytest.raises(SkilldeltaError, match=r"the end of dpo \(ConnectionError: no route to host\)(.|\n)*--log-to toy"):
            session.close()
    assert not any(run.is_open for run in recorders.values())
    assert TrackerSession(["toy"], folder).write(points) == 2


def test_a_tracker_that_is_not_there_is_named() -> None:
    with pytest.raises(SkilldeltaError, match=r"There is no tracker 'tensorbored'\. Did you mean 'tensorboard'"):
        TrackerSession(["tensorbored"], Path())


def test_a_folder_of_runs_is_not_taken_for_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    (tmp_path / "wandb").mkdir()
    monkeypatch.setattr(sys, "path", [str(tmp_path), *(p for p in sys.path if not (Path(p) / "wandb").is_dir())])
    monkeypatch.delitem(sys.modules, "wandb", raising=False)
    with pytest.raises(SkilldeltaError, match="--log-to wandb needs the package wandb: pip install wandb"):
        TrackerSession(["wandb"], Path())


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working folder in which no tracker is configured, and nothing but this machine can be reached."""
    connect = socket.socket.connect

    def only_here(self: socket.socket, address: Any) -> None:
        if isinstance(address, tuple) and address[0] not in ("127.0.0.1", "localhost", "::1"):
            raise AssertionError(f"something was sent to {address}")
        connect(self, address)

    for variable in [name for name in os.environ if name.startswith(("WANDB_", "MLFLOW_", "TRACKIO_"))]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    monkeypatch.setattr(socket.socket, "connect", only_here)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    gc.collect()  # what the trackers leave open warns here, where their warnings are passed over


def log_comparison(folder: Path, tracker: str, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """`compare --json --log-to TRACKER`, whose standard output is JSON whatever the tracker prints."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as end:
        main(["compare", str(folder), "--baseline", "sft", "--json", "--log-to", tracker])
    out, err = capsys.readouterr()
    assert end.value.code == 0, err
    content: dict[str, Any] = json.loads(out)
    return content


@pytest.mark.slow
def test_tensorboard_reads_what_was_written(offline: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tensorboard", reason="tensorboard is in the trackers extra: pip install 'skilldelta[trackers]'")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder = store_run(offline / "r")
    log_comparison(folder, f"tensorboard:{offline / 'logs'}", capsys)
    events = EventAccumulator(str(offline / "logs" / "dpo"))
    events.Reload()
    tags = {tag: {e.step: e.tensor_proto.float_val[0] for e in events.Tensors(tag)} for tag in events.Tags()["tensors"]}
    assert set(tags) == KEYS | CHANGES
    assert tags["skills/coding/difference"] == {20: -5.0, 100: -2.5}
    (file,) = (offline / "logs" / "dpo").iterdir()
    assert {entry["step"]: entry["skills/coding/score"] for entry in read_events(file)} == {20: 70.0, 100: 72.5}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_mlflow_has_them_in_its_own_local_store(offline: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("mlflow", reason="mlflow is in the trackers extra: pip install 'skilldelta[trackers]'")
    from mlflow.tracking import MlflowClient

    folder = store_run(offline / "r")
    log_comparison(folder, "mlflow:tuning", capsys)
    (folder / tracking.LEDGER).unlink()
    log_comparison(folder, "mlflow:tuning", capsys)  # finds its run again
    client = MlflowClient()
    runs = client.search_runs([client.get_experiment_by_name("tuning").experiment_id])
    (run,) = [r for r in runs if r.info.run_name == "dpo"]
    history = client.get_metric_history(run.info.run_id, "skills/coding/difference")
    assert {(m.step, m.value) for m in history} == {(20, -5.0), (100, -2.5)}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_wandb_stays_offline_where_nothing_is_configured(offline: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("wandb", reason="wandb is in the trackers extra: pip install 'skilldelta[trackers]'")
    from harness.run_logs.wandb import read_history_records

    log_comparison(store_run(offline / "r"), "wandb:tuning", capsys)
    files = list((offline / "wandb").glob("offline-run-*/*.wandb"))
    entries = [entry for file in files for entry in read_history_records(file)]
    by_step = {entry["skills/step"]: entry.get("skills/coding/difference") for entry in entries}
    assert by_step == {0: None, 20: -5.0, 100: -2.5}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_trackio_has_them_in_its_own_local_database(offline: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("trackio", reason="trackio is in the trackers extra: pip install 'skilldelta[trackers]'")
    from trackio.sqlite_storage import SQLiteStorage

    log_comparison(store_run(offline / "r"), "trackio:tuning", capsys)
    logs = SQLiteStorage.get_logs("tuning", "dpo")
    assert {entry["step"]: entry["skills/coding/difference"] for entry in logs} == {20: -5.0, 100: -2.5}


def test_a_baseline_that_nothing_would_use_is_refused_with_the_verb_that_compares(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["score", "dpo", "-t", "gsm8k", "--baseline", "sft", "-o", "results"])
    assert end.value.code == 3
    assert "skilldelta compare RESULTS --baseline sft" in " ".join(capsys.readouterr().err.split())
