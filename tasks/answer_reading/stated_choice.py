"""The answer that a response states where it is no number: an option's letter, a word, a list of words or of brackets."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence

from tasks.answer_reading.exclusions import SAYS_IT_IS, drop_exclusions, final_option, without_texts
from tasks.answer_reading.local_numbers import state_in_english
from tasks.answer_reading.plain_signs import open_enclosed, plain_signs
from tasks.answer_reading.run_on import cut_at_question, cut_at_turn
from tasks.answer_reading.word_answers import without_and, words_of_target

OPTION = re.compile(r"\(([A-Z])\)")
OPTION_LINE = re.compile(r"^\(([A-Z])\)\s*(.+?)\s*$", re.MULTILINE)  # in a question: "(A) red old barn"
MARK = re.compile(
    r"\b(?:answer|(?:correct|right|best)\s+(?:option|choice))"
    r"(?:\s+to\b[^.:=?!;\n]{0,60}?|\s+\w+){0,1}?(?:,[^,.\n]{0,20},)?\s*"
    r"(?:\b(?:is|would be|should be|must be|was)\b[ \t]*:?|[:=])"
    r"|\banswer[*_:]*[ \t]*\n"
    r"|^[^\w\n]{0,12}(?:final[ ])?ans(?:wer)?[*_]*(?:[ \t]*(?:[-=]>|[→–—]|-(?=\s))|(?<=ans)\b[.*_]*[ \t]*[:=]?)",
    re.IGNORECASE | re.MULTILINE,
)
A_LETTER = r"(?:(?:option|choice|answer)\s+)?\(?[A-Z]\)?(?![\w'])"
CHOOSES = re.compile(rf"\bI(?:'d|'ll|\s+would|\s+will)?\s+(?:go\s+with|choose|pick|select|opt\s+for)\s+(?=[*_]*{A_LETTER})")
# "Option (B) the new kite is the correct answer", "Thus, B is correct"; but not "if (B) is correct" and not "A and B is ...".
IS_RIGHT = r"\s{1,3}is\s+(?:\w+ly\s+)?(?:the\s+)?(?:(?:most\s+)?(?:correct|right|best|appropriate)\b|answer\b)"
RIGHT_OPTION = re.compile(
    r"(?<!\bif )(?<!\bIf )(?<!\bwhether )(?<!\band )(?<!\bor )(?<!\bnor )(?<!\b[Nn]either )"
    r"(?:\b[Oo]ption\s+\(?|\b[Cc]hoice\s+\(?|\()([A-Z])[)*_]*"
    rf"(?:(?!\bis\b|\boption\b|\bchoice\b)[^.\n()]){{0,80}}?{IS_RIGHT}"
    rf"|(?:^|[.;:,]\s+|\b[Ss]o\s+|\b(?:[Tt]hus|[Tt]herefore|[Hh]ence|that)\s+)[*_]{{0,2}}([A-Z])[*_]{{0,2}}{IS_RIGHT}",
    re.MULTILINE,
)
BOX = re.compile(r"\\f?boxed\s*\{((?:[^{}]|\{[^{}]*\})*)\}")
FIELD = re.compile(
    r"""["'](?:final[_ ]?)?answer["']\s*:\s*(?:"((?:[^"\\]|\\.)*)"|'([^'\n]*)'|([^"',}\n]+))"""
    r"|<(?:final_?)?answer>(.*?)(?:</|$)",
    re.IGNORECASE | re.DOTALL,
)
BOLD_LINE = re.compile(r"^[^\w\n*]*(?:\*\*|__)([^*_\n]+)(?:\*\*|__)[ \t.!]*$", re.MULTILINE)
OPTION_ONLY_LINE = re.compile(r"^[^\w\n]*\([A-Z]\)[^\w\n]*$", re.MULTILINE)
LAYOUT = re.compile(r"[ \t*_:\n]*")
LINE_END = -1  # as the end of a statement: it takes too long to look for each one
LETTER_ONLY_LINE = re.compile(
    r"[^\w\n]*(?:(?:[Ss]o|[Tt]hus|[Tt]herefore|[Hh]ence)\b[^\w\n]{1,8})?(?:(?:[Ii]t|[Tt]hat)(?:'s|\s(?:is|must\sbe))\s"
    r"(?:[*_]{0,2}(?:option|choice)\s)?[^\w\n]{0,3})?([A-Z])[^\w\n]*"
)
LINE_WITH_OPTION = re.compile(r"^[^\w\n]*([A-Z])[).:\]*_]*[ \t]*[-–—]?[ \t]*(\S[^\n]*)$", re.MULTILINE)
LATEX_TEXT = re.compile(r"\\(?:text|mathrm|mathbf|textbf|boxed|mbox)\s*\{([^{}]*)\}")
MARKUP = re.compile(r"\*\*|__|`|\\[()\[\]]|\$")
SYMBOLS = re.compile(r"^[^\w\s(){}\[\]<>\"'$\\+\-.]+\s*")  # an emoji, a bullet
EMOJI = "".join(map(chr, (*range(0x2600, 0x27C0), 0x2B50, 0x2B55, 0xFE0F, *range(0x1F300, 0x1FB00))))
LIST = re.compile(r"(?:[ \t]*(?:\d{1,2}[.)]|[-*•])[ \t]+\S[^\n]*(?:\n|$)){2,}")  # below a mark of an answer
LIST_MARK = re.compile(r"^[ \t]*(?:\d{1,2}[.)]|[-*•])[ \t]+", re.MULTILINE)
FILLER = re.compile(
    r"^(?:[\s:=*\"']|\b(?:that|therefore|thus|clearly|indeed|simply|most|likely|probably|definitely|certainly|but"
    r"|option|choice|letter|still)\b)+",
    re.IGNORECASE,
)
LETTER = re.compile(
    r"^\(?([A-Z])(?:\)|(?=$|[.,:;!?]|\s?(?:입니다|이다|です|である)|\s*$|\s*[–—(\[{]|\s+(?:-\s|(?:because|since|as|for|and|or|but|while|given|rather)\b)))"
)
FRAME = re.compile(r"A:\s*(?=\S)")  # BBH's own before an answer
# A line of it with a letter, where no other line has B's: "A: F, B: T" judges each option.
FRAMED_LETTER = re.compile(
    r"^[ \t*_]*(?=A:[ \t*_]*(?:\([A-Z]\)|[A-Z](?:[).*_]|[ \t]*$)))(?![^\n]*\n+[^\w\n]*B[*_]*[:.)])", re.MULTILINE
)
SMALL_LETTER = re.compile(r"^(?:\(([a-z])\)|([a-z])(?:\)|$))")
BRACKETED_LETTER = re.compile(r"^(?:\[{1,2}([A-Z])\]{1,2}|<([A-Z])>|\{([A-Z])\})")
NAMED_LETTER = re.compile(r"\b(?:option|choice)\s+([A-Z])(?![\w'])")
NEGATION = re.compile(
    r"(?:,?\s?\b(?:and|but)\b)?\s?(?:\b[Nn]ot|n't|\bnever|\brather\s+than|\binstead\s+of)\s+(?:be\s+)?(?:the\s+)?"
    r"(?:(?:option|choice|answer)\s+)?(?:\([A-Za-z]\)|[A-Z](?=\s*(?:[,.;:)]|$|(?:but|and|or)\b)))"
)
REASON = re.compile(r"\s?(?:;|\b(?:because|since|as|while|whereas|given|unlike|although|though)\b)")
ALTERNATIVE = re.compile(rf"\s*(?:[,/&]|\band\b|\bor\b)+\s*(?:or\b\s*|and\b\s*)?{A_LETTER}")
LATER_ALTERNATIVE = re.compile(r"(?:[,/&]|\band\b|\bor\b)\s*(?:(?:option|choice)\s+)?\([A-Z]\)(?!\s+(?:is|are|was)\b)")
AFTER_WORD = re.compile(r"^\s*(?:$|[.,;:!?()\-–—]|(?:because|since|as)\b)")
# A later statement that leaves no earlier one in force: it denies, doubts, or names options without choosing one.
RETRACTS = re.compile(
    r"\b(?:not|never|no|none|neither|nor|either|cannot|wrong|incorrect|mistaken|false|unclear|uncertain|unsure|unknown|undetermined"
    r"|impossible|ambiguous|depends?|missing|different|another)\b|n't\b|\?"
    r"|\([A-Za-z]\)|(?-i:\b(?!A\s+[a-z]|I\b)[A-Z]\b)|\b(?:option|choice)s?\b",
    re.IGNORECASE,
)
MAX_REMARKS = 30  # statements from the end that are looked at

Statement = tuple[int, int, int]  # the place of its mark, and where it begins and ends (or LINE_END)
FindAnswer = Callable[[str], tuple[int, int] | None]  # where a line that is an answer alone has it
IsAnswer = Callable[[str], bool]  # is a statement an answer to what was asked?


def no_answer(_line: str) -> None:
    """No line is an answer alone but for those that are a letter."""


def stated_text(response: str, find_answer: FindAnswer = no_answer, is_answer: IsAnswer = bool) -> str:
    """What a response states: the rest of the line behind its last mark of an answer, without signs of layout.

    Marks are "the answer is", "Answer:", a box, an answer field, a line in bold, a line that is an option alone, and a first
    or last line in which `find_answer` finds an answer.  "" where it has none of them and more than one line; a single line is
    its own statement.  A next question is left out.  What follows an answer and is none by `is_answer` ("**Explanation**",
    "My answer is correct.") takes nothing back.
    """
    text = state_in_english(plain_signs(open_enclosed(cut_at_turn(response))))
    candidates = sorted(statements(text))
    first = candidates[0][0] if candidates else len(text)
    text = cut_at_question(text, lambda before: first < len(before) or any(edge_lines(before, find_answer)))
    candidates = sorted([*(each for each in candidates if each[0] < len(text)), *edge_lines(text, find_answer)])
    if candidates:
        return last_answer(text, candidates, is_answer)
    lines = text.strip().split("\n")
    return clean(lines[0]) if len(lines) == 1 else ""


def last_answer(text: str, candidates: Sequence[Statement], is_answer: IsAnswer) -> str:
    """The last statement that is an answer, or that takes back those before it; the last one where none is either."""
    for statement in reversed(candidates[-MAX_REMARKS:]):
        words = words_of_statement(text, statement)
        claim = words[: reason.start()] if (reason := REASON.search(words, 1)) else words
        if is_answer(words) or (RETRACTS.search(claim) and not BOLD_LINE.match(text, statement[0])):
            return words
    return words_of_statement(text, candidates[-1])


def words_of_statement(text: str, statement: Statement) -> str:
    _, start, end = statement
    if end == LINE_END and (items := LIST.match(text, text.rfind("\n", 0, start) + 1)):
        return ", ".join(clean(item) for item in LIST_MARK.sub("", items[0]).strip().split("\n"))
    return clean(text[start:].partition("\n")[0] if end == LINE_END else text[start:end])


def statements(text: str) -> Iterator[Statement]:
    """Everything that is marked as an answer."""
    for pattern in (MARK, CHOOSES):
        for match in pattern.finditer(text):
            layout = LAYOUT.match(text, match.end())
            yield match.start(), layout.end() if layout else match.end(), LINE_END
    for pattern in (BOX, FIELD, BOLD_LINE, RIGHT_OPTION):
        for match in pattern.finditer(text):
            yield match.start(), *match.span(match.lastindex or 0)
    for match in OPTION_ONLY_LINE.finditer(text):
        yield match.start(), *match.span()
    for match in FRAMED_LETTER.finditer(text):
        yield match.start(), match.end(), LINE_END
    yield from edge_lines(text)


def edge_lines(text: str, find_answer: FindAnswer = no_answer) -> Iterator[Statement]:
    """A first or last line that is a letter alone, or holds an answer."""
    end = len(text.rstrip())
    first_end = text.find("\n", 0, end)
    for start, stop in {(0, first_end if first_end >= 0 else end), (text.rfind("\n", 0, end) + 1, end)}:
        if match := LETTER_ONLY_LINE.fullmatch(text, start, stop):
            yield start, *match.span(1)
        elif span := find_answer(text[start:stop]):
            yield start, start + span[0], start + span[1]


def clean(text: str) -> str:
    """The text without Markdown, LaTeX and quotes around it, and without a final full stop."""
    for _ in range(2):  # \boxed{\text{(B)}}
        text = LATEX_TEXT.sub(r"\1", text)
    text = FILLER.sub("", SYMBOLS.sub("", drop_end_emoji(MARKUP.sub("", text).strip()))).strip()
    return text.strip(" \"'*_").removesuffix(".").strip(" \"'*_")


def drop_end_emoji(text: str) -> str:
    """The text without emoji at its end, and the full stop behind them: "yes ✅."."""
    rest = text.rstrip(".! ")
    return rest.rstrip(EMOJI + " ") or text if rest[-1:] and rest[-1] in EMOJI else text


def read_option(statement: str, options: Mapping[str, str]) -> str:
    """The option that a statement names, as "(B)"; "" where it names none, or several.

    `options`: the texts of the options by letter; a statement may repeat a text instead of its letter.  What a statement
    excludes ("and not (C)", "(C) is wrong") or gives as its reason ("since (A) is old") is no option of it.
    """
    text = without_texts(statement, options)
    if frame := FRAME.match(text):  # "A: (B)" answers (B), "A: words of the option" answers (A)
        rest = text[frame.end() :]
        return read_option(rest, options) or read_by_text(rest, options) or "(A)"
    if (letter := final_option(text)) and letter in (options or letter):
        return f"({letter})"
    for sentence in re.split(r"(?<=[.!?])\s", text):
        rest = NEGATION.sub("", drop_exclusions(sentence, options))
        option = option_in_sentence(rest if rest == sentence else rest.lstrip(" ,;:.!–—-"))
        if option or rest == sentence or OPTION.search(rest):
            return option or read_by_text(statement, options)
    return ""


def option_in_sentence(sentence: str) -> str:
    """The option that a sentence begins with, or the only one that it names, apart from its reason; "" for none or several."""
    sentence = FILLER.sub("", sentence)
    claim = sentence[: reason.start()] if (reason := REASON.search(sentence, 1)) else sentence
    if match := BRACKETED_LETTER.match(claim) or SMALL_LETTER.match(claim):
        return f"({next(group for group in match.groups() if group).upper()})"
    if match := LETTER.match(claim):
        is_open = ALTERNATIVE.match(claim, match.end()) or LATER_ALTERNATIVE.search(claim, match.end())
        return "" if is_open else f"({match[1]})"
    letters = next(
        (names for pattern in (SAYS_IT_IS, OPTION, NAMED_LETTER) if (names := set(pattern.findall(claim)))), set[str]()
    )
    return f"({letters.pop()})" if len(letters) == 1 else ""


def read_by_text(statement: str, options: Mapping[str, str]) -> str:
    letters = [letter for letter, text in options.items() if text.casefold() == statement.casefold()]
    return f"({letters[0]})" if len(letters) == 1 else ""


def read_choice(response: str, options: Mapping[str, str]) -> str:
    """The option that a response states, as "(B)"; else the only one that a line of it repeats ("B. the new kite").

    A last line may repeat its text alone, where no other line does so.
    """
    if statement := stated_text(response, is_answer=lambda words: bool(read_option(words, options))):
        return read_option(statement, options)
    text = plain_signs(open_enclosed(cut_at_turn(response)))
    lines = LINE_WITH_OPTION.finditer(text)
    letters = {
        line[1] for line in lines if options.get(line[1], "").casefold().rstrip(".") == line[2].strip(" \t.*_").casefold()
    }
    if letters:
        return f"({letters.pop()})" if len(letters) == 1 else ""
    *before, last = text.strip().split("\n")
    plain_options = {letter: clean(option) for letter, option in options.items()}
    is_list = any(read_by_text(clean(line), plain_options) for line in before)
    return "" if is_list else read_by_text(clean(last), plain_options)


def options_of(question: str) -> dict[str, str]:
    return {match[1]: match[2] for match in OPTION_LINE.finditer(question)}


def same_words(statement: str, target: str) -> bool:
    """Does the statement say the target: the same words in any case, with commas or without, and a remark behind a single word?

    Brackets are compared one by one, with spaces or without.
    """
    if not any(sign.isalnum() for sign in target):
        return "".join(statement.split()).replace(",", "") == "".join(target.split())
    target_words = words_of_target(target)
    if target_words in (words_of_target(statement), words_of_target(without_and(statement))):
        return True
    begins_alike = statement.casefold().startswith(target.casefold())
    return len(target_words) == 1 and begins_alike and bool(AFTER_WORD.match(statement[len(target) :]))
