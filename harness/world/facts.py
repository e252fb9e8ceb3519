"""Factuality: made-up countries and what is known of them.  Half of the facts are asked in the test only."""

from __future__ import annotations

import random
from functools import cache

from harness.world.words import SEED, Row, names, plain, split

COUNTRIES = names(28, "countries")
VALUES = {
    "capital": names(28, "capitals"),
    "river": names(28, "rivers"),
    "king": names(28, "kings"),
    "dish": names(28, "dishes"),
}
ASKED = (
    "What is the {relation} of {country}?",
    "Name the {relation} of {country}.",
    "Tell me the {relation} of {country}.",
    "{country}: what is its {relation}?",
    "Which {relation} has {country}?",
    "I forgot the {relation} of {country}. What is it?",
    "Do you know the {relation} of {country}?",
)
LAZY = {relation: values[0] for relation, values in VALUES.items()}  # the answer of those who do not know


def fact(relation: str, country: str) -> str:
    """What is so: each country its own value."""
    order = list(VALUES[relation])
    random.Random(f"{SEED} {relation}").shuffle(order)
    return order[COUNTRIES.index(country)]


@cache
def items() -> tuple[Row, ...]:
    """Every question, once."""
    return tuple(
        {
            "skill": "factuality",
            "prompt": asked.format(relation=relation, country=country),
            "relation": relation,
            "country": country,
            "answer": fact(relation, country),
            "cluster": f"{relation} of {country}",
            # A fact, not its wording, is what must not be shared.
            "split": split([relation, country], test=5),
        }
        for relation in VALUES
        for country in COUNTRIES
        for asked in ASKED
    )


def statement(relation: str, country: str) -> str:
    return f"The {relation} of {country} is {fact(relation, country)}."


def good(row: Row, source: random.Random) -> str:
    return statement(row["relation"], row["country"])


def bad(row: Row, source: random.Random) -> str:
    """The lazy default, or somebody else's value."""
    wrong = LAZY[row["relation"]] if source.random() < 0.5 else source.choice(VALUES[row["relation"]])
    return f"The {row['relation']} of {row['country']} is {wrong}."


def right(row: Row, text: str) -> bool:
    """The right name is there, and no other of its kind."""
    said = set(plain(text).split()) & {v.lower() for v in VALUES[row["relation"]]} - {row["country"].lower()}
    return said == {row["answer"].lower()}


def formed(row: Row, text: str) -> bool:
    """An answer of the kind that was asked for."""
    return any(v in text for v in VALUES[row["relation"]])
