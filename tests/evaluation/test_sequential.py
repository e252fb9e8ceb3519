"""Two checkpoints asked in turn until each task is decided."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import harness
from harness.evaluation import sequential
from harness.evaluation.item_queues import queue_items
from harness.evaluation.lazy_model import LazyModel
from harness.evaluation.questions import EvaluationSettings, make_questions
from harness.evaluation.run import score_checkpoints
from harness.evaluation.sequential import compare_in_turn
from harness.records import SequentialVerdict
from harness.statistics.sequential_test import decide
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


@pytest.mark.parametrize("block", [1, 64, 512])
def test_looks_begin_after_a_few_items_and_grow_whatever_the_block_of_the_backend(block: int) -> None:
    sizes = [
        len(b) for b in queue_items(toys.adding(400), make_questions(toys.adding(400), EvaluationSettings()), 0).blocks(block)
    ]
    looks = np.cumsum(sizes)
    assert looks[0] == 16
    assert looks[-1] == 400
    assert all(after <= max(1.5 * before, before + 1) for before, after in pairwise(looks))
    assert max(sizes) <= max(block, 16)


def test_a_difference_of_forty_points_is_decided_long_before_one_block_of_a_backend_is_full(tmp_path: Path) -> None:
    pair = tuple(
        LazyModel(toys.checkpoint(name), lambda _, a=answer: toys.model(a, block=512))
        for name, answer in (("sft", right(4)), ("dpo", right(9)))
    )
    (verdict,) = compare_in_turn(pair, [toys.adding(400)], Results.make(tmp_path), EvaluationSettings())
    assert verdict.verdict == "better"
    assert verdict.used <= 100


@pytest.mark.slow
def test_several_candidates_race_and_a_decided_one_is_asked_no_more(tmp_path: Path) -> None:
    models = [LazyModel(toys.checkpoint(n), lambda _, a=a: toys.model(a)) for n, a in
              (("sft", right(4)), ("far", right(9)), ("same", right(4)), ("worse", right(1)))]  # fmt: skip
    verdicts = list(compare_in_turn(models, [toys.adding(400)], Results.make(tmp_path), EvaluationSettings()))
    assert [(v.candidate, v.verdict) for v in verdicts] == [("far", "better"), ("same", "unclear"), ("worse", "worse")]
    used = {v.candidate: v.used for v in verdicts}
    assert used["far"] < 150 < used["same"] == 400
    stored = {name: len(list(Results(tmp_path).cell(name, "adding").samples())) for name in ("sft", *used)}
    assert stored == used | {"sft": 400}
    facts = json.loads((tmp_path / "far" / "adding" / "task.json").read_text())
    assert (facts["state"], facts["decision"]["candidate"]) == ("decided", "far")


def test_candidates_share_the_error_evenly(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    plans = []
    monkeypatch.setattr(sequential, "decide", lambda differences, plan: plans.append(plan) or decide(differences, plan))
    models = [LazyModel(toys.checkpoint(str(i)), lambda _: toys.model(right(5))) for i in range(5)]
    list(compare_in_turn(models, [toys.adding(40)], Results.make(tmp_path), EvaluationSettings()))
    assert {plan.alpha for plan in plans} == {0.05 / 4}


@pytest.mark.slow
def test_equals_are_the_same_within_a_margin_and_otherwise_all_is_asked(tmp_path: Path) -> None:
    same = run(tmp_path / "margin", right(6), right(6), toys.adding(400), margin=10)
    assert (same.verdict, same.used < 400) == ("same", True)
    unclear = run(tmp_path / "none", right(6), right(6), toys.adding(400))
    assert (unclear.verdict, unclear.used) == ("unclear", 400)
    assert Results(tmp_path / "none").cell("dpo", "adding").read().state == "done"


@pytest.mark.slow
@pytest.mark.parametrize("nth", [1, 2])
def test_answers_without_a_score_are_no_difference_of_zero(tmp_path: Path, nth: int) -> None:
    def partly_mute(request: Request) -> Response:
        is_mute = int(toys.answer_sum(request).text) // 2 % nth == 0
        return Response(finish="error", error="HTTP 500") if is_mute else right(6)(request)

    verdict = run(tmp_path, right(6), partly_mute, toys.adding(400), margin=10)
    assert (verdict.verdict, verdict.used) == ("unclear", 400)
    assert verdict.why == f"{400 // nth} of 400 items have no score on one side"


def test_a_few_answers_without_a_score_are_left_out(tmp_path: Path) -> None:
    def rarely_mute(request: Request) -> Response:
        is_mute = int(toys.answer_sum(request).text) // 2 % 40 == 3
        return Response(finish="error", error="HTTP 500") if is_mute else right(9)(request)

    verdict = run(tmp_path, right(4), rarely_mute, toys.adding(400))
    assert (verdict.verdict, verdict.why) == ("better", "")
    assert verdict.used < 150


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
