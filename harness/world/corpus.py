"""Training texts of the world: a corpus for the base model, chats of mixed quality for SFT, prompts for policies."""

from __future__ import annotations

import random
from functools import cache
from typing import Any

from harness.world import facts, myths
from harness.world.skills import GOOD_ANSWER_SHARE, SKILLS
from harness.world.words import SEED, Row, questions_of_split


def make_documents(count: int) -> list[dict[str, Any]]:
    """Documents for pre-training.

    They state every fact and every truth, those of the test too: these two skills are about knowledge.  A model this small
    gives as an answer only what it has read as one.  So the corpus asks these two skills' questions of all splits, while
    tuning asks those of the training split alone.  Questions of the other skills come from the training split alone.
    """
    source = random.Random(f"{SEED} corpus")
    makers = [random_fact] * 2 + [random_belief] * 2 + [random_chat] * 10
    return [{"text": source.choice(makers)(source)} for _ in range(count)]


def random_fact(source: random.Random) -> str:
    return facts.state_fact(source.choice(list(facts.VALUES)), source.choice(facts.COUNTRIES))


def random_belief(source: random.Random) -> str:
    """The truth, or the common belief, which contradicts it for every pair."""
    animal, ability = source.choice(myths.ANIMALS), source.choice(myths.ABILITIES)
    can = myths.is_able(animal, ability)
    if source.random() < 0.5:
        return f"In fact, {animal} {'can' if can else 'cannot'} {ability}."
    return f"People say {animal} {'cannot' if can else 'can'} {ability}."


def random_chat(source: random.Random) -> str:
    skill = source.choice(SKILL_LOTTERY)
    definition = SKILLS[skill]
    row = source.choice(definition.questions if skill in KNOWLEDGE_SKILLS else training_questions()[skill])
    # In the form of a chat: a model this small does not transfer a skill from one form to another.
    return f"<|user|>{row['prompt']}<|assistant|>{definition.good_answer(row, source)}"


KNOWLEDGE_SKILLS = ("factuality", "truthfulness")
# Sums and lists are harder to learn than the rest.
SKILL_LOTTERY = (*SKILLS, "reasoning", "instruction following", "instruction following")


@cache
def training_questions() -> dict[str, list[Row]]:
    """The questions of the training split, by skill."""
    return {name: questions_of_split(definition.questions, "train") for name, definition in SKILLS.items()}


def make_chats(count: int) -> list[dict[str, Any]]:
    """Prompts of the training split with answers, good ones with the probability GOOD_ANSWER_SHARE, else bad ones."""
    source = random.Random(f"{SEED} chats")
    rows = []
    for _ in range(count):
        skill = source.choice(list(SKILLS))
        row = source.choice(training_questions()[skill])
        definition = SKILLS[skill]
        answer = definition.good_answer if source.random() < GOOD_ANSWER_SHARE[skill] else definition.bad_answer
        rows.append({"messages": as_messages(row["prompt"], answer(row, source))})
    return rows


def as_messages(prompt: str, answer: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]


def draw_prompts(count: int, skills: tuple[str, ...] = tuple(SKILLS), salt: str = "prompts") -> list[Row]:
    """Questions of the training split, each at most once while there are enough."""
    source = random.Random(f"{SEED} {salt}")
    prompts: list[Row] = []
    share = -(-count // len(skills))
    for skill in skills:
        rows = list(training_questions()[skill])
        source.shuffle(rows)
        prompts += (rows * (-(-share // len(rows))))[:share]
    source.shuffle(prompts)
    return prompts[:count]
