"""What the verbs on a pair of checkpoints refuse: the baseline itself, bounds below 0, nothing that can be replayed."""

from pathlib import Path

import pytest

from harness.cli import main
from harness.cli.gate import add_drops
from harness.comparison.gate import Policy
from harness.comparison.replay import replay
from harness.types import SkilldeltaError
from tests.support.results_folder import about, sample, store, store_scores


def test_a_checkpoint_is_not_compared_with_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("sft", "dpo"):
        store_scores(tmp_path, name, "facts", [1.0, 0.0])
    folder = str(tmp_path)
    for verb, more in (("gate", []), ("explain", ["--task", "facts"]), ("replay", []), ("compare", [])):
        with pytest.raises(SystemExit) as end:
            main([verb, folder, "--baseline", "sft", "--candidate", "sft", *more])
        assert end.value.code == 3
        assert "sft is the baseline: it cannot be compared with itself; the others are: dpo." in capsys.readouterr().err


def test_a_replay_of_nothing_says_why(tmp_path: Path) -> None:
    for name in ("sft", "dpo"):
        store(tmp_path / "f1", name, about("xstest", "safety", task={"aggregate": "f1"}), [sample(n, 1.0) for n in range(3)])
        store_scores(tmp_path / "silent", name, "sums", [None, None])
    with pytest.raises(SkilldeltaError, match="the score of xstest is an F1, which is no mean of items"):
        replay(tmp_path / "f1", "sft", "dpo")
    with pytest.raises(SkilldeltaError, match="no item of sums has a score of both checkpoints"):
        replay(tmp_path / "silent", "sft", "dpo")
    with pytest.raises(SkilldeltaError, match="--margin -1: write points, 0 or more"):
        replay(tmp_path / "f1", "sft", "dpo", -1.0)


@pytest.mark.parametrize("drop", ["-3", "safety=-1", "safety=nan"])
def test_a_drop_below_zero_is_refused_by_its_flag(drop: str) -> None:
    with pytest.raises(SkilldeltaError, match=f"--max-drop {drop}: a drop is counted in points of 0 or more"):
        add_drops(Policy(), [drop])
