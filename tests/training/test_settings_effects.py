"""A setting does what it says, or is refused: one that is passed over without a word makes another model than was meant."""

import json
import logging
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from harness.checkpoint_selection import Selection, select_checkpoints
from harness.discovery import find_checkpoints
from harness.trainers import dpo, grpo, kto, ppo, pretrain, reward, sft
from harness.training.model_loading import model_folder
from harness.training.start import begin_training
from harness.types import SkilldeltaError
from tests.support import tiny as tiny_models
from tests.support.training_toy import chat, preference

Rows = Callable[[str, Iterable[Any]], str]
PLACES: dict[str, Any] = {"model": "m", "out": "o", "data": ("d",)}


@pytest.mark.parametrize(
    ("kind", "settings", "reason"),
    [
        (sft.SFTConfig, {"lora_alpha": 32.0}, "--lora-alpha is for an adapter, and without --lora all weights are trained"),
        (dpo.DPOConfig, {"lora_targets": ("q_proj",)}, "--lora-targets is for an adapter"),
        (sft.SFTConfig, {"eval_data": ("e",), "holdout": 0.1}, "--eval-data and --holdout both say"),
        (kto.KTOConfig, {"holdout": 0.1}, "--holdout: KTO holds no rows out, and all would be trained on"),
        (kto.KTOConfig, {"eval_data": ("e",)}, "--eval-data: KTO holds no rows out"),
        (dpo.DPOConfig, {"gamma": 1.0}, "--gamma has no effect on --loss sigmoid: it is for simpo"),
        (
            dpo.DPOConfig,
            {"smoothing": 0.1, "loss": "ipo"},
            "--smoothing has no effect on --loss ipo: it is for sigmoid, norm, cpo",
        ),
    ],
)
def test_a_setting_without_effect_is_refused(kind: Any, settings: dict[str, Any], reason: str) -> None:
    kind(**PLACES).check()
    with pytest.raises(SkilldeltaError, match=reason):
        kind(**PLACES | settings).check()


@pytest.mark.parametrize(
    ("kind", "settings", "bound"),
    [
        (dpo.DPOConfig, {"beta": -1.0}, "above 0"),
        (dpo.DPOConfig, {"beta": 0.0, "loss": "ipo"}, "above 0"),
        (dpo.DPOConfig, {"nll": -1.0}, "at least 0"),
        (dpo.DPOConfig, {"smoothing": 0.9}, "at most 0.5"),
        (kto.KTOConfig, {"desirable": -1.0}, "at least 0"),
        (reward.RewardConfig, {"center": -1.0}, "at least 0"),
        (ppo.PPOConfig, {"reward": "r", "kl": -0.1}, "at least 0"),
        (ppo.PPOConfig, {"reward": "r", "inner_epochs": 0}, "at least 1"),
        (ppo.PPOConfig, {"reward": "r", "minibatch": 0}, "at least 1"),
        (ppo.PPOConfig, {"reward": "r", "rollouts": 0}, "at least 1"),
        (ppo.PPOConfig, {"reward": "r", "gamma": 1.5}, "at most 1"),
        (ppo.PPOConfig, {"reward": "r", "lam": 2.0}, "at most 1"),
        (grpo.GRPOConfig, {"reward": "r", "max_new": 0}, "at least 1"),
    ],
)
def test_a_number_that_turns_a_loss_round_or_learns_nothing_is_refused(kind: Any, settings: dict[str, Any], bound: str) -> None:
    kind(**PLACES | {"reward": "r"} if "reward" in settings else PLACES).check()
    name = next(name for name in settings if name != "reward").replace("_", "-")
    with pytest.raises(SkilldeltaError, match=rf"--{name} is \S+: it must be {bound}"):
        kind(**PLACES | settings).check()


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        (sft.SFTConfig, {"lora": 4, "lora_alpha": 32.0, "lora_targets": ("q_proj",), "holdout": 0.1, "eval_steps": 10}),
        (dpo.DPOConfig, {"gamma": 1.0, "loss": "simpo"}),
        (dpo.DPOConfig, {"smoothing": 0.1, "loss": "norm"}),
    ],
)
def test_and_works_with_the_setting_that_it_needs(kind: Any, settings: dict[str, Any]) -> None:
    kind(**PLACES | settings).check()


def test_an_evaluation_of_no_rows_is_said(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="skilldelta"):
        begin_training(sft.SFTConfig(**PLACES, eval_steps=10, holdout=0.1))
        assert not caplog.records
        begin_training(sft.SFTConfig(**PLACES, eval_steps=10))
    assert "--eval-steps is 10, and no rows are held out: nothing is evaluated" in caplog.text


def test_a_mistyped_module_beside_a_right_one_is_refused(tiny: str, write: Rows, tmp_path: Path) -> None:
    rows = write("chats.jsonl", map(chat, range(4)))
    settings: dict[str, Any] = {"lora": 2, "max_steps": 1, "batch": 4, "out": str(tmp_path / "run")}
    with pytest.raises(SkilldeltaError, match=r"\(--lora-targets\): no module is called k_porj, roj\."):
        sft.train(sft.SFTConfig(model=tiny, data=(rows,), lora_targets=("q_proj", "k_porj", "roj"), **settings))
    found = sft.train(sft.SFTConfig(model=tiny, data=(rows,), lora_targets=("q_proj", "self_attn.k_proj"), **settings))
    assert set(json.loads((Path(found.path) / "adapter_config.json").read_text())["target_modules"]) == {
        "q_proj",
        "self_attn.k_proj",
    }


def test_labelled_answers_are_searched_for_the_questions_of_tasks(tiny: str, write: Rows, tmp_path: Path) -> None:
    question = "How many apples does Tom carry home from the market on Monday"
    rows = write("pairs.jsonl", [preference(0) | {"prompt": f"{question}?"}, preference(1)])
    asked = write("asked.jsonl", [{"question": f"{question}?"}])
    settings = kto.KTOConfig(model=tiny, data=(rows,), out=str(tmp_path / "run"), max_steps=1, batch=4, overlap_with=(asked,))
    kto.train(settings)
    (overlap,) = json.loads((tmp_path / "run/run.json").read_text())["audit"]["overlap"].values()
    assert overlap["dirty"] == 1


def test_pretraining_starts_from_a_model_of_its_own_settings(write: Rows, tmp_path: Path) -> None:
    texts = write("texts.jsonl", ({"text": f"The answer is {i}, and there are {i} apples."} for i in range(24)))
    shape = {"vocabulary": 300, "hidden": 16, "heads": 2, "feedforward": 16, "max_steps": 1}
    out = tmp_path / "base"

    def make(**more: Any) -> int:
        settings: dict[str, Any] = {"data": (texts,), "out": str(out), "layers": 1, **shape, **more}
        found = pretrain.train(pretrain.PretrainConfig(**settings))
        return int(json.loads((Path(found.path) / "config.json").read_text())["num_hidden_layers"])

    assert make() == 1
    with pytest.raises(SkilldeltaError, match=r"other settings: layers was 1 and is 2\.  Name another --output"):
        make(layers=2)
    assert make() == 1
    assert make(layers=2, resume=False) == 2
    shutil.rmtree(out / "checkpoint-1")  # it ended before its first checkpoint
    assert make(layers=1) == 1


def test_an_experiments_own_config_json_makes_no_model_of_a_run_folder(tmp_path: Path) -> None:
    run = tmp_path / "dpo"
    tiny_models.llama(run / "checkpoint-5")
    (run / "config.json").write_text(json.dumps({"learning_rate": 1e-5, "loss": "sigmoid"}))
    assert model_folder(str(run)) == str(run / "checkpoint-5")


@pytest.mark.parametrize("metric", ["eval_ppl", "eval_nll", "kl_div", "objective/kl"])
def test_the_best_checkpoint_has_the_lowest_of_what_is_better_low(metric: str, tmp_path: Path) -> None:
    values = {5: 9.0, 10: 4.0, 15: 6.0}
    for step in values:
        folder = tiny_models.llama(tmp_path / f"dpo/checkpoint-{step}")
        log = [{"step": s, metric: v} for s, v in values.items() if s <= step]
        (folder / "trainer_state.json").write_text(json.dumps({"global_step": step, "log_history": log}))
    (best,) = select_checkpoints(find_checkpoints([str(tmp_path / "dpo")]), Selection(best=metric))
    assert best.step == 10
