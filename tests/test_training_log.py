"""What trainers logged of themselves: found under one name, kept with the results, told when it is unknown."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from harness import training_log
from harness.comparison import training_runs
from harness.comparison.compare import compare
from harness.evaluation.questions import EvaluationSettings
from harness.evaluation.run import score_checkpoints
from harness.records import CheckpointRecord
from harness.store import Results
from harness.types import Checkpoint
from tests.support import toys

# As the trainers wrote them (TRL 1.16's DPO and GRPO, the last PPO of TRL), shortened to what matters here.
DPO = {"loss": 0.69, "rewards/margins": 0.01, "rewards/chosen": 0.02, "entropy": 0.5, "logps/chosen": -4.0}
PPO = {
    "objective/kl": 0.4,
    "objective/rlhf_reward": 0.3,
    "objective/scores": 0.5,
    "loss/policy_avg": -0.01,
    "policy/entropy_avg": 0.6,
}
GRPO = {"reward": 0.2, "kl": 0.01, "completions/mean_length": 30.0, "loss": 0.0, "frac_reward_zero_std": 0.1}


def run(folder: Path, steps: tuple[int, ...], log: dict[str, float], every: int = 10) -> Path:
    """A run's folder with what it logged; no weights."""
    for step in steps:
        (folder / f"checkpoint-{step}").mkdir(parents=True)
        history = [{**log, "step": s} for s in range(every, step + 1, every)]
        (folder / f"checkpoint-{step}" / "trainer_state.json").write_text(json.dumps({"log_history": history}))
    return folder


def member(folder: Path, step: int | None = None) -> Checkpoint:
    path = folder / f"checkpoint-{step}" if step else folder
    return Checkpoint(f"{folder.name}@{step}" if step else folder.name, str(path), "trainer", run=str(folder), step=step)


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        (DPO, {"reward margin": "rewards/margins", "loss": "loss", "entropy": "entropy"}),
        (PPO, {"reward": "objective/scores", "KL": "objective/kl", "loss": "loss/policy_avg", "entropy": "policy/entropy_avg"}),
        (GRPO, {"reward": "reward", "KL": "kl", "length": "completions/mean_length", "loss": "loss"}),
    ],
)
def test_quantities_are_known_by_their_trainers_names(log: dict[str, float], expected: dict[str, str]) -> None:
    found = training_log.parse_curves([{**log, "step": 10}, {**log, "step": 20}])
    assert {quantity: curve.key for quantity, curve in found.items()} == expected
    assert all(curve.steps == (10, 20) for curve in found.values())


def test_what_is_no_number_is_left_out_and_steps_ascend() -> None:
    odd: list[dict[str, Any]] = [
        {"loss": 3.0, "step": 30},
        {"loss": float("nan"), "step": 20},
        {"loss": None, "step": 15},
        {"loss": 1.0, "step": 9},
        {"loss": "2", "step": 12},
        {"loss": 7.0},
        {"train_loss": 2.0, "step": 30},
    ]
    assert training_log.parse_curves(odd)["loss"] == training_log.Curve("loss", (9, 30), (1.0, 3.0))


def test_a_long_log_is_thinned_and_keeps_its_ends() -> None:
    curve = training_log.parse_curves([{"loss": float(s), "step": s} for s in range(1, 5001)])["loss"]
    assert len(curve.steps) == training_log.MAX_POINTS
    assert (curve.steps[0], curve.steps[-1]) == (1, 5000)
    assert curve.values == tuple(map(float, curve.steps))


def test_the_value_at_a_step_is_the_last_one_logged_by_then() -> None:
    curve = training_log.Curve("kl", (10, 20), (0.1, 0.2))
    assert [curve.at(s) for s in (9, 10, 19, 20, 500)] == [None, 0.1, 0.1, 0.2, 0.2]


def test_a_runs_final_model_has_the_log_of_its_last_checkpoint(tmp_path: Path) -> None:
    folder = run(tmp_path / "ppo", (100, 90, 1000), PPO)
    assert training_log.read_curves(str(folder), str(folder))["KL"].steps[-1] == 1000
    assert training_log.read_curves(str(folder / "checkpoint-90"), str(folder))["KL"].steps[-1] == 90
    assert training_log.read_curves("", "") == {}


def scored(folder: Path, members: list[Checkpoint]) -> Results:
    results = Results.make(folder)
    score_checkpoints(members, [toys.adding(8)], lambda _: toys.model(), results, EvaluationSettings())
    return results


def test_scoring_keeps_the_log_for_when_the_checkpoint_is_gone(tmp_path: Path) -> None:
    folder = run(tmp_path / "ppo", (20, 100), PPO)
    for step in (20, 100):
        (folder / f"checkpoint-{step}" / "config.json").write_text("{}")
    scored(tmp_path / "results", [toys.checkpoint("sft"), member(folder, 20), member(folder, 100)])
    shutil.rmtree(folder)
    (found,) = compare(tmp_path / "results", "sft").runs
    assert dict(found.steps) == {"ppo@20": 20, "ppo@100": 100}
    assert found.curves["KL"].steps == tuple(range(10, 101, 10))


def test_a_log_that_was_not_kept_is_read_where_the_checkpoint_lies_and_else_told_to_be_unknown(tmp_path: Path) -> None:
    folder = run(tmp_path / "dpo", (20,), DPO)
    scored(tmp_path / "results", [toys.checkpoint("sft"), member(folder, 20)])
    (tmp_path / "results" / "dpo@20" / training_log.FILE).unlink()
    assert compare(tmp_path / "results", "sft").runs[0].curves["reward margin"].steps == (10, 20)
    shutil.rmtree(folder)
    comparison = compare(tmp_path / "results", "sft")
    assert comparison.runs[0].curves == {}
    assert any("No training log (reward, KL, length) was found for dpo" in line for line in comparison.caveats)


def test_the_final_model_stands_at_the_last_step_and_steps_are_sorted_as_numbers(tmp_path: Path) -> None:
    folder = run(tmp_path / "ppo", (90, 100, 1000), PPO)
    facts = {
        m.name: CheckpointRecord(name=m.name, run=m.run, step=m.step, path=m.path, method="ppo", results=str(tmp_path))
        for m in (member(folder), member(folder, 1000), member(folder, 90), member(folder, 100))
    }
    (found,) = training_runs.group_runs(facts, "sft")
    assert list(found.steps.items()) == [("ppo@90", 90), ("ppo@100", 100), ("ppo@1000", 1000), ("ppo", 1000)]
    assert found.final == {"ppo"}
    assert training_runs.group_runs({"sft": facts["ppo"]}, "sft") == (), "a run that holds the baseline alone"


def test_what_a_run_cost_is_told_by_transformers_beside_the_log_and_here_in_it(tmp_path: Path) -> None:
    theirs = run(tmp_path / "theirs", (20,), {"loss": 0.5}) / "checkpoint-20" / "trainer_state.json"
    theirs.write_text(json.dumps(json.loads(theirs.read_text()) | {"global_step": 20, "total_flos": 3e12}))
    assert training_log.read_curves(str(theirs.parent), "")["FLOPs"] == training_log.Curve("total_flos", (20,), (3e12,))
    ours = run(tmp_path / "ours", (20,), {"total_flos": 1e12, "total_flos_with_reward_model": 4e12, "seconds": 7.0})
    found = training_log.read_curves(str(ours / "checkpoint-20"), str(ours))
    assert (found["FLOPs"].values, found["seconds"].values) == ((4e12, 4e12), (7.0, 7.0))
