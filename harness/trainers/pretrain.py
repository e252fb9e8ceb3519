"""Pre-training of a small model from nothing: a tokenizer and random weights, then the likelihood of whole texts."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from harness.data import read
from harness.trainers import sft
from harness.training import parallel
from harness.training.needs import Needs
from harness.types import Checkpoint, SkilldeltaError

SPECIAL = ("<|pad|>", "<|end|>", "<|user|>", "<|assistant|>")
SPECIAL_TEXT = re.compile("|".join(map(re.escape, SPECIAL)))  # tokens already: not to be learnt from
TEMPLATE = (
    "{% for m in messages %}{{ '<|' + m['role'] + '|>' + m['content'] }}"
    "{% if m['role'] == 'assistant' %}{{ eos_token }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)

NEEDS = Needs(stage="pre-train a base model", data="texts", makes="base model")


@dataclass(frozen=True)
class PretrainConfig(sft.SFTConfig):
    """A small Llama.  The defaults learn fast at this size: wide initial weights, few rows a step, a short rotary base."""

    vocabulary: int = 1024
    hidden: int = 64
    layers: int = 3
    heads: int = 4
    feedforward: int = 192
    window: int = 256
    initial: float = 0.1  # deviation of the initial weights
    rotary_base: float = 200.0
    lr: float = 5e-3
    lr_end: float = 0.1
    batch: int = 24
    epochs: float = 1.0
    max_length: int = 128


def train(config: PretrainConfig) -> Checkpoint:
    """Makes tokenizer and weights from the texts in `data`, and trains them: `out` is then an ordinary run folder."""
    if config.model:
        raise SkilldeltaError("Pre-training starts from nothing: leave --model out, or use `train sft` to go on from a model.")
    parallel.join()
    blank = Path(config.out) / "blank"
    if parallel.first() and not (blank / "config.json").exists():
        make(config, blank)
    parallel.wait()
    names = {f.name for f in fields(sft.SFTConfig)}
    plain = sft.SFTConfig(**{f.name: getattr(config, f.name) for f in fields(config) if f.name in names})
    return sft.train(replace(plain, model=str(blank)))


def make(config: PretrainConfig, folder: Path) -> None:
    """A random model with a byte-level BPE tokenizer that has learnt from the first texts of the data.

    Digits are not split: a number that is frequent is one token.
    """
    words = Tokenizer(models.BPE())
    words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    words.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=config.vocabulary,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    words.train_from_iterator(texts(config.data), trainer)
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=words,
        pad_token=SPECIAL[0],
        eos_token=SPECIAL[1],
        additional_special_tokens=list(SPECIAL[2:]),
        chat_template=TEMPLATE,
    )
    shape = transformers.LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=config.hidden,
        intermediate_size=config.feedforward,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        num_key_value_heads=config.heads,
        max_position_embeddings=config.window,
        initializer_range=config.initial,
        rope_parameters={"rope_type": "default", "rope_theta": config.rotary_base},
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
    )
    torch.manual_seed(config.seed)
    transformers.utils.logging.disable_progress_bar()
    model: Any = transformers.LlamaForCausalLM(shape)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def texts(files: tuple[str, ...]) -> Iterator[str]:
    """The texts of the rows, and after them the numbers up to 30 often enough to be tokens of their own."""
    for file in files:
        for row in read(Path(file)):
            if "text" not in row:
                raise SkilldeltaError(f"A row of {file} has no text; it has: {', '.join(row)}.  {json.dumps(row)[:80]}")
            yield from filter(None, SPECIAL_TEXT.split(str(row["text"])))
    for number in range(31):
        yield from [f" {number}", str(number)] * 2000  # within a text, and at the beginning of one
