"""A reward model as a judge, on this machine: `reward:FOLDER[,base=FOLDER]`; a run folder stands for its last checkpoint.

Of two answers it prefers by the Bradley-Terry probability, the logistic function of the difference of rewards; one answer alone
gets the logistic function of its reward, which is 1/2 at the mean of the rewards that the model's card has.  Whether an answer
is true, harmless or a refusal is no question for it.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from pathlib import Path

from harness import fingerprint
from harness.checkpoint_folders import describe_path
from harness.grading.criteria import BETTER, GOOD, RATING, SUMMARY, compares_answers
from harness.grading.preferences import first_probability
from harness.grading.questions import Grade, JudgeQuestion
from harness.integrity import ADAPTER, DAMAGED, SINGLE, find_problem
from harness.name_value_pairs import parse_pairs
from harness.types import Message, SkilldeltaError, digest
from harness.visible_text import replace_surrogates

READING = (
    "prompts are whole conversations; references are other answers"  # how a question is put to the model: a part of what graded
)


QUALITIES = ("", BETTER, GOOD, RATING, SUMMARY)  # criteria that a reward can stand for


class RewardJudge:
    """Grades by rewards: how good an answer is, and nothing else; without a liking for a place, as each is read alone."""

    def __init__(self, folder: str) -> None:
        from harness.training.answer_rewards import RewardScorer

        self.scorer = RewardScorer(folder)

    def grade(self, prompt: str, response: str, reference: str) -> float | None:
        return self.grade_all([JudgeQuestion(prompt, response, reference)])[0].value

    def grade_all(self, questions: Sequence[JudgeQuestion]) -> list[Grade]:
        """A grade for each question; each answer is read once, however often it is compared."""
        whole = replace_surrogates
        prompts = [self.prompt_of(question) for question in questions]
        responses = self.scorer.score([(prompt, whole(q.response)) for prompt, q in zip(prompts, questions, strict=True)])
        is_pair = [compares_answers(q.criterion, q.reference) for q in questions]
        compared = [(p, whole(q.reference)) for p, q, pair in zip(prompts, questions, is_pair, strict=True) if pair]
        references = self.scorer.score(compared)
        remaining = iter(references)
        grades = [grade_rewards(r, next(remaining) if pair else 0.0) for r, pair in zip(responses, is_pair, strict=True)]
        pairs = zip(questions, grades, strict=True)
        return [grade if q.criterion in QUALITIES else refuse_criterion(q.criterion) for q, grade in pairs]

    def prompt_of(self, question: JudgeQuestion) -> str | tuple[Message, ...]:
        """The conversation, for a model that has learnt any; else its text."""
        turns = question.conversation if self.scorer.reads_conversations else ()
        return tuple(Message(m.role, replace_surrogates(m.content)) for m in turns) or replace_surrogates(question.prompt)


def refuse_criterion(name: str) -> Grade:
    return Grade(None, why=f"a reward model says how good an answer is, and cannot tell the criterion {name!r}")


def grade_rewards(response: float | None, reference: float | None) -> Grade:
    """sigmoid(response - reference); a missing reference counts 0, the mean reward."""
    if response is None or reference is None or not math.isfinite(response - reference):
        why = (
            "the reward model gave no reward: its chat template cannot write this conversation, or it is too long for the model"
        )
        return Grade(None, why=why)
    value = first_probability(response, reference)
    return Grade(value, "first" if value > 0.5 else "second" if value < 0.5 else "")


def parse_reward(where: str) -> tuple[str, str]:
    """(folder, base) of "FOLDER,base=FOLDER".  SkilldeltaError for other settings."""
    folder, _, pairs = where.partition(",")
    values = parse_pairs(pairs)
    base = values.pop("base", "")
    if not folder or values:
        raise SkilldeltaError(f"reward:{where}: write reward:FOLDER, or reward:FOLDER,base=FOLDER for an adapter.")
    return folder, base


def identity(where: str) -> str:
    """The hash of its weights, tokenizer and card.  Damaged weights are not read: load() refuses them."""
    folder, base = parse_reward(where)
    if not Path(folder).is_dir():
        return folder
    from harness.file_hashes import hash_files
    from harness.training.model_loading import is_adapter, model_folder
    from harness.training.reward_card import CARD

    path = model_folder(folder)
    places = [place for place in (path, base) if place and Path(place).is_dir()]
    if any(find_problem(Path(place), ADAPTER if is_adapter(place) else SINGLE) for place in places):
        return DAMAGED
    bases = fingerprint.hash_checkpoint(describe_path(base)) if base else {}
    parts = [fingerprint.hash_checkpoint(describe_path(path)), bases, hash_files([Path(path) / CARD])]
    return digest([*parts, READING])


def load(where: str) -> RewardJudge:
    """The judge.  SkilldeltaError, before anything is asked, for a folder that holds no reward model."""
    from harness.training.model_loading import model_folder

    folder, base = parse_reward(where)
    judge = RewardJudge(folder)
    if not base:
        _ = judge.scorer.model  # it fails now or never
        return judge
    from harness.training.settings import TrainerSettings
    from harness.training.start import write_start

    with tempfile.TemporaryDirectory() as scratch:  # the same adapter, whose base is named anew
        target = Path(scratch) / "reward"
        write_start(Path(model_folder(folder)), target, TrainerSettings(base=base))
        judge.scorer.path = str(target)
        _ = judge.scorer.model, judge.scorer.tokenizer
    return judge
