"""Workers on a Ray cluster: an actor each, with the devices that it asks for; a cluster of this machine where none is named."""

from __future__ import annotations

import math
import os
import socket
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, cast

from harness.cluster.hosts import HostLostError
from harness.cluster.model_host import LoaderSource, ModelHost, code_hash, machine_name
from harness.cluster.orders import Order, Reply
from harness.types import Request, SkilldeltaError

MEBI = 1 << 20
LISTS = 4  # tasks whose requests a worker keeps
NO_RAY = "--cluster ray needs Ray: pip install 'skilldelta[cluster]'."
DECIMALS = 4  # of a share of a GPU, as Ray has it


@dataclass(frozen=True)
class RayOptions:
    """Settings of --cluster ray, as --cluster-args name=value,..."""

    workers: int = 0  # 0: one for each GPU of the cluster; without GPUs one for each machine
    gpus: float = -1.0  # of a worker; below 1: several share one; -1: 1 where the cluster has GPUs, else 0
    cpus: int = 0  # of a worker: its threads; 0: 1 beside a GPU, else all of a machine
    memory_gib: float = 0.0  # of a worker, which Ray keeps free for it; 0: not said
    store_mib: int = 256  # of an embedded cluster's memory for what travels
    machine_cpus: int = 0  # of an embedded cluster; 0: all of this machine


class RayModelHost(ModelHost):
    """A ModelHost as an actor: it keeps the requests of the last tasks."""

    def __init__(self, source: LoaderSource) -> None:
        super().__init__(source)
        self.lists: OrderedDict[str, Sequence[Request]] = OrderedDict()

    def work(self, order: Order, requests: object) -> Iterator[Reply]:
        """`requests`: a list with the reference to them, so that they travel once."""
        import ray

        (reference,) = cast(list[Any], requests)
        if (name := reference.hex()) not in self.lists:
            self.lists[name] = ray.get(reference)
            while len(self.lists) > LISTS:
                self.lists.popitem(last=False)
        yield from super().work(order, self.lists[name])


class RayHost:
    """A worker at work, seen from the process that stores."""

    def __init__(self, actor: Any, machine: str) -> None:
        self.actor, self.machine = actor, machine

    def work(self, order: Order, requests: object) -> Iterator[Reply]:
        import ray

        try:
            for reference in self.actor.work.options(num_returns="streaming").remote(order, [requests]):
                yield ray.get(reference)
        except ray.exceptions.RayError as error:
            raise HostLostError(explain_loss(error)) from error

    def stop(self) -> None:
        import ray

        ray.kill(self.actor)


class RaySession:
    """A connection to a Ray cluster; what was started here ends with it.  SkilldeltaError where there is none to connect to."""

    def __init__(self, address: str, options: RayOptions, source: LoaderSource) -> None:
        self.address, self.options, self.source = address, options, source
        self.is_own = False

    def __enter__(self) -> RaySession:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # else a warning; workers without a GPU see none
        try:
            import ray
        except ImportError as error:
            raise SkilldeltaError(NO_RAY) from error
        if self.address.startswith("ray://"):
            raise SkilldeltaError(
                f"--cluster ray:{self.address}: Ray's client does not stream answers.  Run the command on a machine of the "
                "cluster with --cluster ray:auto, or as a job: ray job submit -- skilldelta score ... --cluster ray:auto."
            )
        if not ray.is_initialized():
            self.connect(ray)
            self.is_own = True
        return self

    def connect(self, ray: Any) -> None:
        quiet = {"log_to_driver": False, "logging_level": "ERROR"}
        own_settings = {
            "address": "local",  # else Ray takes any cluster that it finds on this machine
            "num_cpus": self.options.machine_cpus or None,
            "object_store_memory": self.options.store_mib * MEBI,
            "include_dashboard": False,
            "_node_ip_address": "127.0.0.1",  # nobody else's machine can join, or run anything here
        }
        try:
            check_reachable(self.address)  # Ray itself would try for minutes
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Ray warns of its own future
                ray.init(**({"address": self.address} if self.address else own_settings), **quiet)
        except (OSError, ValueError, RuntimeError) as error:
            where = self.address or "a cluster of this machine"
            raise SkilldeltaError(
                f"--cluster ray: cannot reach {where} ({error}).\n"
                "Start one with `ray start --head`, name it as --cluster ray:HOST:PORT or ray:auto, or leave the address out."
            ) from error

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        import ray

        if self.is_own:
            ray.shutdown()

    def share(self, requests: object) -> object:
        import ray

        return ray.put(requests)

    def size(self) -> int:
        """How many workers the run has: as many as are asked for, or as the cluster has room for."""
        if self.options.workers:
            return self.options.workers
        nodes = [node["Resources"] for node in alive_nodes()]
        gpus, cpus = self.needs()
        by_gpu = sum(math.floor(node.get("GPU", 0) / gpus + 10**-DECIMALS) for node in nodes) if gpus else math.inf
        by_cpu = sum(int(node.get("CPU", 0) // cpus) for node in nodes) if cpus else math.inf
        room = min(by_gpu, by_cpu)
        if room < 1 or math.isinf(room):
            raise SkilldeltaError(
                f"No machine of the cluster has {gpus:g} GPUs and {cpus} CPUs for a worker.  It is: {describe_nodes()}.\n"
                "Ask for less with --cluster-args gpus=0,cpus=1, or say workers=N where machines come later."
            )
        return int(room)

    def needs(self) -> tuple[float, int]:
        """The GPUs and CPUs of a worker."""
        nodes = [node["Resources"] for node in alive_nodes()]
        has_gpus = any(node.get("GPU", 0) for node in nodes)
        gpus = self.options.gpus if self.options.gpus >= 0 else float(has_gpus)
        smallest = min((int(node["CPU"]) for node in nodes if node.get("CPU", 0) >= 1), default=1)
        return gpus, self.options.cpus or (1 if gpus else smallest)

    def start(self, is_over: Callable[[], bool]) -> RayHost:
        import ray

        gpus, cpus = self.needs()
        needs: dict[str, Any] = {"num_gpus": gpus, "num_cpus": cpus, "max_restarts": 0, "scheduling_strategy": "SPREAD"}
        if self.options.memory_gib:
            needs["memory"] = int(self.options.memory_gib * 1024 * MEBI)
        variables = {} if gpus else {"OMP_NUM_THREADS": str(cpus), "CUDA_VISIBLE_DEVICES": ""}
        actor = ray.remote(RayModelHost).options(**needs, runtime_env={"env_vars": variables}).remote(self.source)
        facts = actor.describe.remote()
        try:
            while not ray.wait([facts], timeout=0.5)[0]:
                if is_over():
                    ray.kill(actor)
                    raise HostLostError("the run is over")
            worker = ray.get(facts)
        except ray.exceptions.RayTaskError as error:
            raise SkilldeltaError(explain_loss(error)) from error
        except ray.exceptions.RayError as error:
            raise HostLostError(explain_loss(error)) from error
        if worker.machine != machine_name() and worker.code != code_hash():
            ray.kill(actor)
            raise SkilldeltaError(
                f"{worker.machine} has another version of skilldelta: install the same one on every machine of the cluster."
            )
        return RayHost(actor, worker.machine)


def check_reachable(address: str) -> None:
    """OSError where nothing answers at HOST:PORT; other addresses are Ray's own business."""
    host, colon, port = address.rpartition(":")
    if colon and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()


def explain_loss(error: BaseException) -> str:
    """Ray's reason in one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    cause = next((line for line in reversed(lines) if "Error" in line.split(":")[0]), "")
    return cause or " ".join(lines)[:300] or type(error).__name__


def alive_nodes() -> list[dict[str, Any]]:
    import ray

    return [node for node in ray.nodes() if node["Alive"]]


def describe_nodes() -> str:
    """The machines of the cluster that this process is connected to, for people."""
    nodes = alive_nodes()
    parts = [
        f"{node['NodeManagerHostname']} ({node['Resources'].get('CPU', 0):g} CPUs, {node['Resources'].get('GPU', 0):g} GPUs)"
        for node in nodes
    ]
    return f"{len(nodes)} machine{'s' * (len(nodes) != 1)}: {', '.join(parts)}"
