"""The log that real runs leave behind, TRL's and ours, is read for what it is."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from harness import training_log
from harness.trainers import dpo, ppo, reward
from harness.training import policy_models
from harness.training.tokenization import load_tokenizer
from tests.support.training_toy import preference, text

Rows = Callable[[str, Iterable[Any]], str]
QUIET = {"report_to": [], "disable_tqdm": True, "use_cpu": True}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`gradient_checkpointing:FutureWarning")  # TRL 1.16 sets it under transformers' old name
def test_a_run_of_trls_dpo(tiny: str, tmp_path: Path) -> None:
    import trl
    from datasets import Dataset

    arguments = trl.DPOConfig(
        output_dir=str(tmp_path), max_steps=4, save_steps=2, logging_steps=1, per_device_train_batch_size=4, **QUIET
    )
    trl.DPOTrainer(
        model=policy_models.load_model(policy_models.CAUSAL, tiny),
        args=arguments,
        train_dataset=Dataset.from_list([preference(i) for i in range(16)]),
        processing_class=load_tokenizer(tiny),
    ).train()
    found = training_log.read_curves(str(tmp_path / "checkpoint-4"), str(tmp_path))
    assert {"loss", "reward margin"} <= set(found)
    assert found["loss"].steps == (1, 2, 3, 4)
    assert found["loss"].values[0] == pytest.approx(0.693147, abs=1e-5)
    assert training_log.read_curves(str(tmp_path / "checkpoint-2"), str(tmp_path))["loss"].steps == (1, 2)


@pytest.mark.slow
def test_runs_of_our_dpo_and_ppo(tiny: str, write: Rows, pairs: str, tmp_path: Path) -> None:
    known: dict[str, Any] = {"model": tiny, "log_steps": 1, "max_steps": 2, "batch": 8}
    tuned = dpo.train(dpo.DPOConfig(data=(pairs,), out=str(tmp_path / "dpo"), **known))
    found = training_log.read_curves(tuned.path, tuned.run)
    assert found["loss"].values[0] == pytest.approx(0.693147, abs=1e-5)
    assert found["reward margin"].steps == (1, 2)
    judge = reward.train(reward.RewardConfig(data=(pairs,), out=str(tmp_path / "reward"), samples=8, max_new=8, **known))
    prompts = write("prompts.jsonl", ({"prompt": [{"role": "user", "content": text(i)}]} for i in range(16)))
    lengths = {"max_prompt": 64, "max_new": 8, "minibatch": 8, "missing_end": -3.0}
    climbed = ppo.train(ppo.PPOConfig(data=(prompts,), out=str(tmp_path / "ppo"), reward=judge.path, **known, **lengths))
    found = training_log.read_curves(climbed.path, climbed.run)
    assert set(found) == {"reward", "KL", "length", "loss", "entropy", "FLOPs", "seconds"}
    costs = [json.loads((Path(r) / "run.json").read_text())["flops"] for r in (climbed.run, judge.run)]
    assert found["FLOPs"].values[-1] == pytest.approx(sum(costs), rel=0.01)  # with what the reward model cost
    assert found["KL"].values[0] == pytest.approx(0, abs=1e-5), "before the first update the policy is the reference"
    assert 1 <= found["length"].values[0] <= 8
