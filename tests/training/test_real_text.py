"""A reward model on real preferences, from nothing: better than chance on pairs that it never saw, with its interval."""

import json
import os
from pathlib import Path

import pytest

from harness.data import read
from harness.trainers import reward

FILE = Path(os.environ.get("SKILLDELTA_DATA", "../shared/data")) / "hh_rlhf/harmless-base_test.jsonl.gz"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.data,
    pytest.mark.skipif(not FILE.is_file(), reason=f"there is no {FILE}: set SKILLDELTA_DATA"),
]
TEMPLATE = "{% for m in messages %}{{ '<|' + m['role'] + '|>' + m['content'] }}{% endfor %}{{ eos_token }}"


def base(folder: Path) -> str:
    """A small random Llama with a tokenizer learnt from the text."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    special = ["<|pad|>", "<|end|>", "<|user|>", "<|assistant|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=3000, special_tokens=special, initial_alphabet=alphabet, show_progress=False)
    bpe.train_from_iterator((r["chosen"] for r in read(FILE)), trainer)
    words = PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        pad_token="<|pad|>",
        eos_token="<|end|>",
        chat_template=TEMPLATE,
        additional_special_tokens=special[2:],
    )
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=3000, hidden_size=64, intermediate_size=128, num_hidden_layers=1, num_attention_heads=4,
        num_key_value_heads=4, max_position_embeddings=512, initializer_range=0.05,
        pad_token_id=0, eos_token_id=1, bos_token_id=None,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    words.save_pretrained(folder)
    return str(folder)


def test_it_beats_chance_on_held_out_human_pairs(tmp_path: Path) -> None:
    config = reward.RewardConfig(
        model=base(tmp_path / "base"), data=(str(FILE),), kinds=("human",), out=str(tmp_path / "run"), lr=2e-3, lr_end=0.0,
        batch=32, epochs=2.0, max_length=256, holdout=0.3, samples=0, warmup=0.1, weight_decay=0.1,
    )  # fmt: skip
    found = reward.train(config)
    held = json.loads((Path(found.path) / "reward.json").read_text())["held_out"]
    print(f"accuracy {held['accuracy']:.3f} [{held['low']:.3f}, {held['high']:.3f}] on {held['pairs']} held-out pairs")
    assert held["pairs"] > 400
    assert held["low"] > 0.5
