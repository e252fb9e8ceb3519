"""Options of score that send its work to other machines, and the plan of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.cli.screen import note, print_json, print_table, say
from harness.redaction import redact_settings
from harness.types import SkilldeltaError

if TYPE_CHECKING:
    from harness.checkpoint_selection import Selection
    from harness.cli.options import SequentialOptions
    from harness.cli.trackers import TrackerOptions
    from harness.cluster.launch import RayCluster
    from harness.cluster.plan import RunPlan
    from harness.cluster.slurm import SlurmOptions
    from harness.evaluation.outcome import Outcome
    from harness.evaluation.workers import RunElsewhere, SpreadRun

CLUSTER = "Several machines"
OWN_FLAGS = {"--cluster": 1, "--cluster-args": 1, "--dry-run": 0, "--plan": 0, "--json": 0}  # not for jobs; with their values
MAX_LINES = 16  # workers and groups that are listed


def cluster_option(*names: str, text: str, hidden: bool = False) -> Any:
    return typer.Option(*names, help=text, rich_help_panel=CLUSTER, hidden=hidden)


@dataclass(frozen=True)
class ClusterOptions:
    """Where the work is done, and whether it is only planned."""

    cluster: Annotated[
        str, cluster_option("--cluster", text="ray (this machine), ray:HOST:PORT, ray:auto, or slurm: an array of jobs.")
    ] = ""
    cluster_args: Annotated[
        str, cluster_option("--cluster-args", text="Its settings: workers=8,gpus=1,... or jobs=16,partition=gpu,...")
    ] = ""
    dry_run: Annotated[bool, cluster_option("--dry-run", text="With --cluster slurm: print the script and the groups.")] = False
    plan: Annotated[
        bool, cluster_option("--plan", text="Print cells, device seconds by measured rates, memory and order; score nothing.")
    ] = False
    only_checkpoint: Annotated[
        list[str] | None, cluster_option("--only-checkpoint", text="The name of a checkpoint of this job.", hidden=True)
    ] = None

    def is_slurm(self) -> bool:
        from harness.cluster.launch import parse_cluster

        return bool(self.cluster) and parse_cluster(self.cluster)[0] == "slurm"

    def narrow(self, selection: Selection) -> Selection:
        """The selection, of this job's checkpoints where it is one of an array."""
        return replace(selection, names=tuple(self.only_checkpoint or ()))

    def ray(self) -> RunElsewhere | None:
        """The Ray cluster that is named; None where there is none."""
        from harness import config
        from harness.cluster.launch import parse_cluster, ray_cluster

        if not self.cluster:
            if self.cluster_args:
                raise SkilldeltaError("--cluster-args are settings of --cluster: name one (ray, slurm).")
            return None
        cluster: RayCluster = ray_cluster(parse_cluster(self.cluster)[1], config.parse_pairs(self.cluster_args))
        return cluster

    def check(self, sequential: SequentialOptions, tracking: TrackerOptions, others: Mapping[str, object]) -> None:
        """Refuses flags (by name, with their values) that do not go with these."""
        if self.dry_run and not self.is_slurm():
            raise SkilldeltaError("--dry-run prints the script of --cluster slurm; --plan shows what any run would do.")
        mine = [name for name, value in (("--cluster", self.cluster), ("--plan", self.plan)) if value]
        others = dict(others) | {"--against": sequential.against and sequential.until == "decided"}
        if not self.is_slurm():  # whose jobs find their checkpoints by their own names
            others.pop("--name", None)
        if self.plan or self.is_slurm():
            others |= {"--against": sequential.against, "--log-to": tracking.log_to, "--devices": ""}
        if mine and (conflicts := [name for name, value in others.items() if value]):
            raise SkilldeltaError(f"{mine[0]} does not go with {', '.join(conflicts)}.")


def carry_out(place: ClusterOptions, run: SpreadRun, backend: Any, arguments: Sequence[str], as_json: bool) -> list[Outcome]:
    """Plans a run, or gives it to SLURM.  Outcomes of its cells; none where it was only planned."""
    if place.plan:
        print_plan(run, backend.loader(), count_workers(place), as_json)
        return []
    from harness import config
    from harness.cluster.slurm import slurm_options

    options = slurm_options(config.parse_pairs(place.cluster_args))
    return run_slurm(run, options, job_arguments(arguments), place.dry_run)


def job_arguments(arguments: Sequence[str]) -> list[str]:
    """A command's arguments without those that are not for its jobs."""
    job_flags, skip = [], 0
    for argument in arguments:
        name, equals, _ = argument.partition("=")
        if skip:
            skip -= 1
        elif name in OWN_FLAGS:
            skip = 0 if equals else OWN_FLAGS[name]
        else:
            job_flags.append(argument)
    return job_flags


def run_slurm(run: SpreadRun, options: SlurmOptions, arguments: list[str], dry_run: bool) -> list[Outcome]:
    """Submits the groups of a run's checkpoints and waits for them, or prints what would be submitted."""
    from harness.cluster.job_results import JobProgress, read_outcomes
    from harness.cluster.slurm import Group, make_script, run_groups, split_checkpoints

    def command(names: tuple[str, ...]) -> list[str]:
        return [*arguments, *(part for name in names for part in ("--only-checkpoint", name))]

    if any(map(holds_key, arguments)):
        raise SkilldeltaError(
            f"--cluster slurm keeps the jobs' command lines in {run.results.folder}, and this one holds a key or a password.\n"
            "Give it to the jobs in an environment variable, such as with --cluster-args setup='source keys.sh'."
        )
    groups = [Group(names) for names in split_checkpoints(run.checkpoints, options.jobs)]
    if dry_run:
        say(make_script(options, run.results.folder, len(groups)))
        for number, group in enumerate(groups):
            say(f"# job {number}: skilldelta {' '.join(command(group.names))}")
        return []
    progress = JobProgress(run, note)
    run_groups(groups, command, options, run.results.folder, progress.look)
    return read_outcomes(run, groups)


def holds_key(argument: str) -> bool:
    """Whether an argument is a key or a password, or names one among its settings, as args=api_key=... does."""
    parts = argument.split("=")
    settings = ["=".join(parts[place:]) for place in range(len(parts))]
    return any(redact_settings(text) != text for text in settings)


def count_workers(place: ClusterOptions) -> int:
    """How many workers a plan is for."""
    from harness import config

    settings = config.parse_pairs(place.cluster_args)
    number = settings.get("workers") or settings.get("jobs") or "1"
    if not str(number).isdigit() or int(number) < 1:
        raise SkilldeltaError(f"--cluster-args: {number} workers; write a number, 1 or more.")
    return int(number)


def print_plan(run: SpreadRun, loader: Any, workers: int, as_json: bool) -> None:
    from harness.cluster.measured_rates import MeasuredRates, read_measurements
    from harness.cluster.plan import plan_run
    from harness.store import Results

    folders = [run.results, *map(Results, run.settings.reuse)]
    plan = plan_run(run, loader, MeasuredRates(read_measurements(folders)))
    if as_json:
        print_json(plan_facts(plan, workers))
        return
    print_tasks(plan)
    print_order(plan, workers)
    for cell in plan.cells:
        if cell.state == "refused":
            unit = cell.unit
            note(f"{plan.run.checkpoints[unit.checkpoint].name} · {plan.run.tasks[unit.task].name}: {cell.why}")


def print_tasks(plan: RunPlan) -> None:
    """A line for each task: how many cells, of how many questions, and what they cost."""
    columns = ["task", "cells left", "done", "refused", "questions", "s a cell", "device s", "measured on"]
    rows = []
    for number, task in enumerate(plan.run.tasks):
        cells = [cell for cell in plan.cells if cell.unit.task == number]
        left = [cell for cell in cells if cell.state == "open"]
        seconds = [cell.estimate.seconds for cell in left if cell.estimate.seconds is not None]
        counts = [str(sum(cell.state == state for cell in cells)) for state in ("open", "done", "refused")]
        costs = [f"{sum(seconds) / len(seconds):,.1f}", f"{sum(seconds):,.0f}"] if seconds else ["", ""]
        bases = " / ".join(dict.fromkeys(cell.estimate.basis for cell in left))
        rows.append([task.name, *counts, f"{sum(cell.questions for cell in left):,}", *costs, bases])
    print_table(columns, rows, right=columns[1:7])


def print_order(plan: RunPlan, workers: int) -> None:
    """Sums, memory, and which worker has which checkpoints."""
    total, shares = plan.device_seconds(), plan.shares(workers)
    say(f"{len(plan.open_cells()):,} cells left: {total:,.0f} device seconds ({total / 3600:,.1f} hours) as far as measured.")
    if names := plan.unmeasured_tasks():
        say(f"Not measured, and not in it: {', '.join(names)}.  Score one checkpoint on them, here or in a folder for --reuse.")
    largest = max(range(len(plan.sizes)), key=lambda number: plan.sizes[number], default=None)
    if largest is not None and plan.sizes[largest]:
        name = plan.run.checkpoints[largest].name
        say(f"Largest weights: {plan.sizes[largest] / 2**30:.2f} GiB as saved ({name}); a worker holds those of one at a time.")
    last = max(share.seconds for share in shares)
    say(
        f"{workers} worker{'s' * (workers != 1)}: ready after {last:,.0f} s; no order takes less than {total / workers:,.0f} s."
    )
    for number, share in enumerate(shares[:MAX_LINES]):
        names = [plan.run.checkpoints[checkpoint].name for checkpoint in share.checkpoints]
        more = f", and {len(names) - 6} more" if len(names) > 6 else ""
        say(f"  worker {number + 1}: {', '.join(names[:6])}{more}: {share.cells} cells, {share.seconds:,.0f} s")
    if workers > MAX_LINES:
        say(f"  ... {workers - MAX_LINES} more workers")


def plan_facts(plan: RunPlan, workers: int) -> dict[str, Any]:
    """The plan as JSON."""
    names = [checkpoint.name for checkpoint in plan.run.checkpoints]
    cells = [
        {
            "checkpoint": names[cell.unit.checkpoint],
            "task": plan.run.tasks[cell.unit.task].name,
            "state": cell.state,
            "questions": cell.questions,
            "seconds": cell.estimate.seconds,
            "measured_on": cell.estimate.basis,
            "why": cell.why,
        }
        for cell in plan.cells
    ]
    shares = [
        {"checkpoints": [names[c] for c in share.checkpoints], "cells": share.cells, "seconds": share.seconds}
        for share in plan.shares(workers)
    ]
    weights = dict(zip(names, plan.sizes, strict=True))
    return {"cells": cells, "device_seconds": plan.device_seconds(), "workers": shares, "weights_bytes": weights}
