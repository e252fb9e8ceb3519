"""The answer that a response states where it is no number: an option's letter, a word, a list of words or of brackets."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from harness.prompts.reading import plain_quotes
from tasks.answer_reading.run_on import cut_at_question, cut_at_turn

OPTION = re.compile(r"\(([A-Z])\)")
OPTION_LINE = re.compile(r"^\(([A-Z])\)\s*(.+?)\s*$", re.MULTILINE)  # in a question: "(A) red old barn"
MARK = re.compile(
    r"\banswer(?:\s+to\b[^.:=?!;\n]{0,60}?|\s+\w+){0,1}?(?:,[^,.\n]{0,20},)?\s*"
    r"(?:\b(?:is|would be|should be|must be|was)\b[ \t]*:?|[:=])"
    r"|\banswer[*_:]*[ \t]*\n",
    re.IGNORECASE,
)
BOX = re.compile(r"\\f?boxed\s*\{((?:[^{}]|\{[^{}]*\})*)\}")
FIELD = re.compile(
    r"""["'](?:final[_ ]?)?answer["']\s*:\s*"((?:[^"\\]|\\.)*)"|<(?:final_?)?answer>(.*?)(?:</|$)""", re.I | re.S
)
BOLD_LINE = re.compile(r"^[ \t>#-]*(?:\*\*|__)([^*_\n]+)(?:\*\*|__)[ \t.!]*$", re.MULTILINE)
OPTION_ONLY_LINE = re.compile(r"^[^\w\n]*\([A-Z]\)[^\w\n]*$", re.MULTILINE)
LATEX_TEXT = re.compile(r"\\(?:text|mathrm|mathbf|textbf|boxed|mbox)\s*\{([^{}]*)\}")
MARKUP = re.compile(r"\*\*|__|`|\\[()\[\]]|\$")
FILLER = re.compile(r"^(?:[\s:=*\"']|\b(?:that|therefore|thus|clearly|indeed|simply|option|choice|letter)\b)+", re.IGNORECASE)
LETTER = re.compile(r"^\(?([A-Z])(?:\)|(?=$|[.,:;!?]|\s*$|\s+(?:-|because|since|as)\b))")
AFTER_WORD = re.compile(r"^\s*(?:$|[.,;:!?()\-–—]|(?:because|since|as)\b)")


def stated_text(response: str) -> str:
    """What a response states: the rest of the line behind its last mark of an answer, without signs of layout.

    Marks are "the answer is", "Answer:", a box, an answer field, a line in bold, a line that is an option alone.  "" where it
    has none of them and more than one line; a single line is its own statement.  A next question is left out.
    """
    text = plain_quotes(cut_at_turn(response))
    candidates = sorted(statements(text))
    if candidates:
        text = cut_at_question(text, lambda before: candidates[0][0] < len(before))
        candidates = [(place, content) for place, content in candidates if place < len(text)]
    if candidates:
        return clean(candidates[-1][1])
    lines = text.strip().split("\n")
    return clean(lines[0]) if len(lines) == 1 else ""


def statements(text: str) -> Iterator[tuple[int, str]]:
    """(place, text) of everything that is marked as an answer."""
    for match in MARK.finditer(text):
        rest = text[match.end() :].lstrip(" \t*_:\n")
        yield match.start(), rest.split("\n", 1)[0]
    for pattern in (BOX, FIELD, BOLD_LINE):
        for match in pattern.finditer(text):
            yield match.start(), next(group for group in match.groups() if group is not None)
    for match in OPTION_ONLY_LINE.finditer(text):
        yield match.start(), match[0]


def clean(text: str) -> str:
    """The text without Markdown, LaTeX and quotes around it, and without a final full stop."""
    for _ in range(2):  # \boxed{\text{(B)}}
        text = LATEX_TEXT.sub(r"\1", text)
    text = FILLER.sub("", MARKUP.sub("", text)).strip()
    return text.strip(" \"'*_").removesuffix(".").strip(" \"'*_")


def read_option(statement: str, options: Mapping[str, str]) -> str:
    """The option that a statement names, as "(B)"; "" where it names none, or several.

    `options`: the texts of the options by letter; a statement may repeat a text instead of its letter.
    """
    sentence = re.split(r"(?<=[.!?])\s", statement, maxsplit=1)[0]
    if len(set(OPTION.findall(sentence))) > 1:
        return ""
    if match := LETTER.match(statement) or OPTION.search(sentence):
        return f"({match[1]})"
    letters = [letter for letter, text in options.items() if text.casefold() == statement.casefold()]
    return f"({letters[0]})" if len(letters) == 1 else ""


def options_of(question: str) -> dict[str, str]:
    return {match[1]: match[2] for match in OPTION_LINE.finditer(question)}


def same_words(statement: str, target: str) -> bool:
    """Does the statement say the target: the same words in any case, with commas or without, and a remark behind a single word?

    Brackets are compared one by one, with spaces or without.
    """
    if not any(sign.isalnum() for sign in target):
        return "".join(statement.split()).replace(",", "") == "".join(target.split())
    words, target_words = (re.split(r"[\s,]+", text.strip().casefold()) for text in (statement, target))
    if words == target_words:
        return True
    begins_alike = statement.casefold().startswith(target.casefold())
    return len(target_words) == 1 and begins_alike and bool(AFTER_WORD.match(statement[len(target) :]))
