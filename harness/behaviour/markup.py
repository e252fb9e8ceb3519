"""Markdown and emoji in an answer: lists, headings, bold text, tables, code blocks."""

from __future__ import annotations

import re

FENCE = re.compile(r"[ \t]*(`{3,}|~{3,})")
INLINE_CODE = re.compile(r"(?<!`)`[^`\n]+`(?!`)")
# CommonMark's bullets and numbers, indented at will; a rule of dashes or asterisks is no item.
LIST_ITEM = re.compile(r"^[ \t]*(?:[-*+•]|\d{1,9}[.)])[ \t]+(?=\S)(?!(?:[-*_][ \t]*){2,}$)", re.MULTILINE)
HEADING = re.compile(r"^ {0,3}#{1,6}[ \t]+\S", re.MULTILINE)
BOLD = re.compile(
    r"(?<![\w*])\*\*(?=\S)(?:[^*\n]|\*(?!\*)){1,300}?(?<=\S)\*\*(?!\*)|(?<![\w_])__(?=\S)(?:[^_\n]|_(?!_)){1,300}?(?<=\S)__(?![\w_])"
)
TABLE_RULE = re.compile(r"^[ \t]*(?:\|[ \t]*)?:?-+:?(?:[ \t]*\|[ \t]*:?-+:?)+[ \t]*(?:\|[ \t]*)?$", re.MULTILINE)
# Characters that are emoji by themselves (Unicode's Emoji_Presentation), and symbols that U+FE0F makes emoji.
EMOJI = re.compile(
    "[\u231a\u231b\u23e9-\u23ec\u23f0\u23f3\u25fd\u25fe\u2614\u2615\u2648-\u2653\u267f\u2693\u26a1\u26aa\u26ab\u26bd\u26be\u26c4"
    "\u26c5\u26ce\u26d4\u26ea\u26f2\u26f3\u26f5\u26fa\u26fd\u2705\u270a\u270b\u2728\u274c\u274e\u2753-\u2755\u2757\u2795-\u2797"
    "\u27b0\u27bf\u2b1b\u2b1c\u2b50\u2b55\U0001f004\U0001f0cf\U0001f18e\U0001f191-\U0001f19a\U0001f1e6-\U0001f1ff\U0001f201"
    "\U0001f21a\U0001f22f\U0001f232-\U0001f236\U0001f238-\U0001f23a\U0001f250\U0001f251\U0001f300-\U0001f320"
    "\U0001f32d-\U0001f335\U0001f337-\U0001f37c\U0001f37e-\U0001f393\U0001f3a0-\U0001f3ca\U0001f3cf-\U0001f3d3"
    "\U0001f3e0-\U0001f3f0\U0001f3f4\U0001f3f8-\U0001f43e\U0001f440\U0001f442-\U0001f4fc\U0001f4ff-\U0001f53d"
    "\U0001f54b-\U0001f54e\U0001f550-\U0001f567\U0001f57a\U0001f595\U0001f596\U0001f5a4\U0001f5fb-\U0001f64f"
    "\U0001f680-\U0001f6c5\U0001f6cc\U0001f6d0-\U0001f6d2\U0001f6d5-\U0001f6d8\U0001f6dc-\U0001f6df\U0001f6eb\U0001f6ec"
    "\U0001f6f4-\U0001f6fc\U0001f7e0-\U0001f7eb\U0001f7f0\U0001f90c-\U0001f93a\U0001f93c-\U0001f945\U0001f947-\U0001f9ff"
    "\U0001fa70-\U0001faff]|[\u00a9\u00ae\u203c\u2049\u2122\u2139\u2194-\u21aa\u2328\u23cf-\u23fa\u24c2\u25aa-\u25fe\u2600-\u27bf"
    "\u2934\u2935\u2b05-\u2b07\u3030\u303d\u3297\u3299\U0001f170-\U0001f6ff]\ufe0f"
)


def split_code(text: str) -> tuple[str, bool]:
    """The text without its code blocks, and whether there are any.  A block that is never closed reaches to the end."""
    prose: list[str] = []
    fence, has_code = "", False  # the fence of the open block
    for line in text.split("\n"):
        match = FENCE.match(line)
        marks = match.group(1) if match else ""
        if fence:
            is_end = marks.startswith(fence) and not line.strip().strip(fence[0])
            fence = "" if is_end else fence
        elif marks:
            fence, has_code = marks, True
        else:
            prose.append(line)
    return "\n".join(prose), has_code


def without_code(text: str) -> str:
    """The text without code blocks and inline code: an asterisk or a number sign in them is no markup."""
    return INLINE_CODE.sub(" ", split_code(text)[0])


def measure_markup(text: str) -> dict[str, float]:
    """Counts and 0/1 flags; the keys are the parts of measures."""
    prose, has_code = split_code(text)
    prose = INLINE_CODE.sub(" ", prose)
    items = len(LIST_ITEM.findall(prose))
    return {
        "list_items": items,
        "has_list": items > 0,
        "has_heading": HEADING.search(prose) is not None,
        "has_bold": BOLD.search(prose) is not None,
        "has_table": TABLE_RULE.search(prose) is not None,
        "has_code": has_code,
        "has_emoji": EMOJI.search(prose) is not None,
    }
