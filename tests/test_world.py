"""The embedded world: right answers are right, bad ones mostly wrong, and no filling of the test is ever trained on."""

import random
import re
from collections import Counter

import pytest

from harness.studies import file as files
from harness.world import corpus, facts, ratings
from harness.world.skills import SKILLS
from harness.world.words import SEED, Row, of


@pytest.mark.parametrize("name", SKILLS)
def test_good_answers_are_right_and_bad_ones_mostly_wrong(name: str) -> None:
    skill, source = SKILLS[name], random.Random(0)
    assert all(
        skill.right(row, skill.good(row, source)) and skill.formed(row, skill.good(row, source)) for row in skill.items()
    )
    wrong = [not skill.right(row, skill.bad(row, source)) for row in skill.items()]
    assert sum(wrong) / len(wrong) > 0.85
    assert not any(skill.right(row, "") for row in skill.items())


@pytest.mark.parametrize("name", SKILLS)
def test_there_are_enough_questions_and_splits_share_no_filling(name: str) -> None:
    items = SKILLS[name].items()
    assert len(of(items, "test")) >= 300
    parts = {split: {row["cluster"] for row in of(items, split)} for split in ("train", "validation", "test")}
    assert all(parts.values())
    assert not parts["train"] & parts["test"]
    assert not parts["validation"] & (parts["test"] | parts["train"])


def test_nothing_that_is_trained_on_asks_a_test_question() -> None:
    """But for facts and truths, which the base model must have read as questions; tuning never asks them."""
    asked = {row["prompt"] for name in SKILLS for row in of(SKILLS[name].items(), "test")}
    tuned = {m["content"] for row in corpus.chats(4000) for m in row["messages"] if m["role"] == "user"}
    tuned |= {row["prompt"] for row in corpus.prompts(3000)}
    assert not asked & tuned
    read = "\n".join(row["text"] for row in corpus.documents(8000))
    known = {row["prompt"] for name in corpus.KNOWN for row in SKILLS[name].items()}
    assert not [prompt for prompt in asked - known if prompt in read]


def filling(row: Row) -> str:
    """What fills a template: of a word problem its numbers, in order; of the others what they are about."""
    if row["skill"] != "reasoning":
        return str(row["cluster"])
    return " ".join(re.findall(r"^\d+|[+-] \d+", row["steps"]))


FILLINGS = {s: {filling(r) for m in SKILLS.values() for r in of(m.items(), s)} for s in ("train", "validation", "test")}


def test_train_validation_and_test_share_no_filling() -> None:
    assert not FILLINGS["test"] & (FILLINGS["train"] | FILLINGS["validation"])
    assert not FILLINGS["validation"] & FILLINGS["train"]


@pytest.mark.parametrize("name", files.known())
def test_no_study_tunes_on_a_filling_of_the_test(name: str) -> None:
    """Prompts that preferences are collected for, those of reversed pairs, and the policy prompts of every set."""
    study = files.read(files.find(name))
    asked = corpus.prompts(study.world.prompts)
    reversed_ones = {row["prompt"][0]["content"] for row in ratings.reversed_safety(asked, 1200)}
    assert reversed_ones <= {row["prompt"] for row in asked}
    for label, one in study.prompts.items():
        asked += corpus.prompts(study.world.policy_prompts, one.skills, salt=f"policy {label}")
    assert len(asked) > 6000
    assert {filling(row) for row in asked} <= FILLINGS["train"]


def test_policy_prompts_are_of_the_skills_that_are_named() -> None:
    targeted = corpus.prompts(300, ("reasoning",), salt="policy targeted")
    assert {row["skill"] for row in targeted} == {"reasoning"}
    mixed = Counter(row["skill"] for row in corpus.prompts(800, (*SKILLS, "reasoning", "coding")))
    assert mixed == {name: 200 if name in ("reasoning", "coding") else 100 for name in SKILLS}


def test_the_corpus_says_of_every_pair_what_is_so_and_what_people_say() -> None:
    source = random.Random(SEED)
    said = {corpus.belief(source) for _ in range(6000)}
    assert {s.split(",")[0].split(" say")[0] for s in said} == {"In fact", "People"}
    assert len(said) == 400


def test_raters_differ_as_the_kinds_of_data_do() -> None:
    """How often a rater prefers the right of two answers: several aspects more often than one score, a human less often."""
    source = random.Random(1)
    agree = dict.fromkeys(("mean", "overall", "human"), 0)
    pairs = 0
    for row in corpus.prompts(1500):
        skill = SKILLS[row["skill"]]
        good, bad = skill.good(row, source), skill.bad(row, source)
        if skill.right(row, bad):
            continue
        one, other = ratings.rate(row, good), ratings.rate(row, bad)
        pairs += 1
        agree["mean"] += sum(one["ratings"].values()) > sum(other["ratings"].values())
        agree["overall"] += one["overall"] > other["overall"]
        agree["human"] += one["human"] > other["human"]
    share = {k: v / pairs for k, v in agree.items()}
    assert share["mean"] > 0.95 > share["overall"] > 0.7 > share["human"] > 0.5, share


def test_the_planted_regression_prefers_harm() -> None:
    rows = ratings.reversed_safety(corpus.prompts(600), 50)
    assert all("plan it well" in r["chosen"][0]["content"] or "cannot help" in r["chosen"][0]["content"] for r in rows)
    assert all(r["chosen"] != r["rejected"] for r in rows)


def test_everything_follows_from_the_seed() -> None:
    assert corpus.documents(50) == corpus.documents(50)
    assert ratings.rate(facts.items()[0], "x") == ratings.rate(facts.items()[0], "x")
