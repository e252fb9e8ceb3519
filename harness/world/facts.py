"""Factuality: made-up countries and their facts.  Half of the facts are asked in the test alone."""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import cached_property

from harness.world.words import SEED, Row, assign_split, make_names, normalize_words, word_question

COUNTRIES = make_names("countries")
VALUES = {
    "capital": make_names("capitals"),
    "river": make_names("rivers"),
    "king": make_names("kings"),
    "dish": make_names("dishes"),
}
TEMPLATES = (
    "What is the {relation} of {country}?",
    "Name the {relation} of {country}.",
    "Tell me the {relation} of {country}.",
    "{country}: what is its {relation}?",
    "Which {relation} has {country}?",
    "I forgot the {relation} of {country}. What is it?",
    "Do you know the {relation} of {country}?",
)
DEFAULT_GUESSES = {relation: values[0] for relation, values in VALUES.items()}  # the answer of a model that does not know


def true_value(relation: str, country: str) -> str:
    """The value of a relation, another one for each country."""
    order = list(VALUES[relation])
    random.Random(f"{SEED} {relation}").shuffle(order)
    return order[COUNTRIES.index(country)]


def state_fact(relation: str, country: str) -> str:
    return f"The {relation} of {country} is {true_value(relation, country)}."


def ask_fact(relation: str, country: str) -> Iterator[Row]:
    facts = {"relation": relation, "country": country, "answer": true_value(relation, country)}
    prompts = (template.format(**facts) for template in TEMPLATES)
    # Splits share no fact, whatever its wording, so the wording has no part in the hash.
    split = assign_split([relation, country], test=5)
    return word_question("factuality", prompts, facts, f"{relation} of {country}", split)


class Factuality:
    """Questions about countries; an answer is right where it has the right name, and no other of its kind."""

    @cached_property
    def questions(self) -> tuple[Row, ...]:
        return tuple(row for relation in VALUES for country in COUNTRIES for row in ask_fact(relation, country))

    def good_answer(self, row: Row, source: random.Random) -> str:
        return state_fact(row["relation"], row["country"])

    def bad_answer(self, row: Row, source: random.Random) -> str:
        """The default guess, or a value drawn from all countries' values."""
        wrong = DEFAULT_GUESSES[row["relation"]] if source.random() < 0.5 else source.choice(VALUES[row["relation"]])
        return f"The {row['relation']} of {row['country']} is {wrong}."

    def is_right(self, row: Row, text: str) -> bool:
        names = set(normalize_words(text).split()) & {v.lower() for v in VALUES[row["relation"]]} - {row["country"].lower()}
        return names == {row["answer"].lower()}

    def is_well_formed(self, row: Row, text: str) -> bool:
        """Some value of the relation in question."""
        return any(v in text for v in VALUES[row["relation"]])
