"""Names in pictures: letters that a font has, lines that fit, and nothing that matplotlib takes for mathematics."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING

from harness.visible_text import show_controls

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DEFAULT_FAMILY = "DejaVu Sans"  # comes with matplotlib
WIDE_FONTS = re.compile(r"CJK|Noto|WenQuan|Han |Hei|Gothic|Ming|Song|Unifont|Fallback|Arial Unicode", re.IGNORECASE)
PLACEHOLDERS = re.compile(r"Last ?Resort|Adobe Blank", re.IGNORECASE)  # fonts of boxes, which have every letter
POINTS_PER_INCH = 72
ELLIPSIS = "…"
BREAK = re.compile(r"(?<=[\s/_@.,:;=+-])")  # a line may end after these
HEAD_SHARE = 0.35  # of a shortened name: checkpoints of a run differ at the end


def drawable_text(text: str) -> str:
    """The text in letters that can be drawn here; others as U+57FA."""
    visible = show_controls(text).replace("\n", " ").replace("\t", " ")
    absent = frozenset(c for c in visible if ord(c) > 126 and ord(c) not in letters_of(default_font()))
    if not absent or find_family(absent):
        return visible
    return "".join(f"U+{ord(c):04X}" if c in absent and not find_family(frozenset(c)) else c for c in visible)


def use_fonts(figure: Figure) -> None:
    """Gives every text of a figure a font for the letters that the default one lacks."""
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        assert isinstance(text, Text), "findobj gives what it is asked for"
        absent = {c for c in text.get_text() if ord(c) > 126 and ord(c) not in letters_of(default_font())}
        families = dict.fromkeys(family for c in sorted(absent) if (family := find_family(frozenset(c))))
        if families:
            text.set_fontfamily([DEFAULT_FAMILY, *families])


@lru_cache(maxsize=1024)
def find_family(letters: frozenset[str]) -> str:
    """The family of a font on this machine that has all these letters; "" where none has."""
    from matplotlib import font_manager

    add_fonts()
    every = [f for f in font_manager.fontManager.ttflist if not PLACEHOLDERS.search(f.name)]
    fonts = sorted(every, key=lambda f: (not WIDE_FONTS.search(f.name), f.name, f.fname))
    codes = frozenset(map(ord, letters))
    return next((font.name for font in fonts if codes <= letters_of(font.fname)), "")


@lru_cache(maxsize=1)
def add_fonts() -> None:
    """Adds the fonts that matplotlib's cache of an earlier day lacks, once a process."""
    from matplotlib import font_manager

    manager = font_manager.fontManager
    for path in sorted(set(font_manager.findSystemFonts()) - {font.fname for font in manager.ttflist}):
        with suppress(OSError, RuntimeError):  # a broken font of the machine is one that has no letters
            manager.addfont(path)


@lru_cache(maxsize=4096)
def letters_of(path: str) -> frozenset[int]:
    """The code points that a font file has; none where it cannot be read."""
    from matplotlib.ft2font import FT2Font

    try:
        return frozenset(FT2Font(path).get_charmap())
    except (OSError, RuntimeError):  # a broken font of the machine is one that has no letters
        return frozenset()


@lru_cache(maxsize=1)
def default_font() -> str:
    from matplotlib import font_manager

    return str(font_manager.findfont(DEFAULT_FAMILY))


@lru_cache(maxsize=20_000)
def text_width(text: str, size: float) -> float:
    """Inches that a line takes at a size in points."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    letters = letters_of(default_font())
    measurable = "".join(c if ord(c) in letters else "W" for c in text)  # a wide letter for one of another font
    properties = FontProperties(family=DEFAULT_FAMILY, size=size)
    width, _, _ = text_to_path.get_text_width_height_descent(measurable, properties, False)
    return float(width) / POINTS_PER_INCH


def fit_label(text: str, inches: float, size: float, lines: int = 1) -> str:
    """The text on at most so many lines of a width, its middle left out where it is longer; escaped for matplotlib."""
    return "\n".join(line.replace("$", r"\$") for line in fit_lines(drawable_text(text), inches, size, lines))


def fit_lines(text: str, inches: float, size: float, lines: int) -> list[str]:
    """The lines, as they are drawn."""
    attempt = wrap(text, inches, size)
    if len(attempt) <= lines:
        return attempt
    # A few letters fewer until it fits, from a guess by the width: each line may lose some at its break.
    length = min(len(text), int(len(text) * lines * inches / text_width(text, size)) + 6)
    while length > 2:
        length -= 1
        head = max(1, int(length * HEAD_SHARE))
        shorter = text[:head].rstrip() + ELLIPSIS + text[len(text) - (length - head) :].lstrip()
        if len(attempt := wrap(shorter, inches, size)) <= lines:
            break
    return attempt


def wrap(text: str, inches: float, size: float) -> list[str]:
    """The lines of a text, broken where a reader would, and within a word that is wider than a line."""
    lines: list[str] = []
    line = ""
    for piece in pieces(text, inches, size):
        if line and text_width((line + piece).rstrip(), size) > inches:
            lines.append(line.rstrip())
            line = piece.lstrip()
        else:
            line += piece
    return [*lines, line.rstrip()]


def pieces(text: str, inches: float, size: float) -> Iterable[str]:
    """What must stay together: words with the sign after them; the letters of a word that no line holds."""
    for word in BREAK.split(text):
        if text_width(word.rstrip(), size) <= inches:
            yield word
        else:
            yield from word


def wrap_lines(lines: Iterable[str], inches: float, size: float) -> str:
    """Sentences, each beginning a line of its own, broken to a width; escaped for matplotlib."""
    return "\n".join(fit_label(line, inches, size, lines=9) for line in lines)
