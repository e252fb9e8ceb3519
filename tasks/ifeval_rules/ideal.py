"""Writes a dull response that follows every instruction of a row, which shows that the row can be followed at all."""

from __future__ import annotations

import functools
import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

from tasks.ifeval_rules.layout import ANSWERS
from tasks.ifeval_rules.text_features import WORD

# Common words.  For any letter there are many without it, so those that a row forbids can be left out.
ENGLISH = """
the house and the garden of this old town have a story that people tell with some joy when they come here for their
summer but no one knows how to find it you may look for us by a road so far from all who would know more about good
food than most cooks do out in my kind dog can run up hill if cat is not at hand as such big ideas get much done
"""
MAX_GROUPS = 60  # the commonest letter groups of a language stand for its words


@dataclass(frozen=True)
class Instructions:
    """The instructions of one row with their arguments.  A name may occur twice: "at least" and "less than"."""

    items: tuple[tuple[str, Mapping[str, Any]], ...]

    def arguments(self, name: str) -> list[Mapping[str, Any]]:
        return [kwargs for instruction, kwargs in self.items if instruction.endswith(f":{name}")]

    def values(self, name: str, argument: str) -> list[Any]:
        return [kwargs[argument] for kwargs in self.arguments(name)]

    def first_value(self, name: str, argument: str, default: Any) -> Any:
        return next(iter(self.values(name, argument)), default)

    def minimum(self, name: str, argument: str) -> int:
        """The largest "at least" of an instruction; without one 1, which every "less than" of the data allows."""
        return max((k[argument] for k in self.arguments(name) if k["relation"] == "at least"), default=1)


def write_response(items: Iterable[tuple[str, Mapping[str, Any]]]) -> str:
    """The response, built from the inside out: words, sentences, paragraphs, then the lines before and after them."""
    instructions = Instructions(tuple(items))
    keywords = [word for words in instructions.values("existence", "keywords") for word in words]
    if instructions.arguments("constrained_response"):
        return ANSWERS[0]
    if instructions.arguments("json_format"):
        return json.dumps({"answer": " ".join(keywords)})
    text = "\n".join([*opening_lines(instructions, keywords), write_body(instructions), *closing_lines(instructions)])
    if instructions.arguments("english_lowercase"):
        text = text.lower()
    if instructions.arguments("english_capital"):
        text = text.upper()
    if instructions.arguments("quotation"):
        text = f'"\n{text}"'
    # The prompt stands alone in the first line, so that a loose reading without it follows the other instructions.
    return "\n".join([*instructions.values("repeat_prompt", "prompt_to_repeat"), text])


def opening_lines(instructions: Instructions, keywords: Sequence[str]) -> list[str]:
    """Title, keywords, letters, placeholders, highlights, bullets and section headings: none of them ends a sentence."""
    lines = ["<<story>>"] if instructions.arguments("title") else []
    repeats = [(k["keyword"], k["frequency"]) for k in instructions.arguments("frequency") if k["relation"] == "at least"]
    repeats += [
        (k["letter"], k["let_frequency"]) for k in instructions.arguments("letter_frequency") if k["let_relation"] == "at least"
    ]
    capitals = instructions.arguments("capital_word_frequency")
    repeats += [("WOW", k["capital_frequency"]) for k in capitals if k["capital_relation"] == "at least"]
    repeats += [("[name]", number) for number in instructions.values("number_placeholders", "num_placeholders")]
    repeats += [("so *good*", number) for number in instructions.values("number_highlighted_sections", "num_highlights")]
    lines += [" ".join([*keywords, *(word for word, number in repeats for _ in range(number))])]
    lines += ["- good"] * instructions.first_value("number_bullet_lists", "num_bullets", 0)
    splitter = instructions.first_value("multiple_sections", "section_spliter", "")
    lines += [f"{splitter} {i + 1}" for i in range(instructions.first_value("multiple_sections", "num_sections", 0))]
    return [line for line in lines if line]


def closing_lines(instructions: Instructions) -> list[str]:
    """A second response, a postscript, the end phrase."""
    second = ["******", " ".join(vocabulary(instructions)[:12])] if instructions.arguments("two_responses") else []
    postscripts = [f"{marker} good" for marker in instructions.values("postscript", "postscript_marker")]
    return second + postscripts + instructions.values("end_checker", "end_phrase")


def write_body(instructions: Instructions) -> str:
    """Enough words in enough sentences in exactly so many paragraphs."""
    by_lines = instructions.arguments("nth_paragraph_first_word")
    paragraphs = instructions.first_value(
        "number_paragraphs", "num_paragraphs", instructions.first_value("nth_paragraph_first_word", "num_paragraphs", 1)
    )
    sentences = instructions.minimum("number_sentences", "num_sentences")
    room = min((k["num_words"] for k in instructions.arguments("number_words") if k["relation"] == "less than"), default=10**6)
    number = max(instructions.minimum("number_words", "num_words"), 3 * paragraphs, 4 * sentences, min(30, room // 2))
    words = repeat_words(vocabulary(instructions), number, sentences)
    size = -(-len(words) // paragraphs)
    pieces = [words[i * size : (i + 1) * size] for i in range(paragraphs)]
    if by_lines:
        pieces[by_lines[0]["nth_paragraph"] - 1].insert(0, by_lines[0]["first_word"])
    return ("\n\n" if by_lines else "\n***\n").join(" ".join(piece) for piece in pieces)


def repeat_words(vocabulary: Sequence[str], number: int, sentences: int) -> list[str]:
    """At least `number` words, the vocabulary over and over, as so many sentences.  They end in "!", as "." may abbreviate."""
    words = list(itertools.islice(itertools.cycle(vocabulary), number))
    while len(WORD.findall(" ".join(words))) < number:  # a letter group may hold no word character
        words += vocabulary
    ends = {len(words) * (i + 1) // sentences - 1 for i in range(sentences)}
    return [f"{word}!" if i in ends else word for i, word in enumerate(words)]


def vocabulary(instructions: Instructions) -> list[str]:
    """Words of the row's language, without those that an instruction rules out."""
    language = instructions.first_value("response_language", "language", "en")
    words = ENGLISH.split() if language == "en" else letter_groups(language)
    rare = [k["keyword"].lower() for k in instructions.arguments("frequency") if k["relation"] == "less than"]
    rare += [k["letter"].lower() for k in instructions.arguments("letter_frequency") if k["let_relation"] == "less than"]
    forbidden = {word.lower() for words in instructions.values("forbidden_words", "forbidden_words") for word in words}
    return [word for word in words if word not in forbidden and not any(part in word for part in rare)]


@functools.cache
def letter_groups(language: str) -> list[str]:
    """The commonest groups of three letters in a language, from langdetect's own profile of it."""
    profile = json.loads(resources.files("langdetect").joinpath("profiles", language).read_text(encoding="utf-8"))
    groups = sorted((g for g in profile["freq"] if len(g) == 3), key=lambda g: (-profile["freq"][g], g))
    return [group.strip() for group in groups[:MAX_GROUPS]]
