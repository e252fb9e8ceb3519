"""Peak memory of one DPO step before and after chunks: log-probabilities from all logits at once, and chunk by chunk.

    python -m tests.bench.dpo_memory [--pairs 4] [--tokens 256] [--vocabulary 49152] [--hidden 576] [--layers 4]

Each side runs in a process of its own, on random weights; printed are the peak of the process above its start, and the seconds.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from typing import Any

SIDES = {"all logits at once": 1 << 60, "in chunks": 0}


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """One step: forward and backward passes of the pairs."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from harness.training import batches, forward, losses

    forward.CHUNK = options.chunk or forward.CHUNK
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=options.vocabulary, hidden_size=options.hidden, intermediate_size=3 * options.hidden,
        num_hidden_layers=options.layers, num_attention_heads=8, num_key_value_heads=4, tie_word_embeddings=True,
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    draw = torch.Generator().manual_seed(1)
    ids = torch.randint(5, options.vocabulary, (2 * options.pairs, options.tokens), generator=draw).tolist()
    batch = batches.pad_rows([batches.Tokens(tuple(row), 8) for row in ids], 0)
    forward.has_plain_head(model)
    start, clock = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    chosen, rejected = forward.answer_logps(forward.target_logps(model, batch), batch).chunk(2)
    losses.dpo(chosen - rejected, 0.01).mean().backward()  # type: ignore[no-untyped-call]
    seconds = time.perf_counter() - clock
    return {"megabytes": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - start) // 1024, "seconds": seconds}


def main() -> None:
    parser = argparse.ArgumentParser()
    for name, default in (("pairs", 4), ("tokens", 256), ("vocabulary", 49_152), ("hidden", 576), ("layers", 4), ("chunk", -1)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    if options.chunk >= 0:
        print(json.dumps(measure(options)))
        return
    for side, chunk in SIDES.items():
        command = [sys.executable, "-m", "tests.bench.dpo_memory", *sys.argv[1:], "--chunk", str(chunk)]
        result = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])
        print(f"{side:20} {result['megabytes']:8,} MB {result['seconds']:8.1f} s")


if __name__ == "__main__":
    main()
