"""Layouts of folders as public programs write them: what is found, under which name and step, and what the way out is."""

import json
from pathlib import Path
from typing import Any

import pytest

from harness import discovery
from harness.checkpoint_selection import Selection
from harness.evaluation.checkpoint_files import is_complete
from harness.numbered_folders import parse_number
from tests.checkpoints.test_discovery import weights
from tests.checkpoints.test_run_folders_page import lay_out
from tests.loading.folders import cut_archive

MODEL = "{config.json, model.safetensors}"
ADAPTER = "{adapter_config.json, adapter_model.safetensors}"
STEP = "{config.json, model.safetensors, trainer_state.json}"
STEP_ADAPTER = "{adapter_config.json, adapter_model.safetensors, trainer_state.json}"

# folders with their files -> the names in their order; "!" before what cannot be scored, with words of its problem
LAYOUTS: dict[str, tuple[list[str], list[str]]] = {
    "numbers alone": ([f"run/100/{MODEL}", f"run/1000/{MODEL}", f"run/200/{MODEL}"], ["run@100", "run@200", "run@1000"]),
    "seeds are no steps": ([f"seeds/10/{MODEL}", f"seeds/9/{MODEL}"], ["9", "10"]),
    "steps of a seed": ([f"x/seed_1/{n}/{MODEL}" for n in (5, 10)], ["seed_1@5", "seed_1@10"]),
    "dates are no steps": ([f"runs/20250101/{MODEL}", f"runs/1712345678/{MODEL}"], ["20250101", "1712345678"]),
    "names with numbers, in their order": (
        [f"run/model-{n}/{MODEL}" for n in (100, 1000, 200)], ["model-100", "model-200", "model-1000"]
    ),
    "words in front": (
        [f"run/policy_step_100/{MODEL}", f"run/policy_step_1000/{MODEL}", f"run/policy_step_200/{MODEL}"],
        ["policy_step_100", "policy_step_200", "policy_step_1000"],
    ),
    "a model beside the state that it was made of": (
        [f"run/step_100_hf/{MODEL}", "run/step_100/{pytorch_model_fsdp_0.bin}", f"run/hf_step_200/{MODEL}"],
        ["run@100", "run@200"],
    ),
    "verl, merged within the step": (
        [
            "exp/global_step_10/actor/{model_world_size_1_rank_0.pt}", "exp/global_step_10/actor/huggingface/{config.json}",
            f"exp/global_step_10/actor/merged/{MODEL}", f"exp/global_step_10/critic/{MODEL}",
            "exp/global_step_20/actor/{model_world_size_1_rank_0.pt}", "exp/global_step_20/actor/huggingface/{config.json}",
            f"exp/global_step_20/merged_hf_model/{MODEL}",
            "exp/global_step_30/actor/{model_world_size_1_rank_0.pt}", "exp/global_step_30/actor/huggingface/{config.json}",
        ],
        ["exp@10", "exp@20", "!exp@30 verl.model_merger"],
    ),
    "SkyRL": (
        [
            "run/ckpts/global_step_10/policy/{model_world_size_1_rank_0.pt}",
            "run/ckpts/global_step_10/policy/huggingface/{config.json}",
            f"run/exports/global_step_20/policy/{MODEL}",
        ],
        ["!run@10 hf_save_interval", "run@20"],
    ),
    "prime-rl": (
        [
            f"exp/weights/step_100/{MODEL}", f"exp/weights/step_200/{MODEL}", f"exp/broadcasts/step_201/{MODEL}",
            "exp/checkpoints/step_300/trainer/{__0_0.distcp}",
        ],
        ["exp@100", "exp@200", "exp@201", "!exp@300 dcp_to_torch"],
    ),
    "prime-rl, by LoRA": (
        [f"exp/weights/step_{n}/lora_adapters/{ADAPTER}" for n in (10, 20)] + [f"exp/run_a/broadcasts/step_20/{MODEL}"],
        ["run_a@20", "exp@10", "exp@20"],
    ),
    "XTuner": (
        ["cfg/{iter_500.pth, iter_1000.pth}", f"cfg/iter_500_hf/{ADAPTER}", f"cfg/iter_1000_hf/{ADAPTER}"],
        ["cfg@500", "cfg@1000"],
    ),
    "XTuner, folders of DeepSpeed": (["cfg/iter_500.pth/{mp_rank_00_model_states.pt}"], ["!cfg@500 one for each process"]),
    "LLM Foundry": (
        [f"run/huggingface/ba{n}/{MODEL}" for n in (100, 1000, 500)]
        + ["old/{ep0-ba100-rank0.pt, ep0-ba1000-rank0.pt}"],
        ["!old@100 convert_composer_to_hf.py", "!old@1000 --composer_path", "run@100", "run@500", "run@1000"],
    ),
    "Lightning": (["v/checkpoints/epoch=1-step=100.ckpt/checkpoint/{mp_rank_00_model_states.pt}"], ["!v@100 save_pretrained"]),
    "ColossalChat, whose step begins anew": (
        [f"sft/epoch-{e}_step-{s}/modeling/{MODEL}" for e, s in ((1, 50), (0, 1000), (0, 200))],
        ["sft@epoch0-step200", "sft@epoch0-step1000", "sft@epoch1-step50"],
    ),
    "AReaL": (
        [f"t/epoch1epochstep9globalstep109/{MODEL}", f"t/epoch0epochstep19globalstep19/{MODEL}"], ["t@19", "t@109"]
    ),
    "OLMo": ([f"run/step1000-unsharded-hf/{MODEL}", "run/step1000-unsharded/{model.pt, train.pt}"], ["run@1000"]),
    "a file of torch in the folder of its step": (["exp/step-19968/{policy.pt, optimizer.pt}"], ["!exp@19968 save_pretrained"]),
    "TRL, two named adapters": (
        ["out/checkpoint-5/{trainer_state.json}"]
        + [f"out/{place}{name}/{ADAPTER}" for place in ("checkpoint-5/", "") for name in ("train", "reference")],
        ["out@5", "out"],
    ),
    "peft, the reference beside the policy": (
        [f"out/checkpoint-5/{STEP_ADAPTER}", f"out/checkpoint-5/ref/{ADAPTER}", f"out/{ADAPTER}", f"out/ref/{ADAPTER}"],
        ["out@5", "out"],
    ),
    "peft, two adapters in one step": (
        ["out/checkpoint-5/{trainer_state.json}", f"out/checkpoint-5/kind/{ADAPTER}", f"out/checkpoint-5/brief/{ADAPTER}"],
        ["out@5-brief", "out@5-kind"],
    ),
    "peft, a named adapter beside the first": (
        [f"out/checkpoint-5/{STEP_ADAPTER}"]
        + [f"out/checkpoint-5/{name}/{ADAPTER}" for name in ("dpo", "reference", "ref_adapter", "value_head", "reward")]
        + [f"out/{ADAPTER}", f"out/dpo/{ADAPTER}"],
        ["out@5", "out@5-dpo", "out", "dpo"],
    ),
    "peft, a policy beside another adapter": (
        ["out/checkpoint-5/{trainer_state.json}"]
        + [f"out/checkpoint-5/{name}/{ADAPTER}" for name in ("default", "policy2", "critic")],
        ["out@5", "out@5-default"],
    ),
    "a loop of one's own": (
        [f"out/checkpoint-{n}/{MODEL}" for n in (5, 10)] + [f"out/checkpoint-20/{ADAPTER}"], ["out@5", "out@10", "out@20"]
    ),
    "Trainer, one step without its state": (
        [f"out/checkpoint-{n}/{STEP}" for n in (5, 10)] + [f"out/checkpoint-20/{MODEL}"],
        ["out@5", "out@10", "!out@20 name the folder itself"],
    ),
    "Trainer, its first step without its state": (
        ["out/checkpoint-20/{config.json, model.safetensors, training_args.bin}"], ["!out@20 still being written"],
    ),
    "Trainer, all states removed": (
        [f"out/checkpoint-{n}/{{config.json, model.safetensors, training_args.bin}}" for n in (5, 10)], ["out@5", "out@10"]
    ),
    "a policy with what it is trained with": (
        [f"run/step_{n}/{name}/{MODEL}" for n in (5, 10) for name in ("policy", "ref", "value_model")], ["run@5", "run@10"]
    ),
    "verl, stopped while saving": (
        [f"exp/global_step_5/actor/huggingface/{MODEL}", "exp/global_step_10/actor/{model_world_size_1_rank_0.pt}"],
        ["exp@5", "!exp@10 verl.model_merger"],
    ),
    "peft, other adapters beside the first": ([f"run/{ADAPTER}", f"run/dpo/{ADAPTER}"], ["run", "dpo"]),
    "ms-swift": (
        [f"o/v0-20250101-120000/checkpoint-10/{STEP_ADAPTER}", f"o/v0-20250101-120000/checkpoint-10-merged/{MODEL}"],
        ["v0-20250101-120000@10", "checkpoint-10-merged"],
    ),
    "a model and its numbered ones": ([f"run/{MODEL}", f"run/ckpt-5/{MODEL}"], ["run@5", "run"]),
    "NeMo-RL": (
        [
            "grpo/step_10/policy/weights/{__0_0.distcp}", "grpo/step_20/policy/weights/iter_0000000/{common.pt}",
            "grpo/step_30/policy/weights/model/{shard-1.safetensors}",
            f"grpo/step_30/policy/weights/model/consolidated/{MODEL}",
            "grpo/step_30/policy/tokenizer/{tokenizer.json, tokenizer_config.json}",
            "grpo/tmp_step_40/policy/weights/{__0_0.distcp}",
        ],
        ["!grpo@10 convert_dcp_to_hf.py", "!grpo@20 --megatron-ckpt-path", "grpo@30", "!grpo-tmp@40 being saved"],
    ),
    "NeMo-Aligner": (
        ["res/megatron_gpt--val_loss=0.1-step=100-epoch=0/model_weights/{common.pt}", "res/{megatron_gpt.nemo}"],
        ["!res@100 convert_llama_nemo_to_hf.py", "!megatron_gpt convert_llama_nemo_to_hf.py"],
    ),
    "nanotron": (
        [f"run/{n}/{{model_config.json, checkpoint_metadata.json}}" for n in (1000, 20)]
        + [f"run/{n}/model/model/{{w.safetensors}}" for n in (1000, 20)],
        ["!run@20 convert_nanotron_to_hf.py", "!run@1000 convert_nanotron_to_hf.py"],
    ),
    "LitGPT": (
        ["run/final/{lit_model.pth, config.json, model_config.yaml}", "run/step-000200/{lit_model.pth.lora}"],
        ["!run@200 merge_lora", "!final convert_from_litgpt"],
    ),
    "torchtune, both in one folder": (
        ["out/epoch_0/{nameless:adapter_config.json, adapter_model.safetensors, config.json, model.safetensors}"],
        ["!out@epoch0 a whole model and an adapter"],
    ),
    "torchtune, merged beside the adapter": (
        [
            "out/epoch_0/{adapter_config.json, adapter_model.safetensors, adapter_model.pt, config.json, model.safetensors}",
            "out/epoch_1/{nameless:adapter_config.json, adapter_model.safetensors, adapter_model.pt, config.json,"
            " model.safetensors}",
            "out/recipe_state/{recipe_state.pt}",
        ],
        ["out@epoch0", "out@epoch1"],
    ),
    "torchtune, the adapter alone": (
        ["out/epoch_0/{adapter_config.json, adapter_model.safetensors, adapter_model.pt, config.json}"], ["out@epoch0"]
    ),
    "torchtune, other names": (["out/{config.json, hf_model_0001_0.pt}"], ["!out there are hf_model_0001_0.pt"]),
    "states of accelerate": (
        ["run/checkpoints/checkpoint_1/{model.safetensors, optimizer.bin}", f"run/checkpoints/checkpoint_2/hf_model/{MODEL}"],
        ["!run@1 weights without config.json", "run@2"],
    ),
    "Mistral's own format": (["run/{params.json, consolidated.safetensors}"], ["!run Mistral's own format"]),
    "MLX, no settings": (["mlx/{adapters.safetensors}"], ["!mlx mlx_lm.fuse"]),
    "shards without their index": (
        ["run/{config.json, model-00001-of-00002.safetensors}"], ["!run shards need their index, model.safetensors.index.json"]
    ),
    "a converter's folder": (["model_gguf/{config.json, m.Q4_K_M.gguf}"], ["m.Q4_K_M"]),
    "a snapshot of the Hub's cache": ([f"models--org--name/snapshots/abc123def456/{MODEL}"], ["name@abc123de"]),
}  # fmt: skip


@pytest.mark.parametrize("program", LAYOUTS)
def test_what_public_programs_leave_is_found_and_named(program: str, tmp_path: Path) -> None:
    folders, expected = LAYOUTS[program]
    found = discovery.find_checkpoints([str(lay_out(tmp_path, folders))])
    assert [f"{'!' * bool(c.problem)}{c.name}" for c in found] == [line.split(" ")[0] for line in expected], found
    for checkpoint, line in zip(found, expected, strict=True):
        assert line.partition(" ")[2] in checkpoint.problem


@pytest.mark.parametrize(
    ("name", "step", "text"),
    [
        ("checkpoint-100", 100, "100"),
        ("global_step_100", 100, "100"),
        ("globalstep7", 7, "7"),
        ("iter_0000010", 10, "10"),
        ("ckpt-5", 5, "5"),
        ("step_100_hf", 100, "100"),
        ("STEP-3", 3, "3"),
        ("hf-100", 100, "100"),
        ("0100", 100, "100"),
        ("step1000-unsharded-hf", 1000, "1000"),
        ("epoch_2", None, "epoch2"),
        ("e2", None, "epoch2"),
        ("epoch=1-step=20", 20, "20"),
        ("epoch-1_step-20", None, "epoch1-step20"),
        ("ep0-ba20", 20, "20"),
    ],
)
def test_the_number_in_a_folders_name(name: str, step: int | None, text: str) -> None:
    number = parse_number(name)
    assert number
    assert (number.step, number.text, number.label) == (step, text, "")


@pytest.mark.parametrize(
    "name",
    ["llama-3-8b", "qwen2.5-7b", "v2", "version_0", "seed_42", "v0-20250101-120000", "20250101", "run1", "dpo", "beta0.1"],
)
def test_other_numbers_count_no_training(name: str) -> None:
    assert parse_number(name) is None


@pytest.mark.parametrize("name", ["step_1" + "_merged" * 30 + "!", "_" * 200 + "step", "epoch1" + "step" * 60, "1" * 250])
def test_names_made_to_hurt_are_read_at_once(name: str) -> None:
    assert parse_number(name) is None


def test_two_runs_in_one_folder_stay_two(tmp_path: Path) -> None:
    work = lay_out(tmp_path, [f"run/{m}-step-{n}/{MODEL}" for m in ("dpo", "sft") for n in (5, 10)])
    found = discovery.find_checkpoints([str(work)])
    assert [(c.name, c.step) for c in found] == [(f"{m}-step-{n}", None) for m in ("dpo", "sft") for n in (5, 10)]


def test_steps_of_any_spelling_are_chosen_by_number(tmp_path: Path) -> None:
    work = lay_out(tmp_path, [f"run/policy_step_{n}/{MODEL}" for n in (100, 1000, 200)])
    assert [c.step for c in discovery.find_checkpoints([str(work)], Selection(steps="200:"))] == [200, 1000]


def test_all_adapters_of_a_step_are_chosen_together(tmp_path: Path) -> None:
    steps = [f"out/checkpoint-{n}/{place}" for n in (5, 10) for place in (STEP_ADAPTER, f"brief/{ADAPTER}")]
    work = lay_out(tmp_path, steps)
    log = [{"step": 5, "eval_loss": 0.1}, {"step": 10, "eval_loss": 0.2}]
    (work / "out" / "checkpoint-10" / "trainer_state.json").write_text(json.dumps({"log_history": log, "global_step": 10}))

    def names(**selection: Any) -> list[str]:
        return [c.name for c in discovery.find_checkpoints([str(work)], Selection(**selection))]

    assert names() == ["out@5", "out@5-brief", "out@10", "out@10-brief"]
    assert names(last=1) == ["out@10", "out@10-brief"]
    assert names(best="eval_loss") == ["out@5", "out@5-brief"]
    assert names(best="eval_loss", match="*-brief") == ["out@5-brief"]


@pytest.mark.parametrize("place", ["run", "run/ckpts", "run/ckpts/checkpoint_0100", "run/ckpts/checkpoint_0100/hf_model"])
def test_a_step_that_is_named_itself_has_its_runs_name(tmp_path: Path, place: str) -> None:
    work = lay_out(tmp_path, [f"run/ckpts/checkpoint_0100/hf_model/{MODEL}"])
    (found,) = discovery.find_checkpoints([str(work / place)])
    assert (found.name, found.step) == ("ckpts@100" if place == "run/ckpts" else "run@100", 100)


@pytest.mark.parametrize("problem", ["nameless", "elsewhere", "itself"])
def test_a_base_that_is_named_solves_what_the_list_says_it_solves(tmp_path: Path, problem: str) -> None:
    work = lay_out(tmp_path, [f"dpo/checkpoint-5/{STEP_ADAPTER}"])
    folder = work / "dpo" / "checkpoint-5"
    base = {"nameless": None, "elsewhere": "/home/nobody/sft", "itself": str(folder)}[problem]
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "base_model_name_or_path": base}))
    (found,) = discovery.find_checkpoints([str(work)])
    assert "--base DIR" in found.problem
    (found,) = discovery.find_checkpoints([str(work)], Selection(base=str(tmp_path / "base")))
    assert (found.base, found.problem) == (str(tmp_path / "base"), "")
    (folder / "trainer_state.json").rename(folder / "training_args.bin")
    (found,) = discovery.find_checkpoints([str(work)], Selection(base=str(tmp_path / "base")))
    assert "still being written" in found.problem


def test_a_file_of_torch_that_is_still_being_written_is_seen_without_loading_it(tmp_path: Path) -> None:
    work = lay_out(tmp_path, ["run/{config.json}"])
    cut_archive(work / "run" / "pytorch_model.bin")
    (found,) = discovery.find_checkpoints([str(work)])
    assert found.problem.startswith("pytorch_model.bin is half-written")


def test_an_adapter_whose_base_is_named_is_complete(tmp_path: Path) -> None:
    work = lay_out(tmp_path, [f"dpo/{ADAPTER}"])
    (work / "dpo" / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "base_model_name_or_path": None}))
    assert not is_complete(work / "dpo", "")
    assert is_complete(work / "dpo", str(tmp_path / "base"))


def test_the_root_of_a_chain_of_adapters_is_named_and_the_adapters_stay(tmp_path: Path) -> None:
    work = lay_out(tmp_path, [f"sft/{ADAPTER}", f"dpo/{ADAPTER}"])
    for name, base in (("sft", "/home/nobody/base"), ("dpo", str(work / "sft"))):
        (work / name / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "base_model_name_or_path": base}))
    (found,) = discovery.find_checkpoints([str(work / "dpo")], Selection(base=str(tmp_path / "base")))
    assert (found.base, found.adapters, found.problem) == (str(tmp_path / "base"), (str(work / "sft"),), "")


def test_a_base_one_folder_up_is_meant_from_the_adapter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work = lay_out(tmp_path, [f"run/{MODEL}", f"run/lora/{ADAPTER}", f"other/sub/{MODEL}"])
    (work / "run" / "lora" / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": ".."}))
    monkeypatch.chdir(work / "other" / "sub")
    (found,) = discovery.find_checkpoints([str(work / "run" / "lora")])
    assert (Path(found.base).resolve(), found.problem) == (work / "run", "")


def test_a_damaged_model_beside_the_final_one_is_a_line_too(tmp_path: Path) -> None:
    work = lay_out(tmp_path, [f"run/{MODEL}", f"run/ckpt-5/{MODEL}", f"run/ckpt-10/{STEP}"])
    weights(work / "run" / "ckpt-5" / "model.safetensors", cut=3)
    assert [(c.name, bool(c.problem)) for c in discovery.find_checkpoints([str(work)])] == [
        ("run@5", True), ("run@10", False), ("run", False)
    ]  # fmt: skip
