"""MGSM: prompts from the authors' exemplars, and numbers in the scripts and separators of eleven languages."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import data, registry
from harness.prompts.templates import plain_text
from harness.types import Example, Response, SkilldeltaError
from tasks import mgsm
from tasks.answer_reading.local_numbers import in_english
from tests.support.absent_data import write_files

ZEROS = "0০౦๐０०٠"  # of several scripts: the digits follow them
SEPARATORS = dict.fromkeys(("de", "es", "fr", "ru"), (",", ".", " ", "\u00a0", "\u202f"))


def value(language: str, answer: int, text: str) -> float | None:
    return mgsm.score(Example({"language": language, "number": 0, "question": "?", "answer": answer}), Response(text)).value


@given(st.sampled_from(mgsm.LANGUAGES), st.integers(1000, 999_999), st.sampled_from(ZEROS), st.data())
def test_thousands_are_read_in_the_separators_and_digits_of_the_language(
    language: str, number: int, zero: str, source: st.DataObject
) -> None:
    separator = source.draw(st.sampled_from(SEPARATORS.get(language, (",", "\u00a0", "\u202f"))))
    text = f"{number:,}".replace(",", separator).translate({48 + i: ord(zero) + i for i in range(10)})
    assert value(language, number, f"7 + 8 = 15\n{text}") == 1.0, text
    assert value(language, number + 1, text) == 0.0


@pytest.mark.parametrize("language", ["de", "es", "fr", "ru"])
def test_a_comma_before_one_or_two_digits_is_no_mark_of_thousands(language: str) -> None:
    assert in_english("12,5 + 1,25 + 1.250,75", language) == "12.5 + 1.25 + 1,250.75"
    assert value(language, 125, "12,5") == 0.0


def test_english_points_stay_decimal() -> None:
    assert value("en", 2125, "The answer is 2.125.") == 0.0


def test_what_is_stated_counts_and_not_the_last_number() -> None:
    assert value("zh", 18, "答案是 18。这是 9 × 2。") == 1.0
    assert value("fr", 18, "La réponse est 18 dollars, car 9 x 2.") == 1.0
    assert value("ru", 18, "Ответ: **18**. Проверка: 9 * 2.") == 1.0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_files(tmp_path)


def test_the_prompt_has_the_exemplars_and_the_labels_of_its_language(folder: Path) -> None:
    (example,) = [e for e in data.examples(registry.task("mgsm_th"), folder) if e.row["number"] == 1]
    request = mgsm.ask(example)
    shot = "Question (th): 1 + 2 = ?\nAnswer (th): The answer is 3.\n\n"
    assert plain_text(request) == f"{shot}Question (th): {example.row['question']}\nAnswer (th):"
    assert request.stop == ("\nQuestion (th):",)


def test_one_problem_is_one_cluster_in_every_language(folder: Path) -> None:
    task = registry.task("mgsm")
    examples = data.examples(task, folder)
    assert task.cluster
    assert {task.cluster(e) for e in examples} == {"0", "1"}
    assert sorted({str(e.row["language"]) for e in examples}) == sorted(mgsm.LANGUAGES)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("exemplars.py", "MGSM = {}\n", "sets no MGSM_EXEMPLARS"),
        ("exemplars.py", "MGSM_EXEMPLARS = open('/etc/hostname').read()\n", "not the authors' file"),
        ("exemplars.py", "MGSM_EXEMPLARS = {\n", "not the authors' file"),
        ("mgsm_de.tsv", "Wie viele? 12\n", "a tab and a whole number"),
        ("mgsm_de.tsv", "Wie viele?\tzwölf\n", "a tab and a whole number"),
    ],
)
def test_a_damaged_file_is_named(folder: Path, name: str, content: str, words: str) -> None:
    (folder / "mgsm" / name).write_text(content)
    with pytest.raises(SkilldeltaError, match=words):
        data.examples(registry.task("mgsm_de"), folder)
