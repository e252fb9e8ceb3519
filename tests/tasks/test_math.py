"""MATH-500: which part of a response is its answer, and equality by a library that no answer can hold up."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.types import Example, Response, SkilldeltaError
from tasks import math_500
from tasks.answer_reading import math_equality

PAIRS = [
    ("5", "5.0"), ("5", "05"), ("5", "6"), ("\\frac{3}{7}", "3/7"), ("\\frac{3}{7}", "7/3"), ("2\\sqrt{3}", "\\sqrt{12}"),
    ("x^2-1", "(x-1)(x+1)"), ("x^2-1", "(x-1)^2"), ("(1, 2)", "(1,2)"), ("(1, 2)", "(2,1)"), ("\\pi", "3.14"),
    ("90^\\circ", "90"), ("1{,}024", "1024"), ("3 \\pm \\sqrt{2}", "3-\\sqrt{2}, 3+\\sqrt{2}"),
    ("\\begin{pmatrix} 1 \\\\ 2 \\end{pmatrix}", "\\begin{pmatrix} 1 \\\\ 3 \\end{pmatrix}"), ("6 - 5i", "-5i+6"),
]  # fmt: skip
ENDLESS = "9^{9^{9^{9}}}"


def example(answer: str) -> Example:
    return Example({"problem": "?", "solution": f"\\boxed{{{answer}}}", "answer": answer, "subject": "Algebra", "level": 1})


def score(answer: str, text: str) -> float | None:
    return math_500.score(example(answer), Response(text)).value


@pytest.fixture
def short_limit(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Iterator[None]:
    """A comparing process of its own, with a second of processor time for a question."""
    worker = tmp_path / "worker.py"
    worker.write_text(math_equality.WORKER.read_text().replace("CPU_S = 10", "CPU_S = 1"))
    process = math_equality.MathProcess()
    monkeypatch.setattr(math_equality, "WORKER", worker)
    monkeypatch.setattr(math_equality, "math_process", lambda: process)
    yield
    process.close()


@pytest.mark.slow
def test_an_answer_that_costs_too_much_is_not_scored_and_the_next_one_is(short_limit: None) -> None:
    verdict = math_500.score(example("5"), Response(f"$\\boxed{{{ENDLESS}}}$"))
    assert (verdict.value, verdict.extracted, verdict.why) == (None, ENDLESS, math_equality.UNDECIDED)
    assert (score("5", "$\\boxed{10/2}$"), score("5", "$\\boxed{10/3}$")) == (1.0, 0.0)


@pytest.mark.slow
def test_a_process_that_ended_is_started_again() -> None:
    process = math_equality.MathProcess()
    try:
        assert process.compare("\\boxed{4}", "\\boxed{8/2}") == math_equality.Equality(True, "\\frac{8}{2}")
        assert process.process
        process.process.kill()
        process.process.wait()
        assert process.compare("\\boxed{4}", "\\boxed{8/2}").is_equal is None
        assert process.compare("\\boxed{4}", "\\boxed{8/2}").is_equal is True
    finally:
        process.close()


@pytest.mark.slow  # the import of lm-eval's file
@pytest.mark.parametrize(("right", "answer"), PAIRS)
def test_equality_is_that_of_lm_eval(right: str, answer: str) -> None:
    from lm_eval.tasks.minerva_math import utils

    text = f"So it is $\\boxed{{{answer}}}$."
    theirs = utils.process_results({"answer": right, "solution": f"$\\boxed{{{right}}}$"}, [text])["math_verify"]
    assert score(right, text) == theirs


UNIT_PAIRS = [
    ("10", "10\\%"), ("10", "10\\\\%"), ("10\\%", "10"), ("12.5", "12.5\\%"), ("10\\%", "10 \\%"), ("10\\%", "x=10"),
    ("10", "x = 10\\%"),
    ("10, 20", "10\\%, 20\\%"), ("33\\frac{1}{3}\\%", "33\\frac13"), ("10", "10\\% \\text{ of the total}"), ("10\\%", "11"),
    ("10", "10 \\text{ percent}"), ("10\\%", "10 \\text{ percent}"), ("50", "5\\%"), ("0.1", "10\\%"), ("10\\%", "0.1"),
    ("5", "-5\\%"),
    ("90", "90^\\circ"), ("90^{\\circ}", "90"), ("18", "\\$18"), ("\\$18.90", "18.90"), ("18", "18\\text{ dollars}"),
    ("1000", "1\\!000"),
    ("\\left(1,2\\right)", "(1,2)"), ("\\tfrac12", "\\dfrac{1}{2}"), (".5", "0.5"), ("\\frac{1}{2}", ".5"), ("5", "k=5"),
    ("5", "6"),
]  # fmt: skip


@pytest.mark.slow  # the import of lm-eval's file
@pytest.mark.parametrize(("right", "answer"), UNIT_PAIRS)
def test_units_are_left_out_as_in_hendrycks_math(right: str, answer: str) -> None:
    from lm_eval.tasks.hendrycks_math import utils

    theirs = utils.is_equiv(answer, right)
    assert score(right, f"So it is $\\boxed{{{answer}}}$.") == float(theirs)
    assert score(right, f"The answer is ${answer}$.") == float(theirs)


@pytest.mark.parametrize(
    ("right", "answer", "wanted"),
    [
        ("10", "10%", 1), ("10\\%", "10%", 1), ("10\\%", "10 percent", 1), ("10", "10 percent", 1), ("10", "10\\text{\\%}", 1),
        ("\\frac{100}{3}\\%", "33\\frac13\\%", 1), ("10", "10\\,\\%", 1), ("10", "10~\\%", 1), ("10,20", "20\\%,10\\%", 1),
        ("12.5\\%", "\\frac{25}{2}", 1), ("1", "100\\%", 0), ("10", "1000\\%", 0), ("\\frac{1}{10}", "10\\%", 0),
        ("5", "6\\%", 0),
        ("90", "90°", 1), ("90^\\circ", "90\\degree", 1), ("20", "20^\\circ C", 1), ("20", "20°F", 1),
        ("20^\\circ\\text{C}", "20", 1),
        ("20", "21^\\circ C", 0), ("5", "5~\\text{cm}", 1), ("5", "\\text{5 cm}", 1), ("5", "\\text{6 cm}", 0),
        ("5", "€5", 1), ("5", "5¢", 1), ("(1,2)", "\\bigl(1, 2\\bigr)", 1), ("[0,1)", "\\Big[0,1\\Big]", 0),
        ("\\sqrt[3]{2}", "\\sqrt[3]2", 1), ("10:15\\text{ a.m.}", "10:15 a.m.", 1), ("\\text{June 20}", "June 20", 1),
        ("C", "5^\\circ C", 0),
    ],
)  # fmt: skip
def test_units_and_layout_change_no_value(right: str, answer: str, wanted: float) -> None:
    assert score(right, f"So it is $\\boxed{{{answer}}}$.") == wanted


@given(st.text(st.sampled_from("\\{}boxed 12$"), max_size=60))
def test_a_box_is_closed_and_is_the_last(text: str) -> None:
    content = math_500.last_box(text + "\\boxed{\\frac{1}{2}}")
    assert content == "\\frac{1}{2}"


@pytest.mark.parametrize(
    ("text", "content"),
    [
        ("\\fbox{7}", "7"), ("\\boxed 7 and no more", "7"), ("\\boxed{\\{1, 2\\}}", "\\{1, 2\\}"), ("\\boxed{7", ""),
        ("\\boxed{}", ""), ("\\boxed{1} then \\boxed{}", "1"), ("\\boxed{" + "1+" * 1000 + "1}", ""), ("no box", ""),
    ],
)  # fmt: skip
def test_what_stands_in_a_box(text: str, content: str) -> None:
    assert math_500.last_box(text) == content


@pytest.mark.parametrize("piece", ["\nQ: ", "\nproblem ", "\\boxed ", " "])
def test_a_text_of_one_piece_without_end_has_no_box(piece: str) -> None:
    """A rule that tried every end for every beginning would not come back from these."""
    assert math_500.last_box(math_500.answer_part(piece * (400_000 // len(piece)))) in ("", "\\boxed")


def test_without_a_box_the_answer_is_behind_its_mark_or_ends_the_response() -> None:
    assert score("12", "We have 3 groups of 4. Thus the final answer is 12. There were 3 groups.") == 1.0
    assert score("12", "**Answer**: 12\n\nThere were 3 groups of 4.") == 1.0
    assert score("\\frac{1}{2}", '{"reasoning": "3 of 6", "answer": "1/2"}') == 1.0
    assert score("12", "The answer is 12. There were 3 groups.") == 1.0
    assert score("5", '{"reasoning": "2 + 3", "answer": 5}') == 1.0
    assert score("\\sqrt{2}", '{"answer": "\\\\sqrt{2}"}') == 1.0
    assert score("5", "<answer>5</answer> and 7") == 1.0
    assert score("3", "The answer is $x = 3$ apples.") == 1.0
    assert score("12", "3 groups of 4 make $3 \\cdot 4 = 12$.") == 1.0
    assert math_500.score(example("12"), Response("It is 12.")).parts == {"boxed": 0.0}


def test_without_the_package_the_task_is_refused_before_a_model_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "math_verify" else found(name))
    (task,) = math_500.TASKS
    assert task.prepare
    with pytest.raises(SkilldeltaError, match=r"math-verify.*skilldelta\[math\]"):
        task.prepare()


def test_the_versions_of_the_libraries_are_kept_with_the_results() -> None:
    assert set(math_equality.library_versions()) == set(math_equality.PACKAGES)
