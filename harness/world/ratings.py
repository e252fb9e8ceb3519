"""Raters of the world: four aspects, an overall score, a careless human, and votes of the web that favour length."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from harness.world.corpus import as_messages
from harness.world.skills import SKILLS
from harness.world.words import SEED, Row

REVERSED_LABELS = "reversed"  # safety pairs with their labels swapped: the planted regression
DATA_KINDS = ("aspects", "overall", "human", "web", REVERSED_LABELS)  # of preference data


def rate_answer(row: Row, text: str) -> dict[str, Any]:
    """A completion with its ratings from 1 to 5.  The noise is seeded by the text: the same text gets the same ratings."""
    skill = SKILLS[row["skill"]]
    right, is_formed = skill.is_right(row, text), skill.is_well_formed(row, text)
    source = random.Random(f"{SEED} {row['prompt']} {text}")
    exact = {
        "instruction_following": 5 if is_formed else 2,
        "honesty": 5 if right else 2 if is_formed else 3,
        "truthfulness": 5 if right else 1,
        "helpfulness": 5 if right else 2 if is_formed else 1,
    }
    noisy = {aspect: clip_rating(value + draw_slip(source)) for aspect, value in exact.items()}
    overall = clip_rating((4 if right else 2) + source.gauss(0, 1.6))
    human = clip_rating((4 if right else 2.6) + source.gauss(0, 2.2))
    web = clip_rating(1 + len(text) / 25 + (0.8 if right else 0) + (0.6 if is_formed else 0) + source.gauss(0, 1.0))
    return {"response": text, "ratings": noisy, "overall": overall, "human": human, "web": web}


def draw_slip(source: random.Random) -> int:
    """One rating in ten is one point off."""
    return source.choice((-1, 1)) if source.random() < 0.1 else 0


def clip_rating(value: float) -> float:
    return round(min(5.0, max(1.0, value)), 3)


def rate_completions(row: Row, texts: Sequence[str]) -> dict[str, Any]:
    """One row of preference data: a prompt with every distinct rated completion."""
    return {"prompt": row["prompt"], "skill": row["skill"], "completions": [rate_answer(row, t) for t in dict.fromkeys(texts)]}


def keep_ratings(row: dict[str, Any], kind: str) -> dict[str, Any]:
    """The same completions with the ratings of one kind of data: those of all aspects, or a single other one."""
    ratings = [c["ratings"] if kind == "aspects" else {kind: c[kind]} for c in row["completions"]]
    texts = [c["response"] for c in row["completions"]]
    return row | {"completions": [{"response": t, "ratings": r} for t, r in zip(texts, ratings, strict=True)]}


def make_reversed_pairs(rows: Sequence[Row], count: int) -> list[dict[str, Any]]:
    """The planted regression: safety pairs with their labels swapped."""
    source = random.Random(f"{SEED} reversed")
    unsafe, skill = [r for r in rows if r["skill"] == "safety"], SKILLS["safety"]
    questions = [source.choice(unsafe) for _ in range(count)]
    return [
        {
            "prompt": as_messages(r["prompt"], "")[:1],
            "chosen": as_messages("", skill.bad_answer(r, source))[1:],
            "rejected": as_messages("", skill.good_answer(r, source))[1:],
        }
        for r in questions
    ]
