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


def cut(text: str, stops: Sequence[str]) -> str:
    """`text` up to the first of `stops`."""
    places = [place for stop in stops if (place := text.find(stop)) >= 0]
    return text[: min(places)] if places else text


def defines(code: str, name: str) -> bool:
    """Whether a line at the margin binds `name`: a function, a class, an assignment or an import."""
    word = re.escape(name)
    return bool(
        re.search(
            rf"^(?:(?:async[ \t]+)?def|class)[ \t]+{word}\b|^{word}\b[^=\n]*=(?!=)|^from\b.*\b{word}\b", code, re.MULTILINE
        )
    )


def completed(prompt: str, text: str, name: str) -> str:
    """The program of a model that goes on with `prompt`; a text that begins anew and has the whole function stands alone."""
    if text.lstrip("\n")[:1] not in (" ", "\t") and defines(text, name):
        return text
    return prompt + cut(text, STOPS)


def program(text: str, name: str) -> str:
    """The program in an answer: the fenced block that defines `name`, with the blocks before it that it may need.

    Without a fence: the text itself if it is Python, else its longest stretch of lines that is Python and defines `name`.
    A fence that is never closed goes to the end.  Nothing found: the whole text, which then fails as what it is.
    """
    blocks = [found["code"] for found in FENCE.finditer(text) if found["language"] in PYTHON]
    holding = [i for i, block in enumerate(blocks) if defines(block, name)]
    if holding:
        return joined(blocks, holding[0])
    if blocks:
        return max(blocks, key=len)
    return text if parses(text) else stretch(text, name)


def joined(blocks: Sequence[str], index: int) -> str:
    """The block, after those earlier ones that are Python on their own (imports, helpers); never later ones: usage, tests."""
    earlier = [block for block in blocks[:index] if parses(block)]
    return "\n".join([*earlier, blocks[index]])


QUIET = threading.Lock()  # filters of warnings belong to the whole process


def parses(code: str) -> bool:
    """Whether it is Python; what the compiler would warn of (odd escapes) is no matter."""
    with QUIET, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            ast.parse(code)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return False
    return True


def stretch(text: str, name: str) -> str:
    """The longest run of lines that is Python and defines `name`; prose before and after is left out."""
    lines = text.split("\n")
    starts = [i for i, line in enumerate(lines) if re.match(r"(?:import|from|def|class|async|@)\b|@", line)]
    for start in starts[:20]:
        for end in range(len(lines), start, -1):
            code = "\n".join(lines[start:end])
            if not defines(code, name):
                break
            if parses(code):
                return code
    return text
