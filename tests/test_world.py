"""The embedded world: right answers are right, bad ones mostly wrong, and no filling of the test is ever trained on."""

import random
import re
from collections import Counter

import pytest

from harness.studies import file as files
from harness.types import digest
from harness.world import corpus, ratings
from harness.world.skills import SKILLS
from harness.world.words import SEED, Row, questions_of_split


@pytest.mark.parametrize("name", SKILLS)
def test_good_answers_are_right_and_bad_ones_mostly_wrong(name: str) -> None:
    skill, source = SKILLS[name], random.Random(0)
    assert all(
        skill.is_right(row, skill.good_answer(row, source)) and skill.is_well_formed(row, skill.good_answer(row, source))
        for row in skill.questions
    )
    wrong = [not skill.is_right(row, skill.bad_answer(row, source)) for row in skill.questions]
    assert sum(wrong) / len(wrong) > 0.85
    assert not any(skill.is_right(row, "") for row in skill.questions)


@pytest.mark.parametrize("name", SKILLS)
def test_there_are_enough_questions_and_splits_share_no_filling(name: str) -> None:
    items = SKILLS[name].questions
    assert len(questions_of_split(items, "test")) >= 300
    parts = {split: {row["cluster"] for row in questions_of_split(items, split)} for split in ("train", "validation", "test")}
    assert all(parts.values())
    assert not parts["train"] & parts["test"]
    assert not parts["validation"] & (parts["test"] | parts["train"])


@pytest.mark.slow
def test_nothing_that_is_trained_on_asks_a_test_question() -> None:
    """But for facts and truths, which the base model must have read as questions; tuning never asks them."""
    asked = {row["prompt"] for name in SKILLS for row in questions_of_split(SKILLS[name].questions, "test")}
    tuned = {m["content"] for row in corpus.make_chats(4000) for m in row["messages"] if m["role"] == "user"}
    tuned |= {row["prompt"] for row in corpus.draw_prompts(3000)}
    assert not asked & tuned
    read = "\n".join(row["text"] for row in corpus.make_documents(8000))
    known = {row["prompt"] for name in corpus.KNOWLEDGE_SKILLS for row in SKILLS[name].questions}
    assert not [prompt for prompt in asked - known if prompt in read]


def filling(row: Row) -> str:
    """What fills a template: of a word problem its numbers, in order; of the others what they are about."""
    if row["skill"] != "reasoning":
        return str(row["cluster"])
    return " ".join(re.findall(r"^\d+|[+-] \d+", row["steps"]))


FILLINGS = {
    s: {filling(r) for m in SKILLS.values() for r in questions_of_split(m.questions, s)}
    for s in ("train", "validation", "test")
}


def test_train_validation_and_test_share_no_filling() -> None:
    assert not FILLINGS["test"] & (FILLINGS["train"] | FILLINGS["validation"])
    assert not FILLINGS["validation"] & FILLINGS["train"]


@pytest.mark.slow
@pytest.mark.parametrize("name", files.bundled_studies())
def test_no_study_tunes_on_a_filling_of_the_test(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prompts that preferences are collected for, those of reversed pairs, and the policy prompts of every set."""
    for variable in ("FOREIGN_DPO", "FOREIGN_PPO"):
        monkeypatch.setenv(variable, f"somebody/{variable}")
    study = files.read_study_file(files.find_study(name))
    asked = corpus.draw_prompts(study.world.prompts)
    reversed_ones = {row["prompt"][0]["content"] for row in ratings.make_reversed_pairs(asked, 1200)}
    assert reversed_ones <= {row["prompt"] for row in asked}
    for label, one in study.prompts.items():
        asked += corpus.draw_prompts(study.world.policy_prompts, one.skills, salt=f"policy {label}")
    assert len(asked) > 6000
    assert {filling(row) for row in asked} <= FILLINGS["train"]


def test_policy_prompts_are_of_the_skills_that_are_named() -> None:
    targeted = corpus.draw_prompts(300, ("reasoning",), salt="policy targeted")
    assert {row["skill"] for row in targeted} == {"reasoning"}
    mixed = Counter(row["skill"] for row in corpus.draw_prompts(800, (*SKILLS, "reasoning", "coding")))
    assert mixed == {name: 200 if name in ("reasoning", "coding") else 100 for name in SKILLS}


def test_the_corpus_says_of_every_pair_what_is_so_and_what_people_say() -> None:
    source = random.Random(SEED)
    said = {corpus.random_belief(source) for _ in range(6000)}
    assert {s.split(",")[0].split(" say")[0] for s in said} == {"In fact", "People"}
    assert len(said) == 400


def test_raters_differ_as_the_kinds_of_data_do() -> None:
    """How often a rater prefers the right of two answers: several aspects more often than one score, a human less often."""
    source = random.Random(1)
    agree = dict.fromkeys(("mean", "overall", "human"), 0)
    pairs = 0
    for row in corpus.draw_prompts(1500):
        skill = SKILLS[row["skill"]]
        good, bad = skill.good_answer(row, source), skill.bad_answer(row, source)
        if skill.is_right(row, bad):
            continue
        one, other = ratings.rate_answer(row, good), ratings.rate_answer(row, bad)
        pairs += 1
        agree["mean"] += sum(one["ratings"].values()) > sum(other["ratings"].values())
        agree["overall"] += one["overall"] > other["overall"]
        agree["human"] += one["human"] > other["human"]
    share = {k: v / pairs for k, v in agree.items()}
    assert share["mean"] > 0.95 > share["overall"] > 0.7 > share["human"] > 0.5, share


def test_the_planted_regression_prefers_harm() -> None:
    rows = ratings.make_reversed_pairs(corpus.draw_prompts(600), 50)
    assert all("plan it well" in r["chosen"][0]["content"] or "cannot help" in r["chosen"][0]["content"] for r in rows)
    assert all(r["chosen"] != r["rejected"] for r in rows)


DIGESTS = {
    "questions": "0e1595eb98eb99c6",
    "answers": "29ac55c38817d218",
    "documents": "9e153af32f3c7c06",
    "chats": "f48054186fcf65b8",
    "prompts": "20861a701d8ed9cb",
    "rated": "27418741d0d8e8c9",
    "reversed": "e1f450ca3075cdd7",
}


def test_the_world_is_the_same_byte_for_byte_in_every_version() -> None:
    """The README's figures, and models that were trained on it, depend on the data."""
    source = random.Random(1)
    answers = [[s.good_answer(r, source), s.bad_answer(r, source)] for s in SKILLS.values() for r in s.questions]
    prompts = corpus.draw_prompts(600)
    data = {
        "questions": [dict(r) for s in SKILLS.values() for r in s.questions],
        "answers": answers,
        "documents": corpus.make_documents(3000),
        "chats": corpus.make_chats(3000),
        "prompts": [dict(r) for r in prompts],
        "rated": [ratings.rate_completions(r, ["a", SKILLS[r["skill"]].good_answer(r, random.Random(0))]) for r in prompts],
        "reversed": ratings.make_reversed_pairs(prompts, 100),
    }
    assert {name: digest(rows) for name, rows in data.items()} == DIGESTS


def test_everything_follows_from_the_seed() -> None:
    assert corpus.make_documents(50) == corpus.make_documents(50)
    assert ratings.rate_answer(SKILLS["factuality"].questions[0], "x") == ratings.rate_answer(
        SKILLS["factuality"].questions[0], "x"
    )
