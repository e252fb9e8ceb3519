"""MMLU-Pro: the authors' prompt and readings, and where a stated option is read otherwise."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import data
from harness.prompts.templates import plain_text
from harness.types import Example, Response, SkilldeltaError
from tasks import mmlu_pro
from tests.support.absent_data import invented_rows, write_files

ROW = invented_rows("mmlu_pro.jsonl", "mmlu_pro")[0]


@pytest.fixture
def examples(tmp_path: Path) -> list[Example]:
    return data.examples(mmlu_pro.STEP_BY_STEP, write_files(tmp_path))


@pytest.mark.slow  # the import of lm-eval's file
def test_the_question_and_its_exemplars_read_as_in_lm_eval(examples: list[Example]) -> None:
    from lm_eval.tasks.mmlu_pro import utils

    for example in examples:
        prompt = plain_text(mmlu_pro.ask(example))
        shots = "".join(utils.format_cot_example(dict(row)) for row in example.fewshot)
        assert len(example.fewshot) == 1
        assert prompt.endswith(shots + utils.doc_to_text(dict(example.row)))
        assert prompt.startswith(f"The following are multiple choice questions (with answers) about {example.row['category']}.")


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("The answer is (D). No: the answer is (B).", "D"),
        ("So the answer is C", "C"),
        ("Answer: (D)", "D"),
        ("Answer: D", "D"),
        ("I cannot answer.", "I"),
        ("A or B,\nC at most", "C"),
        ("nothing", ""),
    ],
)
def test_the_authors_reading(text: str, letter: str) -> None:
    assert mmlu_pro.authors_reading(text) == letter


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("Kites are red, so it can only be one.\nThat leaves (B) then.", "B"),
        ("(A) is false\n(B) is true\n(C) is false", ""),  # a verdict on each option
        ("The answer is (J).", ""),  # no option of this question
        ("It floats. It is old. It must be (A).", "A"),
        ("Let us see.\nWe can rule out (C).", ""),
        ("Kites are red.\nSo (A) is wrong and it must be (B).", "B"),
        ("Boats float.\nIt is not (A), which leaves two.", ""),
    ],
)
def test_what_a_reader_takes_for_the_letter(text: str, letter: str) -> None:
    assert mmlu_pro.read_letter(text, {"A": "boat", "B": "kite", "C": "mast"}) == letter


def test_without_a_letter_the_authors_guess() -> None:
    parts = mmlu_pro.score(Example(ROW), Response("nothing of these")).parts
    assert parts == {"authors": pytest.approx(1 / 6), "stated": 0.0}


@pytest.mark.parametrize("changes", [{"answer": "B"}, {"answer_index": 7}, {"options": ["x"] * 11}, {"options": ["N/A"] * 4}])
def test_a_row_whose_answer_is_no_option_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(SkilldeltaError, match="Row 3 of there"):
        mmlu_pro.clean_row(ROW | changes, "there")


@pytest.mark.parametrize(
    ("options", "answer", "kept"),
    [
        (["two", "three", "four", "N/A", "N/A"], "B", ["two", "three", "four"]),  # filled up behind the last option
        (["two", "three", "N/A", "four"], "B", ["two", "three", "four"]),  # wherever it stands behind the answer
        (["two", "N/A", "three", "four"], "C", ["two", "N/A", "three", "four"]),  # without it, C would be "four"
        (["two", "three", "N/A"], "C", ["two", "three", "N/A"]),  # it is the answer
        (["two", "N/A ", "not N/A"], "A", ["two", "N/A ", "not N/A"]),  # other texts
    ],
)
def test_a_filler_is_left_out_where_the_key_stays_true(options: list[str], answer: str, kept: list[str]) -> None:
    index = mmlu_pro.LETTERS.index(answer)
    row = mmlu_pro.clean_row(ROW | {"options": options, "answer": answer, "answer_index": index}, "there")
    assert row["options"] == kept
    assert row["options"][index] == options[index]


def test_the_letters_are_as_many_as_the_options(examples: list[Example]) -> None:
    assert [len(mmlu_pro.ask_direct(example).choices) for example in examples] == [6, 10]
