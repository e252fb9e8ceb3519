"""Instructions about the form of a response: lines, lists, brackets, quotes, capitals."""

from __future__ import annotations

import re
import string
from itertools import pairwise

from tasks.ifbench_rules.text_units import is_emoji, sentences_of, trim, without_punctuation
from tasks.ifeval_rules.text_features import words

CLOSING = {")": "(", "]": "[", "}": "{"}
NESTED_BRACKETS, NESTED_QUOTES = 5, 3
LETTER_OPTIONS = re.compile(r"\W*[aA]\W*[bB]\W*[cC]\W*")
HEADINGS = ("My Answer:", "My Conclusion:", "Future Outlook:")
NO_QUOTES = string.digits + string.punctuation.replace('"', "")


def parentheses(text: str) -> bool:
    """Brackets ( [ { five levels deep, of which the deepest is closed rightly; a wrong bracket begins anew."""
    levels, deepest = list[str](), 0
    for sign in text:
        if sign in CLOSING.values():
            levels.append(sign)
            deepest = max(deepest, len(levels))
        elif sign in CLOSING:
            if not levels or levels.pop() != CLOSING[sign]:
                levels, deepest = [], 0
            elif deepest >= NESTED_BRACKETS:
                return True
    return False


def quotes(text: str) -> bool:
    """Straight quotation marks " and ' in turn, three levels deep and all three closed; an apostrophe opens a level, too."""
    levels, deepest = list[str](), 0
    for sign in text:
        if levels and sign == levels[-1]:
            levels.pop()
            if deepest - len(levels) >= NESTED_QUOTES:
                return True
        elif sign in "\"'":
            levels.append(sign)
            deepest = max(deepest, len(levels))
    return False


def options(text: str, options: str) -> bool:
    """The response is one of the options; letters must be written as they are, words in any case, with marks around them."""
    choices = split_options(options)
    if LETTER_OPTIONS.match(options):
        return text in choices
    return trim(text).lower() in {trim(option).lower() for option in choices}


def split_options(options: str) -> list[str]:
    """The options as the instruction lists them: between slashes, between "or", or between commas."""
    separator = "/" if "/" in options else "or" if "or" in options else ","
    return [option.strip() for option in options.split(separator)]


def newline(text: str) -> bool:
    """Each word stands on a line of its own; lines of punctuation alone do not count."""
    plain = without_punctuation(text).strip()
    return sum(line != "" for line in plain.split("\n")) == len(plain.split())


def emoji(text: str) -> bool:
    """Each sentence ends with an emoji, or the next one begins with it: a splitter of sentences puts it there."""
    sentences = [without_punctuation(sentence).strip() for sentence in sentences_of(text)]
    for place, sentence in enumerate(sentences):
        following = sentences[place + 1] if place + 1 < len(sentences) else ""
        if not sentence:
            return False
        if not any(map(is_emoji, sentence[-2:])) and not (following and is_emoji(following[0])):
            return False
    return True


def line_indent(text: str) -> bool:
    """Each line is indented by more blanks than the line before.

    The official scorer removes blank lines while it walks over them, and so leaves every second one of several in a row.
    """
    lines, place = text.split("\n"), 0
    while place < len(lines):
        if not lines[place].strip():
            lines.remove(lines[place])
        place += 1
    indents = [len(line) - len(line.lstrip(" ")) for line in lines]
    return all(before < after for before, after in pairwise(indents))


def quote_unquote(text: str) -> bool:
    """No quotation stands next to another, and none ends the text: each has an explanation behind it.  Straight marks only."""
    dense = "".join(text.replace("'\"'", "").split())
    return '""' not in dense and not dense.strip(NO_QUOTES).endswith('"')


def bullet_signs(text: str, separator: str) -> bool:
    """The sign of the list is there twice or more, at the beginning of a line or not."""
    return text.count(separator) >= 2


def thesis(text: str) -> bool:
    """Some text in italics by HTML (<i> or <em>), and some text behind it."""
    start = text.find("<i>") if "<i>" in text else text.find("<em>")
    if start < 0:
        return False
    rest = text[start:]
    end = rest.find("</i>") if "</i>" in rest else rest.find("</em>")
    # The lengths are those of <i> and </i>, as in the official scorer: of <em> the last sign stays.
    return end >= 0 and rest[3:end].strip() != "" and rest[end + 4 :].strip() != ""


def sub_bullets(text: str) -> bool:
    """Behind each asterisk comes a dash before the next asterisk; a text without any asterisk follows."""
    return all("-" in part for part in text.split("*")[1:])


def sentences_then_bullets(text: str) -> bool:
    """Two sentences or more, then nothing but two lines or more that begin with an asterisk.

    As in the official scorer, a blank line may stand among the sentences only directly before the list.
    """
    sentences = bullets = 0
    more_may_follow = True
    for line in (line.strip() for line in text.split("\n")):
        if line.startswith("*"):
            if sentences < 2:
                return False
            bullets += 1
            more_may_follow = False
        elif not more_may_follow:
            return False
        else:
            of_line = len(sentences_of(line))
            sentences += of_line
            more_may_follow = of_line > 0
    return bullets >= 2


def title_case(text: str) -> bool:
    """No word begins with a small letter, unless capitals and small letters mix behind it (iPhone); short words too."""
    tokens = [word for word in words(text) if word[0].isalpha()]
    return not any(word[0].islower() and (len(word) == 1 or word[1:].isupper() or word[1:].islower()) for word in tokens)


def output_template(text: str) -> bool:
    """All three headings are there, in any order."""
    return all(heading in text for heading in HEADINGS)


def no_whitespace(text: str) -> bool:
    return not any(sign.isspace() for sign in text)
