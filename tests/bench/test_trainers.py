"""`make bench-trainers` runs: our side of each of its lines, in a few steps."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench import trainers

STEPS = 4


@pytest.mark.slow
@pytest.mark.parametrize("method", ["sft", "reward", "dpo", "rollout", "grpo", "ppo"])
def test_a_line_of_the_bench_is_measured(tmp_path: Path, method: str) -> None:
    trainers.prepare(tmp_path, "small", STEPS * trainers.EPISODES // trainers.BATCH)
    spent = trainers.child("ours", method, tmp_path, STEPS)
    assert spent["seconds"] > 0
    assert spent["megabytes"] > 100, "a process that has torch is larger"
