"""What `watch` says before the first checkpoint: what it waits for, and what a comparison will lack."""

from pathlib import Path

import pytest

from harness.cli import main
from harness.cli.watch_start import check_times, find_baseline
from harness.store import Results
from harness.types import SkilldeltaError
from tests.checkpoints.test_discovery import model, run
from tests.support.results_folder import store_scores


def watch(folder: Path, *more: str) -> int:
    with pytest.raises(SystemExit) as end:
        main(["watch", str(folder), "-t", "world_sums", "--idle", "1e-9", "--every", "0", *more])
    assert isinstance(end.value.code, int)
    return end.value.code


def test_an_empty_folder_and_a_missing_baseline_are_said_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "runs").mkdir()
    store_scores(tmp_path / "r", "ppo", "world_sums", [1.0])
    assert watch(tmp_path / "runs", "--baseline", "sft", "-o", str(tmp_path / "r")) == 0
    err = capsys.readouterr().err
    assert f"Watching {tmp_path / 'runs'}: a look every 0 s; Ctrl-C ends it." in err
    assert "The baseline sft is not in" in err
    assert "(it holds ppo): nothing is compared until it is there" in err
    assert "skilldelta score FOLDER --name sft -o" in err


def test_where_nothing_was_scored_nothing_is_there_to_compare(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert watch(tmp_path / "none", "-o", str(tmp_path / "r")) == 0
    err = capsys.readouterr().err
    assert "none: it does not exist yet." in err
    assert "Nothing was scored" in err
    assert "skilldelta compare" not in err


def test_a_baseline_may_be_named_by_its_folder(tmp_path: Path) -> None:
    model(tmp_path / "sft")
    results = Results.make(tmp_path / "r")
    assert find_baseline(results, str(tmp_path / "sft")) == "sft"
    assert find_baseline(results, "sft") == "sft"
    run(tmp_path / "dpo", (10, 20))
    with pytest.raises(SkilldeltaError, match=r"holds several checkpoints: name one of dpo@10, dpo@20\."):
        find_baseline(results, str(tmp_path / "dpo"))


@pytest.mark.parametrize(
    ("every", "idle"), [(-1.0, 0.0), (float("nan"), 0.0), (float("inf"), 0.0), (1.0, -1.0), (1.0, float("nan"))]
)
def test_spans_that_are_none_are_refused(every: float, idle: float) -> None:
    with pytest.raises(SkilldeltaError, match=r"write a number of (seconds|minutes)"):
        check_times(every, idle)
