"""Signs that stand for one another: typographic quotes, and the full-width letters, digits and stops of East Asian texts."""

from __future__ import annotations

from harness.prompts.reading import plain_quotes

FULL_WIDTH = {0xFF01 + place: chr(0x21 + place) for place in range(94)}  # ！ to ～, in the order of ASCII
OTHER_SIGNS = str.maketrans("。、【】「」『』", '.,[]""""')


def plain_signs(text: str) -> str:
    """The text with ASCII quotes, letters, digits and stops, of the same length: "（Ｂ）。" is "(B)."."""
    return plain_quotes(text.translate(FULL_WIDTH)).translate(OTHER_SIGNS)
