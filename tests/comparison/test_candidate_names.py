"""A candidate is another checkpoint than the baseline."""

from pathlib import Path

import pytest

from harness.cli import main
from tests.support.results_folder import store_scores


def test_a_checkpoint_is_not_compared_with_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("sft", "dpo"):
        store_scores(tmp_path, name, "facts", [1.0, 0.0])
    folder = str(tmp_path)
    for verb, more in (("gate", []), ("explain", ["--task", "facts"]), ("replay", []), ("compare", [])):
        with pytest.raises(SystemExit) as end:
            main([verb, folder, "--baseline", "sft", "--candidate", "sft", *more])
        assert end.value.code == 3
        assert "sft is the baseline: it cannot be compared with itself; the others are: dpo." in capsys.readouterr().err
