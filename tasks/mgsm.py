"""MGSM: 250 grade-school problems in eleven languages, answered in steps (Shi et al., arXiv 2210.03057)."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path

from harness import data
from harness.data import DataSource, locate, read_text
from harness.types import Example, Json, Metric, Request, Response, Score, SkilldeltaError, Task
from tasks.answer_reading.local_numbers import in_english
from tasks.answer_reading.stated_number import read_number

LANGUAGES = ("bn", "de", "en", "es", "fr", "ja", "ru", "sw", "te", "th", "zh")

# A local folder has the files of github.com/google-research/url-nlp: a problem and its answer a line, and Python code with
# the exemplars, which is read and not run.  The Hub has the exemplars as the split `train`.
ROWS = "mgsm/mgsm_{}.tsv"
EXEMPLARS = "mgsm/exemplars.py"
COLUMNS = ("question", "answer", "answer_number", "equation_solution")
LABEL = re.compile(r"[^:：]*[:：]\s*")  # "Question: " before an exemplar's question, "Step-by-Step Answer: " before its answer


def hub_source(language: str, split: str) -> DataSource:
    return DataSource("juletxara/mgsm", ROWS.format(language), COLUMNS, config=language, split=split)


def rows(folder: Path | None, languages: Sequence[str] = LANGUAGES) -> list[Json]:
    """Rows {language, number, question, answer}; the same number is the same problem in each language."""
    return [
        {"language": language, "number": number, "question": question, "answer": answer}
        for language in languages
        for number, (question, answer) in enumerate(read_problems(folder, language))
    ]


def read_problems(folder: Path | None, language: str) -> list[tuple[str, int]]:
    """The questions of a language with their answers.  SkilldeltaError for a line that is no question and whole number."""
    if folder is None:
        return [(row["question"], int(row["answer_number"])) for row in data.rows(hub_source(language, "test"), None)]
    path = locate(ROWS.format(language), folder)
    problems = []
    for line in read_text(path).splitlines():
        question, tab, answer = line.rpartition("\t")
        if not tab or not re.fullmatch(r"-?[\d,]+", answer.strip()):
            raise SkilldeltaError(f"{path}: a line is not a question, a tab and a whole number, but: {line[:100]!r}.")
        problems.append((question, int(answer.replace(",", ""))))
    return problems


def native_exemplars(folder: Path | None, languages: Sequence[str] = LANGUAGES) -> Mapping[str, Sequence[Json]]:
    """The eight worked examples of each language: {question, answer}, each with its label."""
    if folder is None:
        return {
            language: [
                {"question": row["question"], "answer": row["answer"]} for row in data.rows(hub_source(language, "train"), None)
            ]
            for language in languages
        }
    texts = read_exemplars(locate(EXEMPLARS, folder))
    return {
        language: [{"question": shot["q"], "answer": shot["a"]} for shot in texts[language].values()] for language in languages
    }


def read_exemplars(path: Path) -> dict[str, dict[str, dict[str, str]]]:
    """The value of MGSM_EXEMPLARS in the authors' Python file.  SkilldeltaError where there is none."""
    try:
        for statement in ast.parse(read_text(path)).body:
            if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "MGSM_EXEMPLARS":
                texts: dict[str, dict[str, dict[str, str]]] = ast.literal_eval(statement.value)
                return texts
    except (SyntaxError, ValueError, RecursionError) as error:
        raise SkilldeltaError(f"{path} is not the authors' file of exemplars: {error}.") from error
    raise SkilldeltaError(f"{path} sets no MGSM_EXEMPLARS.")


def language_of(example: Example) -> str:
    return str(example.row["language"])


def label_of(text: str) -> str:
    """The label before an exemplar's text, with the blank behind it where the language has one."""
    match = LABEL.match(text)
    return match[0] if match else ""


def ask(example: Example) -> Request:
    shots = "".join(f"{shot['question']}\n{shot['answer']}\n\n" for shot in example.fewshot)
    question, answer = (label_of(example.fewshot[0][part]) for part in ("question", "answer"))
    prompt = f"{shots}{question}{example.row['question']}"
    return Request(prompt, prefix=answer.rstrip(), max_tokens=512, stop=(f"\n{question.rstrip()}",))


def score(example: Example, response: Response) -> Score:
    """1 if the stated number, or the last where none is stated, equals the answer; in any script's digits."""
    answer = read_number(in_english(response.text, language_of(example)))
    right = float(answer.number is not None and answer.number.value == Fraction(example.row["answer"]))
    parts = {"right": right, "stated": float(answer.is_stated)}
    return Score(right, extracted=answer.number.text if answer.number else "", parts=parts)


def ideal(example: Example) -> Response:
    return Response(f" {example.row['answer']}")


def of_language(task: Task, language: str) -> Task:
    """The task in one language."""
    return replace(
        task,
        name=f"{task.name}_{language}",
        rows=partial(rows, languages=(language,)),
        fewshot=partial(native_exemplars, languages=(language,)),
        cluster=None,
        aggregate="mean",
        metrics=(Metric("stated", part="stated"),),
        summary=f"its 250 problems in the language {language} alone",
    )


EVERY_LANGUAGE = Task(
    name="mgsm",
    skill="reasoning",
    version=3,
    source="Shi et al. 2022; problems and native chain-of-thought exemplars: google-research/url-nlp",
    rows=rows,
    ask=ask,
    score=score,
    ideal=ideal,
    fewshot=native_exemplars,
    group=language_of,
    cluster=lambda example: str(example.row["number"]),
    aggregate="macro",
    metrics=(*(Metric(language, part="right", group=language) for language in LANGUAGES), Metric("stated", part="stated")),
    summary="250 grade-school problems in each of eleven languages, 8-shot chain of thought; mean over languages",
)
TASKS = (EVERY_LANGUAGE, *(of_language(EVERY_LANGUAGE, language) for language in LANGUAGES))
