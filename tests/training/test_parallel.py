"""Two processes on the processor (gloo) against one: the same batches and draws, so the same losses and the same weights."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from harness import config, registry
from harness.discovery import find_checkpoints
from tests.support.training_toy import chat, preference, text

pytestmark = pytest.mark.slow
Rows = Callable[[str, Iterable[Any]], str]
ROOT = Path(__file__).resolve().parents[2]
WARNED = "ignore"  # the launchers' own
TORCHRUN = ("torch.distributed.run", "--standalone", "--nproc-per-node", "2")
ACCELERATE = ("accelerate.commands.launch", "--num_processes", "2", "--main_process_port", "0")
COMMON: dict[str, Any] = {"lr": 1e-3, "batch": 7, "eps": 1e-5, "max_steps": 6, "log_steps": 1, "warmup": 0.0, "holdout": 0.2}


def alone(method: str, values: dict[str, Any]) -> Path:
    """The last checkpoint of a run in this process."""
    module = registry.module("trainers", method)
    made = module.train(config.build_config(config.settings_class(module), values))
    return Path(made.run) / f"checkpoint-{values['max_steps']}"


def together(method: str, values: dict[str, Any], launcher: tuple[str, ...] = TORCHRUN, program: str = "harness") -> Path:
    """The last checkpoint of the same run in two processes."""
    flags = [
        f"--{k}={','.join(map(str, v)) if isinstance(v, (list, tuple)) else str(v).lower() if isinstance(v, bool) else v}"
        for k, v in values.items()
    ]
    command = [sys.executable, "-m", *launcher, "-m", program, "train", method, *flags]
    done = subprocess.run(
        command, env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": WARNED},
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return Path(values["out"]) / f"checkpoint-{values['max_steps']}"


def log(folder: Path) -> list[dict[str, float]]:
    return json.loads((folder / "trainer_state.json").read_text())["log_history"]


def same(one: Path, two: Path, file: str = "model.safetensors") -> None:
    """The same numbers in the log at every step, and the same weights at the end."""
    for a, b in zip(log(one), log(two), strict=True):
        assert a.keys() == b.keys()
        # Before the first change a margin is a rounding error, and so is who wins.
        untold = {k for k in a if k.startswith(("num_tokens", "total_flos", "seconds"))} | (
            {"rewards/accuracies"} if a["step"] == 1 else set()
        )
        for key in a.keys() - untold:
            assert a[key] == pytest.approx(b[key], rel=1e-3, abs=2e-4), (key, a["step"])
    first, second = (load_file(p / file) for p in (one, two))
    assert first.keys() == second.keys()
    assert all(torch.allclose(first[k], second[k], atol=1e-4) for k in first)


@pytest.fixture
def rows(write: Rows) -> dict[str, str]:
    pairs = write("pairs.jsonl", (preference(i) for i in range(64)))
    return {"sft": write("chats.jsonl", (chat(i) for i in range(64))), "dpo": pairs, "reward": pairs}


@pytest.mark.parametrize("shard", [False, True])
@pytest.mark.parametrize("method", ["sft", "dpo", "reward"])
def test_two_processes_learn_what_one_does(method: str, shard: bool, tiny: str, rows: dict[str, str], tmp_path: Path) -> None:
    """With a micro-batch of 3, shares of 4 and 3 rows are two and one passes: the other process has to wait for nobody."""
    values = COMMON | {"model": tiny, "data": [rows[method]], "micro_batch": 3}
    values |= {"samples": 8, "max_new": 4} if method == "reward" else {}
    one = alone(method, values | {"out": str(tmp_path / "one")})
    two = together(method, values | {"out": str(tmp_path / "two"), "shard": shard})
    same(one, two)
    told = json.loads((tmp_path / "two/run.json").read_text())
    assert (told["processes"], told["sharded"]) == (2, shard)
    if method == "reward":
        cards = [json.loads((p / "reward.json").read_text()) for p in (one, two)]
        assert cards[0]["mean"] == pytest.approx(cards[1]["mean"], abs=1e-3)
        assert cards[0]["held_out"]["pairs"] == cards[1]["held_out"]["pairs"]


@pytest.mark.parametrize("more", [{}, {"lora": 4}, {"checkpointing": True}])
def test_logits_computed_again_in_chunks_meet_divided_weights(
    more: dict[str, Any], tiny: str, rows: dict[str, str], tmp_path: Path
) -> None:
    """The backward pass computes each chunk's logits again with the whole head; the processes have unequal counts of chunks."""
    values = COMMON | {"model": tiny, "data": [rows["dpo"]], "micro_batch": 3} | more
    one = alone("dpo", values | {"out": str(tmp_path / "one")})
    two = together("dpo", values | {"out": str(tmp_path / "two"), "shard": True}, program="tests.support.small_chunks")
    same(one, two, "adapter_model.safetensors" if "lora" in more else "model.safetensors")


@pytest.mark.parametrize("lora", [0, 4])
def test_a_divided_model_is_saved_whole_and_resumed_by_one_process(
    lora: int, tiny: str, rows: dict[str, str], tmp_path: Path
) -> None:
    values = COMMON | {"model": tiny, "data": [rows["dpo"]], "save_steps": 3, "lora": lora, "checkpointing": True}
    one = alone("dpo", values | {"out": str(tmp_path / "one")})
    two = together("dpo", values | {"out": str(tmp_path / "two"), "shard": True})
    file = "adapter_model.safetensors" if lora else "model.safetensors"
    same(one, two, file)
    assert {p.name for p in one.iterdir()} == {p.name for p in two.iterdir()}
    (last,) = [c for c in find_checkpoints([str(tmp_path / "two")]) if c.step == 6]
    assert (last.method, last.problem) == ("dpo", "")
    if not lora:
        assert (one / "config.json").read_text() == (two / "config.json").read_text()
        AutoModelForCausalLM.from_pretrained(two)
    (two / "trainer_state.json").unlink()  # as if it had been killed; and now there is but one process, or two again
    told = json.loads((tmp_path / "two/run.json").read_text())
    for name, go_on in (("alone", alone), ("together", together)):
        (tmp_path / "two/run.json").write_text(json.dumps(told | {"status": "running"}))
        same(one, go_on("dpo", values | {"out": str(tmp_path / "two"), "shard": name == "together"}), file)
        (two / "trainer_state.json").unlink()


@pytest.fixture
def ppo(tiny: str, rows: dict[str, str], write: Rows, tmp_path: Path) -> dict[str, Any]:
    """TrainerSettings of PPO with batches and minibatches that two processes cannot share evenly."""
    judge = alone("reward", {
        "model": tiny, "data": [rows["reward"]], "out": str(tmp_path / "judge"), "lr": 2e-3, "batch": 8, "samples": 16,
        "max_new": 8, "max_steps": 16,
    })  # fmt: skip
    prompts = write("prompts.jsonl", ({"prompt": [{"role": "user", "content": text(i)}]} for i in range(40)))
    return COMMON | {
        "model": tiny, "reward": str(judge), "data": [prompts], "batch": 15, "minibatch": 7, "max_new": 8, "missing_end": -3.0,
        "temperature": 0.9, "max_steps": 4, "eval_steps": 2, "kl_target": 0.5, "kl_horizon": 100, "inner_epochs": 2,
        "rollouts": 3,
    }  # fmt: skip


@pytest.mark.parametrize("more", [{}, {"micro_batch": 2}, {"lora": 4}])
def test_ppo_in_two_processes_draws_and_learns_what_one_does(more: dict[str, Any], ppo: dict[str, Any], tmp_path: Path) -> None:
    """Rewards, lengths, KL, losses of every step: the same answers were drawn, whichever process drew them."""
    one = alone("ppo", ppo | more | {"out": str(tmp_path / "one")})
    two = together("ppo", ppo | more | {"out": str(tmp_path / "two")})
    file = "adapter_model.safetensors" if "lora" in more else "model.safetensors"
    same(one, two, file)
    same(one, two, f"value/{file}")
    assert [r["val/length"] for r in log(one) if "val/length" in r] == [r["val/length"] for r in log(two) if "val/length" in r]
    flops = [json.loads((tmp_path / n / "run.json").read_text())["flops"] for n in ("one", "two")]
    assert flops[0] == pytest.approx(flops[1], rel=0.2)  # padding differs


def test_ppo_stops_in_all_processes_at_once(ppo: dict[str, Any], tmp_path: Path) -> None:
    values = ppo | {"lr": 5e-3, "kl_stop": 0.5, "max_steps": 30, "eval_steps": 0, "out": str(tmp_path / "run")}
    together("ppo", values)
    told = json.loads((tmp_path / "run/run.json").read_text())
    assert told["stopped"].startswith(f"before step {told['step'] + 1}")


def test_accelerate_launches_too(tiny: str, rows: dict[str, str], tmp_path: Path) -> None:
    values = COMMON | {"model": tiny, "data": [rows["sft"]]}
    one = alone("sft", values | {"out": str(tmp_path / "one")})
    for flag in ("--multi_gpu", "--use_fsdp"):  # accelerate has no launcher of its own for processors: without GPUs it is gloo
        out = tmp_path / flag
        same(one, together("sft", values | {"out": str(out)}, (*ACCELERATE, flag)))
        assert json.loads((out / "run.json").read_text())["sharded"] == (flag == "--use_fsdp")
