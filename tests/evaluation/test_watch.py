"""Checkpoints are scored while their run goes on: held when they are whole, scored in turn, also when the run deletes them."""

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from harness.checkpoint_selection import Selection
from harness.cli import main
from harness.evaluation import link_records, watch
from harness.evaluation.outcome import Outcome, SilentProgress
from harness.evaluation.questions import EvaluationSettings
from harness.store import Results
from harness.types import Checkpoint, Request, Response, SkilldeltaError
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
    state.rename(folder / "training_args.bin")  # which Trainer writes right behind the weights
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


def score_some(watching: watch.Watch, results: Results, count: int) -> list[Outcome]:
    """Scores up to `count` checkpoints, then stops as Ctrl-C does."""
    outcomes: list[Outcome] = []
    loader = lambda checkpoint: toys.model()  # noqa: E731
    scoring = watch.score_new_checkpoints(watching, [toys.adding(6)], loader, results, EvaluationSettings(), idle=0.0)
    for _ in range(count):
        outcomes += next(scoring, [])
    scoring.close()
    return outcomes


def test_after_a_stop_the_same_watch_goes_on_with_what_it_had_linked(tmp_path: Path) -> None:
    folder, results = run(tmp_path / "dpo", (10, 20, 30)), Results.make(tmp_path / "results")
    assert [o.checkpoint for o in score_some(looking([folder], results), results, 1)] == ["dpo@10"]
    shutil.rmtree(folder)
    half = results.folder / watch.LINK_FOLDER / "dpo@40~half" / "checkpoint-40"
    half.mkdir(parents=True)  # the process was killed while it was linking this one
    outcomes = score_some(looking([folder], results), results, 9)
    assert [(o.checkpoint, o.state) for o in outcomes] == [("dpo@20", "done"), ("dpo@30", "done")]
    assert results.checkpoints()["dpo@30"].path == str(folder / "checkpoint-30")
    assert not (results.folder / watch.LINK_FOLDER).exists()


def test_a_checkpoint_that_is_half_deleted_already_is_not_linked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run deletes the weights of a shard, then the watch looks, and the rest goes later."""
    folder = run(tmp_path / "dpo", (10,)) / "checkpoint-10"
    watching = looking([tmp_path / "dpo"], Results.make(tmp_path / "results"))
    listing = watching.checkpoints()
    monkeypatch.setattr(watching, "checkpoints", lambda: listing)
    (folder / "model.safetensors").unlink()
    watching.look()
    assert not watching.waiting
    assert isinstance(watching.listener, Ear)
    assert watching.listener.texts == ["dpo@10: deleted by its run before it could be linked: not scored"]


def test_an_adapter_whose_base_is_named_by_a_relative_path_is_linked(tmp_path: Path) -> None:
    model(tmp_path / "runs" / "sft")
    folder = tmp_path / "runs" / "dpo" / "checkpoint-10"
    folder.mkdir(parents=True)
    weights(folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "base_model_name_or_path": "../../sft"}))
    (folder / "trainer_state.json").write_text(json.dumps({"global_step": 10, "log_history": []}))
    watching = looking([tmp_path / "runs" / "dpo"], Results.make(tmp_path / "results"))
    watching.look()
    ((checkpoint, copy),) = watching.waiting
    assert (checkpoint.name, Path(copy.base).resolve()) == ("dpo@10", tmp_path / "runs" / "sft")


def test_two_processes_do_not_watch_the_same_paths(tmp_path: Path) -> None:
    folder, results = run(tmp_path / "dpo", (10, 20)), Results.make(tmp_path / "results")
    first = watch.score_new_checkpoints(
        looking([folder], results), [toys.adding(6)], lambda c: toys.model(), results, EvaluationSettings(), idle=0.0
    )
    next(first)
    with pytest.raises(SkilldeltaError, match="Another process watches the same paths"):
        score_some(looking([folder], results), results, 1)
    assert [o.checkpoint for o in next(first)] == ["dpo@20"]


def test_times_of_files_and_a_clock_that_is_set_back_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, results = run(tmp_path / "dpo", (10, 20)), Results.make(tmp_path / "results")
    watching = looking([folder], results)
    watching.look()
    for at, file in enumerate(folder.rglob("*")):
        os.utime(file, (at * 10**9, at * 10**9))
    monkeypatch.setattr(time, "time", lambda: 0.0)
    watching.look()
    assert [checkpoint.name for checkpoint, _ in watching.waiting] == ["dpo@10", "dpo@20"]


def test_another_checkpoint_under_a_known_path_is_seen(tmp_path: Path) -> None:
    folder, results = run(tmp_path / "dpo", (10,)), Results.make(tmp_path / "results")
    watching = looking([folder], results)
    assert [o.state for o in score_some(watching, results, 9)] == ["done"]
    (folder / "checkpoint-10" / "model.safetensors").rename(tmp_path / "old")  # keeps its inode from being used again
    weights(folder / "checkpoint-10" / "model.safetensors", size=32)
    (outcome,) = score_some(watching, results, 9)
    assert outcome.state == "failed"
    assert "holds samples that were made differently" in outcome.why
    assert "fingerprint.weights" in outcome.why


@pytest.mark.parametrize(("module", "writer"), [(watch, "link_file"), (link_records, "write_json")])
def test_what_cannot_be_linked_yet_is_said_once_and_tried_again(
    module: ModuleType, writer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(source: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    folder = run(tmp_path / "dpo", (10,))
    watching = looking([folder], Results.make(tmp_path / "results"))
    with monkeypatch.context() as patch:
        patch.setattr(module, writer, full)
        watching.look()
        watching.look()
    assert isinstance(watching.listener, Ear)
    (text,) = watching.listener.texts
    assert "dpo@10: cannot be linked yet; the next look tries again (No space left on device.  Make room" in text
    watching.look()
    assert [checkpoint.name for checkpoint, _ in watching.waiting] == ["dpo@10"]


def test_steps_and_names_are_selected_and_last_ones_cannot_be(tmp_path: Path) -> None:
    folder, results = run(tmp_path / "dpo", (10, 20, 30)), Results.make(tmp_path / "results")
    watching = looking([folder], results)
    watching.selection = Selection(steps="10:40:20")
    watching.look()
    assert [checkpoint.name for checkpoint, _ in watching.waiting] == ["dpo@10", "dpo@30"]
    with pytest.raises(SkilldeltaError, match="--last and --best choose among the checkpoints of a finished run"):
        watch.Watch([str(folder)], results.folder, Ear(), selection=Selection(last=1))


@pytest.mark.slow
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
    assert "dpo@10: reasoning 16.7 points, difference 0.0 [" in out
    assert "dpo@10 · adding: 6 samples, done before" in err
    assert json.loads((tmp_path / "results" / "dpo@10" / "checkpoint.json").read_text())["step"] == 10


def test_what_the_loader_cannot_load_is_said_when_it_is_found(tmp_path: Path) -> None:
    class PickyLoader:
        def __call__(self, checkpoint: Checkpoint) -> toys.ScriptedModel:
            return toys.model(toys.answer_sum, block=2)

        def explain_unloadable(self, checkpoint: Checkpoint) -> str:
            return "no tokenizer" if checkpoint.step == 20 else ""

    results = Results.make(tmp_path / "results")
    look = looking([run(tmp_path / "dpo", (10, 20))], results)
    list(watch.score_new_checkpoints(look, [toys.adding(6)], PickyLoader(), results, EvaluationSettings(), idle=0.0))
    assert isinstance(look.listener, Ear)
    assert look.listener.texts[:2] == [
        "dpo@10: found, 1 waiting",
        "dpo@20: found, 2 waiting; it cannot be scored: no tokenizer",
    ]
