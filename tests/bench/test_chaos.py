"""A seeded sample of the faults of `make chaos`."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT


@pytest.mark.slow
def test_a_fault_loses_nothing_but_what_was_on_its_way(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.bench.chaos", "9", "1", str(tmp_path / "chaos")]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "9 faults" in ended.stdout
    assert "lost, half or wrong: 0" in ended.stdout
