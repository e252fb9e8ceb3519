"""Token ids of texts that begin alike, each beginning encoded once: what is the same as in the text before is taken over.

Right where a tokenizer cuts texts into words before it merges anything, and a word never goes on from a letter to a blank:
then the ids before such a place depend on nothing behind it.  Whether a tokenizer is like that is read from its own
description, tried on a probe, and held against its plain encoding for the first texts; one difference, and nothing is taken
over any more.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from typing import Any

from harness.engine.tree import shared

CHECKED = 24  # texts that are encoded both ways
STEPS = {"Sequence", "Split", "ByteLevel", "Digits"}  # of a pre-tokenizer, that look no further than a word
PROBE = "Aa b\nCc dd\n\nEe  f"


class Splice:
    """Encodes texts one after another."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.backend: Any = getattr(tokenizer, "backend_tokenizer", None)
        self.lead = lead(tokenizer, self.backend) if self.backend is not None and cuts(self.backend) else None
        self.checks = CHECKED
        self.text, self.ids, self.ends = "", list[int](), list[int]()

    def encode(self, text: str, special: bool) -> list[int]:
        """Ids of a text; `special`: with what the tokenizer puts around texts."""
        if self.lead is None:
            return self.plain(text, special)
        found = (self.lead if special else []) + self.spliced(text)
        if self.checks:
            self.checks -= 1
            known = self.plain(text, special)
            if found != known:
                self.lead = None
            return known
        return found

    def plain(self, text: str, special: bool) -> list[int]:
        return list(self.tokenizer.encode(text, **({} if special else {"add_special_tokens": False})))

    def spliced(self, text: str) -> list[int]:
        """The ids of a text, without special ones; the text is kept for the next one."""
        place = last_cut(text, shared(self.text, text))
        kept = bisect_right(self.ends, place)
        if not kept or self.ends[kept - 1] != place:
            place = kept = 0
        new = self.backend.encode(text[place:], add_special_tokens=False)
        self.text, self.ids = text, self.ids[:kept] + new.ids
        self.ends = self.ends[:kept] + [place + end for _, end in new.offsets]
        return self.ids


def last_cut(text: str, same: int) -> int:
    """The last place in the first `same` characters where a blank follows a letter; 0: there is none."""
    for place in range(same - 1, 0, -1):
        if text[place] in " \n" and text[place - 1].isascii() and text[place - 1].isalpha():
            return place
    return 0


def cuts(backend: Any) -> bool:
    """Does the tokenizer cut between a letter and a blank, and look no further than a word?"""
    about = json.loads(backend.to_str())
    normal, before, model = about["normalizer"], about["pre_tokenizer"], about["model"]
    if (normal and normal["type"] != "NFC") or not before or model["type"] != "BPE" or model.get("dropout"):
        return False
    if backend.truncation or backend.padding:
        return False
    steps = before["pretokenizers"] if before["type"] == "Sequence" else [before]
    if any(s["type"] not in STEPS or s.get("add_prefix_space") for s in steps):
        return False
    if any(
        t["lstrip"] or t["rstrip"] or t["single_word"] or any(map(str.isspace, t["content"])) for t in about["added_tokens"]
    ):
        return False
    ends = {end for _, (_, end) in backend.pre_tokenizer.pre_tokenize_str(PROBE)}
    return all(p in ends for p in range(1, len(PROBE)) if PROBE[p] in " \n" and PROBE[p - 1].isalpha())


def lead(tokenizer: Any, backend: Any) -> list[int] | None:
    """What the tokenizer puts before every text; None where it puts anything behind."""
    bare = backend.encode("a b", add_special_tokens=False).ids
    whole = list(tokenizer.encode("a b"))
    before = whole[: len(whole) - len(bare)]
    return before if whole == before + bare else None
