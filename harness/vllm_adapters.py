"""Which adapters vLLM takes: plain LoRA on a whole model, up to a rank."""

from __future__ import annotations

from pathlib import Path

from harness.bounded_files import read_json
from harness.integrity import ADAPTER_CONFIG
from harness.types import Checkpoint, SkilldeltaError
from harness.visible_text import printable

LORA_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)  # the sizes of vLLM's buffers for adapters


def adapter_rank(checkpoint: Checkpoint) -> int:
    """The rank of vLLM's buffers that a checkpoint's adapter needs; 0 without one.  Raises SkilldeltaError for other kinds."""
    if not checkpoint.base:
        return 0
    if checkpoint.adapters:
        raise SkilldeltaError(
            f"{checkpoint.path} is an adapter of an adapter, which vLLM does not take.  Use --backend transformers."
        )
    folder = Path(checkpoint.path)
    if kind := find_foreign_kind(folder):
        raise SkilldeltaError(
            f"{checkpoint.path} is an adapter that vLLM does not take: {kind}.\n"
            "Use --backend transformers, which has all of peft's."
        )
    rank = int(read_json(folder / ADAPTER_CONFIG)["r"])
    if rank > LORA_RANKS[-1]:
        raise SkilldeltaError(
            f"{checkpoint.path} has rank {rank}: vLLM takes up to {LORA_RANKS[-1]}.  Use --backend transformers."
        )
    return next(size for size in LORA_RANKS if size >= rank)


def find_foreign_kind(folder: Path) -> str:
    """What an adapter is that vLLM does not take; "" for a plain LoRA."""
    from harness.loading.adapters import is_plain_adapter  # peft takes a second, and most checkpoints need none

    settings = read_json(folder / ADAPTER_CONFIG)
    if settings.get("peft_type") != "LORA":
        return printable(str(settings.get("peft_type")))
    kinds = [
        name for name in ("use_dora", "lora_bias", "modules_to_save", "alpha_pattern", "rank_pattern") if settings.get(name)
    ]
    if kinds or is_plain_adapter(folder):
        return ", ".join(kinds)
    method = printable(str(settings.get("init_lora_weights")))
    return f"it changes its base (init_lora_weights {method}, or tensors of the base among its own)"
