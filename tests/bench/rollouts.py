"""Answers sampled while a policy is trained: tokens per second here, and by transformers' generate at its best batch size."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from harness.training.sampling import SamplingSettings, sample_answers
from tasks import gsm8k
from tests.support import tiny

SHAPES = {"0.2M": (1024, 64, 3, 192), "18M": (16384, 384, 7, 1024)}  # vocabulary, width, layers, inner
ANSWERS, NEW = 256, 64
BATCHES = (64, 128, 256)
LIKELY = 0.04  # of the end token after each token, as answers of 24 tokens have it


class Ending:
    """Makes the end token as likely as LIKELY, whatever a random model says."""

    def __init__(self, model: Any, end: int) -> None:
        self.end, self.handle = end, model.lm_head.register_forward_hook(self.lift)

    def lift(self, _: Any, __: Any, logits: torch.Tensor) -> torch.Tensor:
        others = logits.logsumexp(-1)
        logits[..., self.end] = others + torch.tensor(LIKELY / (1 - LIKELY)).log()
        return logits


def generate(model: Any, prompts: Sequence[list[int]], end: int, rows: int) -> int:
    """Tokens that transformers' generate says."""
    said = 0
    for start in range(0, len(prompts), rows):
        part = prompts[start : start + rows]
        width = max(map(len, part))
        ids = torch.tensor([[0] * (width - len(p)) + p for p in part])
        seen = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in part])
        out = model.generate(
            ids, attention_mask=seen, max_new_tokens=NEW, do_sample=True, top_k=0, eos_token_id=end, pad_token_id=0
        )[:, width:]
        ended = out == end
        first = torch.where(ended.any(1), ended.int().argmax(1) + 1, out.shape[1])
        said += int(first.sum())
    return said


def rate(run: Any) -> float:
    start = time.process_time()
    said = run()
    return float(said / (time.process_time() - start))


def line(name: str, texts: Sequence[str], rounds: int) -> str:
    vocabulary, width, layers, inner = SHAPES[name]
    heads = max(4, width // 64)
    with tempfile.TemporaryDirectory() as folder:
        place = tiny.llama(
            Path(folder), window=512, texts=tuple(texts), vocabulary=vocabulary, hidden_size=width, num_hidden_layers=layers,
            intermediate_size=inner, num_attention_heads=heads, num_key_value_heads=heads,
        )  # fmt: skip
        model: Any = AutoModelForCausalLM.from_pretrained(place, dtype=torch.float32).eval()
        words = AutoTokenizer.from_pretrained(place)
    end = words.eos_token_id
    prompts = [words(t[: 40 + 7 * i % 120])["input_ids"] for i, t in enumerate(texts[:ANSWERS])]
    Ending(model, end)

    def ours() -> int:
        return sum(len(a.ids) for a in sample_answers(model, prompts, SamplingSettings(end=end, max_new=NEW)))

    ours()
    first = {b: rate(lambda b=b: generate(model, prompts, end, b)) for b in BATCHES}
    batch = max(first, key=first.__getitem__)
    runs = [(rate(ours), rate(lambda: generate(model, prompts, end, batch))) for _ in range(rounds)]
    mine, theirs = (statistics.median(r[i] for r in runs) for i in (0, 1))
    ratio = statistics.median(m / t for m, t in runs)
    return f"rollouts, {name}: {ratio:.1f} x ({mine:.0f} tokens a second here, {theirs:.0f} by generate, batch {batch})"


def main(rows: Path, rounds: int) -> None:
    torch.set_num_threads(1)
    texts = [str(r["question"]) for r in gsm8k.rows(rows)]
    print()
    for name in SHAPES:
        print(line(name, texts, rounds), flush=True)
