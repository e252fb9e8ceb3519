"""Signs that stand for one another: typographic quotes, and the full-width letters, digits and stops of East Asian texts."""

from __future__ import annotations

import re
import unicodedata

from harness.prompts.plain_quotes import plain_quotes

FULL_WIDTH = {0xFF01 + place: chr(0x21 + place) for place in range(94)}  # ！ to ～, in the order of ASCII
OTHER_SIGNS = str.maketrans("。、【】「」『』", '.,[]""""')


OTHER_DIGIT = re.compile(r"(?![0-9])\d")  # of any script
ARABIC_MARK = re.compile(r"(?<=\d)[٬٫](?=\d)")  # of thousands and of decimals
FULL_WIDTH_COMMA = re.compile("(?<=[０-９])，(?=[０-９])")  # elsewhere it parts clauses, and no thousands


# Letters in a circle, a square or brackets, black or white, as "(A)": Ⓐ ⓐ ⒜ 🄐 🄰 🅐 🅰, and what makes an emoji of one.
ENCLOSURES = {
    start + place: f"({chr(ord('A') + place)})" for start in (0x24B6, 0x1F110, 0x1F130, 0x1F150, 0x1F170) for place in range(26)
}
ENCLOSURES |= {start + place: f"({chr(ord('a') + place)})" for start in (0x24D0, 0x249C) for place in range(26)}
ANY_ENCLOSURE = re.compile(f"([{''.join(map(chr, ENCLOSURES))}])\ufe0f?")


def open_enclosed(text: str) -> str:
    """The text with letters in brackets for those in a circle or a square."""
    return ANY_ENCLOSURE.sub(lambda match: ENCLOSURES[ord(match[1])], text)


def plain_digits_and_signs(text: str) -> str:
    """The same for numbers: a full-width comma stays where it parts clauses, and a stop is followed by a blank."""
    text = FULL_WIDTH_COMMA.sub(",", plain_quotes(text)).replace("。", ". ")
    text = ARABIC_MARK.sub(lambda match: "," if match[0] == "٬" else ".", text)
    text = OTHER_DIGIT.sub(lambda match: str(unicodedata.decimal(match[0])), text)
    return text.translate({place: sign for place, sign in FULL_WIDTH.items() if sign != ","})


def plain_signs(text: str) -> str:
    """The text with ASCII quotes, letters, digits and stops, of the same length: "（Ｂ）。" is "(B)."."""
    return plain_quotes(text.translate(FULL_WIDTH)).translate(OTHER_SIGNS)
