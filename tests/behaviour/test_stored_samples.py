"""What is measured of stored samples, in whatever order they came and whatever their scores say."""

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from harness.behaviour.choice_calibration import read_judgements
from harness.behaviour.divergence import answer_rows
from harness.behaviour.measures import PREFIX
from harness.behaviour.panel import measure_cell
from harness.comparison.load import StoredCell
from harness.store import Results
from harness.types import Response, Sample, Score, SkilldeltaError
from tests.support.results_folder import store_scores


def stored(*samples: Sample) -> StoredCell:
    cell = SimpleNamespace(samples=lambda: iter(samples))
    return cast("StoredCell", SimpleNamespace(cell=cell, includes=None, record=SimpleNamespace(reader={})))


@pytest.mark.parametrize(("right", "count"), [(0.0, 0), (1.0, 2)])
def test_a_score_that_says_something_else_than_right_is_no_ground_for_calibration(right: float, count: int) -> None:
    """As of sycophancy, whose choices stand after several conversations.  Without a likeliest choice there is no number."""
    nan, never = float("nan"), -float("inf")
    scores = ((1.0, (-1.0, -2.0)), (1.0, (nan, -1.0)), (0.0, (-1.0, nan)), (0.0, (never, never)))
    samples = [Sample(str(i), "", Response(logprobs=logprobs), Score(s)) for i, (s, logprobs) in enumerate(scores)]
    other = Sample("other", "", Response(logprobs=(-1.0, never)), Score(1.0, parts={"right": right}))
    assert len(read_judgements(stored(*samples, other))) == count


def test_draws_that_came_in_another_order_pair_all_the_same() -> None:
    draws = [Sample("e", "", Response(text, finish="stop"), Score(None), draw) for draw, text in enumerate(("a b", "a c"))]
    name = f"{PREFIX}distinct1"
    values = [measure_cell(stored(*samples), {"e": {"question": "Why?"}}).parts[name] for samples in (draws, draws[::-1])]
    keys = [measure_cell(stored(*samples), {}).keys for samples in (draws, draws[::-1])]
    for places, column in zip(keys, values, strict=True):
        assert column[places.index(("e", 0))] == 3
        assert np.isnan(column[places.index(("e", 1))])


def test_answers_without_their_prompts_are_a_damaged_folder(tmp_path: Path) -> None:
    store_scores(tmp_path, "dpo", "p", [1.0])
    with pytest.raises(SkilldeltaError, match="is not stored beside it: the folder is damaged"):
        answer_rows(Results(tmp_path).cell("dpo", "p"), {})
