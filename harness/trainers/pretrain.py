"""Pre-training of a small model from scratch: a tokenizer and random weights, then maximum likelihood of whole texts."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from harness.atomic_files import atomic_folder, write_json
from harness.bounded_files import read_json
from harness.data import read
from harness.file_hashes import hash_files
from harness.trainers import sft
from harness.training import parallel
from harness.training.needs import Needs
from harness.training.run_folder import latest_checkpoint
from harness.types import Checkpoint, SkilldeltaError

SPECIAL = ("<|pad|>", "<|end|>", "<|user|>", "<|assistant|>")
SPECIAL_TEXT = re.compile("|".join(map(re.escape, SPECIAL)))  # tokens already: the tokenizer must not learn their pieces
TEMPLATE = (
    "{% for m in messages %}{{ '<|' + m['role'] + '|>' + m['content'] }}"
    "{% if m['role'] == 'assistant' %}{{ eos_token }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)

RECORD = "pretraining.json"  # beside the random weights: what they were made from

NEEDS = Needs(stage="pre-train a base model", data="texts", makes="base model")


@dataclass(frozen=True)
class PretrainConfig(sft.SFTConfig):
    """A small Llama.  The defaults learn fast at this size: wide initial weights, few rows a step, a short rotary base."""

    vocabulary: int = 1024  # tokens
    hidden: int = 64  # width of the hidden states
    layers: int = 3  # transformer blocks
    heads: int = 4  # attention heads
    feedforward: int = 192  # width of the feed-forward layers
    window: int = 256  # the longest sequence, in tokens
    initial: float = 0.1  # deviation of the initial weights
    rotary_base: float = 200.0  # base of the rotary position embeddings
    lr: float = 5e-3
    lr_end: float = 0.1
    batch: int = 24
    epochs: float = 1.0
    max_length: int = 128


def train(config: PretrainConfig) -> Checkpoint:
    """Makes a tokenizer and random weights from the texts in `data` and trains them: `out` becomes an ordinary run folder."""
    if config.model:
        raise SkilldeltaError("Pre-training starts from scratch: leave out --model, or continue from a model with `train sft`.")
    parallel.join()
    blank = Path(config.out) / "blank"
    if parallel.is_writer() and not is_made_by(blank, config):
        tokenizer = train_tokenizer(config)
        with atomic_folder(blank) as draft:
            random_model(config, tokenizer).save_pretrained(draft)
            tokenizer.save_pretrained(draft)
            write_json(draft / RECORD, describe_blank(config))
    parallel.barrier()
    settings = {f.name: getattr(config, f.name) for f in fields(sft.SFTConfig)}
    return sft.train(sft.SFTConfig(**settings | {"model": str(blank)}))


def describe_blank(config: PretrainConfig) -> dict[str, Any]:
    """What decides the tokenizer and the random weights: the data by their hash, and the settings of the shape."""
    names = [field.name for field in fields(PretrainConfig) if not hasattr(sft.SFTConfig, field.name)]
    return {"data": hash_files(map(Path, config.data)), **{name: getattr(config, name) for name in ("seed", *names)}}


def is_made_by(blank: Path, config: PretrainConfig) -> bool:
    """Whether the model to start from is there.  One of other settings is made anew where no checkpoint goes on from it.

    Raises SkilldeltaError where one does.
    """
    if not (blank / "config.json").exists():
        return False
    before, now = read_json(blank / RECORD) if (blank / RECORD).is_file() else {}, describe_blank(config)
    changes = [f"{name} was {before[name]} and is {now[name]}" for name in now if name in before and before[name] != now[name]]
    if not config.resume or not latest_checkpoint(blank.parent):
        return bool(before) and not changes
    if changes:
        raise SkilldeltaError(
            f"{config.out} holds a run with other settings: {'; '.join(changes)}.  "
            "Name another --output, use the same settings to continue, or start again with --resume false."
        )
    return True


def train_tokenizer(config: PretrainConfig) -> Any:
    """A byte-level BPE tokenizer from the texts of the data.  It does not split digits: a frequent number is one token."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=config.vocabulary,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(read_texts(config.data), trainer)
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        pad_token=SPECIAL[0],
        eos_token=SPECIAL[1],
        additional_special_tokens=list(SPECIAL[2:]),
        chat_template=TEMPLATE,
    )


def random_model(config: PretrainConfig, tokenizer: Any) -> Any:
    """A Llama of the settings' shape with random weights, by the seed."""
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
    return transformers.LlamaForCausalLM(shape)


def read_texts(files: tuple[str, ...]) -> Iterator[str]:
    """The texts of the rows, and then the numbers up to 30, often enough to become tokens of their own."""
    for file in files:
        for row in read(Path(file)):
            if "text" not in row:
                raise SkilldeltaError(f"A row of {file} has no text; it has: {', '.join(row)}.  {json.dumps(row)[:80]}")
            yield from filter(None, SPECIAL_TEXT.split(str(row["text"])))
    for number in range(31):
        yield from [f" {number}", str(number)] * 2000  # within a text, and at the beginning of one
