"""The statistics keep their promises in simulation: a small part of `make calibrate`."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.bench.calibrate import PARTS
from tests.bench.rates import Line

RUNS = 160


@pytest.mark.slow
@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.__name__)
def test_promises_are_kept(part: Callable[[int], Iterator[Line]]) -> None:
    broken = [line.text() for line in part(RUNS) if not line.kept]
    assert not broken


def test_a_broken_promise_is_seen() -> None:
    assert not Line("false alarm", "of a test that is too bold", seen=0.08, error=0.005, low=0.0, high=0.05).kept
    assert not Line("coverage", "of an interval that is too short", seen=0.90, error=0.005, low=0.93, high=0.97).kept
