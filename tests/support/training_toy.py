"""A tiny random Llama with a real byte-level BPE tokenizer, and toy data that a program can grade."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

TEMPLATE = (
    "{% for m in messages %}{{ '<|' + m['role'] + '|>' + m['content'] }}"
    "{% if m['role'] == 'assistant' %}{{ eos_token }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
WORDS = (
    "red", "blue", "green", "one", "two", "three", "four", "yes", "no", "cat",
    "dog", "sun", "moon", "hot", "cold", "up", "down", "left", "right", "far",
)  # fmt: skip


def text(i: int) -> str:
    """A question of the toy: which of two words comes first."""
    return f"first of {WORDS[i % len(WORDS)]} {WORDS[(i * 7 + 3) % len(WORDS)]} ?"


def tokenizer(corpus: Sequence[str] = ()) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    special = ["<|pad|>", "<|end|>", "<|user|>", "<|assistant|>"]
    corpus = corpus or [f"{text(i)} the answer is {WORDS[i % len(WORDS)]}" for i in range(300)]
    bpe.train_from_iterator(
        corpus,
        trainers.BpeTrainer(
            vocab_size=400, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
        ),
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        pad_token="<|pad|>",
        eos_token="<|end|>",
        chat_template=TEMPLATE,
        additional_special_tokens=special[2:],
    )


def make_model(folder: Path, seed: int = 0, width: int = 32) -> str:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    words = tokenizer()
    config = LlamaConfig(
        vocab_size=len(words),
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        tie_word_embeddings=True,
        initializer_range=0.1,
        pad_token_id=words.pad_token_id,
        eos_token_id=words.eos_token_id,
        bos_token_id=None,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    words.save_pretrained(folder)
    return str(folder)


def without_costs(log: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """A log without what differs between two runs that learn the same: the time, and the work that a resumed run does again."""
    return [{k: v for k, v in row.items() if not k.startswith(("seconds", "total_flos"))} for row in log]


def chat(i: int) -> dict[str, Any]:
    """A toy row to imitate."""
    return {"messages": [{"role": "user", "content": text(i)}, {"role": "assistant", "content": WORDS[i % len(WORDS)]}]}


def label(i: int, is_right: bool) -> dict[str, Any]:
    """A row of KTO."""
    word = WORDS[i % len(WORDS)] if is_right else WORDS[(i * 7 + 3) % len(WORDS)]
    return {
        "prompt": [{"role": "user", "content": text(i)}],
        "completion": [{"role": "assistant", "content": word}],
        "label": is_right,
    }


def preference(i: int) -> dict[str, Any]:
    """A toy pair: the right word against the other one, of unequal lengths."""
    wrong = f"the answer is {WORDS[(i * 7 + 3) % len(WORDS)]}" if i % 3 else WORDS[(i * 7 + 3) % len(WORDS)]
    return {
        "prompt": [{"role": "user", "content": text(i)}],
        "chosen": [{"role": "assistant", "content": WORDS[i % len(WORDS)]}],
        "rejected": [{"role": "assistant", "content": wrong}],
    }
