"""How long the rest takes: against simulated runs whose end is known, and by hand."""

import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.engine.engine import BatchLimits, Engine
from harness.engine.plain import TokenPair
from harness.engine.sequences import DecodingRow, TokenPrompt
from harness.engine.token_meter import TokenMeter
from harness.statistics.answer_lengths import Work, are_foreseeable, expected_work, last_end_in_turn, reaching_shares
from harness.statistics.step_costs import fit_costs
from tests.engine.test_engine import CONFIGS, make


def test_shares_by_hand() -> None:
    """Of four answers one ended at 1 token and one at 2, two are still running at 2; the cap is 4."""
    shares = reaching_shares([1, 2], [2, 2], 4)
    assert shares[:3] == pytest.approx([1.0, 0.75, 0.5])
    assert shares[4] == 0
    assert 0 < shares[3] < 0.5
    assert expected_work(shares, [0], 0, 1).tokens == pytest.approx(1 + 0.75 + 0.5 + shares[3])


def test_where_nothing_has_ended_all_go_on_to_the_cap() -> None:
    shares = reaching_shares([], [5, 5, 5], 100)
    work = expected_work(shares, [5, 5, 5], 0, 3)
    assert work.steps == pytest.approx(95, abs=1e-3)
    assert work.tokens == pytest.approx(3 * 95, abs=1e-3)
    assert work.context == pytest.approx(3 * sum(range(5, 100)) / 1000, abs=1e-3)


def test_the_work_of_answers_that_wait() -> None:
    """All have 10 tokens, and two are made side by side: two are at 4, and four wait."""
    shares = reaching_shares([10] * 50, [], 20)
    work = expected_work(shares, [4, 4], 4, 2)
    assert work.tokens == pytest.approx(2 * 6 + 4 * 10, abs=1e-3)
    assert work.steps == pytest.approx(6 + 2 * 10, abs=1e-3)
    assert work.context == pytest.approx((2 * sum(range(4, 10)) + 4 * sum(range(10))) / 1000, abs=1e-3)
    assert expected_work(shares, [4, 4], 0, 2).steps == pytest.approx(6, abs=1e-3)


@pytest.mark.slow
@given(
    ages=st.lists(st.integers(0, 999), min_size=1, max_size=200),
    ends=st.lists(st.integers(1, 999), max_size=20),
    seed=st.integers(0, 9),
)
def test_the_expected_work_is_the_mean_of_drawn_lengths(ages: list[int], ends: list[int], seed: int) -> None:
    """Ages are told apart to a 32nd of their range."""
    shares = reaching_shares(ends, ages, 1000)
    work = expected_work(shares, ages, 0, len(ages))
    draws = np.random.default_rng(seed).random((200, len(ages)))
    reach = shares[np.maximum(np.array(ages) - 1, 0)] * (np.array(ages) > 0) + (np.array(ages) == 0)
    rests = np.searchsorted(-shares, -reach * draws) - np.array(ages)
    rests = np.maximum(rests, 0)
    spread = rests.sum(1).std() / len(rests) ** 0.5
    assert work.tokens == pytest.approx(rests.sum(1).mean(), abs=6 * spread + len(ages) * 1000 / 32)
    assert work.steps == pytest.approx(rests.max(1).mean(), abs=6 * rests.max(1).std() / len(rests) ** 0.5 + 1000 / 32)


@pytest.mark.slow
@given(st.tuples(*[st.floats(0.001, 1.0)] * 4), st.integers(0, 99))
def test_costs_are_found_where_rows_and_context_vary(costs: tuple[float, float, float, float], seed: int) -> None:
    source = np.random.default_rng(seed)
    works = [Work(*source.uniform(1, 100, 4)) for _ in range(400)]
    found = fit_costs([(float(work.vector() @ costs), work) for work in works])
    later = Work(50, 5, 80, 30)
    assert found @ later.vector() == pytest.approx(later.vector() @ costs, rel=0.1)


def test_costs_follow_the_present_speed() -> None:
    """A machine that became half as fast a minute ago."""
    work = Work(10, 100, 10, 0)
    found = fit_costs([*[(1.0, work)] * 300, *[(2.0, work)] * 60])
    assert found @ work.vector() == pytest.approx(2.0)


def test_answers_follow_one_another_where_a_place_is_free() -> None:
    """All have 10 tokens: one goes on for 6, one begins at once in the other place, one at 6, and the last at 10."""
    shares = reaching_shares([10] * 50, [4], 10)
    assert last_end_in_turn(shares, [4], 3, 2) == 20
    assert last_end_in_turn(shares, [4], 0, 2) == 6
    assert last_end_in_turn(shares, [], 5, 5) == 10


@given(st.lists(st.integers(1, 40), min_size=1, max_size=20), st.integers(0, 50), st.integers(1, 8))
def test_the_last_end_lies_between_its_bounds(ended: list[int], waiting: int, slots: int) -> None:
    shares = reaching_shares(ended, [], 40)
    end = last_end_in_turn(shares, [], waiting, slots)
    rounds = -(-waiting // slots)
    assert rounds * min(ended) <= end <= waiting * max(ended)


@given(
    ended=st.lists(st.integers(0, 60), max_size=30), running=st.lists(st.integers(1, 60), max_size=30), most=st.integers(1, 64)
)
def test_shares_fall_from_at_most_one_to_none(ended: list[int], running: list[int], most: int) -> None:
    shares = reaching_shares(ended, [min(n, most) for n in running], most)
    assert len(shares) == most + 1
    assert (np.diff(shares) <= 1e-12).all()
    assert 0 <= shares[-1] <= shares[0] <= 1


class Simulation:
    """A run that is decoded in `slots`, one step in 0.1 s and 2 ms a row, and what its meter says on the way.

    `reading`: seconds for each prompt, whose first token comes alone; `attending`: of a step for 1000 tokens of context.
    """

    def __init__(self, lengths: list[int], most: int, slots: int, reading: float = 0.0, attending: float = 0.0) -> None:
        self.now, self.reports = 0.0, list[tuple[float, float | None]]()
        meter = TokenMeter(lambda _, left: self.reports.append((self.now, left)), clock=lambda: self.now)
        meter.begin(len(lengths), most)
        waiting = [DecodingRow(TokenPrompt([n + 1], most, lambda ids: False), frozenset([0])) for n in range(len(lengths))]
        goals = {id(row): length for row, length in zip(waiting, lengths, strict=True)}
        active: list[DecodingRow] = []
        while waiting or active:
            for _ in range(min(slots - len(active), len(waiting))):
                active.append(waiting.pop(0))
                self.now += reading
                if reading:
                    meter.count_step(active[-1:])
            self.now += 0.1 + 0.002 * len(active) + attending * sum(len(row.ids) for row in active) / 1000
            meter.count_step(active)
            for row in active:
                row.append(0 if len(row.ids) >= goals[id(row)] else 1)
            active = [row for row in active if not row.finish]

    def forecast_after(self, seconds: float) -> tuple[float, float]:
        """When the first forecast came after so many seconds, and what it said."""
        return next((at, left) for at, left in self.reports if at >= seconds and left is not None)


KINDS: dict[str, Any] = {
    "all short": lambda source: min(int(source.expovariate(1 / 100)) + 5, 256),
    "half of them cut": lambda source: 1280 if source.random() < 0.56 else source.randrange(20, 500),
    "nearly all cut": lambda source: 1024 if source.random() < 0.95 else source.randrange(20, 200),
    "all alike": lambda source: source.randrange(60, 80),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("answers", "slots"), [(64, 64), (541, 64), (512, 256)])
@pytest.mark.parametrize("attending", [0.0, 0.004])
def test_after_a_minute_the_forecast_is_within_a_factor_of_one_and_a_half(
    kind: str, answers: int, slots: int, attending: float
) -> None:
    source = random.Random(answers)
    lengths = [KINDS[kind](source) for _ in range(answers)]
    most = {"all short": 256, "half of them cut": 1280, "nearly all cut": 1024, "all alike": 512}[kind]
    run = Simulation(lengths, most, slots, attending=attending)
    minutes = [seconds for seconds in (60.0, 90.0, 150.0, 300.0) if seconds < 0.9 * run.now]
    for seconds in minutes:
        assert 1 / 1.5 < sum(run.forecast_after(seconds)) / run.now < 1.5


def test_while_nothing_tells_how_long_answers_become_there_is_no_forecast() -> None:
    """Answers of 120 to 150 tokens where 8192 are allowed: not hours at first, nothing."""
    run = Simulation([120, *[130] * 3, *[150] * 12], 8192, 16)
    said = [(at, left) for at, left in run.reports if left is not None]
    assert said
    assert all(left is None for at, left in run.reports if at < 15)
    assert all(left < 90 for _, left in said)
    assert are_foreseeable(1, [], 1, 8192)
    assert are_foreseeable(0, [4100], 16, 8192)
    assert not are_foreseeable(2, [4000], 16, 8192)


def test_the_time_for_the_prompts_is_no_speed_of_the_steps() -> None:
    run = Simulation([64] * 40, 64, 40, reading=0.75)
    assert 1 / 1.5 < sum(run.forecast_after(30.0)) / run.now < 1.5


def test_prompts_that_are_read_on_the_way_are_counted() -> None:
    """Of 162 answers 64 are made at once: the others' long prompts are read one by one where a place becomes free."""
    source = random.Random(1)
    run = Simulation([min(int(source.expovariate(1 / 120)) + 20, 512) for _ in range(162)], 512, 64, reading=0.4)
    later = [(at, left) for at, left in run.reports if at >= 60 and left is not None]
    assert all(1 / 1.5 < (at + left) / run.now < 1.5 for at, left in later)
    assert len(later) > 50


@pytest.mark.slow
def test_the_engine_counts_the_tokens_of_trees_and_of_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.engine.token_meter.INTERVAL_S", 0.0)
    engine, reports = Engine(make(CONFIGS["llama"]), BatchLimits(4, 4, 8)), list[tuple[int, float | None]]()
    engine.meter = TokenMeter(lambda tokens, left: reports.append((tokens, left)))
    pairs = [TokenPair([1, 2, 3, *range(n)], [4, 5]) for n in range(1, 20)]
    plan = engine.plan_pairs(pairs)
    assert len(dict(engine.loglikelihoods(plan))) == len(pairs)
    tokens = [count for count, _ in reports]
    assert tokens == sorted(tokens)
    assert tokens[-1] == len(plan.tree.tree)
    assert reports[-1][1] == pytest.approx(0, abs=0.5)
    reports.clear()
    prompts = [TokenPrompt([1, 2, n], 6, lambda ids: False) for n in range(9)]
    said = dict(engine.generate(engine.plan_prompts(prompts), frozenset()))
    assert sum(len(s.ids) for s in said.values()) == 54
    assert len({count for count, _ in reports}) > 9, "it moves with each step"
