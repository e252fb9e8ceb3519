"""Two checkpoints asked in turn until each task is decided."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import harness
from harness.evaluation.questions import EvaluationSettings, make_questions
from harness.evaluation.run import LazyModel, score_checkpoints
from harness.evaluation.sequential import compare_in_turn, queue_items
from harness.records import SequentialVerdict
from harness.store import Results
from harness.types import Request, Response, SkilldeltaError, Task
from tests.support import toys

Answer = Callable[[Request], Response]


def right(share: int) -> Answer:
    """Right on `share` of 10 sums, spread over all of them."""

    def one(request: Request) -> Response:
        response = toys.answer_sum(request)
        return response if int(response.text) // 2 * 7 % 10 < share else Response("no")

    return one


def run(folder: Path, old: Answer, new: Answer, task: Task, margin: float = 0.0) -> SequentialVerdict:
    pair = (
        LazyModel(toys.checkpoint("sft"), lambda _: toys.model(old)),
        LazyModel(toys.checkpoint("dpo"), lambda _: toys.model(new)),
    )
    (verdict,) = compare_in_turn(pair, [task], Results.make(folder), EvaluationSettings(margin=margin))
    return verdict


def test_a_clear_difference_is_decided_early_and_only_that_much_is_asked(tmp_path: Path) -> None:
    prompts: list[str] = []

    def counting(request: Request) -> Response:
        prompts.append(str(request.prompt))
        return right(9)(request)

    verdict = run(tmp_path, right(4), counting, toys.adding(400))
    assert verdict.verdict == "better"
    assert verdict.used < 100
    assert len(prompts) == verdict.used == len(list(Results(tmp_path).cell("sft", "adding").samples()))
    assert verdict.low <= 50 <= verdict.high


def test_equals_are_the_same_within_a_margin_and_otherwise_all_is_asked(tmp_path: Path) -> None:
    same = run(tmp_path / "margin", right(6), right(6), toys.adding(400), margin=10)
    assert (same.verdict, same.used < 400) == ("same", True)
    unclear = run(tmp_path / "none", right(6), right(6), toys.adding(400))
    assert (unclear.verdict, unclear.used) == ("unclear", 400)
    assert Results(tmp_path / "none").cell("dpo", "adding").read().state == "done"


def test_an_interrupted_race_goes_on_and_ends_the_same(tmp_path: Path) -> None:
    whole = run(tmp_path / "whole", right(4), right(9), toys.adding(400))
    calls = 0

    def breaks(request: Request) -> Response:
        nonlocal calls
        calls += 1
        if calls > 10:
            raise KeyboardInterrupt
        return right(9)(request)

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "torn", right(4), breaks, toys.adding(400))
    assert run(tmp_path / "torn", right(4), right(9), toys.adding(400)) == whole
    assert toys.tree(tmp_path / "torn") == toys.tree(tmp_path / "whole")


def test_what_was_left_out_can_be_scored_later(tmp_path: Path) -> None:
    task = toys.adding(400)
    run(tmp_path, right(4), right(9), task)
    assert "stopped when it was decided" in harness.compare(tmp_path, "sft").incomplete[0]
    for name, answer in (("sft", right(4)), ("dpo", right(9))):
        score_checkpoints(
            [toys.checkpoint(name)], [task], lambda _, a=answer: toys.model(a), Results(tmp_path), EvaluationSettings()
        )
    comparison = harness.compare(tmp_path, "sft")
    assert comparison.incomplete == ()
    assert comparison.row("dpo", "task", "adding").n == 400


def test_draws_of_one_example_are_one_item_and_groups_weigh_alike() -> None:
    task = replace(toys.adding(30), aggregate="macro", group=lambda e: "few" if int(e.row["answer"]) < 20 else "many")
    queue = queue_items(task, make_questions(task, EvaluationSettings(draws=3)), seed=0)
    assert len(queue.items) == 30
    assert all(len({q.example.id for q in item}) == 1 for item in queue.items)
    few = sum(
        w
        for q, w in queue.weights.items()
        if any(e.key == q and int(e.example.row["answer"]) < 20 for i in queue.items for e in i)
    )
    assert few == pytest.approx(sum(queue.weights.values()) / 2)
    assert sum(queue.weights.values()) / 30 * queue.scale == pytest.approx(1)  # all right against all wrong: a difference of 1


def test_the_order_depends_on_the_seed_alone() -> None:
    questions = make_questions(toys.adding(50), EvaluationSettings())
    names = [[i[0].key for i in queue_items(toys.adding(50), given, seed).items] for given, seed in
             ((questions, 0), (questions[::-1], 0), (questions, 1))]  # fmt: skip
    assert names[0] == names[1] != names[2]


def test_a_checkpoint_that_is_not_ready_is_told(tmp_path: Path) -> None:
    torn = replace(toys.checkpoint("torn"), problem="half of its weights are missing")
    pair = (LazyModel(torn, lambda _: toys.model()), LazyModel(toys.checkpoint(), lambda _: toys.model()))
    with pytest.raises(SkilldeltaError, match="torn: half of its weights"):
        list(compare_in_turn(pair, [toys.adding()], Results.make(tmp_path), EvaluationSettings()))


def test_the_decision_is_stored_beside_the_samples(tmp_path: Path) -> None:
    verdict = run(tmp_path, right(9), right(2), toys.adding(300))
    facts = json.loads((tmp_path / "dpo" / "adding" / "task.json").read_text())
    assert facts["state"] == "decided"
    assert facts["decision"]["verdict"] == verdict.verdict == "worse"
