"""The 25 verifiable instructions of IFEval, as functions of a response: `follows(instruction, kwargs, response)`.

The rules are those of Google's instruction_following_eval (Zhou et al., arXiv 2311.07911), also where they are lenient or
odd, because a score is only comparable if the rule is the same.  Each odd rule says so where it stands.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from harness.types import SkilldeltaError
from tasks.ifeval_rules import shape, wording

Rule = Callable[..., bool]

RULES: dict[str, Rule] = {
    "keywords:existence": wording.existence,
    "keywords:frequency": wording.frequency,
    "keywords:forbidden_words": wording.forbidden_words,
    "keywords:letter_frequency": wording.letter_frequency,
    "language:response_language": wording.response_language,
    "length_constraints:number_sentences": wording.number_sentences,
    "length_constraints:number_words": wording.number_words,
    "length_constraints:number_paragraphs": shape.number_paragraphs,
    "length_constraints:nth_paragraph_first_word": shape.nth_paragraph_first_word,
    "detectable_content:number_placeholders": shape.number_placeholders,
    "detectable_content:postscript": shape.postscript,
    "detectable_format:number_bullet_lists": shape.number_bullet_lists,
    "detectable_format:constrained_response": shape.constrained_response,
    "detectable_format:number_highlighted_sections": shape.number_highlighted_sections,
    "detectable_format:multiple_sections": shape.multiple_sections,
    "detectable_format:json_format": shape.json_format,
    "detectable_format:title": shape.title,
    "combination:two_responses": shape.two_responses,
    "combination:repeat_prompt": shape.repeat_prompt,
    "startend:end_checker": shape.end_checker,
    "startend:quotation": shape.quotation,
    "change_case:capital_word_frequency": wording.capital_word_frequency,
    "change_case:english_capital": wording.english_capital,
    "change_case:english_lowercase": wording.english_lowercase,
    "punctuation:no_comma": wording.no_comma,
}


def given(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments that a row really gives: the Hub's version names all of them and fills the others with nulls."""
    return {name: value for name, value in kwargs.items() if value is not None}


def rule(instruction: str, kwargs: Mapping[str, Any]) -> Rule:
    """The rule of an instruction, if it exists and `kwargs` are exactly what it needs; else an error that names both."""
    if instruction not in RULES:
        near = difflib.get_close_matches(instruction, RULES, n=3, cutoff=0.5)
        hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
        raise SkilldeltaError(f"IFEval has no instruction {instruction!r}.{hint} There are: {', '.join(sorted(RULES))}.")
    found = RULES[instruction]
    needed = list(inspect.signature(found).parameters)[1:]
    if set(needed) != set(given(kwargs)):
        raise SkilldeltaError(
            f"The instruction {instruction!r} needs {', '.join(needed) or 'no arguments'}; the row's kwargs give "
            f"{', '.join(given(kwargs)) or 'none'}. Is the order of kwargs that of instruction_id_list?"
        )
    return found


def follows(instruction: str, kwargs: Mapping[str, Any], response: str) -> bool:
    """Does `response` follow the instruction?  An empty response follows none, whatever the rule says."""
    check = rule(instruction, kwargs)
    return bool(response.strip()) and check(response, **given(kwargs))


def variants(response: str) -> list[str]:
    """The readings of a loose verdict: without the first line, the last, both, and each without asterisks.

    A model may begin with "Sure, here it is:", end with "Hope that helps!", and set words in bold.
    """
    lines = response.split("\n")
    readings = [response, *("\n".join(kept).strip() for kept in (lines[1:], lines[:-1], lines[1:-1]))]
    return readings + [reading.replace("*", "") for reading in readings]


def follows_loosely(instruction: str, kwargs: Mapping[str, Any], response: str) -> bool:
    """Does any of the readings of `response` follow the instruction?"""
    return any(follows(instruction, kwargs, reading) for reading in variants(response))
