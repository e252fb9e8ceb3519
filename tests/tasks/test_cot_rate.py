"""Steps that nobody asked for: what counts as one, on real worked answers and on answers without any."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import data, registry
from harness.types import Example, Response
from tasks import cot_rate
from tasks.answer_reading.steps import count_steps, shows_steps

PLAIN = (
    "{}", "The answer is {}.", "It is ${}.", "**{}**", "{} apples are left.", "#### {}",
    "I think {}, but I am not sure. Ask me again.", "{}. This is more than 5 and less than 1000000.",
)  # fmt: skip


@pytest.mark.data
def test_worked_answers_show_their_steps_and_bare_ones_do_not(real_data: Path) -> None:
    examples = data.examples(registry.task("cot_rate"), real_data)
    numbers = [str(e.row["answer"]).rpartition("####")[2].strip() for e in examples]
    worked = [shows_steps(str(e.row["answer"]).rpartition("####")[0]) for e in examples]
    assert sum(worked) / len(worked) > 0.97
    for number in numbers:
        assert [text for text in PLAIN if shows_steps(text.format(number))] == []


def test_the_question_is_asked_alone() -> None:
    request = cot_rate.ask(Example({"question": " How many? ", "answer": "#### 3"}))
    assert (request.prompt, request.prefix, request.stop) == ("How many?", "", ())


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("3 + 4 = 7. 7 * 2 = 14.", 2),
        ("First, there are 3. Then, 4 more.", 2),
        ("1) 3 eggs\n2) 4 eggs\n\nSo 7.", 3),
        ("So it is. Then we wait.", 0),
        ("In 2020 = the year of 3 x 4 things", 0),
        ("12 eggs \\times $2 = $24", 1),
        ("", 0),
    ],
)
def test_what_a_step_is(text: str, steps: int) -> None:
    assert count_steps(text) == steps


@pytest.mark.parametrize("piece", ["\n", "\nQ: ", "\nq ", " ", "step "])
def test_a_text_of_one_piece_without_end_has_no_steps(piece: str) -> None:
    """A rule that tried every end for every beginning would not come back from these."""
    assert not shows_steps(piece * (400_000 // len(piece)))


def test_right_answers_are_counted_with_steps_and_without() -> None:
    example = Example({"question": "?", "answer": "#### 14"})
    parts = cot_rate.score(example, Response("3 + 4 = 7. 7 * 2 = 14.")).parts
    assert (parts["right"], parts["right_with_steps"], parts["right_without_steps"], parts["count"]) == (1, 1, 0, 2)
    parts = cot_rate.score(example, Response("14")).parts
    assert (parts["right"], parts["right_with_steps"], parts["right_without_steps"], parts["without_steps"]) == (1, 0, 1, 1)
