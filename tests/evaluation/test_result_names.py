"""Names within a results folder: a run's `final_model` beside that of another run that was scored there before."""

from pathlib import Path

import pytest

from harness import discovery, fingerprint
from harness.evaluation.result_names import choose_names
from harness.store import Results
from harness.types import Checkpoint, SkilldeltaError
from tests.checkpoints.test_discovery import model, weights


def score(folder: Path, results: Results, name: str = "") -> list[str]:
    """Stores the checkpoints below a folder as `score` does, and gives their names."""
    checkpoints = choose_names(discovery.find_checkpoints([str(folder)]), name, results)
    for checkpoint in checkpoints:
        results.add(checkpoint, fingerprint.hash_checkpoint(checkpoint))
    return [c.name for c in checkpoints]


def write_run(folder: Path, size: int) -> Path:
    weights(model(folder / "final_model") / "model.safetensors", size=size)
    return folder


def test_a_name_that_another_run_has_gets_the_runs_in_front(tmp_path: Path) -> None:
    results = Results.make(tmp_path / "results")
    runs = [write_run(tmp_path / place, size) for place, size in (("dpo", 8), ("ppo", 16), ("old/ppo", 24))]
    for _ in range(2):  # the second time all are known
        assert [score(run, results) for run in runs] == [["final_model"], ["ppo-final_model"], ["old-ppo-final_model"]]
    assert set(results.checkpoints()) == {"final_model", "ppo-final_model", "old-ppo-final_model"}


def test_the_same_weights_elsewhere_keep_their_name(tmp_path: Path) -> None:
    results = Results.make(tmp_path / "results")
    assert score(write_run(tmp_path / "dpo", 8), results) == ["final_model"]
    (tmp_path / "dpo").rename(tmp_path / "moved")
    assert score(tmp_path / "moved", results) == ["final_model"]


def test_a_run_that_was_trained_anew_is_still_refused(tmp_path: Path) -> None:
    results = Results.make(tmp_path / "results")
    score(write_run(tmp_path / "dpo", 8), results)
    weights(tmp_path / "dpo" / "final_model" / "model.safetensors", size=16)
    with pytest.raises(SkilldeltaError, match="already holds another checkpoint named 'final_model'"):
        score(tmp_path / "dpo", results)


def test_a_name_that_is_given_is_taken_as_it_is(tmp_path: Path) -> None:
    results = Results.make(tmp_path / "results")
    assert score(write_run(tmp_path / "dpo", 8), results, "mine") == ["mine"]
    with pytest.raises(SkilldeltaError, match="already holds another checkpoint named 'mine'"):
        score(write_run(tmp_path / "ppo", 16), results, "mine")
    two = [Checkpoint(name, "", "recorded") for name in ("a", "b")]
    with pytest.raises(SkilldeltaError, match="--name mine needs exactly one checkpoint; found: a, b"):
        choose_names(two, "mine", results)


@pytest.mark.parametrize("name", ["two\nlines", "\x1b[31mred", " ", "x" * 121, "skilldelta.json", "_examples"])
def test_a_name_that_cannot_stand_in_a_table_or_folder_is_refused(tmp_path: Path, name: str) -> None:
    results = Results.make(tmp_path / "results")
    weights(model(tmp_path / "final_model") / "model.safetensors", size=8)
    with pytest.raises(SkilldeltaError, match=r"cannot be a name here \(1 to 120 printable characters"):
        score(tmp_path / "final_model", results, name)
    assert not results.checkpoints()
