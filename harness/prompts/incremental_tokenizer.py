"""Token ids of texts that share beginnings: ids that are the same as in the text before are reused.

That is right where a tokenizer splits texts into words before it merges anything, and a word never goes on from a letter to a
blank: then the ids before such a place depend on nothing behind it.  Whether a tokenizer is like that is read from its own
description, tried on a probe, and compared with its plain encoding for the first texts.  After one difference nothing is
reused any more.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from typing import Any

from harness.engine.tree import common_prefix_length

CHECKED_TEXTS = 24  # that are encoded both ways
WORD_LOCAL_STEPS = {"Sequence", "Split", "ByteLevel", "Digits"}  # of a pre-tokenizer, that look no further than a word
PROBE = "Aa b\nCc dd\n\nEe  f"


class IncrementalTokenizer:
    """Encodes texts one after another; fast where neighbours share beginnings."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.backend: Any = getattr(tokenizer, "backend_tokenizer", None)
        reusable = self.backend is not None and splits_at_word_ends(self.backend)
        self.leading_ids = find_leading_ids(tokenizer, self.backend) if reusable else None  # None: nothing is reused
        self.checks_left = CHECKED_TEXTS
        self.text, self.ids, self.ends = "", list[int](), list[int]()  # of the text before; where each of its tokens ends

    def encode(self, text: str, special: bool) -> list[int]:
        """Ids of a text; `special`: with the tokens that the tokenizer puts around texts."""
        if self.leading_ids is None:
            return self.encode_plainly(text, special)
        ids = (self.leading_ids if special else []) + self.encode_incrementally(text)
        if self.checks_left:
            self.checks_left -= 1
            reference = self.encode_plainly(text, special)
            if ids != reference:
                self.leading_ids = None
            return reference
        return ids

    def encode_plainly(self, text: str, special: bool) -> list[int]:
        return list(self.tokenizer.encode(text, **({} if special else {"add_special_tokens": False})))

    def encode_incrementally(self, text: str) -> list[int]:
        """Ids of a text without special tokens.  Those up to the last word that it shares with the text before are reused."""
        place = last_word_end(text, common_prefix_length(self.text, text))
        count = bisect_right(self.ends, place)
        if not count or self.ends[count - 1] != place:  # no token ends there
            place = count = 0
        new = self.backend.encode(text[place:], add_special_tokens=False)
        self.text, self.ids = text, self.ids[:count] + new.ids
        self.ends = self.ends[:count] + [place + end for _, end in new.offsets]
        return self.ids


def last_word_end(text: str, same: int) -> int:
    """The last place in the first `same` characters where a blank follows a letter; 0: there is none."""
    for place in range(same - 1, 0, -1):
        if text[place] in " \n" and text[place - 1].isascii() and text[place - 1].isalpha():
            return place
    return 0


def splits_at_word_ends(backend: Any) -> bool:
    """Does the tokenizer split between a letter and a blank, and look no further than a word?"""
    config = json.loads(backend.to_str())
    normalizer, pre_tokenizer, model = config["normalizer"], config["pre_tokenizer"], config["model"]
    if (normalizer and normalizer["type"] != "NFC") or not pre_tokenizer or model["type"] != "BPE" or model.get("dropout"):
        return False
    if backend.truncation or backend.padding:
        return False
    steps = pre_tokenizer["pretokenizers"] if pre_tokenizer["type"] == "Sequence" else [pre_tokenizer]
    if any(s["type"] not in WORD_LOCAL_STEPS or s.get("add_prefix_space") for s in steps):
        return False
    # An added token is matched before words are split: one that takes in blanks would reach over a word's end.
    added_tokens = config["added_tokens"]
    if any(t["lstrip"] or t["rstrip"] or t["single_word"] or any(map(str.isspace, t["content"])) for t in added_tokens):
        return False
    ends = {end for _, (_, end) in backend.pre_tokenizer.pre_tokenize_str(PROBE)}
    return all(p in ends for p in range(1, len(PROBE)) if PROBE[p] in " \n" and PROBE[p - 1].isalpha())


def find_leading_ids(tokenizer: Any, backend: Any) -> list[int] | None:
    """The ids that the tokenizer puts before every text; None where it puts any behind."""
    bare = backend.encode("a b", add_special_tokens=False).ids
    with_special = list(tokenizer.encode("a b"))
    before = with_special[: len(with_special) - len(bare)]
    return before if with_special == before + bare else None
