"""The settings that every trainer has; each method's config class adds its own and changes defaults."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from harness.shares import check_share
from harness.types import SkilldeltaError

COUNTS = (0, 10**12)
BELOW_1 = math.nextafter(1.0, 0.0)
RANGES: dict[str, tuple[float, float]] = {  # of numbers that are no counts, and of a rank, which no layer has larger
    "seed": (-(2**63), 2**63 - 1),
    "lora": (0, 1 << 16),
    **dict.fromkeys(("beta1", "beta2"), (0, BELOW_1)),
    **dict.fromkeys(("eps", "weight_decay", "clip", "lora_alpha"), (0, math.inf)),
    # Of single methods.  Below these a loss is turned round: it prefers what raters rejected, or gains by what it should avoid.
    **dict.fromkeys(("nll", "gamma", "center", "desirable", "undesirable", "kl", "kl_target", "kl_stop"), (0, math.inf)),
    **dict.fromkeys(("clip_ratio", "clip_high", "clip_value", "value_lr"), (0, math.inf)),
    **dict.fromkeys(("lam", "strangers"), (0, 1)),
    "smoothing": (0, 0.5),
    # Without one of these nothing is sampled, or nothing is learnt of it.
    **dict.fromkeys(("inner_epochs", "max_new", "rollouts", "kl_horizon"), (1, COUNTS[1])),
}
POSITIVE = ("beta",)


@dataclass(frozen=True)
class TrainerSettings:
    """The model, the data, the length and speed of training, and the checkpoints that stay.

    A step is one change of the weights.  `batch` counts the rows of a step (pairs, conversations or episodes).  The comment
    after a field is its line in `skilldelta train METHOD --help`.
    """

    model: str = ""  # the folder (or Hub name) of the model to start from; an adapter is merged into its base
    base: str = ""  # the base of adapters whose base is not where they say: a folder or a Hub name
    tokenizer: str = ""  # the folder of another tokenizer than the model's own
    out: str = ""  # the run folder to write
    # data
    data: tuple[str, ...] = ()  # files (.jsonl, .json, .csv, also .gz or .zst; .parquet), hub:SET[:SPLIT] or hub:OWNER/SET/FILE
    weights: tuple[float, ...] = ()  # the share of each source in the mixture; none: every row is used once
    kinds: tuple[str, ...] = ()  # a label for each source: synthetic, human, web
    limit: int = 0  # the most rows of the mixture; 0: all
    ignore_columns: tuple[str, ...] = ()  # columns that are no part of what the model reads or writes
    chat: bool = False  # a prompt and answers of plain text become turns of the chat template; false: they stay plain text
    rate: str = "mean"  # the rating that orders completions: mean (of the aspects), overall, or the name of an aspect
    eval_data: tuple[str, ...] = ()  # files of held-out rows
    holdout: float = 0.0  # without --eval-data: the share of the prompts to hold out, chosen by their hash
    overlap_with: tuple[str, ...] = ()  # tasks, suites or files of rows: run.json lists the examples that the data contain
    overlap_share: float = 0.5  # the share of a question that a training row must repeat, by n-grams; 1: all of it
    template: str = ""  # another chat template: "tulu", or a Jinja file
    max_length: int = 1024  # tokens of prompt and answer
    overlong: Literal["drop", "cut"] = "drop"  # what happens to longer rows
    # length and order
    epochs: float = 1.0  # passes over the data
    max_steps: int = 0  # the number of steps, instead of epochs; 0: epochs
    batch: int = 32  # rows in a step
    micro_batch: int = 0  # rows computed at once (0: all): it changes memory and speed, not the result
    shuffle: bool = True  # a new order of the rows in each epoch
    seed: int = 0  # decides the order, new weights and sampled answers
    # optimiser: AdamW
    lr: float = 1e-5  # the largest learning rate
    warmup: float = 0.03  # the share of the steps over which the learning rate rises from 0
    lr_end: float = 0.0  # the learning rate at the end, as a share of --lr; 1: constant after the warm-up
    beta1: float = 0.9  # AdamW's decay of the mean of the gradients
    beta2: float = 0.999  # AdamW's decay of the mean of their squares
    eps: float = 1e-8  # AdamW's term against division by zero
    weight_decay: float = 0.0  # AdamW's decoupled weight decay
    clip: float = 1.0  # the largest norm of the gradient; 0: no clipping
    # numbers and memory
    device: str = ""  # cpu, cuda, cuda:1, mps; "": the accelerator if there is one
    dtype: Literal["float32", "bfloat16"] = "float32"  # bfloat16: autocast, with the weights kept in float32
    shard: bool = False  # divide weights and optimiser among the processes (FSDP), instead of a copy for each
    checkpointing: bool = False  # recompute activations in the backward pass: less memory, a third more work
    lora: int = 0  # the rank of a LoRA adapter; 0: train all weights
    lora_alpha: float = 0.0  # the scale of the adapter; 0: twice the rank
    lora_targets: tuple[str, ...] = ()  # names of the adapted modules; none: every linear layer
    # checkpoints
    save_steps: int = 0  # write a checkpoint every so many steps; 0: only at the end
    save_limit: int = 0  # the number of latest checkpoints to keep (the best one stays too); 0: all
    log_steps: int = 10  # log every so many steps
    eval_steps: int = 0  # evaluate the held-out rows every so many steps; 0: only at the end
    resume: bool = True  # continue from the last checkpoint in --output, if there is one

    def mandatory(self) -> tuple[str, ...]:
        """The settings that have no default."""
        return ("model", "out", "data")

    def check_numbers(self) -> None:
        """Raises SkilldeltaError for a value that is no finite number, and for shares of sources that make no mixture."""
        for name, value in vars(self).items():
            numbers = value if isinstance(value, tuple) else (value,)
            if any(isinstance(number, float) and not math.isfinite(number) for number in numbers):
                raise SkilldeltaError(f"--{name.replace('_', '-')} is {','.join(map(str, numbers))}: it takes finite numbers.")
        if self.lr < 0:
            raise SkilldeltaError(f"--lr is {self.lr}: it must be at least 0.")
        if self.weights and (min(self.weights) < 0 or not any(self.weights)):
            raise SkilldeltaError(
                f"--weights is {','.join(map(str, self.weights))}: the share of a source is at least 0, and of one it is more."
            )

    def check_ranges(self) -> None:
        """Raises SkilldeltaError for a number outside what it can mean: a negative count trains or keeps nothing."""
        for name, value in vars(self).items():
            least, most = RANGES.get(name, COUNTS if type(value) is int else (-math.inf, math.inf))
            if isinstance(value, int | float) and not least <= value <= most:
                digits = f"{str(value)[:20]}..." if len(str(value)) > 20 else value
                bound = f"at least {least}" if value < least else f"at most {most}"
                raise SkilldeltaError(f"--{name.replace('_', '-')} is {digits}: it must be {bound}.")
            if name in POSITIVE and value <= 0:
                raise SkilldeltaError(f"--{name} is {value}: it must be above 0.")

    def check(self) -> None:
        """Raises SkilldeltaError for settings that cannot work, before anything is loaded."""
        for name in self.mandatory():
            if not getattr(self, name):
                raise SkilldeltaError(f"--{name} is missing.")
        for name, value in (("batch", self.batch), ("max-length", self.max_length), ("log-steps", self.log_steps)):
            if value < 1:
                raise SkilldeltaError(f"--{name} is {value}: it must be at least 1.")
        self.check_numbers()
        self.check_ranges()
        if self.micro_batch > self.batch:
            raise SkilldeltaError(f"--micro-batch is {self.micro_batch}, more than the batch of {self.batch}.")
        check_share("--overlap-share", self.overlap_share)
        if self.holdout:  # 0: nothing is held out
            check_share("--holdout", self.holdout, may_be_all=False)
        for name, share in (("warmup", self.warmup), ("lr-end", self.lr_end)):
            if share:  # 0: no warm-up; down to nothing
                check_share(f"--{name}", share)
        self.check_effects()
        if self.epochs <= 0 and not self.max_steps:
            raise SkilldeltaError(f"--epochs is {self.epochs}, and there is no --max-steps: there is no step to train.")

    def check_effects(self) -> None:
        """Raises SkilldeltaError for a setting that the others leave without effect: somebody counts on it."""
        for name in ("lora_alpha", "lora_targets"):
            if getattr(self, name) and not self.lora:
                raise SkilldeltaError(
                    f"--{name.replace('_', '-')} is for an adapter, and without --lora all weights are trained: give the "
                    "adapter its rank, such as --lora 16, or leave it out."
                )
        if self.eval_data and self.holdout:
            raise SkilldeltaError("--eval-data and --holdout both say which rows are held out: leave one of them out.")
