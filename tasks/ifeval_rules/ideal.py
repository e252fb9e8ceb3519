"""A response that follows all instructions of a row: dull, but right.  It shows that a row can be followed at all."""

from __future__ import annotations

import functools
import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

from tasks.ifeval_rules.reading import WORD
from tasks.ifeval_rules.shape import CONSTRAINED

# Common words, many of them without any one letter: what a row forbids is left out.
ENGLISH = """
the house and the garden of this old town have a story that people tell with some joy when they come here for their
summer but no one knows how to find it you may look for us by a road so far from all who would know more about good
food than most cooks do out in my kind dog can run up hill if cat is not at hand as such big ideas get much done
"""
GRAMS = 60  # the commonest letter groups of a language that stand for its words


@dataclass(frozen=True)
class Wanted:
    """The instructions of one row, each with its arguments; one may be there twice ("at least" and "less than")."""

    asked: tuple[tuple[str, Mapping[str, Any]], ...]

    def all(self, name: str) -> list[Mapping[str, Any]]:
        return [kwargs for instruction, kwargs in self.asked if instruction.endswith(f":{name}")]

    def values(self, name: str, argument: str) -> list[Any]:
        return [kwargs[argument] for kwargs in self.all(name)]

    def first(self, name: str, argument: str, default: Any) -> Any:
        return next(iter(self.values(name, argument)), default)

    def least(self, name: str, argument: str) -> int:
        """The largest "at least", or else as few as "less than" always leaves room for."""
        return max((k[argument] for k in self.all(name) if k["relation"] == "at least"), default=1)


def ideal(asked: Iterable[tuple[str, Mapping[str, Any]]]) -> str:
    """The response, made from the inside out: words, sentences, paragraphs, then what stands before and after."""
    wanted = Wanted(tuple(asked))
    keywords = [word for words in wanted.values("existence", "keywords") for word in words]
    if wanted.all("constrained_response"):
        return CONSTRAINED[0]
    if wanted.all("json_format"):
        return json.dumps({"answer": " ".join(keywords)})
    text = "\n".join([*before(wanted, keywords), body(wanted), *after(wanted)])
    if wanted.all("english_lowercase"):
        text = text.lower()
    if wanted.all("english_capital"):
        text = text.upper()
    if wanted.all("quotation"):
        text = f'"\n{text}"'
    # The prompt stands alone in the first line, so that a loose reading without it follows the other instructions.
    return "\n".join([*wanted.values("repeat_prompt", "prompt_to_repeat"), text])


def before(wanted: Wanted, keywords: Sequence[str]) -> list[str]:
    """Everything that is only to be there, so many times, in lines that end no sentence."""
    lines = ["<<story>>"] if wanted.all("title") else []
    counted = [(k["keyword"], k["frequency"]) for k in wanted.all("frequency") if k["relation"] == "at least"]
    counted += [(k["letter"], k["let_frequency"]) for k in wanted.all("letter_frequency") if k["let_relation"] == "at least"]
    capitals = wanted.all("capital_word_frequency")
    counted += [("WOW", k["capital_frequency"]) for k in capitals if k["capital_relation"] == "at least"]
    counted += [("[name]", number) for number in wanted.values("number_placeholders", "num_placeholders")]
    counted += [("so *good*", number) for number in wanted.values("number_highlighted_sections", "num_highlights")]
    lines += [" ".join([*keywords, *(word for word, number in counted for _ in range(number))])]
    lines += ["- good"] * wanted.first("number_bullet_lists", "num_bullets", 0)
    splitter = wanted.first("multiple_sections", "section_spliter", "")
    lines += [f"{splitter} {i + 1}" for i in range(wanted.first("multiple_sections", "num_sections", 0))]
    return [line for line in lines if line]


def after(wanted: Wanted) -> list[str]:
    """What stands last: a second response, a postscript, the end phrase."""
    second = ["******", " ".join(vocabulary(wanted)[:12])] if wanted.all("two_responses") else []
    postscripts = [f"{marker} good" for marker in wanted.values("postscript", "postscript_marker")]
    return second + postscripts + wanted.values("end_checker", "end_phrase")


def body(wanted: Wanted) -> str:
    """Enough words in enough sentences in exactly so many paragraphs."""
    by_lines = wanted.all("nth_paragraph_first_word")
    paragraphs = wanted.first(
        "number_paragraphs", "num_paragraphs", wanted.first("nth_paragraph_first_word", "num_paragraphs", 1)
    )
    sentences = wanted.least("number_sentences", "num_sentences")
    room = min((k["num_words"] for k in wanted.all("number_words") if k["relation"] == "less than"), default=10**6)
    number = max(wanted.least("number_words", "num_words"), 3 * paragraphs, 4 * sentences, min(30, room // 2))
    words = written(vocabulary(wanted), number, sentences)
    size = -(-len(words) // paragraphs)
    pieces = [words[i * size : (i + 1) * size] for i in range(paragraphs)]
    if by_lines:
        pieces[by_lines[0]["nth_paragraph"] - 1].insert(0, by_lines[0]["first_word"])
    return ("\n\n" if by_lines else "\n***\n").join(" ".join(piece) for piece in pieces)


def written(vocabulary: Sequence[str], number: int, sentences: int) -> list[str]:
    """At least `number` words of the vocabulary, over and over, as so many sentences (a full stop may mark an abbreviation)."""
    words = list(itertools.islice(itertools.cycle(vocabulary), number))
    while len(WORD.findall(" ".join(words))) < number:  # a letter group may hold no word character
        words += vocabulary
    ends = {len(words) * (i + 1) // sentences - 1 for i in range(sentences)}
    return [f"{word}!" if i in ends else word for i, word in enumerate(words)]


def vocabulary(wanted: Wanted) -> list[str]:
    """Words of the language asked for, without those that an instruction rules out."""
    language = wanted.first("response_language", "language", "en")
    words = ENGLISH.split() if language == "en" else letter_groups(language)
    few = [k["keyword"].lower() for k in wanted.all("frequency") if k["relation"] == "less than"]
    few += [k["letter"].lower() for k in wanted.all("letter_frequency") if k["let_relation"] == "less than"]
    forbidden = {word.lower() for words in wanted.values("forbidden_words", "forbidden_words") for word in words}
    return [word for word in words if word not in forbidden and not any(part in word for part in few)]


@functools.cache
def letter_groups(language: str) -> list[str]:
    """The commonest groups of three letters in a language, from langdetect's own profile of it."""
    profile = json.loads(resources.files("langdetect").joinpath("profiles", language).read_text(encoding="utf-8"))
    groups = sorted((g for g in profile["freq"] if len(g) == 3), key=lambda g: (-profile["freq"][g], g))
    return [group.strip() for group in groups[:GRAMS]]
