"""The needle in a haystack: texts of the right length and depth, the same each time, which hold the number once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.types import Example, Response
from tasks import niah


@given(st.sampled_from((200, 1000, 3000)), st.sampled_from(niah.DEPTHS), st.integers(0, 9), st.sampled_from((0, 3)))
def test_a_text_has_its_length_and_its_needle_at_its_depth(length: int, depth: int, number: int, distractors: int) -> None:
    row = niah.make_row(length, depth, number, distractors)
    text = niah.make_text(row)
    needles = niah.NUMBER.findall(text)
    assert sorted(needles) == sorted([row["value"], *(value for _, value in row["others"])])
    assert len(set(needles)) == distractors + 1
    size = length * niah.CHARACTERS
    assert size <= len(text) < size + 100 * (distractors + 2)
    place = text.index(niah.NEEDLE.format(key=row["key"], value=row["value"]))
    assert abs(place / len(text) - depth / 100) < 0.1 + 100 * (distractors + 1) / len(text)
    assert text == niah.make_text(dict(row))


def test_every_row_is_another_one_and_the_same_in_every_process() -> None:
    rows = list(niah.TASKS[0].rows(None))
    assert len({(row["key"], row["value"]) for row in rows}) == len(rows) == 4 * 5 * 10
    assert rows[0] == {"length": 1000, "depth": 0, "number": 0, "key": "hollow-harbor", "value": "6959965", "others": []}


def test_lengths_and_depths_are_those_that_are_asked_for() -> None:
    task = niah.make_task("mine", (500,), (10, 90))
    examples = [Example(row) for row in task.rows(None)]
    assert {(e.row["length"], e.row["depth"]) for e in examples} == {(500, 10), (500, 90)}
    verdict = task.score(examples[0], task.ideal(examples[0]))
    assert (verdict.value, verdict.parts) == (1.0, {"contained": 1.0, "depth_10": 1.0})
    assert [m.name for m in task.metrics] == ["depth 10 %", "depth 90 %", "contained"]


@pytest.mark.parametrize("text", ["{}1", "1{}", "{} and 7654321"])
def test_a_number_that_merely_contains_it_is_another(text: str) -> None:
    row = niah.make_row(1000, 50, 0, 0)
    verdict = niah.score(Example(row), Response(text.format(row["value"])))
    assert (verdict.value, verdict.parts["contained"]) == (0.0, 1.0)
