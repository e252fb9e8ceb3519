"""What a task of somebody's own does wrong costs that task alone, and no answer: each fault has its words."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch

from harness.evaluation.outcome import Outcome
from harness.evaluation.questions import EvaluationSettings
from harness.evaluation.run import score_checkpoints
from harness.evaluation.scoring import score_answer
from harness.store import Results
from harness.types import Example, Message, Request, Response, Score
from tests.support import toys


def fail(*_: Any) -> Any:
    raise KeyError("country")


def leave(*_: Any) -> Any:
    raise SystemExit(0)


def run_beside_a_sound_task(folder: Path, **changes: Any) -> tuple[Outcome, Outcome]:
    """(the outcome of the damaged task, that of a sound one after it)."""
    tasks = [replace(toys.adding(3), name="odd", **changes), toys.adding(3)]
    outcomes = score_checkpoints([toys.checkpoint()], tasks, lambda _: toys.model(), Results.make(folder), EvaluationSettings())
    return outcomes[0], outcomes[1]


def in_circle() -> dict[str, Any]:
    row: dict[str, Any] = {}
    row["row"] = row
    return row


FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "rows fail": ({"rows": fail}, "The task 'odd' fails as its rows are read: KeyError: 'country' (test_task_faults.py, line "),
    "rows exit": ({"rows": leave}, "fails as its rows are read: SystemExit: 0"),
    "more draws than anybody waits for": ({"draws": 10**9}, "1,000,000,000 draws of 3 rows of odd are over 10,000,000"),
    "no draw": ({"draws": 0}, "draws=0: write 1 or more."),
    "no rows": ({"rows": lambda _: []}, "The task 'odd' has no rows"),
    "rows of nothing": ({"rows": lambda _: None}, "fails as its rows are read: TypeError: 'NoneType' object is not iterable"),
    "rows of texts": ({"rows": lambda _: ["a"]}, "Row 1 is 'a', and no object with columns."),
    "NaN": ({"rows": lambda _: [{"x": float("nan")}]}, "Row 1 cannot be written as JSON (Out of range float values"),
    "bytes": ({"rows": lambda _: [{}, {"x": b"a"}]}, "Row 2 cannot be written as JSON (Object of type bytes"),
    "a circle": ({"rows": lambda _: [in_circle()]}, "Row 1 cannot be written as JSON (Circular reference"),
    "columns of two kinds": ({"rows": lambda _: [{1: 2, "a": 3}]}, "Row 1 cannot be written as JSON ("),
    "fewshot fails": ({"fewshot": fail}, "fails as its rows are read: KeyError: 'country'"),
    "ask fails": ({"ask": fail}, "KeyError: 'country' (test_task_faults.py, line "),
    "ask exits": ({"ask": leave}, "fails as it asks about the row"),
    "ask gives a text": ({"ask": lambda _: "x"}, "ask() gives 'x': let it give a Request."),
    "a prompt of a number": ({"ask": lambda _: Request(5)}, "ask() gives a prompt that is 5: write a text"),  # type: ignore[arg-type]
    "a list of turns": ({"ask": lambda _: Request([Message("user", "x")])}, "or a tuple of Message(role, text)."),  # type: ignore[arg-type]
    "a role": ({"ask": lambda _: Request((Message("boss", "x"),))}, "ask() gives a prompt that is (Message(role='boss'"),  # type: ignore[arg-type]
    "choices of a text": ({"ask": lambda _: Request("x", choices="ab")}, "ask() gives choices='ab': write a tuple of texts."),  # type: ignore[arg-type]
    "stop of a text": ({"ask": lambda _: Request("x", stop="ab")}, "ask() gives stop='ab': write a tuple of texts."),  # type: ignore[arg-type]
    "a length as text": ({"ask": lambda _: Request("x", max_tokens="5")}, "ask() gives max_tokens='5': write a whole number."),  # type: ignore[arg-type]
    "a length below 1": ({"ask": lambda _: Request("x", max_tokens=-1)}, "max_tokens=-1: write 1 or more."),
    "a temperature": ({"ask": lambda _: Request("x", temperature=float("nan"))}, "temperature=nan: write 0"),
    "a group of a number": ({"group": lambda _: 5}, "group() gives 5: let it give a text."),
    "a group of a list": ({"group": lambda _: ["a"], "fewshot": lambda _: {}}, "TypeError: unhashable type: 'list'"),
    "a cluster of nothing": ({"cluster": lambda _: None}, "cluster() gives None: let it give a text."),
    "prepare exits": ({"prepare": leave}, "SystemExit: 0"),
}


@pytest.mark.parametrize(("changes", "fault"), FAULTS.values(), ids=FAULTS.keys())
def test_a_task_that_fails_costs_itself_alone(changes: dict[str, Any], fault: str, tmp_path: Path) -> None:
    """Most of these ended the whole command as an error of the program; one that exits ended it as if all were done."""
    odd, sound = run_beside_a_sound_task(tmp_path / "r", **changes)
    assert odd.state == "failed"
    assert fault in odd.why
    assert (sound.state, sound.samples, sound.unscored) == ("done", 3, 0)


def scored(score: Callable[[Example, Response], Any]) -> Score:
    return score_answer(replace(toys.adding(1), score=score), Example({}), Response("an answer"))


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (None, "the scorer gave None, not a Score"),
        (1.0, "the scorer gave 1.0, not a Score"),
        (Score(float("nan")), "the scorer gave nan, no number from 0 to 1"),
        (Score(50.0), "the scorer gave 50.0, no number from 0 to 1"),
        (Score(-1), "the scorer gave -1, no number from 0 to 1"),
        (Score(10**5000), "the scorer gave a number of thousands of digits, no number from 0 to 1"),
        (Score("1"), "the scorer gave '1', no number from 0 to 1"),  # type: ignore[arg-type]
        (Score([1.0]), "the scorer gave [1.0], no number from 0 to 1"),  # type: ignore[arg-type]
        (Score(torch.ones(2)), "the scorer gave tensor([1., 1.]), no number from 0 to 1"),  # type: ignore[arg-type]
        (Score(1.0, extracted=5), "the scorer gave 5 where a text belongs"),  # type: ignore[arg-type]
        (Score(None, why=["x"]), "the scorer gave ['x'] where a text belongs"),  # type: ignore[arg-type]
        (Score(1.0, parts={"a": "b"}), "the scorer gave a part that is 'b', no number"),  # type: ignore[dict-item]
        (Score(1.0, parts={"a": float("inf")}), "the scorer gave a part that is inf, no number"),
        (Score(1.0, parts={1: 2.0}), "the scorer gave the parts {1: 2.0}: let them be numbers by name"),  # type: ignore[dict-item]
    ],
)
def test_what_is_no_score_leaves_its_answer_unscored(given: Any, why: str) -> None:
    """It failed the whole cell, and some left a line in it that nobody could read again; 50 was 5,000 %."""
    score = scored(lambda *_: given)
    assert (score.value, score.why) == (None, why)


def test_numbers_of_other_libraries_are_numbers() -> None:
    for given in (numpy.float32(0.5), numpy.float64(0.5), torch.tensor(0.5), 0.5):
        score = scored(lambda *_, given=given: Score(given, parts={"a": given, "b": None}))
        assert (score.value, score.parts) == (0.5, {"a": 0.5, "b": None})
        assert type(score.value) is type(score.parts["a"]) is float or isinstance(given, numpy.float64)
    assert scored(lambda *_: Score(numpy.bool_(True))) == Score(1.0)


def test_a_scorer_that_ends_its_thread_ends_no_other(tmp_path: Path) -> None:
    def stop(*_: Any) -> Any:
        raise GeneratorExit

    odd, sound = run_beside_a_sound_task(tmp_path / "r", score=stop)
    assert (odd.state, odd.unscored, odd.why) == ("done", 3, "the scorer failed: GeneratorExit: ")
    assert sound.state == "done"
