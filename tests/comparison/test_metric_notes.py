"""A comparison says where a metric is beyond what its task expects, once for all checkpoints with the same fact."""

from dataclasses import asdict
from pathlib import Path

import pytest

import harness
from harness.types import Metric
from tests.support.results_folder import about, sample, store

METRIC = Metric("not_last", part="not_last", warn_above=0.02, warning="of the answers state another number than the last")


@pytest.mark.parametrize(("differing", "is_told"), [(5, True), (1, False)])
def test_a_share_beyond_its_limit_is_a_caveat(differing: int, is_told: bool, tmp_path: Path) -> None:
    lines = [sample(i, float(i % 2), parts={"not_last": float(i < differing)}) for i in range(100)]
    for name in ("sft", "dpo"):
        store(tmp_path, name, about("gsm8k", "reasoning", task={"metrics": [asdict(METRIC)]}), lines)
    caveats = [text for text in harness.compare(tmp_path, "sft").caveats if "another number" in text]
    expected = ["sft, dpo on gsm8k: 5.0 % of the answers state another number than the last."]
    assert caveats == (expected if is_told else [])
