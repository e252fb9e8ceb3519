"""Training steps per CPU second: the trainers here against TRL's, on the same model, rows and batches, interleaved.

    python tests/bench/trainers.py [--rounds 3] [--steps 40] [--size small|large] [--only sft,reward,...]
    python tests/bench/trainers.py --model FOLDER --pairs FILE --only sft,reward,dpo,grpo --steps 6   a real model on real pairs

Counted is the CPU time of training itself, on one thread: TRL's from on_train_begin to on_train_end, without checkpoints;
ours the phases update and reference.  Loading, tokenising and saving are left out on both sides.  PPO is measured where a TRL
that still has a PPOTrainer is installed in a folder of its own:

    pip install --no-deps --target build/trl-ppo 'trl==1.10.0'
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
for name, value in (("OMP_NUM_THREADS", "1"), ("TOKENIZERS_PARALLELISM", "false"), ("TRL_EXPERIMENTAL_SILENCE", "1")):
    os.environ.setdefault(name, value)

WARM = 150  # steps of fine-tuning before anything is measured
SIZES = {"small": (64, 3, 192), "large": (256, 6, 768)}
# Rows of a step: fewer of a real model.  The variable reaches the processes of the single runs.
BATCH = int(os.environ.setdefault("BENCH_BATCH", "4" if "--model" in sys.argv else "16"))
REAL_LENGTH = 256  # tokens of the longest sequence that a real model is trained on
PPO_TRL = ROOT / "build/trl-ppo"
WORDS = re.findall(
    r"\w+", "the a one two red blue sum of is was has more less than and or not cat dog sun how many what why answer"
)


def row(draw: random.Random) -> dict[str, Any]:
    """A pair about as long as short chat: 8 to 24 words asked, 2 to 24 answered."""

    def said(low: int, high: int) -> str:
        return " ".join(draw.choice(WORDS) for _ in range(draw.randint(low, high)))

    asked = [{"role": "user", "content": said(8, 24)}]
    chosen, rejected = said(2, 24), said(2, 24)
    return {
        "prompt": asked,
        "chosen": [{"role": "assistant", "content": chosen}],
        "rejected": [{"role": "assistant", "content": rejected + " no"}],
        "completion": [{"role": "assistant", "content": chosen}],
    }


COLUMNS = {"sft": ("prompt", "completion"), "reward": ("prompt", "chosen", "rejected"), "dpo": ("prompt", "chosen", "rejected")}


def prepare(folder: Path, size: str, steps: int) -> None:
    """The model, the reward model and the rows, on disk."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, LlamaForSequenceClassification

    from harness.trainers import sft
    from tests.support.training_toy import tokenizer

    torch.manual_seed(0)
    draw = random.Random(0)
    rows = [row(draw) for _ in range(max(steps, WARM) * BATCH)]
    words, (width, layers, inner) = tokenizer([" " + r["completion"][0]["content"] for r in rows]), SIZES[size]
    config = LlamaConfig(
        vocab_size=768, hidden_size=width, intermediate_size=inner, num_hidden_layers=layers, num_attention_heads=4,
        num_key_value_heads=4, max_position_embeddings=256, tie_word_embeddings=True,
        pad_token_id=0, eos_token_id=1, bos_token_id=None,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder / "base")
    config.num_labels = 1
    LlamaForSequenceClassification(config).save_pretrained(folder / "judge")
    for name in ("base", "judge"):
        words.save_pretrained(folder / name)
    for method, columns in COLUMNS.items():
        text = "".join(json.dumps({c: r[c] for c in columns}) + "\n" for r in rows)
        (folder / f"{method}.jsonl").write_text(text)
    (folder / "ppo.jsonl").write_text("".join(json.dumps({"prompt": r["prompt"]}) + "\n" for r in rows))
    # A model that has been tuned for a moment ends its answers, as every policy does that PPO begins from.
    shots = (str(folder / "sft.jsonl"),)
    warm = sft.SFTConfig(model=str(folder / "base"), data=shots, out=str(folder / "warm"), lr=2e-3, batch=BATCH, max_steps=WARM)
    Path(sft.train(warm).path).rename(folder / "model")


def prepare_real(folder: Path, model: str, pairs: str, steps: int) -> int:
    """A real model and real pairs of at most REAL_LENGTH tokens on disk, in each method's columns; returns how many."""
    from harness.training.messages import UnusableRowError
    from harness.training.parse_settings import ParseSettings
    from harness.training.preferences import parse_pair
    from harness.training.source_rows import raw_rows
    from harness.training.tokenization import Encoder, load_tokenizer

    (folder / "model").symlink_to(Path(model).resolve())
    write_judge(model, folder / "judge")
    encoder = Encoder(load_tokenizer(model), REAL_LENGTH)
    parsed = []
    for raw in raw_rows(pairs)[0]:
        try:
            parsed.append(parse_pair(raw, ParseSettings(chat=True)))
        except UnusableRowError:
            continue
    fitting = [pair for pair, _ in encoder.fitting_pairs(parsed)][: steps * BATCH]
    if not fitting:
        raise SystemExit(f"{pairs} holds no pair of at most {REAL_LENGTH} tokens.")
    for method, columns in COLUMNS.items():
        lines = []
        for pair in fitting:
            sides = {"prompt": pair.prompt, "chosen": pair.chosen, "rejected": pair.rejected, "completion": pair.chosen}
            turns = {c: [{"role": m.role, "content": m.content} for m in sides[c]] for c in columns}
            lines.append(json.dumps(turns) + "\n")
        (folder / f"{method}.jsonl").write_text("".join(lines))
    prompts = [{"prompt": [{"role": m.role, "content": m.content} for m in pair.prompt]} for pair in fitting]
    (folder / "ppo.jsonl").write_text("".join(json.dumps(p) + "\n" for p in prompts))
    return len(fitting)


def write_judge(model: str, folder: Path) -> None:
    """A reward model of the same size, whose head knows nothing: what it says costs as much as if it knew."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    AutoModelForSequenceClassification.from_pretrained(model, num_labels=1).save_pretrained(folder)
    AutoTokenizer.from_pretrained(model).save_pretrained(folder)


def ours(method: str, folder: Path, steps: int) -> float:
    """CPU seconds of our run."""
    from harness import registry
    from harness.config import settings_class
    from harness.training import costs

    costs.time = SimpleNamespace(perf_counter=time.process_time)  # type: ignore[attr-defined]
    module = registry.module("trainers", method)
    more: dict[str, Any] = {"samples": 0} if method == "reward" else {}
    with tempfile.TemporaryDirectory() as out:
        config = settings_class(module)(
            model=str(folder / "model"), data=(str(folder / f"{method}.jsonl"),), out=out, batch=BATCH, lr=1e-5,
            max_steps=steps, shuffle=False, resume=False, **more,
        )  # fmt: skip
        module.train(config)
        seconds = json.loads((Path(out) / "run.json").read_text())["seconds"]
    return float(seconds["update"] + seconds.get("reference", 0.0))


def theirs(method: str, folder: Path, steps: int) -> float:
    """CPU seconds of TRL's run."""
    import transformers
    import trl
    from datasets import Dataset
    from transformers import AutoTokenizer, TrainerCallback

    class Clock(TrainerCallback):  # type: ignore[misc]
        spent = 0.0

        def on_train_begin(self, *_: Any, **__: Any) -> None:
            self.spent = -time.process_time()

        def on_train_end(self, *_: Any, **__: Any) -> None:
            self.spent += time.process_time()

    name = {"sft": "SFT", "dpo": "DPO", "reward": "Reward"}[method]
    rows = [json.loads(line) for line in (folder / f"{method}.jsonl").read_text().splitlines()]
    clock = Clock()
    with tempfile.TemporaryDirectory() as out:
        settings = getattr(trl, f"{name}Config")(
            output_dir=out, max_steps=steps, per_device_train_batch_size=BATCH, learning_rate=1e-5, report_to=[], bf16=False,
            gradient_checkpointing=False, use_cpu=True, disable_tqdm=True, save_strategy="no",
            train_sampling_strategy="sequential",
        )  # fmt: skip
        kind = "AutoModelForSequenceClassification" if method == "reward" else "AutoModelForCausalLM"
        extra = {"num_labels": 1} if method == "reward" else {}
        model = getattr(transformers, kind).from_pretrained(folder / "model", **extra)
        trainer = getattr(trl, f"{name}Trainer")(
            model=model, args=settings, train_dataset=Dataset.from_list(rows),
            processing_class=AutoTokenizer.from_pretrained(folder / "model"), callbacks=[clock],
        )  # fmt: skip
        trainer.train()
    return clock.spent


EPISODES, MINI, NEW = 64, 32, 48
ANSWERS, GROUP = (8 if BATCH == 4 else 64), 4  # of a step of GRPO, and to each prompt


def ours_with_rollouts(method: str, folder: Path, steps: int) -> float:
    """CPU seconds of our PPO or GRPO, sampling and scoring included."""
    from harness import registry
    from harness.config import settings_class
    from harness.training import costs

    costs.time = SimpleNamespace(perf_counter=time.process_time)  # type: ignore[attr-defined]
    module = registry.module("trainers", method)
    more = {"batch": EPISODES, "minibatch": MINI} if method == "ppo" else {"batch": ANSWERS, "rollouts": GROUP}
    with tempfile.TemporaryDirectory() as out:
        config = settings_class(module)(
            model=str(folder / "model"), reward=str(folder / "judge"), data=(str(folder / "ppo.jsonl"),), out=out,
            lr=1e-5, max_steps=steps, max_new=NEW, temperature=1.0, resume=False, missing_end=-1.0, **more,
        )  # fmt: skip
        module.train(config)
        seconds = json.loads((Path(out) / "run.json").read_text())["seconds"]
    return float(sum(v for k, v in seconds.items() if k != "save"))


def their_ppo(folder: Path, steps: int) -> float:
    """CPU seconds of the last TRL PPOTrainer, in a process that sees the older TRL."""
    sys.path.insert(0, str(PPO_TRL))
    import torch
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer
    from trl.experimental.ppo import PPOConfig, PPOTrainer

    words = AutoTokenizer.from_pretrained(folder / "model", padding_side="left")
    rows = [json.loads(line) for line in (folder / "ppo.jsonl").read_text().splitlines()]
    asked = [words.apply_chat_template(r["prompt"], add_generation_prompt=True, return_dict=False) for r in rows]
    policy, reference = (AutoModelForCausalLM.from_pretrained(folder / "model", dtype=torch.float32) for _ in range(2))
    judge, value = (
        AutoModelForSequenceClassification.from_pretrained(folder / "judge", num_labels=1, dtype=torch.float32)
        for _ in range(2)
    )
    with tempfile.TemporaryDirectory() as out:
        settings = PPOConfig(
            output_dir=out, per_device_train_batch_size=MINI, gradient_accumulation_steps=1, num_mini_batches=EPISODES // MINI,
            local_rollout_forward_batch_size=MINI, total_episodes=EPISODES * steps, response_length=NEW, stop_token="eos",
            missing_eos_penalty=1.0, num_ppo_epochs=1, learning_rate=1e-5, report_to=[], bf16=False, use_cpu=True,
            gradient_checkpointing=False, num_sample_generations=0, save_strategy="no", temperature=1.0, disable_tqdm=True,
        )  # fmt: skip
        trainer = PPOTrainer(
            args=settings, processing_class=words, model=policy, ref_model=reference, reward_model=judge, value_model=value,
            train_dataset=Dataset.from_dict({"input_ids": asked}), eval_dataset=Dataset.from_dict({"input_ids": asked[:2]}),
        )  # fmt: skip
        start = time.process_time()
        trainer.train()
    return time.process_time() - start


def their_grpo(folder: Path, steps: int) -> float:
    """CPU seconds of TRL's GRPO with the same reward model."""
    import trl
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

    rows = [json.loads(line) for line in (folder / "ppo.jsonl").read_text().splitlines()]
    words = AutoTokenizer.from_pretrained(folder / "model", padding_side="left")
    judge = AutoModelForSequenceClassification.from_pretrained(folder / "judge", num_labels=1)
    with tempfile.TemporaryDirectory() as out:
        settings = trl.GRPOConfig(
            output_dir=out, max_steps=steps, per_device_train_batch_size=ANSWERS, num_generations=GROUP, beta=0.0,
            max_completion_length=NEW, temperature=1.0, learning_rate=1e-5, report_to=[], bf16=False, use_cpu=True,
            gradient_checkpointing=False, disable_tqdm=True, save_strategy="no",
        )  # fmt: skip
        trainer = trl.GRPOTrainer(
            model=AutoModelForCausalLM.from_pretrained(folder / "model"), reward_funcs=judge, args=settings,
            train_dataset=Dataset.from_list(rows), processing_class=words,
            reward_processing_classes=AutoTokenizer.from_pretrained(folder / "judge"),
        )  # fmt: skip
        start = time.process_time()
        trainer.train()
    return time.process_time() - start


SAMPLED = {"ppo": their_ppo, "grpo": their_grpo}  # methods that sample answers, with TRL's side
ROWS = 256


def rollout(side: str, folder: Path, answers: int) -> float:
    """CPU seconds of sampling so many answers: ours, or transformers' generate on the same prompts, 256 at once."""
    import torch

    from harness.training import policy_models
    from harness.training.conversations import parse_prompt
    from harness.training.parse_settings import ParseSettings
    from harness.training.sampling import SamplingSettings, sample_answers
    from harness.training.tokenization import Encoder, load_tokenizer

    model: Any = policy_models.load_model(policy_models.CAUSAL, str(folder / "model"))
    rows = [json.loads(line) for line in (folder / "ppo.jsonl").read_text().splitlines()]
    prompts = [parse_prompt(row, ParseSettings()).prompt for row in rows]
    known = Encoder(load_tokenizer(str(folder / "model")), 256).encode_prompts(prompts)
    asked = [known[i % len(known)] for i in range(answers)]
    start = time.process_time()
    if side == "ours":
        sample_answers(model, asked, SamplingSettings(end=1, max_new=NEW, rows=ROWS))
        return time.process_time() - start
    for first in range(0, answers, ROWS):
        part = asked[first : first + ROWS]
        width = max(map(len, part))
        ids = torch.tensor([[0] * (width - len(p)) + list(p) for p in part])
        seen = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in part])
        model.generate(ids, attention_mask=seen, max_new_tokens=NEW, do_sample=True, top_k=0, eos_token_id=1, pad_token_id=0)
    return time.process_time() - start


def one(side: str, method: str, folder: Path, steps: int) -> dict[str, float]:
    """One run in this process: CPU seconds, and the process's peak memory."""
    import torch

    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    if method == "rollout":
        spent = rollout(side, folder, steps * EPISODES)
    elif method in SAMPLED:
        spent = ours_with_rollouts(method, folder, steps) if side == "ours" else SAMPLED[method](folder, steps)
    else:
        spent = {"ours": ours, "trl": theirs}[side](method, folder, steps)
    return {"seconds": spent, "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def child(side: str, method: str, folder: Path, steps: int) -> dict[str, float]:
    """One run in a process of its own, so that neither side pays for the other's memory."""
    command = [sys.executable, __file__, "--child", side, "--only", method, "--folder", str(folder), "--steps", str(steps)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{side} {method} failed:\n{done.stderr[-2000:]}")
    found: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def main() -> None:
    reader = argparse.ArgumentParser()
    reader.add_argument("--rounds", type=int, default=3)
    reader.add_argument("--steps", type=int, default=40)
    reader.add_argument("--size", choices=SIZES, default="small")
    reader.add_argument("--only", default="sft,reward,dpo,rollout,grpo,ppo")
    reader.add_argument("--model", default="", help="a folder with a real model, instead of --size")
    reader.add_argument("--pairs", default="", help="a file of real pairs for it")
    reader.add_argument("--child", default="")
    reader.add_argument("--folder", default="")
    given = reader.parse_args()
    if given.child:
        print(json.dumps(one(given.child, given.only, Path(given.folder), given.steps)))
        return
    if given.model:
        with tempfile.TemporaryDirectory() as work:
            count = prepare_real(Path(work), given.model, given.pairs, given.steps)
            print(f"{given.model}: {count} pairs, {BATCH} a step; one thread; medians of {given.rounds} interleaved runs")
            for method in given.only.split(","):
                compare(method, Path(work), given.steps, given.rounds)
        return
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        prepare(folder, given.size, max(given.steps, given.steps // 4 * EPISODES // BATCH))
        print(f"{given.size}: width, layers, inner {SIZES[given.size]}; one thread; medians of {given.rounds} interleaved runs")
        for method in given.only.split(","):
            if method == "ppo" and not PPO_TRL.is_dir():
                print(f"ppo     left out: no TRL with a PPOTrainer in {PPO_TRL} (see the head of this file)")
                continue
            compare(method, folder, given.steps // 4 if method in ("ppo", "grpo", "rollout") else given.steps, given.rounds)


def compare(method: str, folder: Path, steps: int, rounds: int) -> None:
    """Prints one line: rates, the ratio of each round, memory."""
    runs = [{side: child(side, method, folder, steps) for side in ("ours", "trl")} for _ in range(rounds)]
    what, amount = {"ppo": ("episodes", steps * EPISODES), "rollout": ("answers", steps * EPISODES)}.get(
        method, ("steps", steps)
    )
    them = "in generate" if method == "rollout" else "in TRL"
    rate = {side: statistics.median(amount / r[side]["seconds"] for r in runs) for side in ("ours", "trl")}
    ratios = sorted(r["trl"]["seconds"] / r["ours"]["seconds"] for r in runs)
    memory = {side: statistics.median(r[side]["megabytes"] for r in runs) for side in ("ours", "trl")}
    print(
        f"{method:7} {rate['ours']:8.3g} {what}/CPU-s here, {rate['trl']:8.3g} {them}: {statistics.median(ratios):.2f} x "
        f"({ratios[0]:.2f} to {ratios[-1]:.2f}); peak {memory['ours']:.0f} and {memory['trl']:.0f} MB",
        flush=True,
    )


if __name__ == "__main__":
    main()
