"""`ScoreCallback` with TRL's own trainer: skills are logged beside the loss, and training did not wait for them."""

import importlib
import json
import os
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.evaluation.callback import ScoreCallback, ScoringError, ScoringJob, StopFileCallback, read_deltas
from harness.run_logs.tensorboard import read_events
from harness.training import policy_models
from harness.training.tokenization import load_tokenizer
from tests.checkpoints.test_discovery import model
from tests.support.training_toy import chat

pytest.importorskip("trl", reason="trl is in the dev extra: pip install -e '.[dev]'")
Rows = Callable[[str, Iterable[Any]], str]
TASK = """
from harness.types import Request, Response, Score, Task

TASKS = (Task(
    name="words", skill="reasoning", version=1, source="made for this test",
    rows=lambda folder: [{"word": f"w{i}"} for i in range(12)],
    ask=lambda e: Request(e.row["word"], max_tokens=2),
    score=lambda e, r: Score(float(len(r.text) % 2)), ideal=lambda e: Response("a"),
),)
"""


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_each_saved_checkpoint_of_trls_trainer_is_scored(tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import trl
    from datasets import Dataset

    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]))
    monkeypatch.setenv("PYTHONWARNINGS", "ignore")
    (tmp_path / "words.py").write_text(TASK)
    args = trl.SFTConfig(
        output_dir=str(tmp_path / "run"), max_steps=4, save_steps=2, per_device_train_batch_size=4, learning_rate=0.01,
        report_to=[], bf16=False, use_cpu=True, disable_tqdm=True, logging_steps=1, gradient_checkpointing=False,
    )  # fmt: skip
    trainer = trl.SFTTrainer(
        model=policy_models.load_model(policy_models.CAUSAL, tiny), args=args, processing_class=load_tokenizer(tiny),
        train_dataset=Dataset.from_list([chat(i) for i in range(16)]),
    )  # fmt: skip
    options = ("--include-path", str(tmp_path / "words.py"), "--device", "cpu")
    callback = ScoreCallback(trainer, ("words",), str(tmp_path / "results"), tiny, options)
    trainer.add_callback(callback)
    trainer.train()
    told = [row for row in trainer.state.log_history if "skills/step" in row]
    assert [row["skills/step"] for row in told] == [2.0, 4.0]
    assert all({"skills/reasoning", "skills/average"} <= row.keys() for row in told)
    assert callback.missed_steps == []
    assert not callback.jobs


def test_deltas_are_those_of_the_skills_and_their_average() -> None:
    rows = [
        {"checkpoint": "step-2", "level": "skill", "name": "coding", "delta": -1.5},
        {"checkpoint": "step-2", "level": "average", "name": "average", "delta": 0.5},
        {"checkpoint": "step-2", "level": "task", "name": "mbpp", "delta": -1.5},
        {"checkpoint": "step-4", "level": "skill", "name": "coding", "delta": 9.0},
        {"checkpoint": "step-2", "level": "skill", "name": "safety", "delta": None},
    ]
    assert read_deltas(json.dumps({"rows": rows}), "step-2") == {"skills/coding": -1.5, "skills/average": 0.5}


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def job(step: int, *commands: list[str]) -> ScoringJob:
    return ScoringJob(step, "", deque(commands))


def test_deltas_come_with_score_and_interval() -> None:
    numbers = {"delta": -1.5, "delta_low": -3.0, "delta_high": 0.0, "score": 40.0, "p": 0.1}
    rows = [{"checkpoint": "step-2", "level": "skill", "name": "coding", **numbers}]
    assert read_deltas(json.dumps({"rows": rows}), "step-2") == {
        "skills/coding": -1.5, "skills/coding/score": 40.0,
        "skills/coding/difference_low": -3.0, "skills/coding/difference_high": 0.0,
    }  # fmt: skip


def test_a_failure_has_the_words_of_the_process() -> None:
    failures = {
        "raise SystemExit('no such task')": "ended with code 1: no such task",
        "import os; os.kill(os.getpid(), 9)": "was killed by signal 9: it said nothing",
    }
    for code, words in failures.items():
        with closing(job(7, python(code))) as failing, pytest.raises(ScoringError, match=words):
            failing.advance(wait=True)


def test_a_job_goes_on_without_being_waited_for(tmp_path: Path) -> None:
    door = tmp_path / "door"
    os.mkfifo(door)
    with closing(job(1, python(f"print(open({str(door)!r}).read())"), python("print('x' * 100_000)"))) as waiting:
        assert waiting.advance(wait=False) is None  # the first command waits at the door
        assert waiting.advance(wait=False) is None
        door.write_text("in")
        assert waiting.advance(wait=True) == "x" * 100_000 + "\n"


OWN_TASK = """
from harness.types import Request, Response, Score, Task

TASKS = (Task(
    name="words", skill="reasoning", version=1, source="made for this test",
    rows=lambda folder: [{"word": f"w{i}"} for i in range(12)],
    ask=lambda e: Request(e.row["word"]), score=lambda e, r: Score(1.0), ideal=lambda e: Response("a"),
),)
"""
OPTIONS = ("--include-path", "words.py", "--backend", "scripted", "--backend-args", "text=a")


class Trainer:
    """The trainer's side of a run: its hooks in their order, with a checkpoint at each step of `saves`."""

    def __init__(self) -> None:
        self.logs: list[dict[str, float]] = []

    def log(self, values: dict[str, float]) -> None:
        self.logs.append(values)

    def run(self, callback: ScoreCallback, folder: Path, saves: tuple[int, ...] = (1, 2)) -> None:
        args, control = SimpleNamespace(output_dir=str(folder)), None

        def state(step: int) -> SimpleNamespace:
            return SimpleNamespace(is_world_process_zero=True, global_step=step)

        callback.on_train_begin(args, state(0), control)
        for step in saves:
            state_file = model(folder / f"checkpoint-{step}") / "trainer_state.json"
            state_file.write_text(json.dumps({"global_step": step, "log_history": []}))
            callback.on_save(args, state(step), control, tokenizer=None)
            callback.on_step_end(args, state(step), control)
        callback.on_train_end(args, state(saves[-1]), control)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of somebody's training script, which has packages of the names of ours, and a task file."""
    for package in ("tasks", "harness", "reports"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text("raise ImportError('somebody else's package')")
    (tmp_path / "words.py").write_text(OWN_TASK)
    model(tmp_path / "sft")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_packages_named_like_ours_in_the_working_folder_stop_nothing(project: Path) -> None:
    trainer = Trainer()
    callback = ScoreCallback(trainer, ("words",), "results", "sft", OPTIONS, wait=True)
    trainer.run(callback, project / "run")
    assert callback.problems == []
    assert [values["skills/step"] for values in trainer.logs] == [1.0, 2.0]
    assert trainer.logs[0]["skills/reasoning"] == 0.0


@pytest.mark.slow
def test_without_a_baseline_checkpoints_are_scored_and_training_goes_on(
    project: Path, caplog: pytest.LogCaptureFixture
) -> None:
    trainer = Trainer()
    callback = ScoreCallback(trainer, ("words",), "results", "nowhere", OPTIONS)
    trainer.run(callback, project / "run")
    (problem,) = callback.problems
    assert "the baseline nowhere could not be scored, so that no differences are logged" in problem
    assert "There is no folder 'nowhere'" in problem
    assert len(caplog.records) == 1
    assert trainer.logs == []
    assert {path.parent.parent.name for path in project.glob("results/*/*/samples.jsonl")} == {"step-1", "step-2"}


@pytest.mark.slow
def test_trackers_have_each_checkpoint_at_its_own_step(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorboard", reason="tensorboard is in the trackers extra: pip install 'skilldelta[trackers]'")
    scores, differences = {"skills/reasoning/score"}, {"skills/reasoning/score", "skills/reasoning/difference"}
    for baseline, keys in (("sft", differences), ("nowhere", scores)):
        results, logs = f"results of {baseline}", project / f"logs of {baseline}"
        callback = ScoreCallback(Trainer(), ("words",), results, baseline, OPTIONS, log_to=(f"tensorboard:{logs}",))
        Trainer().run(callback, project / f"run of {baseline}")
        assert callback.problems == [] or baseline == "nowhere"
        files = sorted((logs / f"run of {baseline}").iterdir())
        entries = [entry for each in files for entry in read_events(each)]
        assert [entry["step"] for entry in entries] == [1, 2]
        assert all(keys <= entry.keys() for entry in entries)


def test_a_stop_file_ends_the_training_and_an_old_one_does_not_begin_it(tmp_path: Path) -> None:
    file, control = tmp_path / "STOP", SimpleNamespace(should_save=False, should_training_stop=False)
    callback, state = StopFileCallback(str(file)), SimpleNamespace(global_step=3)
    callback.on_train_begin(None, state, control)
    callback.on_step_end(None, state, control)
    assert not control.should_training_stop
    file.write_text("{}")
    callback.on_step_end(None, state, control)
    assert control.should_training_stop
    assert control.should_save
    with pytest.raises(FileExistsError, match="of an earlier alarm"):
        callback.on_train_begin(None, state, control)


@pytest.mark.slow
def test_a_task_that_does_not_exist_ends_no_training(project: Path) -> None:
    trainer = Trainer()
    callback = ScoreCallback(trainer, ("wrods",), "results", "sft", OPTIONS)
    trainer.run(callback, project / "run")
    assert len(callback.problems) == 3
    assert all("wrods" in problem for problem in callback.problems)
    assert not callback.jobs


@pytest.mark.slow
def test_neither_a_full_disk_nor_a_failing_log_ends_training(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    trainer = Trainer()
    monkeypatch.setattr(subprocess, "Popen", full)
    callback = ScoreCallback(trainer, ("words",), "results", "sft", OPTIONS)
    trainer.run(callback, project / "run")
    assert len(callback.problems) == 3
    assert all("No space left on device" in problem for problem in callback.problems)
    monkeypatch.undo()
    monkeypatch.chdir(project)
    monkeypatch.setattr(trainer, "log", full)
    callback = ScoreCallback(trainer, ("words",), "again", "sft", OPTIONS)
    trainer.run(callback, project / "again-run", (3,))
    assert ["step 3 could not be scored" in problem for problem in callback.problems] == [True]


def test_a_missing_checkpoint_is_noted_as_missed(project: Path) -> None:
    callback = ScoreCallback(Trainer(), ("words",), "results", "sft", OPTIONS)
    args, state = SimpleNamespace(output_dir="run"), SimpleNamespace(is_world_process_zero=True, global_step=5)
    callback.on_save(args, state, None)
    assert (callback.missed_steps, callback.problems) == ([5], [])


def test_other_processes_of_a_distributed_run_score_nothing(project: Path) -> None:
    callback = ScoreCallback(Trainer(), ("words",), "results", "sft", OPTIONS)
    args, state = SimpleNamespace(output_dir="run"), SimpleNamespace(is_world_process_zero=False, global_step=5)
    callback.on_train_begin(args, state, None)
    callback.on_save(args, state, None)
    assert not callback.jobs


def test_it_is_imported_from_the_package_itself() -> None:
    import harness

    assert harness.ScoreCallback is ScoreCallback


def test_training_scripts_of_earlier_versions_find_it_where_it_was() -> None:
    assert importlib.import_module("harness.trainers.callbacks").ScoreCallback is ScoreCallback
