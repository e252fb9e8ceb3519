"""Texts that end in a verbatim loop: a model that says the same again and again until it is stopped."""

from __future__ import annotations

MIN_REPEATS = 4
MIN_LENGTH = 100  # characters: shorter than that, a line of dashes or a list of zeros is no loop
PROBE = 25  # characters: a loop of MIN_LENGTH with MIN_REPEATS says its last ones before
TAIL = 1 << 14  # characters from the end that are looked at


def loop_length(text: str) -> int:
    """How many characters at the end of a text repeat one period, at least MIN_REPEATS times; 0: it ends in no loop.

    Blanks at the end count only where they are a loop themselves.  Linear in the text.
    """
    tail = text[-TAIL:]
    blanks = len(tail) - len(tail.rstrip())
    if blanks >= MIN_LENGTH:
        return blanks
    tail = tail.rstrip()
    if len(tail) < MIN_LENGTH or tail.rfind(tail[-PROBE:], 0, len(tail) - 1) < 0:
        return 0
    backwards = tail[::-1]
    lengths = (period + overlap for period, overlap in enumerate(common_prefixes(backwards)) if is_loop(period, overlap))
    return max(lengths, default=0)


def is_loop(period: int, overlap: int) -> bool:
    """Whether a text that agrees with itself, moved by `period`, over `overlap` characters, is a loop so far."""
    length = period + overlap
    return period > 0 and length >= max(MIN_LENGTH, MIN_REPEATS * period)


def common_prefixes(text: str) -> list[int]:
    """For each place, how many characters from there on agree with the beginning of the text (the Z function)."""
    size = len(text)
    overlaps = [0] * size
    left = right = 0  # the match that reaches farthest
    for place in range(1, size):
        length = min(right - place, overlaps[place - left]) if place < right else 0
        while place + length < size and text[length] == text[place + length]:
            length += 1
        overlaps[place] = length
        if place + length > right:
            left, right = place, place + length
    return overlaps
