"""What --cluster names: where a run's work is done, and with which settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from harness import config
from harness.cluster.ray_cluster import RayOptions, RaySession
from harness.evaluation.plugin_loader import PluginLoader
from harness.evaluation.preflight import is_server
from harness.types import SkilldeltaError

if TYPE_CHECKING:
    from typing import Protocol

    from harness.evaluation.outcome import Outcome, Progress
    from harness.evaluation.workers import SpreadRun

    class BackendSettings(Protocol):
        """A backend with its options, which travels to other machines."""

        def loader(self) -> PluginLoader: ...


@dataclass(frozen=True)
class RayCluster:
    """A Ray cluster, by its address; "": one of this machine, for this run."""

    address: str = ""
    options: RayOptions = field(default_factory=RayOptions)

    def score(self, run: SpreadRun, backend: BackendSettings, progress: Progress | None = None) -> list[Outcome]:
        """Scores every checkpoint on every task.  SkilldeltaError where there is no cluster, or it has no room."""
        from harness.cluster.spread import score_on_workers

        loader = backend.loader()
        if is_server(loader):
            raise SkilldeltaError("--cluster spreads models that are loaded; a server has its own machines: leave it out.")
        with RaySession(self.address, self.options, backend) as session:
            return score_on_workers(run, loader, session, session.size(), progress)


def parse_cluster(text: str) -> tuple[Literal["ray", "slurm"], str]:
    """The kind of a cluster and its address, of ray, ray:HOST:PORT, ray:auto or slurm."""
    kind, _, address = text.partition(":")
    if kind == "ray":
        return "ray", address
    if kind == "slurm" and not address:
        return "slurm", ""
    raise SkilldeltaError(f"--cluster {text}: write ray, ray:HOST:PORT, ray:auto or slurm.")


def ray_cluster(address: str, settings: Mapping[str, Any]) -> RayCluster:
    """A Ray cluster with the settings of --cluster-args.  SkilldeltaError for one that it does not have."""
    options = config.build_config(RayOptions, settings)
    if options.workers < 0 or options.cpus < 0 or options.store_mib < 76 or options.machine_cpus < 0:
        raise SkilldeltaError("--cluster-args: workers, cpus and machine_cpus are 0 or more, store_mib at least 76.")
    return RayCluster(address, options)
