"""Finding checkpoints: in the order of their steps, whole ones only, whoever wrote them."""

import json
import os
import struct
from pathlib import Path
from typing import Any

import pytest

from harness import discovery
from harness.checkpoint_selection import Selection
from harness.types import SkilldeltaError


def weights(file: Path, size: int = 16, cut: int = 0) -> None:
    """A safetensors file of one tensor; `cut` bytes are missing at its end."""
    header = json.dumps({"w": {"dtype": "F32", "shape": [size // 4], "data_offsets": [0, size]}}).encode()
    whole = struct.pack("<Q", len(header)) + header + bytes(size)
    file.write_bytes(whole[: len(whole) - cut])


def model(folder: Path, cut: int = 0, head: str = "LlamaForCausalLM") -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"architectures": [head]}))
    weights(folder / "model.safetensors", cut=cut)
    return folder


def run(folder: Path, steps: tuple[int, ...], log: list[dict[str, float]] | None = None) -> Path:
    for step in steps:
        state = {"global_step": step, "log_history": log or []}
        (model(folder / f"checkpoint-{step}") / "trainer_state.json").write_text(json.dumps(state))
    return folder


def test_a_run_folder_gives_its_checkpoints_by_number_and_the_final_model_last(tmp_path: Path) -> None:
    run(tmp_path / "dpo", (1000, 200, 30), [{"loss": 0.69, "rewards/chosen": 0.1, "step": 10}])
    (tmp_path / "dpo" / "config.json").write_text("{}")
    weights(tmp_path / "dpo" / "model.safetensors")
    found = discovery.find_checkpoints([str(tmp_path / "dpo")])
    assert [c.name for c in found] == ["dpo@30", "dpo@200", "dpo@1000", "dpo"]
    assert [c.step for c in found] == [30, 200, 1000, None]
    assert {c.method for c in found} == {"dpo"}
    assert not any(c.problem for c in found)


@pytest.mark.parametrize("cut", [1, 15, 16, 40, 75])
def test_a_half_written_safetensors_file_is_named_as_such(tmp_path: Path, cut: int) -> None:
    model(tmp_path / "sft", cut=cut)
    (found,) = discovery.find_checkpoints([str(tmp_path / "sft")])
    assert found.problem.startswith("model.safetensors is half-written")


def test_a_file_that_is_no_safetensors_is_named(tmp_path: Path) -> None:
    folder = model(tmp_path / "sft")
    (folder / "model.safetensors").write_bytes(b"version https://git-lfs.github.com/spec/v1")
    (found,) = discovery.find_checkpoints([str(folder)])
    assert "not a safetensors file" in found.problem


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    folder = model(tmp_path / "sft")
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (found,) = discovery.find_checkpoints([str(folder)])
    assert found.problem == "model-00002-of-00002.safetensors is missing"


def test_an_index_may_not_point_out_of_its_folder(tmp_path: Path) -> None:
    folder = model(tmp_path / "sft")
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "../../secret.safetensors"}}))
    (found,) = discovery.find_checkpoints([str(folder)])
    assert "outside of its folder" in found.problem


def test_a_checkpoint_without_trainer_state_is_still_being_written(tmp_path: Path) -> None:
    run(tmp_path / "ppo", (10, 20))
    (tmp_path / "ppo" / "checkpoint-20" / "trainer_state.json").unlink()
    whole, half = discovery.find_checkpoints([str(tmp_path / "ppo")])
    assert not whole.problem
    assert "still being written" in half.problem
    assert "name the folder itself" in half.problem
    (named,) = discovery.find_checkpoints([half.path])
    assert (named.name, named.problem) == (half.name, "")


def test_an_adapter_knows_its_base(tmp_path: Path) -> None:
    base = model(tmp_path / "base")
    adapter = tmp_path / "lora"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(base), "peft_type": "LORA"}))
    weights(adapter / "adapter_model.safetensors")
    (found,) = discovery.find_checkpoints([str(adapter)])
    assert (found.producer, found.base, found.problem) == ("peft", str(base), "")
    weights(adapter / "adapter_model.safetensors", cut=3)
    (found,) = discovery.find_checkpoints([str(adapter)])
    assert "adapter_model.safetensors is half-written" in found.problem


def test_a_reward_model_is_told_apart(tmp_path: Path) -> None:
    model(tmp_path / "rm", head="LlamaForSequenceClassification")
    (found,) = discovery.find_checkpoints([str(tmp_path / "rm")])
    assert found.method == "reward"
    assert "reward model" in found.problem


def test_a_folder_of_runs_gives_all_of_them(tmp_path: Path) -> None:
    model(tmp_path / "runs" / "sft")
    run(tmp_path / "runs" / "dpo", (5,))
    assert [c.name for c in discovery.find_checkpoints([str(tmp_path / "runs")])] == ["dpo@5", "sft"]


def test_same_names_get_their_parents_in_front(tmp_path: Path) -> None:
    one, two = model(tmp_path / "a" / "final"), model(tmp_path / "b" / "final")
    assert [c.name for c in discovery.find_checkpoints([str(one), str(two)])] == ["a-final", "b-final"]


def test_what_is_not_there_is_told_with_near_names(tmp_path: Path) -> None:
    model(tmp_path / "llama-dpo")
    with pytest.raises(SkilldeltaError, match=r"Did you mean .*llama-dpo"):
        discovery.find_checkpoints([str(tmp_path / "lama-dpo")])
    (tmp_path / "empty").mkdir()
    with pytest.raises(SkilldeltaError, match="no checkpoint in"):
        discovery.find_checkpoints([str(tmp_path / "empty")])


def test_checkpoints_further_down_are_found_where_none_is_near(tmp_path: Path) -> None:
    model(tmp_path / "project" / "models" / "dpo" / "final")
    (found,) = discovery.find_checkpoints([str(tmp_path / "project")])
    assert (found.name, found.run) == ("final", str(tmp_path / "project" / "models" / "dpo"))


def test_an_experiments_own_config_is_no_model(tmp_path: Path) -> None:
    folder = tmp_path / "dpo_seed_1"
    adapter(folder / "final_model")
    run(folder / "checkpoints", (154,))
    (folder / "config.json").write_text(json.dumps({"base_model": {"model_name": "x"}, "training": {"lr": 1e-4}}))
    assert [c.name for c in discovery.find_checkpoints([str(folder)])] == ["dpo_seed_1@154", "final_model"]


def test_equal_names_get_as_many_folders_in_front_as_it_takes(tmp_path: Path) -> None:
    places = [str(model(tmp_path / place / "run" / "final")) for place in ("a", "b")]
    assert [c.name for c in discovery.find_checkpoints(places)] == ["a-run-final", "b-run-final"]


def adapter(folder: Path, base: str = "meta/base") -> Path:
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": base, "peft_type": "LORA"}))
    weights(folder / "adapter_model.safetensors")
    return folder


def test_an_openrlhf_run_gives_its_saved_models_and_passes_its_states_over(tmp_path: Path) -> None:
    folder = tmp_path / "ppo"
    for step in (200, 40):
        model(folder / f"global_step{step}_hf")
        (folder / "_actor" / f"global_step{step}").mkdir(parents=True)
    model(folder / "best_global_step40")
    (folder / "config.json").write_text("{}")
    weights(folder / "model.safetensors")
    found = discovery.find_checkpoints([str(folder)])
    assert [c.name for c in found] == ["ppo-best@40", "ppo@40", "ppo@200", "ppo"]
    assert {(c.producer, c.problem, c.run) for c in found} == {("openrlhf", "", str(folder))}
    (one,) = discovery.find_checkpoints([str(folder / "global_step200_hf")])
    assert (one.name, one.step) == ("ppo@200", 200)


def test_an_openrlhf_run_without_models_says_how_to_get_them(tmp_path: Path) -> None:
    (tmp_path / "ppo" / "_actor" / "global_step40").mkdir(parents=True)
    (found,) = discovery.find_checkpoints([str(tmp_path / "ppo")])
    assert found.step == 40
    assert "--ckpt.save_hf" in found.problem


def test_a_verl_run_gives_models_adapters_and_what_to_do_with_shards(tmp_path: Path) -> None:
    folder = tmp_path / "grpo"
    model(folder / "global_step_100" / "actor" / "huggingface")
    adapter(folder / "global_step_20" / "actor" / "lora_adapter")
    for step in (20, 30):  # config and tokenizer alone: the weights are in shards
        home = folder / f"global_step_{step}" / "actor" / "huggingface"
        home.mkdir(parents=True)
        (home / "config.json").write_text("{}")
    model(folder / "global_step_200" / "actor" / "huggingface")
    (folder / "latest_checkpointed_iteration.txt").write_text("100")
    found = discovery.find_checkpoints([str(folder)])
    assert [c.name for c in found] == ["grpo@20", "grpo@30", "grpo@100", "grpo@200"]
    assert [c.problem for c in found[::2]] == ["", ""]
    assert found[0].base == "meta/base"
    assert "verl.model_merger merge --backend fsdp" in found[1].problem
    assert found[3].problem == "still being written: latest_checkpointed_iteration.txt says 100"
    (one,) = discovery.find_checkpoints([str(folder / "global_step_100")])
    assert (one.name, one.producer) == ("grpo@100", "verl")


@pytest.mark.parametrize("content", [None, b"9" * 400, b"-" + b"9" * 400, b"\xff\xfe1", b"", b"1" * 5000])
def test_a_last_step_that_verl_never_wrote_is_passed_over(content: bytes | None, tmp_path: Path) -> None:
    model(tmp_path / "grpo" / "global_step_7" / "actor" / "huggingface")
    file = tmp_path / "grpo" / "latest_checkpointed_iteration.txt"
    os.mkfifo(file) if content is None else file.write_bytes(content)
    (only,) = discovery.find_checkpoints([str(tmp_path / "grpo")])
    assert (only.name, only.problem) == ("grpo@7", "")


def test_verls_sft_keeps_its_model_without_an_actor(tmp_path: Path) -> None:
    model(tmp_path / "sft" / "global_step_7" / "huggingface")
    (found,) = discovery.find_checkpoints([str(tmp_path / "sft")])
    assert (found.name, found.problem) == ("sft@7", "")


def test_an_open_instruct_run_gives_models_and_names_states_of_accelerate(tmp_path: Path) -> None:
    folder = tmp_path / "ppo_checkpoints"
    model(folder / "step_100")
    (folder / "step_20").mkdir()
    (folder / "step_20" / "COMPLETED").touch()
    found = discovery.find_checkpoints([str(folder)])
    assert [(c.name, c.step, c.problem[:21]) for c in found] == [("ppo@20", 20, "a state of accelerate"), ("ppo@100", 100, "")]
    model(tmp_path / "sft" / "epoch_1")
    (found_epoch,) = discovery.find_checkpoints([str(tmp_path / "sft")])
    assert (found_epoch.name, found_epoch.step) == ("sft@epoch1", None)


def test_a_numbered_folder_of_folders_is_no_state_of_accelerate(tmp_path: Path) -> None:
    adapter(tmp_path / "checkpoints" / "epoch_1" / "policy_lora")
    (found,) = discovery.find_checkpoints([str(tmp_path / "checkpoints")])
    assert (found.name, found.producer, found.problem) == ("checkpoints@epoch1", "peft", "")


def names(folder: Path, **selection: Any) -> list[str]:
    return [c.name for c in discovery.find_checkpoints([str(folder)], Selection(**selection))]


def test_models_of_a_run_are_found_beside_its_numbered_ones(tmp_path: Path) -> None:
    run(tmp_path / "dpo", (20, 100), [{"rewards/chosen": 0.1, "step": 1}])
    for name in ("best", "final_model/policy_lora", "merged_final"):
        adapter(tmp_path / "dpo" / name)
    found = discovery.find_checkpoints([str(tmp_path / "dpo")])
    assert [c.name for c in found] == ["dpo@20", "dpo@100", "best", "final_model", "merged_final"]
    assert {(c.method, c.run) for c in found} == {("dpo", str(tmp_path / "dpo"))}


def test_seeds_in_folders_of_folders_are_told_apart(tmp_path: Path) -> None:
    for seed in (1, 2):
        run(tmp_path / f"seed_{seed}" / "dpo" / "checkpoints", (5,))
    assert names(tmp_path) == ["seed_1-dpo@5", "seed_2-dpo@5"]


def test_an_adapter_in_a_folder_of_its_own_belongs_to_its_step(tmp_path: Path) -> None:
    (adapter(tmp_path / "qlora" / "checkpoint-1875" / "adapter_model").parent / "trainer_state.json").write_text("{}")
    (found,) = discovery.find_checkpoints([str(tmp_path / "qlora")])
    assert (found.name, found.step, found.problem) == ("qlora@1875", 1875, "")


def test_the_value_model_of_a_step_is_no_checkpoint_of_its_own_however_the_step_is_named(tmp_path: Path) -> None:
    policy = adapter(tmp_path / "ppo" / "checkpoint-2")
    adapter(policy / "value")
    for place in (tmp_path / "ppo", policy):
        assert names(place) == ["ppo@2"]


def test_what_cannot_be_loaded_is_seen_and_said(tmp_path: Path) -> None:
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "checkpoint_step_10.pt").write_bytes(b"x")
    (tmp_path / "torch" / "optimizer.pt").write_bytes(b"x")
    (tmp_path / "nano").mkdir()
    (tmp_path / "nano" / "model_000650.pt").write_bytes(b"x")
    (tmp_path / "nano" / "meta_000650.json").write_text("{}")
    (tmp_path / "mega" / "iter_0000100" / "mp_rank_00").mkdir(parents=True)
    for part in ("weights", "context"):
        (tmp_path / "nemo" / "model--step=50-last" / part).mkdir(parents=True)
    problems = {c.name: (c.producer, c.step, c.problem) for c in discovery.find_checkpoints([str(tmp_path)])}
    assert list(problems) == ["mega@100", "nano@650", "nemo@50", "torch@10"]
    for name, words in (("mega@100", "--megatron-path"), ("nano@650", "nanochat"), ("nemo@50", "nemo llm export")):
        assert words in problems[name][2]
    assert "save_pretrained" in problems["torch@10"][2]


def test_a_model_and_a_state_of_one_step_are_told_apart_and_hide_no_other(tmp_path: Path) -> None:
    for step in (100, 200):
        model(tmp_path / "rl" / "weights" / f"step_{step}")
    (tmp_path / "rl" / "checkpoints" / "step_100").mkdir(parents=True)
    (tmp_path / "rl" / "checkpoints" / "step_100" / "model.pt").write_bytes(b"x")
    found = discovery.find_checkpoints([str(tmp_path / "rl")])
    assert [c.name for c in found] == ["checkpoints-rl@100", "weights-rl@100", "rl@200"]
    assert [bool(c.problem) for c in found] == [True, False, False]


def test_models_in_a_container_beside_the_final_one_are_found(tmp_path: Path) -> None:
    model(tmp_path / "ppo")
    model(tmp_path / "ppo" / "ckpt" / "global_step100_hf")
    assert names(tmp_path / "ppo") == ["ppo@100", "ppo"]
    for name in ("checkpoint_0100", "best_checkpoint"):
        model(tmp_path / "trlx" / "ckpts" / name / "hf_model")
    assert names(tmp_path / "trlx") == ["trlx@100", "best_checkpoint"]


SHARDS = [
    ("step-5/__0_0.distcp", "dcp_to_torch"),
    ("step_5/policy/weights/__0_0.distcp", "convert_dcp_to_hf.py"),
    ("global_step_5/policy/model_world_size_2_rank_0.pt", "one for each process"),
    ("checkpoint-5/zero_to_fp32.py", "zero_to_fp32.py"),
    ("checkpoint-5/pytorch_model_fsdp_0/__0_0.distcp", "accelerate merge-weights"),
    ("tmp-checkpoint-5/model.safetensors", "was being saved"),
]


@pytest.mark.parametrize(("file", "words"), SHARDS)
def test_shards_and_folders_half_saved_are_seen_and_said(tmp_path: Path, file: str, words: str) -> None:
    place = tmp_path / "run" / file
    place.parent.mkdir(parents=True)
    place.write_bytes(b"x")
    if file.startswith("checkpoint-"):
        (tmp_path / "run" / "checkpoint-5" / "config.json").write_text(json.dumps({"architectures": ["LlamaForCausalLM"]}))
    (found,) = discovery.find_checkpoints([str(tmp_path / "run")])
    assert found.step == 5
    assert words in found.problem


def test_an_adapter_of_mlx_is_named(tmp_path: Path) -> None:
    (tmp_path / "mlx").mkdir()
    (tmp_path / "mlx" / "adapter_config.json").write_text(json.dumps({"fine_tune_type": "lora", "model": "org/base"}))
    weights(tmp_path / "mlx" / "adapters.safetensors")
    (found,) = discovery.find_checkpoints([str(tmp_path / "mlx")])
    assert "mlx_lm.fuse" in found.problem


def test_a_revision_of_the_hub_has_the_step_that_its_name_says() -> None:
    one, other = discovery.find_checkpoints(["org/model@step_1000", "org/model@step_200"])
    assert (one.name, one.path, one.step) == ("model@step_1000", "org/model@step_1000", 1000)
    assert (other.run, other.step) == ("org/model", 200)


def test_a_path_whose_first_part_is_a_folder_is_no_hub_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model(tmp_path / "input" / "dpo")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SkilldeltaError, match=r"no folder 'input/dop'.*Did you mean 'input/dpo'"):
        discovery.find_checkpoints(["input/dop"])


def test_links_in_circles_and_out_of_the_folder_are_not_followed_for_ever(tmp_path: Path) -> None:
    model(tmp_path / "runs" / "a" / "sft")
    (tmp_path / "runs" / "a" / "loop").symlink_to(tmp_path / "runs")
    (tmp_path / "runs" / "latest").symlink_to(tmp_path / "runs" / "a" / "sft")
    (tmp_path / "runs" / "a" / "out").symlink_to("/")
    assert names(tmp_path / "runs") == ["sft"]


@pytest.mark.parametrize(
    ("selection", "left"),
    [
        ({"steps": "20:100:40"}, ["dpo@20", "dpo@100"]),
        ({"steps": "20,40"}, ["dpo@20", "dpo@40"]),
        ({"steps": ":40"}, ["dpo@20", "dpo@40"]),
        ({"last": 2}, ["dpo@100", "best"]),
        ({"match": "dpo@?0"}, ["dpo@20", "dpo@40"]),
        ({"best": "eval_loss"}, ["dpo@40"]),
        ({"best": "eval_accuracy"}, ["dpo@100"]),
        ({"best": "eval_accuracy:min"}, ["dpo@20"]),
    ],
)
def test_checkpoints_are_chosen_by_step_by_number_by_name_and_by_their_log(
    tmp_path: Path, selection: dict[str, Any], left: list[str]
) -> None:
    values = {20: (0.9, 0.1), 40: (0.5, 0.2), 100: (0.7, 0.9)}
    log = [{"step": step, "eval_loss": loss, "eval_accuracy": right} for step, (loss, right) in values.items()]
    run(tmp_path / "dpo", tuple(values), log)
    model(tmp_path / "dpo" / "best")
    assert names(tmp_path / "dpo", **selection) == left


@pytest.mark.parametrize(
    ("selection", "words"),
    [({"steps": "a:b"}, "--steps a:b: write"), ({"match": "x*"}, "None of the 1"), ({"best": "nothing"}, "has no 'nothing'")],
)
def test_a_choice_that_leaves_nothing_says_what_there_is(tmp_path: Path, selection: dict[str, Any], words: str) -> None:
    run(tmp_path / "dpo", (20,), [{"step": 20, "loss": 1.0}])
    with pytest.raises(SkilldeltaError, match=words):
        names(tmp_path / "dpo", **selection)


def test_names_of_strangers_hold_no_escape_sequences(tmp_path: Path) -> None:
    model(tmp_path / "a\x1b]52;c;ZXZpbA==\x07")
    (found,) = discovery.find_checkpoints([str(tmp_path)])
    assert found.name.isprintable()
