"""MMLU-Pro: questions of 14 fields with up to ten options, answered in steps (Wang et al., arXiv 2406.01574)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness import data
from harness.data import DataSource
from harness.grouping import group_by
from harness.types import Example, Json, Metric, Request, Response, Score, SkilldeltaError, Task
from tasks.answer_reading.exclusions import drop_exclusions
from tasks.answer_reading.stated_choice import OPTION, read_choice, statements

LETTERS = "ABCDEFGHIJ"
FILLER = "N/A"
COLUMNS = ("question_id", "question", "options", "answer", "answer_index", "cot_content", "category", "src")
DATA = DataSource(hub="TIGER-Lab/MMLU-Pro", local="mmlu_pro/test.jsonl", columns=COLUMNS)
EXEMPLARS = replace(DATA, split="validation", local="mmlu_pro/validation.jsonl")

# Prompt and stop as in the authors' evaluate_from_local.py and cot_prompt_lib/initial_prompt.txt.
INTRODUCTION = (
    "The following are multiple choice questions (with answers) about {category}. Think step by step and then finish your "
    'answer with "the answer is (X)" where X is the correct letter choice.\n\n\n\n'
)
STEPS = "Answer: Let's think step by step."
STOP = ("\nQuestion:",)
DIRECT_INTRODUCTION = "The following are multiple choice questions (with answers) about {category}.\n\n"

# The authors' three readings, one after the other (compute_accuracy.py), in forms that take linear time.
AUTHORS_STATEMENT = re.compile(r"answer is \(?([A-J])\)?")
AUTHORS_LABEL = re.compile(r"[aA]nswer:\s*([A-J])")
AUTHORS_LETTER = re.compile(r"\b[A-J]\b")
SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n+")


def read_rows(source: DataSource, folder: Path | None) -> list[dict[str, Any]]:
    return [clean_row(row, source.hub) for row in data.rows(source, folder)]


def clean_row(row: Json, where: str) -> dict[str, Any]:
    """A row without the "N/A" that fills up options in some versions of the data set.

    As the authors' preprocess(), which leaves out each option of exactly that text.  Where one stands at the right answer or
    before it, theirs moves the letters and not the key, which then names a wrong option: such a row stays whole, as in lm-eval.
    """
    options = [str(option) for option in row["options"]]
    index = int(row["answer_index"])
    if FILLER not in options[: index + 1] or set(options) == {FILLER}:
        options = [option for option in options if option != FILLER]
    if not 0 <= index < len(options) <= len(LETTERS) or LETTERS[index] != row["answer"]:
        answer = f"the answer {row['answer']!r} with index {index}"
        raise SkilldeltaError(f"Row {row['question_id']} of {where} has {len(options)} options and {answer}.")
    return {column: row[column] for column in COLUMNS} | {"options": options, "answer_index": index}


def rows(folder: Path | None) -> list[Json]:
    return list(read_rows(DATA, folder))


def worked_examples(folder: Path | None) -> Mapping[str, Sequence[Json]]:
    """The five worked examples of each field."""
    return group_by(read_rows(EXEMPLARS, folder), lambda row: str(row["category"]))


def category(example: Example) -> str:
    return str(example.row["category"])


def lettered_options(row: Json) -> dict[str, str]:
    return dict(zip(LETTERS, row["options"], strict=False))


def format_question(row: Json) -> str:
    options = "".join(f"{letter}. {option}\n" for letter, option in lettered_options(row).items())
    return f"Question:\n{row['question']}\nOptions:\n{options}"


def worked_answer(row: Json) -> str:
    return str(row["cot_content"]).replace("A: Let's think step by step.", STEPS)


def ask(example: Example) -> Request:
    shots = "".join(f"{format_question(row)}{worked_answer(row)}\n\n" for row in example.fewshot)
    introduction = INTRODUCTION.format(category=category(example))
    return Request(introduction + shots + format_question(example.row), prefix=STEPS, max_tokens=2048, stop=STOP)


def ask_direct(example: Example) -> Request:
    shots = "".join(f"{format_question(row)}Answer: {row['answer']}\n\n" for row in example.fewshot)
    introduction = DIRECT_INTRODUCTION.format(category=category(example))
    choices = tuple(f" {letter}" for letter in lettered_options(example.row))
    return Request(introduction + shots + format_question(example.row), prefix="Answer:", choices=choices)


def authors_reading(text: str) -> str:
    """The letter by the authors' expressions; "" where none of them matches.

    The first "answer is X"; else the last "Answer: X" of the first line that has one; else the last letter.
    """
    if match := AUTHORS_STATEMENT.search(text):
        return str(match[1])
    if match := AUTHORS_LABEL.search(text):
        line_end = text.find("\n", match.start())
        labels = [each[1] for each in AUTHORS_LABEL.finditer(text) if line_end < 0 or each.start() < line_end]
        return str(labels[-1])
    return str((AUTHORS_LETTER.findall(text) or [""])[-1])


def read_letter(text: str, options: Mapping[str, str]) -> str:
    """The option that a response states; without a mark of an answer, the only one in brackets in its last sentence."""
    letter = read_choice(text, options).strip("()")
    if not letter and not any(statements(text)):
        sentences = SENTENCE_END.split(text.strip())
        letters = set(OPTION.findall(drop_exclusions(sentences[-1], options)))
        is_list = sum(bool(OPTION.match(sentence)) for sentence in sentences) > 1  # one line for each option
        letter = letters.pop() if len(letters) == 1 and not is_list else ""
    return letter if letter in options else ""


def score(example: Example, response: Response) -> Score:
    """1 if the response states the right option.

    The metric `authors` is their reading: the first "answer is X", or else the last capital letter ("I cannot say" is then
    I).  Without a letter they guess: that counts as the chance of a guess.
    """
    row = example.row
    options = lettered_options(row)
    letter, authors_letter = read_letter(response.text, options), authors_reading(response.text)
    authors = float(authors_letter == row["answer"]) if authors_letter else 1 / len(options)
    return Score(float(letter == row["answer"]), extracted=letter, parts={"authors": authors, "stated": float(bool(letter))})


def score_direct(example: Example, response: Response) -> Score:
    """1 if the right letter is the likeliest; of equals the first."""
    letters = list(lettered_options(example.row))
    if len(response.logprobs) != len(letters):
        return Score(None, why="the backend gave no log-probabilities, and this task compares the letters by them")
    best = letters[max(range(len(letters)), key=lambda i: response.logprobs[i])]
    return Score(float(best == example.row["answer"]), extracted=best)


def ideal(example: Example) -> Response:
    return Response(f" This follows at once. The answer is ({example.row['answer']}).")


def ideal_direct(example: Example) -> Response:
    right = example.row["answer_index"]
    return Response(logprobs=tuple(-0.1 if i == right else -3.0 for i in range(len(example.row["options"]))))


STEP_BY_STEP = Task(
    name="mmlu_pro",
    skill="reasoning",
    version=3,
    source="Wang et al. 2024; prompt, exemplars and the metric authors: TIGER-AI-Lab/MMLU-Pro, evaluate_from_local.py",
    rows=rows,
    ask=ask,
    score=score,
    ideal=ideal,
    chance=0.111,  # the mean over the rows of one in the number of options
    fewshot=worked_examples,
    group=category,
    metrics=(Metric("authors", "authors"), Metric("stated", "stated")),
    summary="12032 questions with up to ten options in 14 fields, 5-shot chain of thought; mean over questions",
)
DIRECT = replace(
    STEP_BY_STEP,
    name="mmlu_pro_choices",
    skill="factuality",
    source="Wang et al. 2024; letters compared as in MMLU's evaluate.py",
    ask=ask_direct,
    score=score_direct,
    ideal=ideal_direct,
    metrics=(),
    summary="the same questions, the likeliest letter after five exemplars without their steps; mean over questions",
)
TASKS = (STEP_BY_STEP, DIRECT)
