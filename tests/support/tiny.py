"""Tiny models with a real tokenizer, made on the spot: ordinary transformers folders."""

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

TEXT = [
    "The quick brown fox jumps over the lazy dog. What is 3+4? The answer is 7.",
    "Question: How many apples are left? Answer: There were 12 apples, 5 were eaten, so 7 are left.",
    "A. True B. False C. Neither D. Both. The following are multiple choice questions (with answers).",
    "Ünïcode, naïve café, 你好, emoji 🙂, and code: def f(x):\n    return x + 1\n",
] * 4
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def tokenizer(texts: tuple[str, ...] = tuple(TEXT), vocabulary: int = 400, template: bool = False) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer trained on `texts`."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    special = ["<|pad|>", "<|end|>", "<s>"]
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    bpe.train_from_iterator(texts, trainer)
    made = PreTrainedTokenizerFast(tokenizer_object=bpe, pad_token="<|pad|>", eos_token="<|end|>", bos_token="<s>")
    if template:
        made.chat_template = TEMPLATE
    return made


def llama(
    folder: Path,
    seed: int = 0,
    window: int = 256,
    template: bool = False,
    texts: tuple[str, ...] = tuple(TEXT),
    vocabulary: int = 400,
    **changes: Any,
) -> Path:
    """A folder with a random Llama whose answers vary with the prompt."""
    made = tokenizer(texts, vocabulary, template)
    config = LlamaConfig(
        **{
            "vocab_size": len(made),
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": window,
            "initializer_range": 0.3,
            "tie_word_embeddings": True,
            "pad_token_id": made.pad_token_id,
            "eos_token_id": made.eos_token_id,
            "bos_token_id": made.bos_token_id,
        }
        | changes
    )
    torch.manual_seed(seed)
    LlamaForCausalLM(config).save_pretrained(folder)
    made.save_pretrained(folder)
    return folder
