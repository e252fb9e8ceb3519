"""Encoding only what is new of a text gives the ids of encoding all of it."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from harness.prompts import incremental_tokenizer
from harness.prompts.incremental_tokenizer import IncrementalTokenizer
from tests.support import tiny

LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def llama3() -> PreTrainedTokenizerFast:
    """Words cut by Llama 3's pattern, a beginning-of-sequence token before every text."""
    made = Tokenizer(models.BPE())
    cut = pre_tokenizers.Split(Regex(LLAMA3), "isolated")
    made.pre_tokenizer = pre_tokenizers.Sequence([cut, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    special = ["<s>", "</s>"]
    made.train_from_iterator(tiny.TEXT, trainers.BpeTrainer(vocab_size=500, special_tokens=special, show_progress=False))
    made.normalizer = normalizers.NFC()
    made.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    return PreTrainedTokenizerFast(tokenizer_object=made, bos_token="<s>", eos_token="</s>")


TOKENIZERS = {"gpt2": tiny.tokenizer(), "llama3": llama3()}
PIECES = ["a", "fox", " jumps", " over", "\n", "\n\n", "  ", " ", "7", "?", "A.", " é", "e\u0301", "🙂", "'s", "<s>"]
pieces = st.lists(st.sampled_from(PIECES), max_size=12)


@pytest.mark.slow
@pytest.mark.parametrize("name", TOKENIZERS)
@settings(max_examples=150, deadline=None)
@given(texts=st.lists(st.tuples(pieces, pieces), min_size=2, max_size=6), special=st.booleans())
def test_ids_are_those_of_the_whole_text(name: str, texts: list[tuple[list[str], list[str]]], special: bool) -> None:
    tokenizer, stem = TOKENIZERS[name], "".join(texts[0][0])
    spliced = IncrementalTokenizer(tokenizer)
    spliced.checks_left = 0
    assert spliced.leading_ids is not None
    for left, right in texts:
        for text in (stem + "".join(right), stem + "".join(left + right)):
            assert spliced.encode(text, special) == tokenizer.encode(text, add_special_tokens=special)


def test_a_common_prefix_is_encoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    spliced = IncrementalTokenizer(TOKENIZERS["llama3"])
    spliced.checks_left = 0
    given = []

    class Backend:
        def encode(self, text: str, **how: Any) -> Any:
            given.append(text)
            return TOKENIZERS["llama3"].backend_tokenizer.encode(text, **how)

    spliced.backend = Backend()
    for choice in "ABC":
        spliced.encode("The quick brown fox. The answer is: " + choice, special=True)
    assert given == ["The quick brown fox. The answer is: A", " is: B", " is: C"]


def sentencepiece() -> PreTrainedTokenizerFast:
    """One word for a whole text, a blank put before it."""
    made = Tokenizer(models.BPE())
    made.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    made.train_from_iterator(tiny.TEXT, trainers.BpeTrainer(vocab_size=300, show_progress=False))
    return PreTrainedTokenizerFast(tokenizer_object=made)


def ending() -> PreTrainedTokenizerFast:
    """An end token behind every text."""
    made = llama3()
    made.backend_tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return made


@pytest.mark.parametrize("make", [sentencepiece, ending])
def test_other_tokenizers_encode_every_text_whole(make: Any) -> None:
    tokenizer = make()
    spliced = IncrementalTokenizer(tokenizer)
    assert spliced.leading_ids is None
    for text in ("The quick fox", "The quick fox jumps"):
        assert spliced.encode(text, special=True) == tokenizer.encode(text)


def test_after_one_difference_nothing_is_reused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(incremental_tokenizer, "last_word_end", lambda text, same: same)  # in the middle of a word
    tokenizer = TOKENIZERS["gpt2"]
    spliced = IncrementalTokenizer(tokenizer)
    for text in ("qu", "quick"):
        assert spliced.leading_ids is not None
        assert spliced.encode(text, special=False) == tokenizer.encode(text, add_special_tokens=False)
    assert spliced.leading_ids is None
