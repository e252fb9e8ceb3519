"""LoRA checkpoints on one base: time and memory of 1, 3 and 10 of them in one command, on two tasks.

SKILLDELTA_DATA=... python -m tests.bench.adapters FOLDER
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from harness.backends import transformers as backend
from harness.types import Checkpoint, Request
from tests.bench.sides import REFS, memory
from tests.bench.works import REAL_NEW_TOKENS, make_workload, write_model

COUNTS = (1, 3, 10)
QUESTIONS = {"truthfulqa": 16, "gsm8k": 16}
RANK = 8


@dataclass(frozen=True)
class AdapterRun:
    """Processor seconds of all, of the answers alone, and megabytes at the most above a process that has imported all."""

    seconds: float
    answering: float
    megabytes: float


def write_adapters(base: Path, folder: Path, count: int) -> list[Checkpoint]:
    """LoRA checkpoints with random weights."""
    import peft
    import transformers

    model = transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    config = peft.LoraConfig(r=RANK, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    tuned = peft.get_peft_model(model, config)
    checkpoints = []
    for n in range(count):
        torch.manual_seed(n)
        for name, weights in tuned.named_parameters():
            if "lora_" in name:
                torch.nn.init.normal_(weights, std=0.02)
        place = folder / f"checkpoint-{n}"
        tuned.save_pretrained(str(place))
        checkpoints.append(Checkpoint(place.name, str(place), "peft", base=str(base)))
    return checkpoints


def run_checkpoints(pipe: Any, checkpoints: list[Checkpoint], requests: list[Request], dtype: str) -> None:
    """Loads and asks one checkpoint after another, as a run does."""
    torch.set_num_threads(1)
    REFS.write_text("5", encoding="ascii")
    before, start, answering = memory(), time.process_time(), 0.0
    options, model = backend.TransformersOptions(dtype=dtype, device="cpu", chat_template="none"), None
    for checkpoint in checkpoints:
        del model
        model = backend.load(checkpoint, options)
        turn = time.process_time()
        dict(model.answer(requests))
        answering += time.process_time() - turn
    pipe.send(AdapterRun(time.process_time() - start, answering, memory() - before))


def measure(model: str, rows: Path, dtype: str = "bfloat16") -> str:
    """A line for each number of checkpoints, against one."""
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as place:
        is_real = bool(model) and (Path(model) / "config.json").exists()
        base = Path(model) if is_real else write_model(Path(place) / "model", rows, "18M")
        checkpoints = write_adapters(base, Path(place), max(COUNTS))
        works = [make_workload(name, rows, count, REAL_NEW_TOKENS if is_real else 0) for name, count in QUESTIONS.items()]
        requests = [request for work in works for request in work.requests]
        runs = {}
        for count in COUNTS:
            receiver, sender = context.Pipe(duplex=False)
            process = context.Process(target=run_checkpoints, args=(sender, checkpoints[:count], requests, dtype))
            process.start()
            sender.close()
            runs[count] = receiver.recv()
            process.join()
    lines = [f"\nLoRA checkpoints of {base.name}, {dtype}, {len(requests)} requests ({json.dumps(QUESTIONS)})"]
    for count, run in runs.items():
        lines.append(
            f"- {count}: {run.seconds:.1f} s, {run.seconds / run.answering:.2f} x the answers alone, "
            f"{run.megabytes:.0f} MB, {run.megabytes / runs[1].megabytes:.2f} x one"
        )
    return "\n".join(lines)


def main() -> None:
    print(measure(sys.argv[1] if len(sys.argv) > 1 else "", Path(os.environ.get("SKILLDELTA_DATA", "../shared/data"))))


if __name__ == "__main__":
    main()
