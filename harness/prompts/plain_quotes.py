"""Typographic quotes and apostrophes as ASCII."""

from __future__ import annotations

# One character for one character, so that places in a text stay where they are.
SINGLE_QUOTES = "\u2018\u2019\u201a\u201b\u2032\u02b9\u02bc\u00b4\uff07\u2039\u203a"  # ‘ ’ ‚ ‛ ′ ʹ ʼ ´ ＇ ‹ ›
DOUBLE_QUOTES = "\u201c\u201d\u201e\u201f\u2033\u02ba\uff02\u00ab\u00bb"  # “ ” „ ‟ ″ ʺ ＂ « »
PLAIN_QUOTES = str.maketrans(dict.fromkeys(SINGLE_QUOTES, "'") | dict.fromkeys(DOUBLE_QUOTES, '"'))


def plain_quotes(text: str) -> str:
    """The text with ASCII quotes and apostrophes, of the same length: for rules that compare words ("I can’t")."""
    return text.translate(PLAIN_QUOTES)
