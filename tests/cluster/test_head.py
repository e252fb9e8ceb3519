"""The process that stores is killed, and its own Ray cluster with it: the same command goes on."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harness.store import Results
from tests.conftest import ROOT
from tests.support import toys

SCRIPT = """
import sys
from pathlib import Path
from harness import api
from harness.cluster.launch import ray_cluster
from harness.evaluation.questions import EvaluationSettings
from harness.evaluation.workers import SpreadRun
from harness.store import Results
from tests.support import toys
from tests.support.cluster_toys import Sums

folder, log = sys.argv[1:]
checkpoints = [toys.checkpoint("base"), toys.checkpoint("dpo")]
run = SpreadRun(checkpoints, [toys.adding(60)], Results.make(folder), EvaluationSettings())
cluster = ray_cluster("", {"workers": "1", "cpus": "1", "machine_cpus": "1", "store_mib": "80"})
outcomes = cluster.score(run, Sums(log=log, pause_s=0.1))
sys.exit(any(o.state == "failed" for o in outcomes))
"""


IN_FLIGHT = 16  # questions: answers that a worker holds or goes on giving before it sees that its head is gone


@pytest.mark.slow
def test_a_run_whose_head_is_killed_goes_on_with_the_same_command(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="needs Ray: pip install 'skilldelta[cluster]'")
    from harness.cluster.spread import score_on_workers
    from harness.evaluation.questions import EvaluationSettings
    from harness.evaluation.workers import SpreadRun
    from tests.support.cluster_toys import Sums, ThreadStarter

    log, target = tmp_path / "log", tmp_path / "r"
    log.touch()
    command = [sys.executable, "-c", SCRIPT, str(target), str(log)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "RAY_USAGE_STATS_ENABLED": "0"}
    head = subprocess.Popen(command, env=environment, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    cell = target / "base" / "adding" / "samples.jsonl"
    while head.poll() is None and not (cell.is_file() and cell.read_bytes().count(b"\n") >= 10):
        os.sched_yield()
        signal.sigtimedwait([], 0.05)
    head.send_signal(signal.SIGKILL)
    assert head.wait() == -signal.SIGKILL
    before = cell.read_bytes().splitlines(keepends=True)
    assert 10 <= len(before) < 60
    assert Results(target).cell("base", "adding").read().state == "running"
    ended = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert cell.read_bytes().splitlines(keepends=True)[: len(before) - 1] == before[:-1], "what was stored stays"
    alone = SpreadRun(
        [toys.checkpoint(n) for n in ("base", "dpo")], [toys.adding(60)], Results.make(tmp_path / "alone"), EvaluationSettings()
    )
    score_on_workers(alone, Sums().loader(), ThreadStarter(Sums()), 1)
    assert toys.tree(target) == toys.tree(tmp_path / "alone")
    # The log has a byte for each question: nothing is asked twice but what was on its way when the head was killed.
    assert log.stat().st_size <= 120 + IN_FLIGHT
