"""A Ray cluster of two machines on this one: one is lost in the middle, and the files are those of a run without a cluster."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from harness import api
from harness.cluster.launch import RayCluster, ray_cluster
from harness.cluster.ray_cluster import RayOptions, RaySession
from harness.cluster.spread import score_on_workers
from harness.evaluation.outcome import Overview, SilentProgress
from harness.evaluation.questions import EvaluationSettings
from harness.evaluation.run import score_checkpoints
from harness.evaluation.workers import SpreadRun
from harness.store import Results
from harness.types import SkilldeltaError
from tests.support import tiny, toys
from tests.support.cluster_toys import Sums

MEBI = 1 << 20
QUIET = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # Ray leaves its processes to the system
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]
pytestmark = QUIET
QUICK_DEATHS = {"health_check_initial_delay_ms": 1000, "health_check_period_ms": 1000, "health_check_failure_threshold": 5}


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A head without processors and two machines with one each."""
    pytest.importorskip("ray", reason="needs Ray: pip install 'skilldelta[cluster]'")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    from ray.cluster_utils import Cluster

    settings = {"include_dashboard": False, "object_store_memory": 80 * MEBI, "_system_config": QUICK_DEATHS}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **settings})
    try:
        cluster.machines = [cluster.add_node(num_cpus=1, object_store_memory=80 * MEBI) for _ in range(2)]
        yield cluster
    finally:
        cluster.shutdown()


class AtAnswers(SilentProgress):
    """Does something once so many answers have come."""

    def __init__(self, count: int, action: Any) -> None:
        self.count, self.action = count, action
        self.remarks: list[str] = []

    def overview(self, state: Overview) -> None:
        if self.action and state.answers >= self.count:
            action, self.action = self.action, None
            action()

    def remark(self, text: str) -> None:
        self.remarks.append(text)


def test_a_machine_that_is_lost_in_the_middle_loses_no_sample_and_moves_no_byte(cluster: Any, tmp_path: Path) -> None:
    source = Sums(pause_s=0.02)
    checkpoints = [toys.checkpoint(name) for name in ("base", "dpo", "ppo")]
    tasks = [toys.adding(60), toys.adding(40, "more")]
    alone = SpreadRun(checkpoints, tasks, Results.make(tmp_path / "alone"), EvaluationSettings())
    score_checkpoints(checkpoints, tasks, Sums().loader(), alone.results, alone.settings)
    progress = AtAnswers(60, lambda: cluster.remove_node(cluster.machines[0], allow_graceful=False))
    run = SpreadRun(checkpoints, tasks, Results.make(tmp_path / "cluster"), EvaluationSettings())
    with RaySession(cluster.address, RayOptions(cpus=1), source) as session:
        assert session.size() == 2
        outcomes = score_on_workers(run, source.loader(), session, session.size(), progress)
    assert [(o.state, o.samples) for o in outcomes] == [("done", 60), ("done", 40)] * 3
    assert toys.tree(tmp_path / "cluster") == toys.tree(tmp_path / "alone")
    assert progress.action is None
    assert any("is lost" in text for text in progress.remarks)


def test_a_real_model_on_two_machines_stores_the_bytes_of_one(cluster: Any, tmp_path: Path) -> None:
    folders = [str(tiny.llama(tmp_path / "models" / f"model-{seed}", seed)) for seed in (1, 2)]
    tasks = ["world_sums_validation", "world_facts_validation"]
    backend = api.Backend("transformers", {"dtype": "float32", "device": "cpu"})
    spread = api.RunOptions(cluster=ray_cluster(cluster.address, {"cpus": "1"}))
    settings = replace(api.default_settings(), selections=api.limits(60, None))
    outcomes = api.score(folders, tasks, tmp_path / "cluster", backend=backend, settings=settings, options=spread)
    assert {o.state for o in outcomes} == {"done"}, outcomes
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as the workers have
    try:
        api.score(folders, tasks, tmp_path / "alone", backend=backend, settings=settings)
    finally:
        torch.set_num_threads(threads)
    assert toys.tree(tmp_path / "cluster") == toys.tree(tmp_path / "alone")


def test_where_there_is_no_cluster_or_no_room_that_is_said(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="needs Ray: pip install 'skilldelta[cluster]'")
    with (
        pytest.raises(SkilldeltaError, match="Ray's client does not stream answers"),
        RaySession("ray://h:1", RayOptions(), Sums()),
    ):
        pass
    with pytest.raises(SkilldeltaError, match="ray start --head"), RaySession("127.0.0.1:9", RayOptions(), Sums()):
        pass
    with pytest.raises(SkilldeltaError, match="There is no setting 'worker'"):
        ray_cluster("", {"worker": "2"})
    assert ray_cluster("", {"workers": "2"}) == RayCluster("", RayOptions(workers=2))
