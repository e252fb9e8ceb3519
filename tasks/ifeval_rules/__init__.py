"""The 25 verifiable instructions of IFEval, as functions of a response: `follows(instruction, kwargs, response)`.

The rules are those of Google's instruction_following_eval (Zhou et al., arXiv 2311.07911), also where they are lenient or
odd: scores are comparable only under the same rules.  The docstring of each odd rule says so.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from harness.types import SkilldeltaError
from tasks.ifeval_rules import layout, wording

Rule = Callable[..., bool]

RULES: dict[str, Rule] = {
    "keywords:existence": wording.existence,
    "keywords:frequency": wording.frequency,
    "keywords:forbidden_words": wording.forbidden_words,
    "keywords:letter_frequency": wording.letter_frequency,
    "language:response_language": wording.response_language,
    "length_constraints:number_sentences": wording.number_sentences,
    "length_constraints:number_words": wording.number_words,
    "length_constraints:number_paragraphs": layout.number_paragraphs,
    "length_constraints:nth_paragraph_first_word": layout.nth_paragraph_first_word,
    "detectable_content:number_placeholders": layout.number_placeholders,
    "detectable_content:postscript": layout.postscript,
    "detectable_format:number_bullet_lists": layout.number_bullet_lists,
    "detectable_format:constrained_response": layout.constrained_response,
    "detectable_format:number_highlighted_sections": layout.number_highlighted_sections,
    "detectable_format:multiple_sections": layout.multiple_sections,
    "detectable_format:json_format": layout.json_format,
    "detectable_format:title": layout.title,
    "combination:two_responses": layout.two_responses,
    "combination:repeat_prompt": layout.repeat_prompt,
    "startend:end_checker": layout.end_checker,
    "startend:quotation": layout.quotation,
    "change_case:capital_word_frequency": wording.capital_word_frequency,
    "change_case:english_capital": wording.english_capital,
    "change_case:english_lowercase": wording.english_lowercase,
    "punctuation:no_comma": wording.no_comma,
}


def drop_nulls(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments with a value: the Hub's rows name every argument that exists, and set the rest to null."""
    return {name: value for name, value in kwargs.items() if value is not None}


def find_rule(instruction: str, kwargs: Mapping[str, Any]) -> Rule:
    """The rule of an instruction; SkilldeltaError where there is none, or `kwargs` are not exactly the arguments it needs."""
    return rule_with_arguments("IFEval", RULES, instruction, drop_nulls(kwargs))


def rule_with_arguments(benchmark: str, rules: Mapping[str, Rule], instruction: str, arguments: Mapping[str, Any]) -> Rule:
    """The same for the rules of any benchmark."""
    if instruction not in rules:
        near = difflib.get_close_matches(instruction, rules, n=3, cutoff=0.5)
        hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
        raise SkilldeltaError(f"{benchmark} has no instruction {instruction!r}.{hint} There are: {', '.join(sorted(rules))}.")
    rule = rules[instruction]
    parameters = list(inspect.signature(rule).parameters)[1:]
    if set(parameters) != set(arguments):
        raise SkilldeltaError(
            f"The instruction {instruction!r} needs {', '.join(parameters) or 'no arguments'}; the row's kwargs give "
            f"{', '.join(arguments) or 'none'}. Is the order of kwargs that of instruction_id_list?"
        )
    return rule


def follows(instruction: str, kwargs: Mapping[str, Any], response: str) -> bool:
    """Does `response` follow the instruction?  An empty response follows none, whatever the rule says."""
    rule = find_rule(instruction, kwargs)
    return bool(response.strip()) and rule(response, **drop_nulls(kwargs))


def loose_readings(response: str) -> list[str]:
    """The response, the same without its first line, its last, and both; and each of the four without asterisks.

    A model may begin with "Sure, here it is:", end with "Hope that helps!", and set words in bold.
    """
    lines = response.split("\n")
    readings = [response, *("\n".join(part).strip() for part in (lines[1:], lines[:-1], lines[1:-1]))]
    return readings + [reading.replace("*", "") for reading in readings]


def follows_loosely(instruction: str, kwargs: Mapping[str, Any], response: str) -> bool:
    """Does any of the readings of `response` follow the instruction?"""
    return any(follows(instruction, kwargs, reading) for reading in loose_readings(response))
