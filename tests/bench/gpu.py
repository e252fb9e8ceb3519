"""One GPU: this program and vLLM (where installed) against lm-eval's hf at its best batch size; same requests, bfloat16.

    SKILLDELTA_DATA=... python -m tests.bench.gpu [--model FOLDER] [--device cuda] [--quick] [--sizes real,1.2B,8B]

Under eight minutes.  Prints the machine, and a line for each model and work as it is known; what time does not reach is said.
`--quick --device cpu` tries the script itself on a small random model.
"""

from __future__ import annotations

import argparse
import gc
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
import transformers

from harness.backends import lm_eval as official
from harness.backends import transformers as own
from harness.backends import vllm
from harness.engine.device_names import describe_devices
from harness.engine.sequences import TokenPrompt
from harness.types import Checkpoint, Request, Response, SkilldeltaError
from harness.vllm_engine import VllmJob, VllmOptions
from harness.vllm_package import has_vllm, vllm_version
from tests.bench.works import REAL_NEW_TOKENS, make_workload, write_model

SHAPES: dict[str, dict[str, Any]] = {
    "1.2B": {"hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16, "num_attention_heads": 32,
             "num_key_value_heads": 8, "head_dim": 64},
    "8B": {"hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32,
           "num_key_value_heads": 8},
}  # fmt: skip
QUESTIONS, QUICK = {"truthfulqa": 200, "mmlu": 0, "gsm8k": 64}, {"truthfulqa": 4, "mmlu": 4, "gsm8k": 2}
GOALS = {  # times lm-eval, by size
    "truthfulqa": {"real": 6, "1.2B": 10, "8B": 15}, "mmlu": {"real": 4, "1.2B": 6, "8B": 8},
    "gsm8k": {"real": 4, "1.2B": 4, "8B": 4},
}  # fmt: skip
STEP, STEP_GOAL, IFEVAL_GOAL = "one step of 64 rows", "6 ms", "60 s"
BATCHES, NEW_TOKENS, MEMORY = (32, 128), 128, 0.6
STEP_ROWS, STEP_PROMPT, STEP_LENGTHS = 64, 256, (32, 96)  # the difference of two lengths leaves out what comes before
QUICK_STEP = (4, 16, (2, 6))
COMMAND_S = 240.0  # at the most, for IFEval's whole command
HEAD = "| model | work | requests | goal | here | vLLM | lm-eval (batch) | faster | differences | path |\n" + 10 * "|---" + "|"
Works = dict[str, list[Request]]


@dataclass
class Measured:
    """What one program took: seconds by work, its answers, the batch sizes, the seconds of a step, and how it worked."""

    seconds: dict[str, float] = field(default_factory=dict)
    answers: dict[str, dict[int, Response]] = field(default_factory=dict)
    batches: dict[str, int] = field(default_factory=dict)
    way: str = ""

    def show(self, work: str) -> str:
        if work not in self.seconds:
            return self.way or "-"
        value = self.seconds[work]
        batch = f" ({self.batches[work]})" if work in self.batches else ""
        return (f"{1000 * value:.1f} ms" if work == STEP else f"{value:.1f} s") + batch


@dataclass(frozen=True)
class Bench:
    """`step`: rows, tokens of a prompt, and the two lengths of an answer."""

    device: str
    deadline: float
    step: tuple[int, int, tuple[int, int]]

    @property
    def is_over(self) -> bool:
        return time.monotonic() > self.deadline

    def time_for(self, most: float) -> float:
        """Seconds that a command may take: `most`, or what is left; a few in any case."""
        return min(most, max(self.deadline - time.monotonic(), 0.0) + 30.0)

    def time(self, work: Callable[[], Any]) -> tuple[float, Any]:
        """Wall seconds until the device is done, and the result."""
        start = time.perf_counter()
        result = work()
        if self.device.startswith("cuda"):
            torch.cuda.synchronize()
        return time.perf_counter() - start, result

    def time_step(self, decode: Callable[[list[list[int]], int], Any], vocabulary: int) -> float:
        """Seconds of one more token for all rows."""
        rows, length, lengths = self.step
        source = random.Random(0)
        prompts = [[source.randrange(3, vocabulary) for _ in range(length)] for _ in range(rows)]
        decode(prompts, lengths[0])  # kernels are chosen
        short, long = (self.time(lambda n=n: decode(prompts, n))[0] for n in lengths)
        return (long - short) / (lengths[1] - lengths[0])

    @contextmanager
    def memory(self) -> Iterator[None]:
        """What a program held is free afterwards."""
        try:
            yield
        finally:
            gc.collect()
            if self.device.startswith("cuda"):
                torch.cuda.empty_cache()


def measure_own(place: Path, works: Works, bench: Bench) -> Measured:
    options = own.TransformersOptions(dtype="bfloat16", device=bench.device, chat_template="none")
    model = own.load(Checkpoint("bench", str(place), "transformers"), options)
    dict(model.answer([Request("a", choices=(" b",)), Request("a", max_tokens=2)]))  # kernels are chosen, tests are over
    found = Measured(way="; ".join(filter(None, (model.engine.name, model.note))))
    for name, work in works.items():
        found.seconds[name], found.answers[name] = bench.time(lambda work=work: dict(model.answer(work)))

    def decode(prompts: list[list[int]], length: int) -> None:
        asked = [TokenPrompt(ids, length, lambda _: False) for ids in prompts]
        dict(model.engine.generate(model.engine.plan_prompts(asked), frozenset()))

    found.seconds[STEP] = bench.time_step(decode, model.model.config.vocab_size)
    return found


def measure_vllm(place: Path, works: Works, bench: Bench) -> Measured:
    if not has_vllm():
        return Measured(way="not installed")
    options = VllmOptions(dtype="bfloat16", device=bench.device, chat_template="none", memory=MEMORY)
    try:
        model = vllm.load(Checkpoint("bench", str(place), "transformers"), options)
    except SkilldeltaError as error:
        return Measured(way=str(error).splitlines()[0])
    found = Measured()
    try:
        for name, work in works.items():
            found.seconds[name], found.answers[name] = bench.time(lambda work=work: dict(model.answer(work)))

        def decode(prompts: list[list[int]], length: int) -> None:
            jobs = [VllmJob(ids, {"max_tokens": length, "ignore_eos": True}) for ids in prompts]
            dict(model.engine.run(jobs, ""))

        found.seconds[STEP] = bench.time_step(decode, len(model.tokenizer.hf_tokenizer))
    finally:
        vllm.LAST_ENGINE.close()
    return found


def measure_official(place: Path, works: Works, bench: Bench) -> Measured:
    """At the best batch size, which a quarter of the requests finds."""
    options = official.LmEvalOptions("hf", dtype="bfloat16", device=bench.device, chat_template="none")
    model = official.load(Checkpoint("bench", str(place), "transformers"), options)
    found = Measured()
    for name, work in works.items():
        if bench.is_over:
            return replace(found, way="no time left")
        trials = {}
        for batch in BATCHES:
            model.model.batch_size_per_gpu = batch
            trials[batch] = bench.time(lambda work=work: dict(model.answer(work[: max(4, len(work) // 4)])))[0]
        model.model.batch_size_per_gpu = found.batches[name] = min(trials, key=trials.__getitem__)
        found.seconds[name], found.answers[name] = bench.time(lambda work=work: dict(model.answer(work)))

    def decode(prompts: list[list[int]], length: int) -> None:
        ids = torch.tensor(prompts, device=model.model.device)
        limits = {"min_new_tokens": length, "max_new_tokens": length, "do_sample": False, "pad_token_id": 0}
        model.model.model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), **limits)

    found.seconds[STEP] = bench.time_step(decode, model.model.model.config.vocab_size)
    return found


def describe_difference(some: dict[int, Response], others: dict[int, Response]) -> str:
    """The root mean square of the differences of log-probabilities, or how many texts differ."""
    if not some or not others:
        return "-"
    if some[0].logprobs:
        squares = [(a - b) ** 2 for i in some for a, b in zip(some[i].logprobs, others[i].logprobs, strict=True)]
        return f"{(sum(squares) / len(squares)) ** 0.5:.2g} nats"
    return f"{sum(some[i].text != others[i].text for i in some)} of {len(some)} texts"


def measure_command(model: Path, device: str, limit: str, seconds: float) -> str:
    """The wall time of `score -t ifeval`, from the start of the program to its last score."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "harness", "score", str(model), "-t", "ifeval", "-o", folder, "--device", device]
        start = time.monotonic()
        try:
            run = subprocess.run(
                [*command, "--dtype", "bfloat16", *(["--limit", limit] if limit else [])],
                capture_output=True, text=True, check=False, timeout=seconds, env=os.environ | {"HF_HUB_OFFLINE": "1"},
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return f"not over after {seconds:.0f} s"
        if run.returncode:
            return f"failed: {(run.stderr.strip().splitlines() or ['without a word'])[-1]}"
        return f"{time.monotonic() - start:.1f} s"


def compare_model(label: str, place: Path, works: Works, bench: Bench) -> None:
    """The lines of one model."""
    sides: list[Measured] = []
    for measure in (measure_own, measure_official, measure_vllm):
        with bench.memory():
            sides.append(Measured(way="no time left") if bench.is_over else measure(place, works, bench))
    ours, theirs, third = sides
    for name in [*works, STEP]:
        is_known = name in theirs.seconds and name in ours.seconds
        ratio = f"{theirs.seconds[name] / ours.seconds[name]:.1f} x" if is_known else "-"
        count = len(works.get(name, ())) or bench.step[0]
        goal = STEP_GOAL if name == STEP and label == "real" else f"{GOALS.get(name, {}).get(label, '-')} x".replace("- x", "-")
        apart = describe_difference(ours.answers.get(name, {}), theirs.answers.get(name, {}))
        cells = (label, name, count, goal, ours.show(name), third.show(name), theirs.show(name), ratio, apart, ours.way)
        print("| " + " | ".join(map(str, cells)) + " |", flush=True)


def write_random(folder: Path, size: str, tokenizer: Path, device: str) -> Path:
    """A random Llama of that size in bfloat16, with the tokenizer of another model."""
    words = transformers.AutoTokenizer.from_pretrained(tokenizer)
    config = transformers.LlamaConfig(vocab_size=len(words), max_position_embeddings=8192, eos_token_id=words.eos_token_id,
                                      pad_token_id=words.pad_token_id, **SHAPES[size])  # fmt: skip
    with torch.device(device):
        transformers.set_seed(0)
        model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


def make_works(rows: Path, is_quick: bool) -> Works:
    counts = QUICK if is_quick else QUESTIONS
    works = {name: make_workload(name, rows, count, REAL_NEW_TOKENS).requests for name, count in counts.items()}
    return {n: [r if r.choices else replace(r, max_tokens=8 if is_quick else NEW_TOKENS) for r in w] for n, w in works.items()}


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=os.environ.get("SKILLDELTA_MODEL", ""), help="folder of the real model")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--sizes", default="real,1.2B,8B")
    parser.add_argument("--seconds", type=float, default=420, help="nothing is begun after so many")
    parser.add_argument("--quick", action="store_true")
    return parser.parse_args()


def main() -> None:
    options = read_arguments()
    if options.device.startswith("cuda") and not torch.cuda.is_available():
        print("There is no GPU here: nothing was measured.  `--device cpu --quick` tries the script itself.")
        return
    rows, real = Path(os.environ.get("SKILLDELTA_DATA", "../shared/data")), Path(options.model) if options.model else None
    step = QUICK_STEP if options.quick else (STEP_ROWS, STEP_PROMPT, STEP_LENGTHS)
    bench = Bench(options.device, time.monotonic() + options.seconds, step)
    versions = (
        f"torch {torch.__version__}, transformers {transformers.__version__}, vLLM {vllm_version() if has_vllm() else 'none'}"
    )
    print(f"{describe_devices()}; {versions}; bfloat16\n\n{HEAD}", flush=True)
    works = make_works(rows, options.quick)
    with tempfile.TemporaryDirectory() as folder:
        tokenizer = real if real and not options.quick else write_model(Path(folder) / "small", rows, "1M")
        for size in ["small"] if options.quick else options.sizes.split(","):
            if bench.is_over or (size == "real" and real is None):
                print(f"| {size} | left out: {'no time left' if bench.is_over else '--model names no folder'} |" + 8 * " |")
                continue
            place = write_random(Path(folder) / size, size, tokenizer, options.device) if size in SHAPES else tokenizer
            compare_model(size, place, works, bench)
            if size in ("real", "small"):
                seconds = measure_command(place, options.device, "2" if options.quick else "", bench.time_for(COMMAND_S))
                count = 2 if options.quick else 541
                print(
                    f"| {size} | ifeval, whole command | {count} | {IFEVAL_GOAL} | {seconds} | - | not asked | - | - | |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
