"""The template's own run of the code that its processes will run."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from harness.sandbox.inside import candidate, grader, warm_up
from harness.sandbox.sandbox import STAGES, stage_seconds


def open_descriptors() -> set[str]:
    return {path.name for path in Path("/proc/self/fd").iterdir()}


def test_it_leaves_nothing_behind() -> None:
    before = open_descriptors()
    warm_up.warm_up()
    assert open_descriptors() == before
    assert candidate.NAME not in sys.modules


def test_both_ways_of_judging_are_run_and_a_disagreement_is_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    assert {task["kind"] for task in warm_up.TASKS} == {"calls", "asserts"} <= grader.RUNNERS.keys()
    monkeypatch.setattr(warm_up, "PROGRAM", b"def answer(values, name): return values")
    before = open_descriptors()
    with pytest.raises(RuntimeError, match=r"the sandbox's own program fails.*wrong"):
        warm_up.warm_up()
    assert open_descriptors() == before


def test_no_stage_takes_less_than_no_time() -> None:
    """The grader's stamps may be earlier than the slot's word that both processes are there."""
    stages = stage_seconds(0.0, [1.0, 4.0, 7.0, 8.0], [3.0, 5.0, 6.0])
    assert tuple(stages) == STAGES
    assert stages["fork"] == 2.0
    assert stages["lock down"] == 0.0
    assert min(stages.values()) >= 0.0
