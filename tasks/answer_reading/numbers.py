"""Numbers as people write them: thousands in every style, fractions, powers, times of day, amounts of money."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from tasks.answer_reading.plain_signs import plain_digits_and_signs

MAX_DIGITS = 40  # a longer run of digits is a loop, not an amount
MAX_EXPONENT = 15
SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
SUPERSCRIPT = re.compile("[⁻]?[⁰¹²³⁴⁵⁶⁷⁸⁹]+")
VULGAR = {"½": "1/2", "⅓": "1/3", "⅔": "2/3", "¼": "1/4", "¾": "3/4", "⅕": "1/5", "⅖": "2/5", "⅗": "3/5", "⅘": "4/5",
          "⅙": "1/6", "⅚": "5/6", "⅛": "1/8", "⅜": "3/8", "⅝": "5/8", "⅞": "7/8"}  # fmt: skip
# Between groups of three digits: LaTeX's {,} \, \; \: \! "\ " and ~; no-break, figure, thin and narrow spaces; ' and _.
THOUSANDS = re.compile(
    r"(?<![\d.,])\d{1,3}(?:(?:\{,\}|,?\\[,;:! ]|\\thinspace ?|[~'_\u00a0\u2007\u2008\u2009\u200a\u202f])\d{3})+(?!\d)"
)
POINT_THOUSANDS = re.compile(r"(?<![\d.,(\[])([1-9]\d{0,2}(?:\.\d{3})+),(\d{1,2})(?![\d.,]*\d)")  # 70.000,00, but not (1.250,3)
# Spaces between thousands: where a group begins with 0, or where the number is all of a box or of a line behind "####".
SPACED = re.compile(r"(?<![\d.,:/^])\d{1,3}(?: \d{3}){0,4} 0\d{2}(?: \d{3}){0,4}(?![\d.,:/]*\d)")
SPACED_ALONE = re.compile(r"(?m)(?:(?<=\{)|(?<=\{\$)|^[ \t]*#### ?\$?)\d{1,3}(?: \d{3}){1,5}(?=[ \t]*(?:\}|$))")
MONEY_SCALE = re.compile(r"([$€£¥₹] ?\d+(?:[.,]\d+)*) ?([kKM])(?![A-Za-z0-9$^_]|[^$\n]{0,30}\$(?! ?\d))")  # not $2k + 1$
MONEY_COMMA = re.compile(
    r"(?<![\d.,])((?<=[€£$])\d{1,9}|(?<=[€£$] )\d{1,9}|\d{1,9}(?=,\d\d ?(?:€|EUR\b|[Ee]uros?\b))),(\d\d)(?![\d,]|\.\d)"
)
COMMA_MONEY = r"(?:€|EUR\b|[Ee]uros?\b|zł|kr\b|Kč|₽|CHF\b|руб)"
SPACED_MONEY = re.compile(  # 1 234,50 €
    rf"(?<![\d.,])(?<!\d )(?:(?<=€)|(?<=€ )|(?=[\d ]{{5,23}},\d\d ?{COMMA_MONEY}))"
    r"(\d{1,3}(?: \d{3}){1,5}),(\d\d)(?![\d,]|\.\d)"
)
SPACED_ZEROS = re.compile(r"(?<![\d.,])(\d{1,3}), 000(?![\d.,]*\d)")
UNIT = (
    r"(?:(?:kilo|centi|milli)?(?:met(?:er|re)s|grams|lit(?:er|re)s)|km|miles|feet|yards|steps|dollars|cents|euros?|pounds|rupees|yen"
    r"|calories|minutes|seconds|hours|days|people|€|EUR|USD)"
)
SPACED_UNIT = re.compile(  # "1 234 meters." ends a sentence; "2 500 ml bottles" does not
    rf"(?<![\d.,:/^])(?<!\d )\d{{1,3}}(?: \d{{3}}){{1,4}}(?=[ ]{UNIT}"
    r"(?:[*_]{0,2}(?:[.!?,;]|[ \t]*$)|\*\*|[ ](?:in[ ](?:total|all)|altogether)\b))",
    re.MULTILINE | re.IGNORECASE,
)
STATED_ALONE = re.compile(  # the same in bold, or at the end of a line behind "answer is" or "Answer:"
    r"(?mi)(?:^[ \t]*\*\*[$€£]?|\banswer(?:[ ]is|[ ]?[:=])[ *]{0,4}[$€£]?)\d{1,3}(?: \d{3}){1,5}(?=[.]?[*]{0,2}[.]?[ \t]*$)"
)
NEGATIVE = re.compile(r"\bnegative (?=[$€£]?\d)|(?<=\bis )minus (?=[$€£]?\d)|(?<![\w)\]}.,–])–(?=[$€£]?\d)")
PLAIN_SIGNS = str.maketrans("−\u2010\u2011\ufe63⁄", "----/")
# GSM8K's calculator notes: "9 * 2 = $<<9*2=18>>18" says 18 once.
CALCULATOR = re.compile(r"(=\s*[$€£]?)?<<[^<>\n]{1,80}=[ ]?([-$€£]?[\d.,]*\d)>>(?=(\s*[$€£]?-?\.?\d)?)")
# Ten thousands and hundred millions of Chinese, Japanese and Korean: 7万, 1.5亿, 5万7500, 5만 7,500.
DIGITS = r"(\d[\d,]{0,20}(?:\.\d{1,9})?)"
MYRIADS = re.compile(
    rf"(?<![\d.,])(?=[\d,.]+ ?[億亿억万萬만])(?:{DIGITS} ?(?:[億亿]|억 ?))?(?:{DIGITS} ?(?:[万萬]|만 ?))?(?:(\d)[千천])?"
    r"(\d{3,4}(?!,\d)|\d,\d{3})?(?![\d,.]*\d| ?[千천万萬만億亿억])"
)
PLACES = (10**8, 10**4, 10**3, 1)
SCALE_WORDS = {"k": "thousand", "M": "million"}
MINUS = r"((?<![\w)\]}])-)?"  # of a fraction; behind a word or a bracket it subtracts
LATEX = (
    (re.compile(rf"{MINUS}\\[dt]?frac ?\{{ ?([^{{}}]{{0,40}}?) ?\}} ?\{{ ?([^{{}}]{{0,40}}?) ?\}}"), r" \1\2/\3 "),
    (re.compile(rf"{MINUS}\\[dt]?frac ?(\d) ?(\d)"), r" \1\2/\3 "),
    (re.compile(r"\\(?:text|mathrm|mbox|textrm|mathbf|textbf|bm|textit)\s?\{([^{}]*)\}"), r"\1"),
    (re.compile(r"\\(?:times|cdot)(?![A-Za-z])|[×⋅·]"), "*"),
    (re.compile(r"\\(?:left|right|displaystyle|quad|qquad)(?![A-Za-z])|\\[,;:!](?!\d)|[\u200b\u2060]"), " "),
    (re.compile(r"\\([$%&#])"), r"\1"),
)
UNIT_POWER = r"(?<![A-WYZa-wyz])"  # the 2 of cm2 and H2O; after an x it is a factor
EXPONENT = r"\^\s*\{?\s*[-+]?\d{1,3}\s*\}?"
NUMBER = re.compile(
    rf"""(?P<sign>(?<![\w)\]}}])-)?(?:[$€£¥₹]\s?)?(?P<second_sign>(?<=[$€£¥₹])-)?
    (?:
      (?P<hour>(?<![\d:.,])\d{{1,2}}):(?P<minute>[0-5]\d)(?![\d:])
    | (?<![\d./])(?:(?P<whole>\d{{1,6}})[ ])?(?P<numerator>(?<!\^)\d{{1,6}})/(?P<denominator>\d{{1,6}})(?![\d/]|\.\d)
    | {UNIT_POWER}(?P<digits>\d{{1,3}}(?:,\d{{2,3}}){{0,14}},\d{{3}}(?![\d])(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)
      (?:(?P<power>{EXPONENT})|[eE](?P<e>[-+]?\d{{1,2}})(?!\w|\.\d)|\s*(?:x|\*)\s*10\s*(?P<ten>{EXPONENT}))?
      (?P<scale>\s(?:thousand|million|billion)\b)?
    )""",
    re.VERBOSE,
)
# The exponent of a unit: m^2, cm^{3}, \text{m}^2, and Python's m**2.
AFTER_UNIT = re.compile(r"[A-Za-z})](?:\s?\^\s?\{?|\*\*)$")
LIST_MARK = re.compile(r"(?:^|\n)[\s#>*_]*(?:[Ss]tep\s+)?$")
STEP = re.compile(r"\b[Ss]teps?\s+$")
ITEM = re.compile(r"(?:[.):]|\\\.)[*_]*[ \t]+[^\W\d]")
SCALES = {"": 1, "thousand": 10**3, "million": 10**6, "billion": 10**9}


@dataclass(frozen=True)
class Number:
    """A number in a text: its value, its digits as they stand there (without marks of thousands), and its place."""

    value: Fraction
    text: str
    start: int
    end: int


def normalize(text: str) -> str:
    """The text with plain signs: ASCII quotes and minus, "," between thousands, a/b for fractions, ^n for superscripts."""
    text = plain_digits_and_signs(text).translate(PLAIN_SIGNS)
    text = MYRIADS.sub(count_myriads, CALCULATOR.sub(drop_note, text))
    text = SPACED_ZEROS.sub(r"\1,000", NEGATIVE.sub("-", text))
    text = SPACED_MONEY.sub(lambda match: f"{match[1].replace(' ', ',')}.{match[2]}", text)
    text = MONEY_COMMA.sub(r"\1.\2", text)
    text = SUPERSCRIPT.sub(lambda match: "^" + match[0].translate(SUPERSCRIPTS), text)
    for sign, fraction in VULGAR.items():
        if sign in text:
            text = re.sub(MINUS + sign, rf" \g<1>{fraction} ", text)
    text = THOUSANDS.sub(lambda match: ",".join(re.findall(r"\d+", match[0])), text)
    text = POINT_THOUSANDS.sub(lambda match: f"{match[1].replace('.', ',')}.{match[2]}", text)
    for spaced in (SPACED, SPACED_ALONE, SPACED_UNIT, STATED_ALONE):
        text = spaced.sub(lambda match: re.sub(r"(?<=\d) (?=\d)", ",", match[0]), text)
    text = MONEY_SCALE.sub(lambda match: f"{match[1]} {SCALE_WORDS[match[2].replace('K', 'k')]}", text)
    for pattern, plain in LATEX:
        text = pattern.sub(plain, text)
    return re.sub(r"(?<=\d) {2,}(?=\d+/\d)", " ", text)


def drop_note(note: re.Match[str]) -> str:
    """What stays of a calculator's note: nothing where its result follows, else the result."""
    before = note[1] or ""
    return before if note[3] else f"{before or ' = '}{note[2]}"


def count_myriads(number: re.Match[str]) -> str:
    """70000 for 7万; the number as it stands where it is no whole one."""
    value = sum(Fraction(part.replace(",", "")) * place for part, place in zip(number.groups(), PLACES, strict=True) if part)
    return str(value) if value.denominator == 1 else number[0]


def find_numbers(text: str) -> list[Number]:
    """The numbers of a normalized text in order; those of a list ("2. Then ...") and of a unit's power are none."""
    numbers, rest = [], -1  # rest: where a run of digits would go on that is too long for a number
    for match in NUMBER.finditer(text):
        if match.start() == rest or len((match["digits"] or "").replace(",", "")) > MAX_DIGITS:
            rest = match.end() + 1 if text[match.end() : match.end() + 1] == "," else -1
        elif (number := parse(match, text)) is not None:
            numbers.append(number)
    return numbers


def parse(match: re.Match[str], text: str) -> Number | None:
    if is_power(match, text) or is_list_mark(match, text):
        return None
    value, plain = read_signed_value(match.groups())
    return None if value is None else Number(value, plain, match.start(), match.end())


@lru_cache(1 << 12)  # a model that goes astray writes the same number a hundred thousand times
def read_signed_value(groups: tuple[str | None, ...]) -> tuple[Fraction | None, str]:
    """The value of what NUMBER's groups hold, None for what is no number after all; and its text."""
    match = {name: groups[place - 1] or "" for name, place in NUMBER.groupindex.items()}
    value, plain = read_value(match)
    if value is not None and (match["sign"] or match["second_sign"]):
        return -value, "-" + plain
    return value, plain


def read_value(match: Mapping[str, str]) -> tuple[Fraction | None, str]:
    """The same without its sign."""
    if match["hour"]:
        value = Fraction(int(match["hour"])) + Fraction(int(match["minute"]), 60)
        return value, match["hour"] if match["minute"] == "00" else f"{match['hour']}:{match['minute']}"
    if match["denominator"]:
        if not int(match["denominator"]):
            return None, ""
        value = int(match["whole"] or 0) + Fraction(int(match["numerator"]), int(match["denominator"]))
        return value, decimal(value)
    plain = match["digits"].replace(",", "")
    if len(plain) > MAX_DIGITS:
        return None, ""
    value = Fraction(plain)
    if exponent := match["power"]:
        value = value ** read_exponent(exponent) if value else value
    elif exponent := match["ten"] or match["e"]:
        value *= Fraction(10) ** read_exponent(exponent)
    value *= SCALES[match["scale"].strip()]
    return value, plain if value == Fraction(plain) else decimal(value)


def read_exponent(text: str) -> int:
    exponent = int(re.sub(r"[\^{}\s]", "", text))
    return max(-MAX_EXPONENT, min(MAX_EXPONENT, exponent))


def decimal(value: Fraction) -> str:
    """As decimal digits where these end, else as a fraction."""
    denominator = value.denominator
    for prime in (2, 5):
        while denominator % prime == 0:
            denominator //= prime
    if denominator != 1:
        return str(value)
    places = 0
    while (value * 10**places).denominator != 1:
        places += 1
    return f"{float(value):.{places}f}" if places else str(value)


def is_power(match: re.Match[str], text: str) -> bool:
    """Is this the exponent of a unit?"""
    start = match.start()
    return ends_in(text, start, "^{*") and bool(AFTER_UNIT.search(text[max(0, start - 6) : start]))


def ends_in(text: str, end: int, marks: str) -> bool:
    """Whether white space or one of the marks stands before `end`: a quick look before any expression's."""
    before = text[end - 1 : end] if end else ""
    return before.isspace() or before in marks


def is_list_mark(match: re.Match[str], text: str) -> bool:
    """Is this the number of a list item or of a step: "2. Then ...", "3) ...", "Step 4: ..."?"""
    if not match["digits"] or len(match["digits"]) > 2 or match["power"] or match["scale"]:
        return False
    is_marked = bool(ITEM.match(text, match.end(), match.end() + 12))
    if not is_marked and not ends_in(text, match.start(), ""):
        return False
    line_start = text[max(0, match.start() - 20) : match.start()]
    if STEP.search(line_start):
        return True
    return is_marked and (bool(LIST_MARK.search(line_start)) or (match.start() < 20 and not line_start.strip("#>*_ \t\n")))
