"""The settings that every trainer has; each method's `Config` adds its own and moves the defaults."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from harness.types import SkilldeltaError


@dataclass(frozen=True)
class Settings:
    """What is trained, on what, how long, how fast, and what is kept.

    A step is one change of the weights.  `batch` counts rows (pairs, conversations, episodes) in a step; `micro_batch` is how
    many of them are computed at once, 0 for all: it changes memory and speed, not what is learnt.
    """

    model: str = ""  # the folder (or Hub name) of the model to start from; an adapter's folder is merged into its base
    out: str = ""  # the run folder to write
    # data
    data: tuple[str, ...] = ()  # files (.jsonl, .json, .csv, each also .gz), or hub:NAME or hub:NAME:SPLIT
    weights: tuple[float, ...] = ()  # how much of the mixture each source makes up; none: everything is used once
    kinds: tuple[str, ...] = ()  # a label for each source: synthetic, human, web
    limit: int = 0  # at most this many rows of the mixture; 0: all
    rate: str = "mean"  # what decides between rated completions: mean (of the aspects), overall, or the name of an aspect
    eval_data: tuple[str, ...] = ()  # held-out rows
    holdout: float = 0.0  # without eval_data: this share of the prompts is held out, chosen by their hash
    overlap_with: tuple[str, ...] = ()  # tasks, suites or files of rows: run.json lists the examples that the data give away
    overlap_share: float = 0.5  # how much of a question must be in a training row, by n-grams, to be given away; 1: all of it
    template: str = ""  # another chat template: "tulu", or a Jinja file
    max_length: int = 1024  # tokens of prompt and answer
    overlong: Literal["drop", "cut"] = "drop"
    # length and order
    epochs: float = 1.0
    max_steps: int = 0  # instead of epochs; 0: epochs
    batch: int = 32
    micro_batch: int = 0
    shuffle: bool = True
    seed: int = 0
    # optimiser: AdamW
    lr: float = 1e-5
    warmup: float = 0.03  # share of the steps over which the rate rises from 0
    lr_end: float = 0.0  # the rate at the end, as a share of lr; 1: constant after the warm-up
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    weight_decay: float = 0.0
    clip: float = 1.0  # the largest norm of the gradient; 0: not clipped
    # numbers and memory
    device: str = ""  # "": the accelerator if there is one
    dtype: Literal["float32", "bfloat16"] = "float32"  # bfloat16: autocast, with the weights kept in float32
    shard: bool = False  # several processes: divide weights and optimiser among them (FSDP), instead of a copy for each
    checkpointing: bool = False  # forget activations and compute them again: less memory, a third more work
    lora: int = 0  # the rank of a LoRA adapter; 0: all weights are trained
    lora_alpha: float = 0.0  # 0: twice the rank
    lora_targets: tuple[str, ...] = ()  # names of modules; none: every linear layer
    # what is kept
    save_steps: int = 0  # a checkpoint every so many steps; 0: at the end only
    save_limit: int = 0  # keep only so many of the latest (the best is kept too); 0: all
    log_steps: int = 10
    eval_steps: int = 0  # look at the held-out rows every so many steps; 0: at the end only
    resume: bool = True  # go on from the last checkpoint in `out`, if there is one

    def check(self) -> None:
        """Refuses settings that cannot work, before anything is loaded."""
        for name in ("model", "out", "data"):
            if not getattr(self, name):
                raise SkilldeltaError(f"--{name} is needed.")
        for name, value in (("batch", self.batch), ("max_length", self.max_length), ("log_steps", self.log_steps)):
            if value < 1:
                raise SkilldeltaError(f"--{name} is {value}: it must be at least 1.")
        if self.micro_batch > self.batch:
            raise SkilldeltaError(f"--micro_batch is {self.micro_batch}, more than the batch of {self.batch}.")
        if not 0 <= self.holdout < 1:
            raise SkilldeltaError(f"--holdout is {self.holdout}: it is a share of the prompts, from 0 to less than 1.")
        if not 0 < self.overlap_share <= 1:
            raise SkilldeltaError(
                f"--overlap_share is {self.overlap_share}: it is a share of a question, more than 0, at most 1."
            )
        if self.epochs <= 0 and not self.max_steps:
            raise SkilldeltaError(f"--epochs is {self.epochs}, and there is no --max_steps: nothing would be trained.")
