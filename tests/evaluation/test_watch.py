"""Checkpoints are scored while their run goes on: held when they are whole, scored in turn, also when the run deletes them."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.cli import main
from harness.evaluation import watch
from harness.evaluation.questions import EvaluationSettings
from harness.evaluation.run import Outcome, SilentProgress
from harness.store import Results
from harness.types import Checkpoint, Request, Response
from tests.checkpoints.test_discovery import model, run, weights
from tests.support import toys


class Ear(SilentProgress):
    def __init__(self) -> None:
        self.texts: list[str] = []

    def tell(self, text: str) -> None:
        self.texts.append(text)


def looking(paths: list[Path], results: Results, every: float = 0.0) -> watch.Watch:
    return watch.Watch([str(p) for p in paths], results.folder / watch.LINK_FOLDER, Ear(), every, clock=lambda: 0.0)


def run_watch(paths: list[Path], folder: Path, happens: Callable[[], None] = lambda: None) -> tuple[list[Outcome], Results]:
    """All outcomes of a watch that ends when nothing is new; `happens` is called once, while the first answers are given."""
    results = Results.make(folder)
    once = iter([happens])

    def answer(request: Request) -> Response:
        next(once, lambda: None)()
        return toys.answer_sum(request)

    def load(checkpoint_outcomes: Checkpoint) -> toys.ScriptedModel:
        assert (Path(checkpoint_outcomes.path) / "model.safetensors").is_file()
        return toys.model(answer, block=2)

    outcomes = watch.score_new_checkpoints(
        looking(paths, results), [toys.adding(6)], load, results, EvaluationSettings(), idle=0.0
    )
    return [o for found in outcomes for o in found], results


def test_what_is_written_while_another_is_scored_comes_next(tmp_path: Path) -> None:
    folder = run(tmp_path / "dpo", (10,))
    outcomes, _ = run_watch([folder], tmp_path / "results", lambda: ignore(run(folder, (20,))))
    assert [(o.checkpoint, o.state) for o in outcomes] == [("dpo@10", "done"), ("dpo@20", "done")]


def ignore(_: object) -> None:
    """For what is called because of what it does."""


def test_a_checkpoint_that_its_run_deletes_is_scored_all_the_same(tmp_path: Path) -> None:
    folder = run(tmp_path / "dpo", (10, 20))
    outcomes, results = run_watch([folder], tmp_path / "results", lambda: shutil.rmtree(folder / "checkpoint-20"))
    assert [(o.checkpoint, o.state, o.samples) for o in outcomes] == [("dpo@10", "done", 6), ("dpo@20", "done", 6)]
    assert results.checkpoints()["dpo@20"].path == str(folder / "checkpoint-20")
    assert not (results.folder / watch.LINK_FOLDER).exists()


def test_holding_costs_no_space_and_leaves_training_states_out(tmp_path: Path) -> None:
    folder = run(tmp_path / "dpo", (10,)) / "checkpoint-10"
    (folder / "optimizer.pt").write_bytes(b"large")
    watching = looking([tmp_path / "dpo"], Results.make(tmp_path / "results"))
    watching.look()
    ((found, held),) = watching.waiting
    assert Path(found.path) == folder
    assert (Path(held.path) / "model.safetensors").samefile(folder / "model.safetensors")
    assert not (Path(held.path) / "optimizer.pt").exists()


def test_a_final_model_is_held_without_the_folders_of_its_steps(tmp_path: Path) -> None:
    folder = run(tmp_path / "dpo", (10, 20))
    (folder / "config.json").write_text("{}")
    weights(folder / "model.safetensors")
    outcomes, _ = run_watch([folder], tmp_path / "results")
    assert [(o.checkpoint, o.state) for o in outcomes] == [("dpo@10", "done"), ("dpo@20", "done"), ("dpo", "done")]


def test_a_half_written_checkpoint_waits_until_it_is_whole(tmp_path: Path) -> None:
    folder = run(tmp_path / "ppo", (10,)) / "checkpoint-10"
    state = folder / "trainer_state.json"
    text = state.read_text()
    state.unlink()
    watching = looking([tmp_path / "ppo"], Results.make(tmp_path / "results"))
    watching.look()
    assert not watching.waiting
    state.write_text(text)
    watching.look()
    watching.look()
    assert [found.name for found, _ in watching.waiting] == ["ppo@10"]


def test_a_checkpoint_that_vanishes_while_it_is_held_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = run(tmp_path / "ppo", (10,)) / "checkpoint-10"

    def too_late(source: Path, target: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        raise FileNotFoundError(source)

    monkeypatch.setattr(watch, "link_file", too_late)
    watching = looking([tmp_path / "ppo"], Results.make(tmp_path / "results"))
    watching.look()
    assert not watching.waiting
    assert isinstance(watching.listener, Ear)
    assert watching.listener.texts == ["ppo@10: deleted by its run before it could be linked: not scored"]


def test_a_path_that_is_not_there_yet_holds_nothing_yet(tmp_path: Path) -> None:
    outcomes, _ = run_watch([tmp_path / "later"], tmp_path / "results")
    assert outcomes == []


def test_from_the_command_line_each_new_checkpoint_is_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    task = tmp_path / "mine.py"
    task.write_text("from tests.support import toys\nTASKS = (toys.adding(6),)\n")
    model(tmp_path / "runs" / "sft")
    run(tmp_path / "runs" / "dpo", (10,))
    flags = ["-t", "adding", "--include-path", str(task), "--backend", "scripted", "--backend-args", "text=4", "-o",
             str(tmp_path / "results"), "--idle", "1e-9", "--every", "0"]  # fmt: skip
    for baseline in ([], ["--baseline", "sft"]):
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main(["watch", str(tmp_path / "runs"), *flags, *baseline])
        assert end.value.code == 0
    out, err = capsys.readouterr()
    assert "dpo@10: reasoning 16.7, 0.0 [" in out
    assert "dpo@10 · adding: 6 samples, done before" in err
    assert json.loads((tmp_path / "results" / "dpo@10" / "checkpoint.json").read_text())["step"] == 10
