"""Text of strangers (names of checkpoints and tasks, answers, reasons) for the places where people read it.

Every report and everything on the screen passes through these functions, so that no name moves a terminal's cursor, turns the
direction of a line, becomes a link, or runs in a spreadsheet.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Sequence
from typing import Any

# Control characters but tab and line feed, marks that turn the direction, other line ends, halves of pairs, invisible tags.
CONTROLS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff\U000e0000-\U000e007f]"
)
ADDRESS_SECRETS = re.compile(r"^(\s*[\w.+-]*:?//)(?:[^/@\s]*@)?([^?#]*).*$", re.DOTALL)
SHAPELESS = "\u115f\u1160\u2800\u3164\uffa0"  # letters and signs that show nothing: Hangul's fillers, Braille's blank
# Also behind blanks, which some spreadsheets take away, and in full width, as those of East Asia read them.
FORMULA = re.compile(r"[\s\u00ad\u200b\u2060]*[=+\-@\uff1d\uff0b\uff0d\uff20]|[\t\r\n]")
NUMBER = re.compile(r"[+-]?[\d.,]+(e[+-]?\d+)?", re.IGNORECASE)
MARKDOWN = (
    (re.compile(r"([\\`*|~$])"), r"\\\1"),
    (re.compile(r"(?<![^\W_])_|_(?![^\W_])"), r"\_"),  # within a word it is plain
    (re.compile(r"\](?=[(\[:])"), r"\]"),  # a link, a reference, its target; intervals stay as they are
    (re.compile(r"\[(?=\^)"), r"\["),
    (re.compile(r"^([#+=-])(?![\d.])"), r"\\\1"),
    (re.compile(r"^(\d+)([.)])(?=\s)"), r"\1\\\2"),
    (re.compile(r"://"), r":\\//"),  # GitHub makes links of bare addresses,
    (re.compile(r"\bwww\.", re.IGNORECASE), r"www\\."),
    (re.compile(r"(?<!\w)@(?=\w)|@(?=[\w.-]*\.[A-Za-z])"), "@\u200b"),  # and tells people that they were mentioned
)


def is_blank(text: str) -> bool:
    """Whether a text shows nothing: white space, and signs without a shape (zero width, soft hyphens, marks of direction)."""
    return all(c.isspace() or c in SHAPELESS or unicodedata.category(c) in ("Cc", "Cf") for c in text)


def replace_surrogates(text: str) -> str:
    """The text with "?" for lone surrogates, which no UTF-8 holds and no tokenizer takes."""
    return text.encode("utf-8", "replace").decode("utf-8")


def show_controls(text: str) -> str:
    r"""The text with everything that acts unseen written as an escape: \u001b, \u202e.  In JSON the escapes mean the same."""
    return CONTROLS.sub(lambda match: json.dumps(match.group())[1:-1], text)


def escape_markdown(text: str) -> str:
    """Text that Markdown and HTML show as it is; two leading blanks become a visible indent, a line end a break."""
    safe = show_controls(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    for pattern, replacement in MARKDOWN:
        safe = pattern.sub(replacement, safe)
    safe = safe.replace("\n", "<br>")
    return "&nbsp;&nbsp;" + safe[2:] if safe.startswith("  ") else safe


def escape_cells(row: Sequence[Any]) -> list[Any]:
    """The cells of a row of CSV, which people open in a spreadsheet and print on a terminal."""
    return [escape_cell(value) if isinstance(value, str) else value for value in row]


def escape_cell(text: str) -> str:
    """A spreadsheet runs a text that begins like a formula, and a model may write one: an apostrophe keeps it a text."""
    safe = show_controls(text.replace("\r\n", "\n"))
    return f"'{safe}" if FORMULA.match(text) and not NUMBER.fullmatch(text.strip(" ")) else safe


def first_line(error: BaseException) -> str:
    """The first line of what an error says, with the next where it ends in a colon; its kind where it says nothing."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return " ".join(line.strip() for line in lines[: 1 + lines[0].endswith(":")])


def show_value(value: object, most: int = 60) -> str:
    """The beginning of a value as Python writes it, or what it is where it cannot be written."""
    try:
        return printable(repr(value))[:most]
    except ValueError:  # Python writes no number of more than 4,300 digits; YAML reads one out of hexadecimal digits
        return "a number of thousands of digits"
    except RecursionError:
        return "a value of too many levels"
    except Exception:  # noqa: BLE001  a class of somebody's own may fail in any way
        return f"a value of the kind {type(value).__name__}"


def without_credentials(value: Any) -> Any:
    """An address without what may be a secret: a user's name and password, and all behind the path.  Others as they are."""
    return ADDRESS_SECRETS.sub(r"\1\2", value) if isinstance(value, str) else value


def printable(text: str) -> str:
    """A text of a stranger's for a terminal: control characters, and what UTF-8 cannot write, as escapes."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
