"""What every trainer owes: run folders, resumption, seeds, adapters, refusals.  Shown with SFT and DPO."""

import json
import math
import shutil
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from harness import registry
from harness.discovery import find_checkpoints
from harness.trainers import dpo, sft
from harness.training.settings import TrainerSettings
from harness.types import SkilldeltaError
from tests.support.training_toy import chat, without_costs

Rows = Callable[[str, Iterable[Any]], str]


def weights(folder: str | Path, name: str = "model.safetensors") -> dict[str, torch.Tensor]:
    return load_file(Path(folder) / name)


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def state(folder: str | Path) -> dict[str, Any]:
    return json.loads((Path(folder) / "trainer_state.json").read_text())


def running(run: Path) -> None:
    """The run as it is while it runs."""
    told = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(told | {"status": "running"}))


def sft_config(tiny: str, data: str, out: Path, **more: Any) -> sft.SFTConfig:
    return sft.SFTConfig(**({"model": tiny, "data": (data,), "out": str(out), "lr": 3e-3, "batch": 8, "epochs": 1.0} | more))


def dpo_config(tiny: str, data: str, out: Path, **more: Any) -> dpo.DPOConfig:
    return dpo.DPOConfig(**({"model": tiny, "data": (data,), "out": str(out), "lr": 1e-3, "batch": 8, "epochs": 1.0} | more))


@pytest.mark.slow
def test_sft_learns(tiny: str, chats: str, tmp_path: Path) -> None:
    found = sft.train(sft_config(tiny, chats, tmp_path / "run", max_steps=60, log_steps=1))
    losses = [row["loss"] for row in state(found.path)["log_history"]]
    assert losses[0] > 4  # near log 400: a random model
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.slow
def test_dpo_begins_at_log_two_and_widens_the_margin(tiny: str, pairs: str, tmp_path: Path) -> None:
    found = dpo.train(dpo_config(tiny, pairs, tmp_path / "run", max_steps=40, log_steps=1))
    log = state(found.path)["log_history"]
    assert log[0]["loss"] == pytest.approx(math.log(2), abs=1e-6)
    assert log[0]["rewards/margins"] == pytest.approx(0.0, abs=1e-5)
    assert sum(row["loss"] for row in log[-8:]) / 8 < 0.4
    assert sum(row["rewards/accuracies"] for row in log[-8:]) / 8 > 0.85


@pytest.mark.slow
@pytest.mark.parametrize(("loss", "start"), [("ipo", 1 / (4 * 0.5**2)), ("norm", math.log(2))])
def test_the_other_losses_begin_where_they_must(loss: str, start: float, tiny: str, pairs: str, tmp_path: Path) -> None:
    found = dpo.train(dpo_config(tiny, pairs, tmp_path / "run", loss=loss, beta=0.5, max_steps=10, log_steps=1))
    log = state(found.path)["log_history"]
    assert log[0]["loss"] == pytest.approx(start, abs=1e-5)
    assert log[-1]["loss"] < log[0]["loss"]


@pytest.mark.slow
@pytest.mark.parametrize("lora", [0, 4])
def test_a_resumed_run_ends_at_the_same_weights(lora: int, tiny: str, pairs: str, tmp_path: Path) -> None:
    name = "adapter_model.safetensors" if lora else "model.safetensors"
    whole = dpo.train(dpo_config(tiny, pairs, tmp_path / "whole", lora=lora, save_steps=3))
    broken = tmp_path / "broken"
    dpo.train(dpo_config(tiny, pairs, broken, lora=lora, save_steps=3))
    for later in ("checkpoint-6", "checkpoint-8"):  # as if it had been killed after step 3, and while writing step 6
        (broken / later / "trainer_state.json").unlink()
    running(broken)
    again = dpo.train(dpo_config(tiny, pairs, broken, lora=lora, save_steps=3))
    assert whole.step == again.step == 8
    assert same(weights(whole.path, name), weights(again.path, name))
    assert without_costs(state(whole.path)["log_history"]) == without_costs(state(again.path)["log_history"])
    assert state(whole.path)["total_flos"] == state(again.path)["total_flos"]


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tiny: str, chats: str, tmp_path: Path) -> None:
    one, two, other = (
        sft.train(sft_config(tiny, chats, tmp_path / name, seed=seed)) for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert (Path(one.path) / "model.safetensors").read_bytes() == (Path(two.path) / "model.safetensors").read_bytes()
    assert not same(weights(one.path), weights(other.path))


@pytest.mark.slow
@pytest.mark.parametrize("train", ["sft", "dpo"])
def test_micro_batches_and_checkpointing_change_nothing_that_is_learnt(
    train: str, tiny: str, chats: str, pairs: str, tmp_path: Path
) -> None:
    def run(name: str, **more: Any) -> dict[str, torch.Tensor]:
        data, make, module = (chats, sft_config, sft) if train == "sft" else (pairs, dpo_config, dpo)
        return weights(module.train(make(tiny, data, tmp_path / name, max_steps=5, eps=1e-4, **more)).path)  # type: ignore[arg-type, operator]

    whole, parts, frugal = run("whole"), run("parts", micro_batch=3), run("frugal", checkpointing=True)
    for key in whole:
        assert torch.allclose(whole[key], parts[key], atol=2e-5)
        assert torch.allclose(whole[key], frugal[key], atol=2e-5)


@pytest.mark.slow
def test_padding_does_not_contaminate(tiny: str, write: Rows, tmp_path: Path) -> None:
    """A row learns the same whether a longer one sits beside it in the batch or in a batch of its own."""
    long = {"messages": [{"role": "user", "content": "red " * 40}, {"role": "assistant", "content": "blue " * 40}]}
    data = write("rows.jsonl", [chat(1), long])
    one = sft.train(sft_config(tiny, data, tmp_path / "one", batch=2, micro_batch=1, max_steps=3, eps=1e-4))
    two = sft.train(sft_config(tiny, data, tmp_path / "two", batch=2, micro_batch=2, max_steps=3, eps=1e-4))
    first, second = weights(one.path), weights(two.path)
    assert all(torch.allclose(first[k], second[k], atol=1e-5) for k in first)


@pytest.mark.slow
def test_a_run_folder_is_read_by_the_finder_of_checkpoints(tiny: str, pairs: str, tmp_path: Path) -> None:
    dpo.train(dpo_config(tiny, pairs, tmp_path / "run", save_steps=4))
    found = find_checkpoints([str(tmp_path / "run")])
    assert [(c.name, c.method, c.step, c.problem) for c in found] == [("run@4", "dpo", 4, ""), ("run@8", "dpo", 8, "")]


@pytest.mark.slow
def test_an_adapter_run_names_its_base(tiny: str, chats: str, tmp_path: Path) -> None:
    sft.train(sft_config(tiny, chats, tmp_path / "run", lora=2))
    (found,) = find_checkpoints([str(tmp_path / "run")])
    assert (found.base, found.method, found.problem) == (tiny, "sft", "")


@pytest.mark.slow
def test_a_checkpoint_holds_what_transformers_trainer_writes(tiny: str, chats: str, tmp_path: Path) -> None:
    found = sft.train(sft_config(tiny, chats, tmp_path / "run"))
    there = {p.name for p in Path(found.path).iterdir()}
    assert there >= {
        "config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json",
        "chat_template.jinja", "optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json",
    }  # fmt: skip
    from transformers import TrainerState

    read = TrainerState.load_from_json(str(Path(found.path) / "trainer_state.json"))
    assert (read.global_step, read.max_steps) == (8, 8)


@pytest.mark.slow
def test_run_json_tells_what_was_done_on_what(tiny: str, pairs: str, tmp_path: Path) -> None:
    dpo.train(dpo_config(tiny, pairs, tmp_path / "run", kinds=("synthetic",)))
    run = json.loads((tmp_path / "run/run.json").read_text())
    assert (run["method"], run["status"], run["step"]) == ("dpo", "done", 8)
    assert run["data"][0]["kind"] == "synthetic"
    assert run["data"][0]["rows"] == run["data"][0]["used"] == 64
    assert run["base"]["fingerprint"]["weights"]
    assert run["flops"] > 0
    assert set(run["seconds"]) == {"reference", "update", "save"}
    assert run["peak_memory"]["process"] > 10_000_000


@pytest.mark.slow
def test_held_out_rows_choose_the_best_checkpoint(tiny: str, chats: str, tmp_path: Path) -> None:
    found = sft.train(sft_config(tiny, chats, tmp_path / "run", lr=0.02, epochs=8.0, holdout=0.2, eval_steps=4))
    run = tmp_path / "run"
    log = state(run / "checkpoint-56")["log_history"]
    losses = {r["step"]: r["eval_loss"] for r in log if "eval_loss" in r}
    last = json.loads((tmp_path / "run/run.json").read_text())
    assert found.step is not None
    assert last["best"]["checkpoint"] == f"checkpoint-{found.step}"
    assert losses[found.step] == min(losses.values())
    assert (Path(found.path) / "model.safetensors").is_file()


@pytest.mark.slow
def test_bfloat16_learns_too(tiny: str, chats: str, tmp_path: Path) -> None:
    found = sft.train(sft_config(tiny, chats, tmp_path / "run", dtype="bfloat16", max_steps=30, log_steps=1))
    log = state(found.path)["log_history"]
    assert log[-1]["loss"] < 0.7 * log[0]["loss"]


def test_every_trainer_is_found_by_the_registry() -> None:
    assert {"dpo", "ppo", "reward", "sft"} <= set(registry.modules("trainers"))
    assert not {"losses", "settings", "runs", "episodes"} & set(registry.modules("trainers"))


@pytest.mark.slow
def test_a_run_that_has_ended_is_left_as_it_is(tiny: str, chats: str, tmp_path: Path) -> None:
    settings = sft_config(tiny, chats, tmp_path / "run", holdout=0.2)
    one = sft.train(settings)
    before = (tmp_path / "run/run.json").read_bytes()
    assert sft.train(settings) == one
    assert (tmp_path / "run/run.json").read_bytes() == before
    assert sft.train(replace(settings, resume=False)) == one


@pytest.mark.slow
def test_a_run_begun_anew_leaves_nothing_of_the_old_one(tiny: str, chats: str, tmp_path: Path) -> None:
    settings = sft_config(tiny, chats, tmp_path / "run", save_steps=2)
    sft.train(settings)
    sft.train(replace(settings, max_steps=3, resume=False))
    assert sorted(p.name for p in (tmp_path / "run").glob("checkpoint-*")) == ["checkpoint-2", "checkpoint-3"]


class TestRefusals:
    def test_a_folder_with_somebody_elses_checkpoints(self, tiny: str, chats: str, tmp_path: Path) -> None:
        theirs = tmp_path / "run/checkpoint-7"
        theirs.mkdir(parents=True)
        (theirs / "trainer_state.json").write_text("{}")
        for resume in (True, False):
            with pytest.raises(SkilldeltaError, match="another program"):
                sft.train(sft_config(tiny, chats, tmp_path / "run", resume=resume))
        assert theirs.is_dir()

    @pytest.mark.slow
    @pytest.mark.parametrize("damage", ["[]", '{"config": {}', '{"status": "done"}', '{"config": null, "status": "running"}'])
    def test_a_run_folder_whose_files_are_damaged(self, damage: str, tiny: str, chats: str, tmp_path: Path) -> None:
        settings = sft_config(tiny, chats, tmp_path / "run")
        sft.train(settings)
        (tmp_path / "run/run.json").write_text(damage)
        with pytest.raises(SkilldeltaError, match=r"run\.json|cannot be continued"):
            sft.train(settings)

    @pytest.mark.slow
    def test_going_on_with_other_data(self, tiny: str, chats: str, tmp_path: Path) -> None:
        sft.train(sft_config(tiny, chats, tmp_path / "run", save_steps=2))
        running(tmp_path / "run")
        Path(chats).write_text(Path(chats).read_text() + json.dumps(chat(99)) + "\n")
        with pytest.raises(SkilldeltaError, match=r"other content of .*chats\.jsonl"):
            sft.train(sft_config(tiny, chats, tmp_path / "run", save_steps=2))

    def test_settings_that_cannot_work(self, tiny: str) -> None:
        for wrong, word in (
            ({"data": ()}, "data"),
            ({"batch": 0}, "batch"),
            ({"micro_batch": 99, "batch": 2}, "--micro-batch"),
        ):
            with pytest.raises(SkilldeltaError, match=word):
                TrainerSettings(**({"model": tiny, "out": "x", "data": ("y",)} | wrong)).check()

    @pytest.mark.slow
    def test_a_run_under_other_settings(self, tiny: str, chats: str, tmp_path: Path) -> None:
        sft.train(sft_config(tiny, chats, tmp_path / "run"))
        with pytest.raises(SkilldeltaError, match=r"lr was 0\.003 and is 0\.1"):
            sft.train(sft_config(tiny, chats, tmp_path / "run", lr=0.1))

    @pytest.mark.slow
    def test_but_not_under_settings_that_have_come_since_and_are_at_their_default(
        self, tiny: str, chats: str, tmp_path: Path
    ) -> None:
        found = sft.train(sft_config(tiny, chats, tmp_path / "run"))
        told = json.loads((tmp_path / "run/run.json").read_text())
        told["config"].pop("overlap_share")
        (tmp_path / "run/run.json").write_text(json.dumps(told))
        assert sft.train(sft_config(tiny, chats, tmp_path / "run")) == found
        with pytest.raises(SkilldeltaError, match=r"overlap_share was 0\.5 and is 1\.0"):
            sft.train(sft_config(tiny, chats, tmp_path / "run", overlap_share=1.0))

    @pytest.mark.slow
    def test_a_loss_that_is_no_number(self, tiny: str, chats: str, tmp_path: Path) -> None:
        with pytest.raises(SkilldeltaError, match="step"):
            sft.train(sft_config(tiny, chats, tmp_path / "run", lr=1e30, warmup=0.0, clip=0.0, max_steps=5))

    def test_a_tokenizer_without_an_end(self, tiny: str, chats: str, tmp_path: Path) -> None:
        from transformers import AutoTokenizer

        shutil.copytree(tiny, tmp_path / "model")
        words = AutoTokenizer.from_pretrained(tiny)
        words.eos_token = None
        words.save_pretrained(tmp_path / "model")
        with pytest.raises(SkilldeltaError, match="no end-of-sequence token"):
            sft.train(sft_config(str(tmp_path / "model"), chats, tmp_path / "run"))

    def test_conversations_without_a_template(self, tiny: str, chats: str, tmp_path: Path) -> None:
        from transformers import AutoTokenizer

        shutil.copytree(tiny, tmp_path / "model")
        words = AutoTokenizer.from_pretrained(tiny)
        words.chat_template = None
        words.save_pretrained(tmp_path / "model")
        (tmp_path / "model/chat_template.jinja").unlink()
        with pytest.raises(SkilldeltaError, match="no chat template"):
            sft.train(sft_config(str(tmp_path / "model"), chats, tmp_path / "run"))
