"""A seeded sample of the faults of `make chaos-cluster`."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT


@pytest.mark.slow
def test_a_fault_on_a_cluster_loses_nothing_but_what_was_on_its_way(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="needs Ray: pip install 'skilldelta[cluster]'")
    command = [sys.executable, "-m", "tests.bench.cluster_chaos", "5", "3", str(tmp_path / "chaos")]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "5 faults of 128 answers each; lost or wrong: 0" in ended.stdout
