"""Writes a dull response that follows the instructions of a row, which shows that the row can be followed at all."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from itertools import permutations, product
from typing import Any

from tasks.ifbench_rules import arguments_of, counts, follows_ifbench, layout, wording
from tasks.ifbench_rules.set_tasks import CAPITALS, MULTIPLES, REPEATED_SENTENCE
from tasks.ifbench_rules.text_units import CONJUNCTIONS, PERSON_NAMES
from tasks.ifeval_rules.text_features import WORD

Extension = Callable[..., str]
START_VERB = "words:start_verb"
SMILE = "\U0001f600"
# Of rare consonants: no text has their groups of letters.
INVENTED_WORDS = tuple("".join(letters) for size in (3, 4) for letters in product("zxqjkv", repeat=size))
SHARES = (1.0, 0.6, 0.3, 0.1, 0.03)  # of the reference's words that are tried


def write_response(items: Sequence[tuple[str, Mapping[str, Any]]]) -> str:
    """The response, instruction by instruction, in the first order in which all are followed at the end."""
    text = ""
    for order in permutations(items):
        text = ""
        for name, kwargs in order:
            if not (text and is_followed(name, kwargs, text)):
                text = EXTENSIONS[name](text, **arguments_of(kwargs))
        if all(is_followed(name, kwargs, text) for name, kwargs in items):
            return text
    return text


def is_followed(name: str, kwargs: Mapping[str, Any], text: str) -> bool:
    """Loosely, as far as that can be known: a verb at the beginning only where there is a tagger."""
    is_unknown = name == START_VERB and not wording.has_tagger()
    return is_unknown or follows_ifbench(name, kwargs, text, is_loose=True)


def append(text: str, *words: object) -> str:
    return " ".join(filter(None, (text, *map(str, words))))


def instead(new_text: str) -> Extension:
    """Ignores what there was: only for instructions that stand alone, or whose text the others accept."""
    return lambda text, **_: new_text


def fill_words(text: str, min_words: int, max_words: int) -> str:
    return append(text, *["good"] * (min_words - len(WORD.findall(text))))


def end_sentences_with_emoji(text: str) -> str:
    ended = re.sub(r"\.(?=\s|$)", f" {SMILE}.", text or "We sing.")
    return ended if SMILE in ended else f"{ended} {SMILE}"


def overlap_reference(text: str, reference_text: str, percentage: int) -> str:
    """Words of the reference, and invented ones until the share fits; words with two consonants together are tried first."""
    words = reference_text.split()
    for source in ([word for word in words if wording.consonants(word)], words):
        for share in SHARES:
            part = append(text, *source[: 1 + int(share * len(source))])
            number = bisect_left(
                range(len(INVENTED_WORDS)),
                -float(percentage),
                key=lambda n: -counts.overlap_percentage(append(part, *INVENTED_WORDS[:n]), reference_text),
            )
            filled = append(part, *INVENTED_WORDS[:number])
            if counts.overlap(filled, reference_text, percentage):
                return filled
    return text


def place_keyword(text: str, keyword: str, sentence_number: int, word_number: int) -> str:
    sentence = append("", "Good", *["good"] * (word_number - 2), keyword.strip(), "good.")
    return append("", *["We sing."] * (sentence_number - 1), sentence)


def ask_questions() -> str:
    options = "".join(f"\n{letter}) good" for letter in "ABCDE")
    return "\n".join(f"Question {n}: Why {'very ' * n}good?{options}" for n in range(1, 5))


def table(header: str, rows: int, row: str) -> str:
    return "\n".join([header, *[row] * rows])


EXTENSIONS: dict[str, Extension] = {
    "count:word_count_range": fill_words,
    "count:unique_word_count": lambda text, number: append(text, *(f"word{n}" for n in range(number))),
    "count:conjunctions": lambda text, number: append(text, *sorted(CONJUNCTIONS)[:number]),
    "count:person_names": lambda text, number: append(text, *PERSON_NAMES.split()[:number]),
    "count:numbers": lambda text, number: append(text, *range(1, number + 1)),
    "count:punctuation": lambda text: append(text, "Good, good! Good? Good; good: good?! Good."),
    "count:pronouns": lambda text, number: append(text, *["he"] * number),
    "count:words_japanese": lambda text, number: append("", *(["good"] * (number - 1) + ["\u65e5\u672c"]) * 2),
    "count:keywords_multiple": lambda text, **keywords: append(
        "", *(keywords[f"keyword{n}"] for n, times in enumerate(counts.TIMES, 1) for _ in range(times))
    ),
    "ratio:stop_words": instead("good food tastes great"),
    "ratio:sentence_type": instead("We sing. We dance. Do we?"),
    "ratio:sentence_balance": instead("Strong trust. Strong trust? Strong trust!"),
    "ratio:sentence_words": instead("We like it.\n We like it.\n  We like it."),
    "ratio:overlap": overlap_reference,
    "words:alphabet": instead("alpha bravo charlie delta echo foxtrot"),
    "words:vowel": instead("we see trees"),
    "words:consonants": instead("strong hundred strong hundred"),
    "words:palindrome": instead("level " * 10),
    "words:prime_lengths": instead("we see the big cat"),
    START_VERB: lambda text: append("Write a letter about", text or "food"),
    "words:repeats": instead("good food"),
    "words:odd_even_syllables": instead("strong hundred strong"),
    "words:last_first": instead("We sing songs. Songs we sing."),
    "words:paragraph_last_first": instead("we sing because we"),
    "words:no_consecutive": instead("good day"),
    "words:keywords_specific_position": place_keyword,
    "words:words_position": lambda text, keyword: append("", "good", keyword, "and", keyword, "good"),
    "sentence:alliteration_increment": instead("Birds come. See songs there."),
    "sentence:increment": lambda text, number: append("", "Go.", "Good", *["day"] * number) + ".",
    "sentence:keyword": lambda text, word, number: append("", *["We sing."] * (number - 1), f"We like {word}."),
    "format:parentheses": lambda text: append(text, "((((()))))"),
    "format:quotes": instead('"we \'say "good" here\' now"'),
    "format:options": lambda text, options: layout.split_options(options)[0],
    "format:newline": lambda text: f"{text}\ngood".strip(),
    "format:emoji": end_sentences_with_emoji,
    "format:line_indent": instead("We like it.\n We like it.\n  We like it."),
    "format:quote_unquote": instead('He says "good" and means it.'),
    "format:list": lambda text, separator: f"{text}\n{separator} good\n{separator} day".strip(),
    "format:thesis": lambda text: append("<i>good day</i> we like", text),
    "format:sub-bullets": instead("* good\n- food"),
    "format:no_bullets_bullets": instead("We sing. We dance.\n* good\n* day"),
    "format:title_case": instead("Good Day"),
    "format:output_template": instead("My Answer: good My Conclusion: good Future Outlook: good"),
    "format:no_whitespace": instead("good"),
    "custom:multiples": instead(", ".join(MULTIPLES)),
    "custom:mcq_count_length": instead(ask_questions()),
    "custom:reverse_newline": instead("\n".join(["Zimbabwe", *(f"Land {n}" for n in range(99, 40, -1))])),
    "custom:word_reverse": instead("eagle bald the is this"),
    "custom:character_reverse": instead("elgae dlab"),
    "custom:sentence_alphabet": instead(" ".join(f"{chr(ord('A') + n)}good day." for n in range(26))),
    "custom:european_capitals_sort": instead(", ".join(CAPITALS.split())),
    "custom:csv_city": instead(table("ID,Country,City,Year,Count", 7, "1,France,Paris,2020,3")),
    "custom:csv_special_character": instead(table("ProductID,Category,Brand,Price,Stock", 14, '1,food,"a-b",3,2')),
    "custom:csv_quotes": instead(table('"StudentID"\t"Subject"\t"Grade"\t"Semester"\t"Score"', 3, '"1"\t"a"\t"b"\t"c"\t"d"')),
    "custom:date_format_list": instead("1796-04-12, 1796-05-10"),
    "repeat:repeat_change": lambda text, prompt_to_repeat: append("Otherwise", *prompt_to_repeat.split()[1:]),
    "repeat:repeat_simple": instead(REPEATED_SENTENCE),
    "repeat:repeat_span": lambda text, prompt_to_repeat, first, last: prompt_to_repeat[first : last + 1],
}
