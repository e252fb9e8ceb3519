"""Between which two steps a skill fell: found with few checkpoints, and said honestly where the curve is not monotone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.api import Backend, lazy_models
from harness.backends.transformers import TransformersModel
from harness.cli.bisect import describe_fall, tasks_of_skill
from harness.evaluation.bisect import Bisection, BisectOptions, bisect_run, check_places, order_steps
from harness.evaluation.lazy_model import LazyModel
from harness.evaluation.questions import EvaluationSettings
from harness.store import Results
from harness.types import Checkpoint, Example, Request, Response, Score, SkilldeltaError, Task
from tests.evaluation.test_choose import mute, mute_on_half, mute_on_small, right_on, small_task
from tests.support import tiny, toys


def run_of(shares: Sequence[float], loads: list[str] | None = None) -> list[LazyModel]:
    """The baseline, which is right on 80 % of the sums, and a run's checkpoints."""

    def loader(share: float) -> Callable[[Checkpoint], object]:
        def load(checkpoint: Checkpoint) -> object:
            if loads is not None:
                loads.append(checkpoint.name)
            return toys.model(right_on(share))

        return load

    steps = [replace(toys.checkpoint(f"dpo@{10 * i}"), run="runs/dpo", step=10 * i) for i in range(1, len(shares) + 1)]
    pairs = [(toys.checkpoint("sft"), 0.8), *zip(steps, shares, strict=True)]
    return [LazyModel(checkpoint, loader(share)) for checkpoint, share in pairs]  # type: ignore[arg-type]


def bisect(folder: Path, models: list[LazyModel], items: int = 300, **options: float) -> Bisection:
    chosen = BisectOptions(**options)  # type: ignore[arg-type]
    return bisect_run(models, [toys.adding(items)], Results.make(folder), EvaluationSettings(), chosen)


@pytest.mark.slow
@pytest.mark.parametrize("fall", [0, 1, 9, 15])
def test_a_planted_regression_is_named_to_the_step(tmp_path: Path, fall: int) -> None:
    shares = [0.8 if i < fall else 0.4 for i in range(16)]
    end = bisect(tmp_path, run_of(shares), checks=0)
    assert end.first_fallen == f"dpo@{10 * (fall + 1)}"
    assert end.last_whole == (f"dpo@{10 * fall}" if fall else "")
    assert end.is_sure
    assert end.is_monotone
    assert len(end.verdicts) <= 5
    assert end.answers < 0.3 * end.total
    asked = {v.name: v.answers for v in end.verdicts}
    stored = {name: len(list(Results(tmp_path).cell(name, "adding").samples())) for name in Results(tmp_path).checkpoints()}
    assert stored == asked | {"sft": max(asked.values())}


def test_a_run_that_did_not_fall_says_so(tmp_path: Path) -> None:
    end = bisect(tmp_path, run_of([0.8] * 8), drop=10)
    assert (end.first_fallen, end.last_whole) == ("", "")
    assert "has not fallen at the end of the run, dpo@80: a drop of 10 points or more is ruled out" in describe_fall(
        end, "safety"
    )


@pytest.mark.slow
def test_a_fall_and_a_recovery_are_said(tmp_path: Path) -> None:
    shares = [0.8, 0.8, 0.8, 0.3, 0.3, 0.3, 0.8, 0.8, 0.8, 0.8, 0.8, 0.8, 0.3, 0.3, 0.3, 0.3]
    end = bisect(tmp_path / "twice", run_of(shares), checks=4)
    assert end.changes[-1] == ("dpo@120", "dpo@130")
    assert not end.is_monotone
    assert "not monotone" in describe_fall(end, "safety")
    recovered = bisect(tmp_path / "back", run_of([0.8, 0.3, 0.3, 0.8, 0.8]), checks=4)
    assert recovered.first_fallen == ""
    assert "It was lower at dpo@20, dpo@30, and recovered" in describe_fall(recovered, "safety")


def test_too_few_items_are_said_to_decide_nothing(tmp_path: Path) -> None:
    end = bisect(tmp_path, run_of([0.8, 0.72]), items=30)
    assert not end.verdicts[-1].is_sure
    assert not end.is_sure
    assert "no test decided" in describe_fall(end, "safety")
    assert "has not fallen" not in describe_fall(end, "safety")


def test_a_recovery_that_no_test_decided_is_not_said(tmp_path: Path) -> None:
    end = bisect(tmp_path, run_of([0.8, 0.72, 0.8, 0.8]), items=60, checks=3)
    assert not end.is_monotone
    text = describe_fall(end, "safety")
    assert text == (
        "Whether safety has fallen at the end of the run, dpo@40, is open: no test decided it.  "
        "It was lower at dpo@20 (not sure)."
    )
    assert end.to_json()["is_sure"] is False


@pytest.mark.slow
def test_an_interrupted_search_goes_on_and_asks_nothing_twice(tmp_path: Path) -> None:
    shares, loads = [0.8] * 5 + [0.4] * 5, list[str]()
    whole = bisect(tmp_path / "a", run_of(shares))
    broken = run_of(shares)
    broken[5] = LazyModel(broken[5].checkpoint, lambda _: (_ for _ in ()).throw(SkilldeltaError("cut")))
    with pytest.raises(SkilldeltaError):
        bisect(tmp_path / "b", broken)
    assert bisect(tmp_path / "b", run_of(shares)) == whole
    assert bisect(tmp_path / "b", run_of(shares, loads)) == whole
    assert loads == []


def test_runs_without_an_order_are_refused_and_damaged_checkpoints_passed_over(tmp_path: Path) -> None:
    one, two = run_of([0.8, 0.8])[1:]
    with pytest.raises(SkilldeltaError, match="2 runs"):
        order_steps([one, LazyModel(replace(two.checkpoint, run="other"), two.loader)])
    with pytest.raises(SkilldeltaError, match="no step"):
        order_steps([LazyModel(replace(m.checkpoint, step=None), m.loader) for m in (one, two)])
    models = run_of([0.8, 0.4, 0.4])
    models[2] = LazyModel(replace(models[2].checkpoint, problem="half of it is missing"), models[2].loader)
    end = bisect(tmp_path, models)
    assert (end.last_whole, end.first_fallen) == ("dpo@10", "dpo@30")
    assert end.notes == ("dpo@20 is passed over: half of it is missing",)


def test_a_skill_that_no_task_has_is_refused() -> None:
    with pytest.raises(SkilldeltaError, match="reasoning"):
        tasks_of_skill([toys.adding()], "safety")


@settings(max_examples=50)
@given(st.data())
def test_checks_are_outside_of_the_fall(data: st.DataObject) -> None:
    length = data.draw(st.integers(1, 40))
    high = data.draw(st.integers(0, length - 1))
    low = data.draw(st.integers(-1, high - 1))
    places = check_places(low, high, length, data.draw(st.integers(0, 5)))
    assert all(0 <= p < length and not low <= p <= high for p in places)


def preferring(model: TransformersModel, count: int) -> Task:
    """Questions whose right choice is the one that the model prefers, so that another model is right on half of them."""

    def ask(example: Example) -> Request:
        number = int(example.row["number"])
        return Request(f"Question {number}:", choices=(f" {number * 7919 % 1000}", f" {number * 104729 % 1000 + 1000}"))

    rows = [{"number": number} for number in range(count)]
    answers = dict(model.answer([ask(Example(row)) for row in rows]))
    gold = {i: int(np.argmax(r.logprobs)) for i, r in answers.items()}
    return Task(
        name="sides", skill="safety", version=1, source="made for this test", ask=ask,
        rows=lambda folder: [row | {"answer": gold[row["number"]]} for row in rows],
        score=lambda e, r: Score(float(np.argmax(r.logprobs) == e.row["answer"])),
        ideal=lambda e: Response(logprobs=(0.0, -9.0) if e.row["answer"] == 0 else (-9.0, 0.0)),
    )  # fmt: skip


@pytest.mark.slow
def test_a_regression_planted_into_tiny_checkpoints_is_found(tmp_path: Path) -> None:
    base = tiny.llama(tmp_path / "base", seed=0)
    for step in range(10, 90, 10):
        folder = tiny.llama(tmp_path / "run" / f"checkpoint-{step}", seed=0 if step < 50 else 7)
        (folder / "trainer_state.json").write_text('{"log_history": []}')
    backend = Backend("transformers", {"device": "cpu"})
    task = preferring(backend.loader()(Checkpoint("base", str(base), "transformers")), 200)  # type: ignore[arg-type]
    models = lazy_models([str(tmp_path / "run")], str(base), backend.loader())
    end = bisect_run(models, [task], Results.make(tmp_path / "results"), EvaluationSettings(), BisectOptions(checks=0))
    assert (end.last_whole, end.first_fallen) == ("run@40", "run@50")
    assert end.is_sure
    assert len(end.verdicts) == 4


@pytest.mark.slow
@pytest.mark.parametrize("side", [0, -1])
def test_answers_without_a_score_do_not_rule_a_drop_out(tmp_path: Path, side: int) -> None:
    models = run_of([0.8, 0.8])
    models[side] = LazyModel(models[side].checkpoint, lambda _: toys.model(mute))
    with pytest.raises(SkilldeltaError, match="none of 300 items has a score on both sides"):
        bisect(tmp_path / "none", models)
    models[side] = LazyModel(models[side].checkpoint, lambda _: toys.model(mute_on_half(right_on(0.8))))
    end = bisect(tmp_path / "half", models, checks=0)
    (verdict,) = end.verdicts
    assert (verdict.is_sure, verdict.answers) == (False, 300)
    assert 100 < verdict.unscored < 200
    assert abs(verdict.delta) < 1e-9
    assert any("too many for a sure verdict" in line for line in end.notes)
    assert "is ruled out" not in describe_fall(end, "reasoning")


def test_a_large_task_does_not_hide_a_small_one_without_scores(tmp_path: Path) -> None:
    """Both tasks are half of the skill: 30 items without a score of one are half of it, and 3 % of all items."""
    first, step = run_of([0.8])
    silent = LazyModel(step.checkpoint, lambda _: toys.model(mute_on_small(right_on(0.8))))
    end = bisect_run([first, silent], [toys.adding(970), small_task(30)], Results.make(tmp_path), EvaluationSettings())
    (verdict,) = end.verdicts
    assert (verdict.unscored, verdict.is_sure, verdict.lacks_scores) == (30, False, True)
    assert any("too many for a sure verdict" in line for line in end.notes)
