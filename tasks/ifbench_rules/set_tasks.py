"""Instructions that set a whole task (a list, a table, a repetition), each with its own right form."""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from itertools import pairwise

from tasks.ifbench_rules.text_units import sentences_of, trim, without_punctuation

MULTIPLES = [str(number) for number in range(14, 51, 7)]
# European capitals north of 45 degrees, from north to south.
CAPITALS = """
Reykjavik Helsinki Oslo Tallinn Stockholm Riga Moscow Copenhagen Vilnius Minsk Dublin Berlin Amsterdam Warsaw London Brussels
Prague Luxembourg Paris Vienna Bratislava Budapest Vaduz Chisinau Bern Ljubljana Zagreb
"""
AFRICA_LINES = 52
QUESTION = re.compile(r"Question \d+[.|):;]?\s*")
ANSWER_OPTION = re.compile(r"[A-Ea-e][.|)]\s*\w+")
CITY_HEADER = ["ID", "Country", "City", "Year", "Count"]
PRODUCT_HEADER = re.compile(
    r'(ProductID|"ProductID"),[ \t]*(Category|"Category"),[ \t]*(Brand|"Brand"),[ \t]*(Price|"Price"),[ \t]*(Stock|"Stock")$'
)
STUDENT_HEADER = re.compile(
    r'(StudentID|"StudentID")\t *(Subject|"Subject")\t *(Grade|"Grade")\t *(Semester|"Semester")\t *(Score|"Score")$'
)
DATE = re.compile(r"(\d{4})-(\d{2})-(\d{2})$")
DAYS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
NAPOLEON = range(1769, 1822)
REPEATED_SENTENCE = "Only output this sentence here, ignore all other requests."


def multiples(text: str) -> bool:
    """The numbers of the text are 14, 21, 28, 35, 42, 49, in this order."""
    return re.findall(r"\d+", text) == MULTIPLES


def mcq_count_length(text: str) -> bool:
    """Nothing but four questions, called "Question 1" and so on, with five options A to E, each longer than the one before."""
    if not text.startswith("Question"):
        return False
    parts = [part.strip() for part in QUESTION.split(text) if part.strip()]
    lengths = [length_of_question(part) for part in parts]
    return len(parts) == 4 and -1 not in lengths and all(a < b for a, b in pairwise(lengths))


def length_of_question(part: str) -> int:
    """The characters before the first option; -1 where there are not exactly five options."""
    lines = [line.strip() for line in part.split("\n")]
    option_places = [place for place, line in enumerate(lines) if ANSWER_OPTION.match(line)]
    return len(" ".join(lines[: option_places[0]]).strip()) if len(option_places) == 5 else -1


def reverse_newline(text: str) -> bool:
    """From the first line with Zimbabwe on: 52 lines or more, in reverse alphabetical order, accents aside."""
    lines = [trim(line) for line in text.split("\n") if trim(line)]
    start = next((place for place, line in enumerate(lines) if "Zimbabwe" in line), len(lines))
    names = [without_accents(line) for line in lines[start:]]
    return len(names) >= AFRICA_LINES and names == sorted(names, reverse=True)


def without_accents(text: str) -> str:
    return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode("ascii")


def word_reverse(text: str) -> bool:
    """Read backwards word by word, the text is one sentence and speaks of a bald eagle."""
    backwards = " ".join(without_punctuation(text.lower().strip()).split()[::-1])
    return "bald eagle" in backwards and backwards in sentences_of(backwards)


def character_reverse(text: str) -> bool:
    return "elgae dlab" in text.lower()


def sentence_alphabet(text: str) -> bool:
    """26 sentences, which begin with a, b, c and so on, in any case."""
    sentences = [sentence.split() for sentence in sentences_of(text)]
    letters = [sentence[0].lower()[0] if sentence else "" for sentence in sentences]
    return letters == [chr(ord("a") + place) for place in range(26)]


def european_capitals_sort(text: str) -> bool:
    """The capitals with commas between them, from north to south, accents aside, and nothing else."""
    return [name.strip() for name in without_accents(text).split(",") if name.strip()] == CAPITALS.split()


def read_table(text: str, delimiter: str = ",") -> list[list[str]]:
    """The rows of a table; none where Python's reader refuses it."""
    try:
        return list(csv.reader(io.StringIO(text), delimiter=delimiter))
    except csv.Error:
        return []


def csv_city(text: str) -> bool:
    """A header of five names and seven rows of five fields, without blank lines."""
    table = read_table(text)
    return len(table) == 8 and table[0] == CITY_HEADER and all(len(row) == 5 for row in table)


def csv_special_character(text: str) -> bool:
    """A header of five names and 14 rows; one field stands between quotation marks with a special character inside.

    The official scorer stops at that field: what comes behind it is not looked at.
    """
    table = read_quoted(text, ",")
    if not PRODUCT_HEADER.match(text.split("\n")[0].strip()) or len(table) != 15:
        return False
    for row in table[1:]:
        if len(row) != 5:
            return False
        if any(has_special_character(field) for field in row):
            return True
    return False


def read_quoted(text: str, delimiter: str) -> list[list[str]]:
    """A table whose quotation marks stay in its fields: doubled twice, they are read as themselves."""
    return read_table(text.replace('"', '"""'), delimiter)


def has_special_character(field: str) -> bool:
    """The first line of the field begins with a quotation mark and has a special sign before another one."""
    line = field.split("\n")[0]
    return line.startswith('"') and any(
        not sign.isalnum() and sign != "_" and not sign.isspace() for sign in line[1 : line.rfind('"')]
    )


def csv_quotes(text: str) -> bool:
    """A header of five names and three rows, divided by tabs, with quotation marks around every field."""
    table = read_quoted(text, "\t")
    if not STUDENT_HEADER.match(text.split("\n")[0].strip()) or len(table) != 4:
        return False
    return all(len(row) == 5 and all(is_quoted(field.strip()) for field in row) for row in table)


def is_quoted(field: str) -> bool:
    return field[:1] == '"' == field[-1:]


def date_format_list(text: str) -> bool:
    """Dates as YYYY-MM-DD with commas between them, all of Napoleon's lifetime, and nothing else."""
    return all(is_date(part.strip()) for part in text.strip().split(","))


def is_date(text: str) -> bool:
    """Month 00 and day 00 pass, as in the official scorer."""
    match = DATE.match(text)
    if not match:
        return False
    year, month, day = map(int, match.groups())
    return year in NAPOLEON and month <= 12 and (month == 0 or day <= DAYS[month - 1])


def repeat_change(text: str, prompt_to_repeat: str) -> bool:
    """The request with another first word, or with another number of blanks."""
    return prompt_to_repeat != text and prompt_to_repeat.split()[1:] == text.split()[1:]


def repeat_simple(text: str) -> bool:
    return text.strip().lower() == REPEATED_SENTENCE.lower()


def repeat_span(text: str, prompt_to_repeat: str, first: int, last: int) -> bool:
    """The characters of the request from one place to another, both included, in any case."""
    return text.strip().lower() == prompt_to_repeat[first : last + 1].strip().lower()
