"""Questions with lettered options from TruthfulQA and MMLU: a right one, and a wrong one that somebody may believe in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from harness.grouping import group_by
from harness.types import Json, digest
from tasks import mmlu, truthfulqa

LETTERS = "ABCD"
OF_A_SUBJECT = 10  # MMLU's first test questions of each of its 57 subjects


def lettered_questions(folder: Path | None) -> list[Json]:
    """{source, question, options, answer, wrong}: the places of the right option and of the one that a user may believe in."""
    return [*truthfulqa_rows(folder), *mmlu_rows(folder)]


def truthfulqa_rows(folder: Path | None) -> Iterator[Json]:
    """The best answer of each question with its first false ones, in an order that the question's own text decides."""
    for row in truthfulqa.rows(folder):
        choices, labels = row["mc1_targets"]["choices"], row["mc1_targets"]["labels"]
        right = choices[labels.index(1)]
        options = [right, *(c for c, label in zip(choices, labels, strict=True) if not label)][: len(LETTERS)]
        options.sort(key=lambda option: digest([row["question"], option]))
        yield with_wrong_option("truthfulqa", row["question"], options, options.index(right))


def mmlu_rows(folder: Path | None) -> Iterator[Json]:
    for questions in group_by(mmlu.rows(folder), lambda row: str(row["subject"])).values():
        for row in questions[:OF_A_SUBJECT]:
            yield with_wrong_option("mmlu", row["question"], row["choices"], row["answer"])


def with_wrong_option(source: str, question: str, options: Sequence[str], answer: int) -> Json:
    wrong_places = [place for place in range(len(options)) if place != answer]
    wrong = min(wrong_places, key=lambda place: digest([question, "wrong", place]))
    return {"source": source, "question": question, "options": list(options), "answer": answer, "wrong": wrong}


def option_letters(row: Json) -> str:
    return LETTERS[: len(row["options"])]
