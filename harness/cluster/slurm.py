"""Scoring as an array of SLURM jobs: a job for each group of checkpoints, which runs the same command for them alone.

The jobs store into one results folder that all machines see; a cell has one writer, and a job that is lost is submitted again
and goes on with what is stored.  Model loads and places in the queue are what an array costs: so no job for each task.
"""

from __future__ import annotations

import runpy
import shlex
import shutil
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from harness import config
from harness.grouping import group_by
from harness.own_packages import ROOT
from harness.types import Checkpoint, SkilldeltaError
from harness.visible_text import first_line

FOLDER = "_slurm"  # in the results: scripts, logs and what submitit needs
NO_SUBMITIT = "--cluster slurm needs submitit: pip install 'skilldelta[cluster]'."
LOOK_S = 1.0  # between two looks at the jobs; submitit itself asks SLURM less often


@dataclass(frozen=True)
class SlurmOptions:
    """Settings of --cluster slurm, as --cluster-args name=value,..."""

    jobs: int = 8  # of the array, at most: each has a group of checkpoints
    parallel: int = 64  # jobs that run at the same time
    partition: str = ""
    account: str = ""
    qos: str = ""
    constraint: str = ""
    minutes: int = 240  # of a job; one that takes longer is queued again and goes on
    gpus: int = 1  # of a job; with more than one, say --devices all too
    cpus: int = 4
    memory_gib: int = 32
    setup: str = ""  # a command before each job, such as "source env.sh"
    retries: int = 2  # how often a group is submitted again whose job was lost
    executor: Literal["slurm", "local"] = "slurm"  # local: processes of this machine, to try it

    def parameters(self) -> dict[str, Any]:
        """As submitit calls them."""
        settings = {name: getattr(self, name) for name in ("partition", "account", "qos", "constraint")}
        slurm = {f"slurm_{name}": value for name, value in settings.items() if value}
        return {
            "name": "skilldelta",
            "timeout_min": self.minutes,
            "cpus_per_task": self.cpus,
            "mem_gb": self.memory_gib,
            **({"gpus_per_node": self.gpus} if self.gpus else {}),
            "slurm_array_parallelism": self.parallel,
            **slurm,
            **({"slurm_setup": [self.setup]} if self.setup else {}),
        }


def slurm_options(settings: Mapping[str, Any]) -> SlurmOptions:
    """The settings of --cluster-args.  SkilldeltaError for one that SLURM does not have here."""
    options = config.build_config(SlurmOptions, settings)
    if min(options.jobs, options.parallel, options.minutes, options.cpus, options.memory_gib) < 1 or options.gpus < 0:
        raise SkilldeltaError("--cluster-args: jobs, parallel, minutes, cpus and memory_gib are 1 or more, gpus 0 or more.")
    return options


class GroupJob:
    """What a job does: this program's command line, in its own process, so that nothing of it survives the job."""

    def __init__(self, arguments: Sequence[str]) -> None:
        self.arguments = list(arguments)

    def __call__(self) -> int:
        """The exit code of the command."""
        own_arguments, sys.argv = sys.argv, ["skilldelta", *self.arguments]
        try:
            runpy.run_path(str(ROOT / "harness" / "__main__.py"), run_name="__main__")
        except SystemExit as end:
            return end.code if isinstance(end.code, int) else int(bool(end.code))
        finally:
            sys.argv = own_arguments
        return 0

    def checkpoint(self) -> Any:
        """What submitit queues when the job reaches its time or is preempted: the same, which goes on."""
        import submitit

        return submitit.helpers.DelayedSubmission(self)


@dataclass
class Group:
    """Some checkpoints, and the job that has them.  `code`: the exit code of its command; `problem`: why there is none."""

    names: tuple[str, ...]
    job: Any = None
    tries: int = 0
    code: int | None = None
    problem: str = ""

    @property
    def is_open(self) -> bool:
        return self.code is None and not self.problem


def split_checkpoints(checkpoints: Sequence[Checkpoint], jobs: int) -> list[tuple[str, ...]]:
    """The checkpoints' names in at most so many groups of about one size; adapters of one base stay together."""
    families = group_by(checkpoints, lambda c: c.base or c.run or c.path)
    names = [checkpoint.name for family in families.values() for checkpoint in family]
    count = max(1, min(jobs, len(names)))
    borders = [len(names) * number // count for number in range(count + 1)]
    return [tuple(names[start:end]) for start, end in pairwise(borders)]


def make_script(options: SlurmOptions, output: Path, jobs: int) -> str:
    """The script of the array, as submitit hands it to sbatch; nothing is submitted."""
    names = import_submitit().SlurmExecutor._equivalence_dict()
    from submitit.slurm.slurm import _make_sbatch_string

    settings = options.parameters() | {"mem_gb": f"{options.memory_gib}GB"}
    parameters = {names.get(name, name).removeprefix("slurm_"): value for name, value in settings.items()}
    command = shlex.join([sys.executable, "-u", "-m", "submitit.core._submit", str(output / FOLDER)])
    script: str = _make_sbatch_string(command=command, folder=output / FOLDER, map_count=jobs, **parameters)
    return script


def import_submitit() -> Any:
    try:
        import submitit
    except ImportError as error:
        raise SkilldeltaError(NO_SUBMITIT) from error
    return submitit


def open_executor(options: SlurmOptions, output: Path) -> Any:
    submitit = import_submitit()
    if options.executor == "slurm" and shutil.which("sbatch") is None:
        raise SkilldeltaError(
            "--cluster slurm: there is no sbatch here.  Run the command on a login node of the cluster, or try it with "
            "--cluster-args executor=local, or print the script with --dry-run."
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a parameter that the local executor does not have
        executor = submitit.AutoExecutor(output / FOLDER, cluster=options.executor)
        executor.update_parameters(**options.parameters())
    return executor


def run_groups(
    groups: Sequence[Group],
    command: Callable[[tuple[str, ...]], Sequence[str]],
    options: SlurmOptions,
    output: Path,
    look: Callable[[str], None],
) -> None:
    """Submits a job for each group and waits for all; `command` gives the arguments for some checkpoints.

    `look` is called every second with "", and with what the user should know.  The group of a lost job is submitted again.
    """
    executor = open_executor(options, output)
    submit(executor, groups, command)
    number = groups[0].job.job_id.partition("_")[0]
    look(f"submitted {len(groups)} jobs ({number}); their logs are in {output / FOLDER}")
    try:
        while waiting := [group for group in groups if group.is_open]:
            ready = [group for group in waiting if group.job.done()]
            for group in ready:
                take_result(group, options, output, look)
            submit(executor, [group for group in ready if group.is_open], command)
            look("")
            if not ready:
                time.sleep(LOOK_S)
    except KeyboardInterrupt:
        if options.executor == "slurm":
            look(f"the jobs go on without this command; `scancel {number}` ends them")
        else:
            for group in groups:
                group.job.cancel(check=False)
        raise


def submit(executor: Any, groups: Sequence[Group], command: Callable[[tuple[str, ...]], Sequence[str]]) -> None:
    """One array with a job for each group."""
    if not groups:
        return
    with executor.batch():
        for group in groups:
            group.job = executor.submit(GroupJob(command(group.names)))
            group.tries += 1


def take_result(group: Group, options: SlurmOptions, output: Path, look: Callable[[str], None]) -> None:
    """How a job ended.  One that was lost leaves the group without a code, until it was lost too often."""
    submitit = import_submitit()
    try:
        group.code = int(group.job.result())
    except (submitit.core.utils.FailedJobError, submitit.core.utils.UncompletedJobError, OSError, EOFError) as error:
        state = str(group.job.state)
        reason = f"job {group.job.job_id} was lost ({state}: {first_line(error)})"
        if group.tries > options.retries:
            group.problem = f"{reason}, {group.tries} times over; see {output / FOLDER}"
        look(group.problem or f"{reason}; it is submitted again and goes on with what is stored")
