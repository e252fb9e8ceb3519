"""The 58 verifiable instructions of IFBench (Pyatkin et al., arXiv 2507.02833), as functions of a response.

The rules are those of github.com/allenai/IFBench, also where they are lenient or odd: scores are comparable only under the
same rules.  The docstring of each odd rule says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tasks.ifbench_rules import counts, layout, set_tasks, wording
from tasks.ifeval_rules import Rule, drop_nulls, loose_readings, rule_with_arguments

RULES: dict[str, Rule] = {
    "count:word_count_range": counts.word_count_range,
    "count:unique_word_count": counts.unique_word_count,
    "count:conjunctions": counts.conjunctions,
    "count:person_names": counts.person_names,
    "count:numbers": counts.numbers,
    "count:punctuation": counts.punctuation,
    "count:pronouns": counts.pronouns,
    "count:words_japanese": counts.words_japanese,
    "count:keywords_multiple": counts.keywords_multiple,
    "ratio:stop_words": counts.stop_words,
    "ratio:sentence_type": counts.sentence_type,
    "ratio:sentence_balance": counts.sentence_balance,
    "ratio:sentence_words": counts.sentence_words,
    "ratio:overlap": counts.overlap,
    "words:alphabet": wording.alphabet,
    "words:vowel": wording.vowel,
    "words:consonants": wording.consonants,
    "words:palindrome": wording.palindrome,
    "words:prime_lengths": wording.prime_lengths,
    "words:start_verb": wording.start_verb,
    "words:repeats": wording.repeats,
    "words:odd_even_syllables": wording.odd_even_syllables,
    "words:last_first": wording.last_first,
    "words:paragraph_last_first": wording.paragraph_last_first,
    "words:no_consecutive": wording.no_consecutive,
    "words:keywords_specific_position": wording.keywords_specific_position,
    "words:words_position": wording.words_position,
    "sentence:alliteration_increment": wording.alliteration_increment,
    "sentence:increment": wording.increment,
    "sentence:keyword": wording.keyword,
    "format:parentheses": layout.parentheses,
    "format:quotes": layout.quotes,
    "format:options": layout.options,
    "format:newline": layout.newline,
    "format:emoji": layout.emoji,
    "format:line_indent": layout.line_indent,
    "format:quote_unquote": layout.quote_unquote,
    "format:list": layout.bullet_signs,
    "format:thesis": layout.thesis,
    "format:sub-bullets": layout.sub_bullets,
    "format:no_bullets_bullets": layout.sentences_then_bullets,
    "format:title_case": layout.title_case,
    "format:output_template": layout.output_template,
    "format:no_whitespace": layout.no_whitespace,
    "custom:multiples": set_tasks.multiples,
    "custom:mcq_count_length": set_tasks.mcq_count_length,
    "custom:reverse_newline": set_tasks.reverse_newline,
    "custom:word_reverse": set_tasks.word_reverse,
    "custom:character_reverse": set_tasks.character_reverse,
    "custom:sentence_alphabet": set_tasks.sentence_alphabet,
    "custom:european_capitals_sort": set_tasks.european_capitals_sort,
    "custom:csv_city": set_tasks.csv_city,
    "custom:csv_special_character": set_tasks.csv_special_character,
    "custom:csv_quotes": set_tasks.csv_quotes,
    "custom:date_format_list": set_tasks.date_format_list,
    "repeat:repeat_change": set_tasks.repeat_change,
    "repeat:repeat_simple": set_tasks.repeat_simple,
    "repeat:repeat_span": set_tasks.repeat_span,
}
# The data set's names of arguments, where the rules have longer ones.
ARGUMENTS = {
    "N": "number",
    "small_n": "number",
    "n": "sentence_number",
    "m": "word_number",
    "sep": "separator",
    "n_start": "first",
    "n_end": "last",
}


def plain_arguments(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments with a value; whole numbers, which the data set has as floats, as integers."""
    values = drop_nulls(kwargs).items()
    return {name: int(value) if isinstance(value, float) and value.is_integer() else value for name, value in values}


def arguments_of(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The same by the rules' names."""
    return {ARGUMENTS.get(name, name): value for name, value in plain_arguments(kwargs).items()}


def follows_ifbench(instruction: str, kwargs: Mapping[str, Any], response: str, is_loose: bool = False) -> bool:
    """Does `response` follow the instruction, or, loosely, any of its readings?  An empty reading follows none."""
    arguments = arguments_of(kwargs)
    rule = rule_with_arguments("IFBench", RULES, instruction, arguments)
    readings = loose_readings(response) if is_loose else [response]
    return any(bool(reading.strip()) and rule(reading, **arguments) for reading in readings)
