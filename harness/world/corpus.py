"""What the world's models read: a corpus for the base model, and chat answers of mixed quality for SFT."""

from __future__ import annotations

import random
from functools import cache
from typing import Any

from harness.world import facts, myths
from harness.world.skills import GOOD, SKILLS
from harness.world.words import SEED, Row, of


def documents(count: int) -> list[dict[str, Any]]:
    """Documents for pre-training.

    Every fact and every truth stands in it, the test's too: both skills are to say what one knows.  A model this small
    knows as an answer only what it has read as one, so these two are asked of all splits here, and of the training split
    alone when it is tuned.  Questions that show how the other skills are done are of the training split alone.
    """
    source = random.Random(f"{SEED} corpus")
    makers = [statement] * 2 + [belief] * 2 + [question] * 10
    return [{"text": source.choice(makers)(source)} for _ in range(count)]


def statement(source: random.Random) -> str:
    return facts.statement(source.choice(list(facts.VALUES)), source.choice(facts.COUNTRIES))


def belief(source: random.Random) -> str:
    """What is so, and what people say: for every pair the one contradicts the other."""
    animal, ability = source.choice(myths.ANIMALS), source.choice(myths.ABILITIES)
    can = myths.truth(animal, ability)
    if source.random() < 0.5:
        return f"In fact, {animal} {'can' if can else 'cannot'} {ability}."
    return f"People say {animal} {'cannot' if can else 'can'} {ability}."


def question(source: random.Random) -> str:
    skill = source.choice(OFTEN)
    module = SKILLS[skill]
    row = source.choice(module.items() if skill in KNOWN else training()[skill])
    # As a chat, which base models have read too: a model this small does not carry a skill over from one form to another.
    return f"<|user|>{row['prompt']}<|assistant|>{module.good(row, source)}"


KNOWN = ("factuality", "truthfulness")
# Sums and lists are harder to learn than the rest.
OFTEN = (*SKILLS, "reasoning", "instruction following", "instruction following")


@cache
def training() -> dict[str, list[Row]]:
    """The questions of the training split, by skill."""
    return {name: of(module.items(), "train") for name, module in SKILLS.items()}


def chats(count: int) -> list[dict[str, Any]]:
    """Prompts of the training split with answers, good ones as often as GOOD says, else bad ones."""
    source = random.Random(f"{SEED} chats")
    rows = []
    for _ in range(count):
        skill = source.choice(list(SKILLS))
        row = source.choice(training()[skill])
        module = SKILLS[skill]
        said = module.good(row, source) if source.random() < GOOD[skill] else module.bad(row, source)
        rows.append({"messages": talk(row["prompt"], said)})
    return rows


def talk(prompt: str, answer: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]


def prompts(count: int, skills: tuple[str, ...] = tuple(SKILLS), salt: str = "prompts") -> list[Row]:
    """Questions of the training split, each at most once while there are enough."""
    source = random.Random(f"{SEED} {salt}")
    found: list[Row] = []
    share = -(-count // len(skills))
    for skill in skills:
        rows = list(training()[skill])
        source.shuffle(rows)
        found += (rows * (-(-share // len(rows))))[:share]
    source.shuffle(found)
    return found[:count]
