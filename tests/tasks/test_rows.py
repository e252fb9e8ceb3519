"""Every task, by the same rules: invented rows with right, silent and nearly right responses; and its real rows."""

import json
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from harness import data, registry
from harness.types import Example, Response, SkilldeltaError, Task
from tests.support import toys

ROWS = Path(__file__).parents[1] / "rows"
TASKS = {name: toys.judged(task) for name, task in registry.tasks().items()}
FEW = 5  # where scoring a response takes another process
# The data sets of these lie in the folder that tests are given; of the others only who has them can try the rows.
ALWAYS_THERE = (
    "gsm8k",
    "mmlu",
    "bbh",
    "humaneval",
    "humaneval_plus",
    "mbpp",
    "mbpp_plus",
    "truthfulqa_mc1",
    "xstest",
    "ifeval",
)


def lines() -> Iterator[dict[str, Any]]:
    for file in sorted(ROWS.glob("*.jsonl")):
        yield from data.read(file)


CASES = [(line["task"], line["row"], said) for line in lines() for said in line["responses"]]


def response(said: dict[str, Any]) -> Response:
    return Response(said.get("text", ""), logprobs=tuple(said.get("logprobs", ())))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "row", "said"), CASES, ids=[f"{t}-{i}-{s.get('note', '')[:40]}" for i, (t, _, s) in enumerate(CASES)]
)
def test_a_response_gets_the_score_that_a_reader_expects(task: str, row: dict[str, Any], said: dict[str, Any]) -> None:
    verdict = TASKS[task].score(Example(row), response(said))
    assert verdict.value == (None if said["score"] is None else pytest.approx(said["score"], abs=1e-6)), verdict
    if said["score"] is None:
        assert verdict.why
    if "read_as" in said:
        assert verdict.extracted == said["read_as"]


@pytest.mark.parametrize("name", TASKS)
def test_a_task_has_rows_with_right_silent_and_nearly_right_responses(name: str) -> None:
    said = [s for task, _, s in CASES if task == name]
    assert any(s["score"] == 1 for s in said), f"tests/rows: no right response for {name}"
    assert any(not s.get("text") and "logprobs" not in s and s["score"] != 1 for s in said), f"no silent response for {name}"
    wrong = [s for s in said if s["score"] is not None and s["score"] < 1 and (s.get("text") or s.get("logprobs"))]
    assert len(wrong) >= 2, f"tests/rows: fewer than two near misses for {name}"


@pytest.fixture(scope="module")
def real(real_data: Path) -> Callable[[str], list[Example]]:
    """The real examples of a task, read once; its test is skipped where the folder does not hold its data set."""

    @cache
    def read_examples(name: str) -> list[Example] | str:
        try:
            return data.examples(TASKS[name], real_data)
        except SkilldeltaError as error:
            if not str(error).startswith("There is no data file") or name in ALWAYS_THERE:
                raise
            return str(error)

    def examples(name: str) -> list[Example]:
        result = read_examples(name)
        if isinstance(result, str):
            pytest.skip(result.split(";")[0])
        return result

    return examples


def some(task: Task, found: list[Example]) -> list[Example]:
    return found[:: max(1, len(found) // FEW)] if task.concurrent else found


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.parametrize("name", TASKS)
def test_a_perfect_model_scores_one_on_real_rows(name: str, real: Callable[[str], list[Example]]) -> None:
    task = TASKS[name]
    for example in some(task, real(name)):
        verdict = task.score(example, task.ideal(example))
        if verdict.value is None and "nltk.downloader" in verdict.why:
            continue  # a rule needs data that no package brings
        assert verdict.value == pytest.approx(1.0), (example.row, verdict)


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.parametrize("name", TASKS)
def test_no_two_examples_share_an_id(name: str, real: Callable[[str], list[Example]]) -> None:
    ids = [example.id for example in real(name)]
    assert len(set(ids)) == len(ids) > 0


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.parametrize("name", TASKS)
def test_a_row_is_always_asked_in_the_same_way(name: str, real: Callable[[str], list[Example]]) -> None:
    task = TASKS[name]
    for example in real(name)[:: max(1, len(real(name)) // 200)]:
        copy = Example(json.loads(json.dumps(example.row)), example.copy, example.fewshot)
        assert task.ask(example).id == task.ask(copy).id
        assert copy.id == example.id
