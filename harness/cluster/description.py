"""Which clusters this machine can use, for people."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess

from harness.cluster.ray_cluster import RayOptions, RaySession, describe_nodes
from harness.types import SkilldeltaError

INSTALL = "pip install 'skilldelta[cluster]'"
LIMIT_S = 10.0  # for SLURM's own answer


class NoLoader:
    """Stands where a session needs what loads models: nothing is loaded here."""

    def loader(self) -> None:  # pragma: no cover
        raise SkilldeltaError("nothing is loaded to describe a cluster")


def describe_ray() -> str:
    """The Ray cluster that is running here or that RAY_ADDRESS names, with its machines."""
    if importlib.util.find_spec("ray") is None:
        return f"Ray is not installed: {INSTALL}"
    address = os.environ.get("RAY_ADDRESS", "") or "auto"
    try:
        with RaySession(address, RayOptions(), NoLoader()):  # type: ignore[arg-type]
            return f"Ray cluster of {describe_nodes()}: --cluster ray:{address}"
    except SkilldeltaError:
        return "no Ray cluster runs here: --cluster ray starts one of this machine; `ray start --head`, one of several"


def describe_slurm() -> str:
    """SLURM's partitions, where there are any."""
    if shutil.which("sinfo") is None:
        return "no SLURM here"
    command = ["sinfo", "--noheader", "--format=%P %D nodes %G"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=True).stdout
    except (OSError, subprocess.SubprocessError) as error:
        return f"SLURM does not answer ({type(error).__name__})"
    partitions = ", ".join(line.strip() for line in answer.splitlines() if line.strip())
    packages = "" if importlib.util.find_spec("submitit") else f"; submitit is not installed: {INSTALL}"
    return f"SLURM with {partitions}: --cluster slurm{packages}"
