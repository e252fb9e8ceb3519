"""The program in a model's answer."""

from __future__ import annotations

import ast
import re
import threading
import warnings
from collections.abc import Sequence

FENCE = re.compile(
    r"^[ \t]*(?:```|~~~)[ \t]*(?P<language>[\w+-]*)[^\n]*\n(?P<code>.*?)(?:^[ \t]*(?:```|~~~)|\Z)", re.MULTILINE | re.DOTALL
)
PYTHON = ("", "python", "python3", "py", "Python")
# Where a base model's completion of a function ends: the stops of human-eval (Chen et al. 2021) and open-instruct's fence.
STOPS = ("\nclass", "\ndef", "\n#", "\nif", "\nprint", "\n```")


def cut_at_stop(text: str, stops: Sequence[str]) -> str:
    """`text` up to the first of `stops`."""
    positions = [position for stop in stops if (position := text.find(stop)) >= 0]
    return text[: min(positions)] if positions else text


def defines_name(code: str, name: str) -> bool:
    """Does a line at the margin bind `name`, by a function, a class, an assignment or an import?"""
    word = re.escape(name)
    return bool(
        re.search(
            rf"^(?:(?:async[ \t]+)?def|class)[ \t]+{word}\b|^{word}\b[^=\n]*=(?!=)|^from\b.*\b{word}\b", code, re.MULTILINE
        )
    )


def complete_function(prompt: str, text: str, name: str) -> str:
    """The program of a model that continues `prompt`; a text that has the whole function itself needs no prompt."""
    if text.lstrip("\n")[:1] not in (" ", "\t") and defines_name(text, name):
        return text
    return prompt + cut_at_stop(text, STOPS)


def extract_program(text: str, name: str) -> str:
    """The program in an answer: the fenced block that defines `name`, with the blocks before it that it may need.

    Without a fence: the text itself if it is Python, else its longest stretch of lines that is Python and defines `name`.
    A fence that is never closed goes to the end.  Without any program: the whole text, which then fails.
    """
    blocks = [match["code"] for match in FENCE.finditer(text) if match["language"] in PYTHON]
    defining = [i for i, block in enumerate(blocks) if defines_name(block, name)]
    if defining:
        return join_blocks(blocks, defining[0])
    if blocks:
        return max(blocks, key=len)
    return text if is_python(text) else longest_python(text, name)


def join_blocks(blocks: Sequence[str], index: int) -> str:
    """The block, after the earlier ones that are Python (imports, helpers); never later ones, which show usage or tests."""
    earlier = [block for block in blocks[:index] if is_python(block)]
    return "\n".join([*earlier, blocks[index]])


WARNINGS_LOCK = threading.Lock()  # the warning filters belong to the whole process, and programs are read by several threads


def is_python(code: str) -> bool:
    """Is it Python?  The compiler's warnings (odd escapes) do not matter."""
    with WARNINGS_LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            ast.parse(code)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return False
    return True


def longest_python(text: str, name: str) -> str:
    """The longest run of lines that is Python and defines `name`; prose before and after is left out."""
    lines = text.split("\n")
    starts = [i for i, line in enumerate(lines) if re.match(r"(?:import|from|def|class|async|@)\b|@", line)]
    for start in starts[:20]:
        for end in range(len(lines), start, -1):
            code = "\n".join(lines[start:end])
            if not defines_name(code, name):
                break
            if is_python(code):
                return code
    return text
