"""The engine on one GPU against lm-eval's hf at its best batch size, same requests, bfloat16: under eight minutes.

    SKILLDELTA_DATA=... python -m tests.bench.gpu [--model FOLDER] [--device cuda] [--quick] [--sizes real,1.2B,8B]

Prints the machine, and a line for each model and work.  `--quick --device cpu` tries the script itself on a small random model.
"""

from __future__ import annotations

import argparse
import gc
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from harness.backends import lm_eval as theirs
from harness.backends import transformers as ours
from harness.engine.device import describe_devices
from harness.types import Checkpoint, Request
from tests.bench.works import make_workload, write_model

SHAPES: dict[str, dict[str, Any]] = {
    "1.2B": {"hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16, "num_attention_heads": 32,
             "num_key_value_heads": 8, "head_dim": 64},
    "8B": {"hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32,
           "num_key_value_heads": 8},
}  # fmt: skip
QUESTIONS = {"truthfulqa": 200, "mmlu": 0, "gsm8k": 64, "ifeval": 0}
QUICK = {"truthfulqa": 4, "mmlu": 4, "gsm8k": 2}
BATCHES, NEW_TOKENS = (32, 128), 128
HEAD = "| model | work | requests | here, s | lm-eval, s (batch) | faster | path |\n|---|---|---|---|---|---|---|"


def write_random(folder: Path, size: str, tokenizer: Path, device: str) -> Path:
    """A random Llama of that size in bfloat16, with the tokenizer of another model."""
    import transformers

    words = transformers.AutoTokenizer.from_pretrained(tokenizer)
    config = transformers.LlamaConfig(vocab_size=len(words), max_position_embeddings=8192, eos_token_id=words.eos_token_id,
                                      pad_token_id=words.pad_token_id, **SHAPES[size])  # fmt: skip
    torch.manual_seed(0)
    with torch.device(device):
        transformers.set_seed(0)
        model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


def measure_seconds(answer: Callable[[], object], device: str) -> float:
    """Wall time until the device is done."""
    start = time.perf_counter()
    answer()
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    return time.perf_counter() - start


class Comparison:
    """One model on both sides, loaded in turn."""

    def __init__(self, place: Path, device: str) -> None:
        self.checkpoint, self.device = Checkpoint("bench", str(place), "transformers"), device

    def ours(self, works: dict[str, list[Request]]) -> tuple[dict[str, float], str]:
        options = ours.TransformersOptions(dtype="bfloat16", device=self.device, chat_template="none")
        model = ours.load(self.checkpoint, options)
        dict(model.answer([Request("a", choices=(" b",)), Request("a", max_tokens=2)]))  # kernels are chosen, tests are over
        seconds = {
            name: measure_seconds(lambda work=work: dict(model.answer(work)), self.device) for name, work in works.items()
        }
        return seconds, model.engine.name

    def theirs(self, works: dict[str, list[Request]]) -> dict[str, tuple[float, int]]:
        """The seconds at the best batch size, which a quarter of the requests finds."""
        options = theirs.LmEvalOptions("hf", dtype="bfloat16", device=self.device, chat_template="none")
        model = theirs.load(self.checkpoint, options)
        best: dict[str, tuple[float, int]] = {}
        for name, work in works.items():
            part = work[: max(4, len(work) // 4)]
            trials = {}
            for batch in BATCHES:
                model.model.batch_size_per_gpu = batch
                trials[batch] = measure_seconds(lambda part=part: dict(model.answer(part)), self.device)
            batch = model.model.batch_size_per_gpu = min(trials, key=trials.__getitem__)
            best[name] = measure_seconds(lambda work=work: dict(model.answer(work)), self.device), batch
        return best


def free_memory(device: str) -> None:
    gc.collect()
    if device.startswith("cuda"):
        torch.cuda.empty_cache()


def compare_model(label: str, place: Path, works: dict[str, list[Request]], device: str) -> None:
    """The lines of one model."""
    both = Comparison(place, device)
    seconds, path = both.ours(works)
    free_memory(device)
    official = both.theirs({name: work for name, work in works.items() if name != "ifeval"})
    free_memory(device)
    for name, work in works.items():
        other, batch = official.get(name, (0.0, 0))
        ratio = f"{other / seconds[name]:.1f} x" if batch else "-"
        theirs_text = f"{other:.1f} ({batch})" if batch else "not asked"
        print(f"| {label} | {name} | {len(work)} | {seconds[name]:.1f} | {theirs_text} | {ratio} | {path} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=os.environ.get("SKILLDELTA_MODEL", ""), help="folder of the real model")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--sizes", default="real,1.2B,8B")
    parser.add_argument("--seconds", type=float, default=450, help="no model is begun after so many")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    if options.device.startswith("cuda") and not torch.cuda.is_available():
        print("There is no GPU here: nothing was measured.  `--device cpu --quick` tries the script itself.")
        return
    rows, start = Path(os.environ.get("SKILLDELTA_DATA", "../shared/data")), time.monotonic()
    print(f"{describe_devices()}; torch {torch.__version__}; bfloat16\n\n{HEAD}", flush=True)
    questions = QUICK if options.quick else QUESTIONS
    with tempfile.TemporaryDirectory() as folder:
        real = Path(options.model) if options.model else None
        tokenizer = real if real and not options.quick else write_model(Path(folder) / "small", rows, "1M")
        for size in ["small"] if options.quick else options.sizes.split(","):
            if time.monotonic() - start > options.seconds or (size == "real" and real is None):
                print(f"| {size} | left out: {'no time left' if real else '--model names no folder'} | | | | | |", flush=True)
                continue
            place = (
                tokenizer if size in ("real", "small") else write_random(Path(folder) / size, size, tokenizer, options.device)
            )
            works = {name: make_workload(name, rows, count, real=True).requests for name, count in questions.items()
                     if name != "ifeval" or size == "real"}  # fmt: skip
            works = {n: [r if r.choices or n == "ifeval" else replace(r, max_tokens=NEW_TOKENS) for r in work]
                     for n, work in works.items()}  # fmt: skip
            compare_model(size, place, works, options.device)


if __name__ == "__main__":
    main()
