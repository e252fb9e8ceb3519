"""Folders of a tiny model and of adapters on it, whole and damaged in every way that was met."""

from __future__ import annotations

import json
import os
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import peft
import torch
import transformers
from safetensors.torch import load_file, save_file

WHOLE, ADAPTER = "model.safetensors", "adapter_model.safetensors"
Tensors = dict[str, torch.Tensor]


def save_lora(base: Path, folder: Path, **settings: Any) -> Path:
    """A LoRA that changes the base."""
    model = transformers.AutoModelForCausalLM.from_pretrained(base, dtype="float32")
    options = {"r": 2, "target_modules": ["q_proj", "v_proj"], "task_type": "CAUSAL_LM", "init_lora_weights": False} | settings
    peft.get_peft_model(model, peft.LoraConfig(**options)).save_pretrained(str(folder))
    return folder


def change_tensors(folder: Path, change: Callable[[Tensors], Tensors]) -> None:
    """Rewrites the tensors of a whole model or of an adapter."""
    file = next(folder / name for name in (ADAPTER, WHOLE) if (folder / name).is_file())
    save_file({k: v.contiguous().clone() for k, v in change(load_file(file)).items()}, file, metadata={"format": "pt"})


def change_config(folder: Path, name: str = "config.json", **changes: Any) -> None:
    file = folder / name
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def shard(folder: Path) -> None:
    """Two files of weights with an index."""
    tensors = load_file(folder / WHOLE)
    names = sorted(tensors)
    halves = {"model-00001-of-00002.safetensors": names[::2], "model-00002-of-00002.safetensors": names[1::2]}
    for file, part in halves.items():
        save_file({n: tensors[n] for n in part}, folder / file, metadata={"format": "pt"})
    (folder / WHOLE).unlink()
    index = {"metadata": {}, "weight_map": {name: file for file, part in halves.items() for name in part}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def change_index(folder: Path, change: Callable[[Any], object]) -> None:
    file = folder / "model.safetensors.index.json"
    index = json.loads(file.read_text())
    change(index)
    file.write_text(json.dumps(index))


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-8])


def cut_archive(file: Path) -> None:
    """A file of torch of which the second half is not there yet."""
    torch.save({"w": torch.zeros(9)}, file)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def write_header(file: Path, header: bytes) -> None:
    file.write_bytes(struct.pack("<Q", len(header)) + header)


def replace_with(file: Path, make: Callable[[Path], None]) -> None:
    file.unlink()
    make(file)


def one_layer(name: str, value: float) -> Callable[[Tensors], Tensors]:
    return lambda tensors: {k: torch.full_like(v, value) if name in k else v for k, v in tensors.items()}


# What a folder is damaged by, with words of what is said of it.
DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "half-written": (lambda f: cut(f / WHOLE), "half-written"),
    "half-written, by torch": (
        lambda f: replace_with(f / WHOLE, lambda p: cut_archive(p.with_name("pytorch_model.bin"))), "half-written"
    ),
    "only its first bytes": (lambda f: (f / WHOLE).write_bytes(b"abc"), "not a safetensors file"),
    "empty file": (lambda f: (f / WHOLE).write_bytes(b""), "is empty"),
    "pointer of Git LFS": (lambda f: (f / WHOLE).write_bytes(b"version https://git-lfs.github.com/spec/v1\nsize 9"), "Git LFS"),
    "header nested too deeply": (lambda f: write_header(f / WHOLE, b'{"a":' + b"[" * 100_000), "damaged header"),
    "header with an infinite offset": (
        lambda f: write_header(f / WHOLE, b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,1e400]}}'), "damaged header"
    ),
    "header that promises 10^18 bytes": (
        lambda f: (f / WHOLE).write_bytes(struct.pack("<Q", 10**18) + b"{}"), "not a safetensors"
    ),
    "shape and data differ": (
        lambda f: write_header(f / WHOLE, b'{"a":{"dtype":"F32","shape":[9],"data_offsets":[0,4]}}'), "damaged header"
    ),
    "pipe": (lambda f: replace_with(f / WHOLE, lambda p: os.mkfifo(p)), "is a pipe"),
    "link out of the folder": (
        lambda f: replace_with(f / WHOLE, lambda p: p.symlink_to("/etc/passwd")), "a link to /etc/passwd"
    ),
    "link to nothing": (lambda f: replace_with(f / WHOLE, lambda p: p.symlink_to("gone")), "which is not there"),
    "link to a device": (lambda f: replace_with(f / WHOLE, lambda p: p.symlink_to("/dev/zero")), "is a device"),
    "folder of that name": (lambda f: replace_with(f / WHOLE, lambda p: p.mkdir()), "is a folder"),
    "index without its metadata": (
        lambda f: (shard(f), change_index(f, lambda index: index.pop("metadata"))), "has no metadata"
    ),
    "a shard missing": (
        lambda f: (shard(f), (f / "model-00002-of-00002.safetensors").unlink()), "00002.safetensors is missing"
    ),
    "index of another folder": (
        lambda f: (shard(f), change_index(f, lambda index: index["weight_map"].update(a="../x.safetensors"))), "outside of"
    ),
    "weights missing": (lambda f: change_tensors(f, lambda t: {k: v for k, v in t.items() if "layers.1" not in k}), "lacks"),
    "weights of more layers": (lambda f: change_config(f, num_hidden_layers=1), "have no place in the model"),
    "another size": (lambda f: change_config(f, intermediate_size=48), "has the shape"),
    "wrapped by torch.compile": (
        lambda f: change_tensors(f, lambda t: {f"_orig_mod.{k}": v for k, v in t.items()}), "begin with '_orig_mod.'"
    ),
    "wrapped by DataParallel": (
        lambda f: change_tensors(f, lambda t: {f"module.{k}": v for k, v in t.items()}), "begin with 'module.'"
    ),
    "placeholders of ZeRO-3": (
        lambda f: change_tensors(f, lambda t: {k: v[:0] for k, v in t.items()}), "placeholders of ZeRO-3"
    ),
    "no tensor": (lambda f: change_tensors(f, lambda t: {}), "holds no tensor"),
    "not a number": (lambda f: change_tensors(f, one_layer("layers.1.mlp.up", float("nan"))), "no numbers"),
    "zeros alone": (lambda f: change_tensors(f, one_layer("", 0.0)), "nothing but zeros"),
    "whole numbers": (lambda f: change_tensors(f, lambda t: {k: v.to(torch.int8) for k, v in t.items()}), "are whole numbers"),
    "generation settings cut": (lambda f: (f / "generation_config.json").write_text('{"eos_'), "generation_config.json cannot"),
    "an end token as text": (
        lambda f: (f / "generation_config.json").write_text('{"eos_token_id": "<|end|>"}'), "eos_token_id is '<|end|>'"
    ),
    "end tokens in lists": (lambda f: (f / "generation_config.json").write_text('{"eos_token_id": [[1]]}'), "eos_token_id is"),
    "generation settings unknown here": (
        lambda f: (f / "generation_config.json").write_text('{"cache_implementation": "x"}'), "cannot be used"
    ),
    "quantized by what is not installed": (
        lambda f: change_config(f, quantization_config={"quant_method": "vptq", "bits": 4}), "are quantized (vptq)"
    ),
    "quantized by MLX": (
        lambda f: change_config(f, quantization={"group_size": 64, "bits": 4}), "mlx_lm.convert"
    ),
    "value model": (
        lambda f: change_tensors(
            f, lambda t: {f"rw.{k}": v for k, v in t.items() if "lm_head" not in k} | {"v_head.weight": torch.ones(1, 32)}
        ),
        "They hold v_head.weight, and no lm_head",
    ),
    "size without its kind": (lambda f: change_config(f, head_dim=8.5), "head_dim"),
    "generation settings in a list": (lambda f: (f / "generation_config.json").write_text("[]"), "does not hold a JSON object"),
    "tokenizer cut": (lambda f: cut(f / "tokenizer.json"), "tokenizer.json is half-written"),
    "tokenizer not fetched": (
        lambda f: (f / "tokenizer.json").write_bytes(b"version https://git-lfs.github.com/spec/v1\nsize 9"), "Git LFS"
    ),
    "negative number of layers": (lambda f: change_config(f, num_hidden_layers=-1), "num_hidden_layers is -1"),
    "layers without end": (lambda f: change_config(f, num_hidden_layers=10**9), "num_hidden_layers is 1000000000"),
    "no heads": (lambda f: change_config(f, num_attention_heads=0), "config.json"),
    "architectures that are no list": (lambda f: change_config(f, architectures=5), "architectures is 5"),
    "unknown model type": (lambda f: change_config(f, model_type="nobody"), "config.json cannot be used"),
    "config that is no JSON": (lambda f: (f / "config.json").write_bytes(b'{"a":"\xff"}'), "config.json cannot be read"),
    "config nested too deeply": (lambda f: (f / "config.json").write_text("[" * 100_000), "nested too deeply"),
    "reward model": (lambda f: change_config(f, architectures=["LlamaForSequenceClassification"]), "reward model"),
    "head of a reward model": (
        lambda f: change_tensors(f, lambda t: t | {"score.weight": torch.ones(1, 32)}), "a reward model (its weights hold score"
    ),
    "adapter left in it": (
        lambda f: change_tensors(f, lambda t: t | {"model.layers.0.self_attn.q_proj.lora_A.weight": torch.ones(2, 32)}),
        "with an adapter in it",
    ),
    "a second set that differs": (
        lambda f: torch.save({k: v + 1 for k, v in load_file(f / WHOLE).items()}, f / "pytorch_model.bin"),
        "model.safetensors and pytorch_model.bin",
    ),
    "a pickle that is more than tensors": (
        lambda f: replace_with(f / WHOLE, lambda p: torch.save({"a": Path("x")}, p.with_name("pytorch_model.bin"))),
        "more than tensors",
    ),
}  # fmt: skip


def rename(old: str, new: str) -> Callable[[Path], None]:
    return lambda f: change_tensors(f, lambda t: {k.replace(old, new): v for k, v in t.items()})


ADAPTER_DAMAGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "half-written": (lambda f: cut(f / ADAPTER), "half-written"),
    "wrapped": (rename("base_model.model.", "base_model.model.module."), "begin with 'module.'"),
    "named for a language model within": (rename("model.model.", "model.model.language_model."), "does not fit its base"),
    "no tensor": (lambda f: change_tensors(f, lambda t: {}), "holds no tensor"),
    "half of its tensors": (lambda f: change_tensors(f, lambda t: {k: v for k, v in t.items() if "lora_A" in k}), "lacks"),
    "another rank": (lambda f: change_config(f, "adapter_config.json", r=4), "has the shape"),
    "other modules": (lambda f: change_config(f, "adapter_config.json", target_modules=["nothing"]), "does not fit its base"),
    "unknown kind": (lambda f: change_config(f, "adapter_config.json", peft_type="NOTHING"), "adapter_config.json cannot be"),
    "not a number": (lambda f: change_tensors(f, one_layer("lora_B", float("inf"))), "no numbers"),
    "whole numbers": (lambda f: change_tensors(f, lambda t: {k: v.to(torch.int8) for k, v in t.items()}), "are whole numbers"),
    "scale that is nan": (lambda f: change_config(f, "adapter_config.json", lora_alpha=float("nan")), "lora_alpha is nan"),
    "scale as text": (lambda f: change_config(f, "adapter_config.json", lora_alpha="8"), "lora_alpha is 8"),
    "rank of nothing": (lambda f: change_config(f, "adapter_config.json", r=0), "r is 0"),
    "dropout of more than all": (lambda f: change_config(f, "adapter_config.json", lora_dropout=1.5), "lora_dropout is 1.5"),
    "labels for tokens": (lambda f: change_config(f, "adapter_config.json", task_type="TOKEN_CLS"), "a reward model"),
    "patterns as text": (lambda f: change_config(f, "adapter_config.json", alpha_pattern="x"), "alpha_pattern is x"),
    "head of a reward model": (
        lambda f: change_tensors(f, lambda t: t | {"base_model.model.score.weight": torch.ones(1, 32)}), "a reward model"
    ),
    "base of another machine": (
        lambda f: change_config(f, "adapter_config.json", base_model_name_or_path="/home/nobody/models/none"), "--base DIR"
    ),
    "base that is no text": (
        lambda f: change_config(f, "adapter_config.json", base_model_name_or_path={"a": 1}), "is no text"
    ),
    "config nested too deeply": (lambda f: (f / "adapter_config.json").write_text("[" * 100_000), "nested too deeply"),
}  # fmt: skip


def copy(source: Path, target: Path) -> Path:
    shutil.copytree(source, target)
    return target
