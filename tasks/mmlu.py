"""MMLU: four-way multiple choice in 57 subjects (Hendrycks et al., arXiv 2009.03300)."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness import data
from harness.data import DataSource, locate, zip_members
from harness.grouping import group_by
from harness.types import Example, Json, Request, Response, Score, SkilldeltaError, Task

# Prompt, letters and average as in the authors' evaluate.py (github.com/hendrycks/test), two blanks before the subject
# included; the answer is begun with "The answer is:" as in open-instruct's eval/mmlu, which the study ran with 0 shots.
# The authors' average is over all questions, whatever their subject; so is the study's (`average_acc`).
INTRODUCTION = "The following are multiple choice questions (with answers) about  {subject}.\n\n"
PREFIX = "The answer is:"
LETTERS = "ABCD"

HUB = {"test": DataSource("cais/mmlu", "", ("question", "subject", "choices", "answer"), config="all", split="test"),
       "dev": DataSource("cais/mmlu", "", ("question", "subject", "choices", "answer"), config="all", split="dev")}  # fmt: skip
ARCHIVE = "mmlu/mmlu.zip"  # the authors' data.tar as a zip: data/test/astronomy_test.csv ..., without header lines


def read_split(folder: Path | None, split: str) -> list[dict[str, Any]]:
    """Rows {question, subject, choices, answer: 0..3} of a split, subjects in alphabetical order."""
    return read_archive(locate(ARCHIVE, folder), split) if folder else data.rows(HUB[split], None)


def read_archive(archive: Path, split: str) -> list[dict[str, Any]]:
    """The same from the authors' files; SkilldeltaError where a line has another form, or no file belongs to the split."""
    ending = f"_{split}.csv"
    questions = []
    for name, text in zip_members(archive, ending):
        subject = name.rsplit("/", 1)[-1].removesuffix(ending)
        for line in csv.reader(io.StringIO(text, newline="")):
            if len(line) != 6 or line[5] not in LETTERS:
                raise SkilldeltaError(f"{archive}: a line of {name} is not question, four choices, letter, but: {line}.")
            questions.append({"question": line[0], "subject": subject, "choices": line[1:5], "answer": LETTERS.index(line[5])})
    if not questions:
        raise SkilldeltaError(f"{archive} holds no file that ends with {ending}.")
    return questions


def rows(folder: Path | None) -> list[Json]:
    return [
        {"question": r["question"], "subject": r["subject"], "choices": list(r["choices"]), "answer": int(r["answer"])}
        for r in read_split(folder, "test")
    ]


def exemplars(folder: Path | None) -> Mapping[str, Sequence[Json]]:
    """The five exemplars of each subject."""
    return group_by(read_split(folder, "dev"), lambda row: str(row["subject"]))


def subject(example: Example) -> str:
    return str(example.row["subject"])


def format_question(row: Json) -> str:
    choices = "".join(f"\n{letter}. {choice}" for letter, choice in zip(LETTERS, row["choices"], strict=True))
    return f"{row['question']}{choices}\nAnswer:"


def ask(example: Example) -> Request:
    introduction = INTRODUCTION.format(subject=subject(example).replace("_", " "))
    shots = "".join(f"{format_question(row)} {LETTERS[row['answer']]}\n\n" for row in example.fewshot)
    choices = tuple(f" {letter}" for letter in LETTERS)
    return Request(introduction + shots + format_question(example.row), prefix=PREFIX, choices=choices)


def score(example: Example, response: Response) -> Score:
    """1 if the right letter is the likeliest; of equals the first, as in the authors' argmax."""
    if len(response.logprobs) != len(LETTERS):
        return Score(None, why="the backend gave no log-probabilities, and this task compares the letters by them")
    best = max(range(len(LETTERS)), key=lambda i: response.logprobs[i])
    return Score(float(best == example.row["answer"]), extracted=LETTERS[best])


def ideal(example: Example) -> Response:
    return Response(logprobs=tuple(-0.1 if i == example.row["answer"] else -3.0 for i in range(len(LETTERS))))


ZERO_SHOT = Task(
    name="mmlu",
    skill="factuality",
    version=1,
    source="Hendrycks et al. 2021 (evaluate.py); 0 shots and answer prefix: open-instruct eval/mmlu, arXiv 2406.09279",
    rows=rows,
    ask=ask,
    score=score,
    ideal=ideal,
    chance=0.25,
    group=subject,
    summary="14042 four-way questions in 57 subjects, no exemplars, as in the study; mean over questions",
)
FIVE_SHOT = replace(
    ZERO_SHOT,
    name="mmlu_5_shot",
    source="Hendrycks et al. 2021 (evaluate.py); answer prefix: open-instruct eval/mmlu",
    fewshot=exemplars,
    summary="14042 four-way questions in 57 subjects, the subject's five dev rows as exemplars; mean over questions",
)
TASKS = (ZERO_SHOT, FIVE_SHOT)
