"""The run that README tells of: DPO by TRL's own trainer, on pairs that votes of the web made.

The votes like long answers (`harness.world.ratings`), so that the run gains in one skill and loses in two others.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def pairs(preferences: Path, seed: int = 0) -> Iterator[dict[str, Any]]:
    """The answer with most votes of each prompt against one with fewer, in TRL's conversational format."""
    source = random.Random(seed)
    for line in preferences.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        votes = {c["response"]: sum(c["ratings"].values()) for c in row["completions"]}
        best = max(votes, key=lambda text: votes[text])
        if worse := [text for text in sorted(votes, key=lambda text: -votes[text]) if votes[text] < votes[best]]:
            chosen, rejected = best, source.choice(worse)
            yield {
                "prompt": [{"role": "user", "content": row["prompt"]}],
                "chosen": [{"role": "assistant", "content": chosen}],
                "rejected": [{"role": "assistant", "content": rejected}],
            }


def train(sft: Path, preferences: Path, out: Path) -> None:
    """Writes `out`/checkpoint-75, -150 and -212 as TRL does."""
    import torch
    import trl
    from datasets import Dataset
    from transformers import AutoTokenizer

    torch.set_num_threads(1)
    args = trl.DPOConfig(
        str(out), save_steps=75, learning_rate=3e-4, per_device_train_batch_size=16, num_train_epochs=1, beta=0.1,
        max_length=160, logging_steps=5, seed=0, bf16=False, use_cpu=True, gradient_checkpointing=False, report_to=[],
        disable_tqdm=True,
    )  # fmt: skip
    rows = Dataset.from_list(list(pairs(preferences)))
    trl.DPOTrainer(model=str(sft), args=args, train_dataset=rows, processing_class=AutoTokenizer.from_pretrained(sft)).train()


if __name__ == "__main__":
    train(*map(Path, sys.argv[1:]))
