"""skilldelta study: a grid of training runs from one file; skilldelta demo: the smallest one that comes with the program."""

from __future__ import annotations

import os
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.compare import print_comparison, write_reports
from harness.cli.screen import note, print_table, say

if TYPE_CHECKING:
    from harness.studies.plan import Plan
    from harness.studies.runner import Stage

Jobs = Annotated[int, typer.Option(help="Stages at a time; default: one a processor.")]
Full = Annotated[bool, typer.Option("--full", help="Also what the file marks with `full`.")]


def study(
    file: Annotated[str, typer.Argument(help="A YAML file, or the name of a study that comes with the program.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Where everything goes.")] = Path("study"),
    plan: Annotated[bool, typer.Option("--plan", help="Only say what would be run, with an estimate of its cost.")] = False,
    jobs: Jobs = 0,
    full: Full = False,
) -> None:
    """A grid of base x data x method x reward model x prompts x seeds: trained, scored, compared.  Interrupted, it goes on."""
    from harness.studies import file as files
    from harness.studies.plan import Plan

    made = Plan(files.read(files.find(file), full))
    if plan:
        outline(made, output, jobs or os.cpu_count() or 1)
        return
    conduct(made, output, jobs)


def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="Where everything goes.")] = Path("demo"),
    full: Full = False,
    jobs: Jobs = 0,
) -> None:
    """The whole path on the embedded world: models made on the spot, tuned by DPO and PPO, scored, compared.  Minutes."""
    from harness.studies import file as files
    from harness.studies.plan import Plan

    conduct(Plan(files.read(files.find("unpacking-quick"), full)), output, jobs)
    say("On your own checkpoints:\n  skilldelta score RUN_FOLDER SFT_FOLDER --suite quick -o results")
    say("  skilldelta compare results --baseline SFT -o report")


def conduct(plan: Plan, folder: Path, jobs: int) -> None:
    """Runs what is missing, then writes and shows the report."""
    from harness.comparison.compare import compare
    from harness.comparison.result import ComparisonSettings
    from harness.studies import record, runner

    started = time.monotonic()
    folder.mkdir(parents=True, exist_ok=True)
    made = list(plan.stages.values())
    done = len(runner.Board(folder, made).done)
    left = f"{len(made)} stages" if not done else f"{len(made)} stages, {done} of them done,"
    note(f"{left} into {folder}; each is a command that works on your own models too.  Interrupted, it goes on.")
    runner.run(folder, made, jobs or os.cpu_count() or 1, Told(folder, len(made), done))
    told = record.write(folder, plan)
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    found = compare(folder / record.RESULTS, told["baseline"], ComparisonSettings())
    paths = write_reports(found, folder / "report")
    print_comparison(found)
    if told["best_of"]:
        chosen = compare(folder / record.BEST_OF, told["best_of"]["baseline"], ComparisonSettings())
        write_reports(chosen, folder / "report" / record.BEST_OF)
        print_comparison(chosen)
    claim(plan, folder)
    index = next(p for p in paths if p.name == "index.html").resolve()
    say(f"\nDone in {(time.monotonic() - started) / 60:.1f} minutes.  Open the page: {index.as_uri()}")


def claim(plan: Plan, folder: Path) -> None:
    """The claims that the study file names, tested over its grid."""
    if not plan.study.claims:
        return
    from harness.cli.claims import print_claims, write_claims
    from harness.studies.claims import assess_claims

    report = assess_claims(folder, plan.study.claims)
    write_claims(report, folder / "report")
    print_claims(report)


def outline(plan: Plan, folder: Path, jobs: int) -> None:
    """The stages with what they are estimated to cost."""
    from harness.studies import cost_estimate
    from harness.studies.runner import Board

    costs = cost_estimate.seconds(plan)
    done = Board(folder, list(plan.stages.values())).done
    rows = [
        [
            name,
            stage.says,
            "done" if name in done else "?" if costs[name] is None else f"{costs[name]:.0f}",
            ", ".join(stage.needs),
        ]
        for name, stage in plan.stages.items()
    ]
    print_table(["stage", "what it does", "about, s", "needs"], rows, right=["about, s"])
    left = sum(costs[name] or 0 for name in plan.stages if name not in done)
    say(
        f"\n{len(plan.stages)} stages, {len(done)} done.  About {left / 60:.0f} minutes of one processor core, "
        f"{left / 60 / jobs:.0f} with {jobs} at a time: estimated from parameters and tokens."
    )


class Told:
    """A line when a stage begins and ends; on a terminal, what is at work stays on the last line."""

    def __init__(self, folder: Path, total: int, done: int) -> None:
        self.total, self.count = total, done
        self.busy: dict[str, float] = {}
        self.live = sys.stderr.isatty()
        note(f"The commands below run in {folder}.")

    def begin(self, stage: Stage) -> None:
        self.busy[stage.name] = time.monotonic()
        note(f"{'' if not self.live else chr(13)}…  {stage.says}\n     {shlex.join(['python', '-m', *stage.arguments])}")

    def end(self, stage: Stage, seconds: float) -> None:
        self.count += 1
        del self.busy[stage.name]
        note(f"{'' if not self.live else chr(13)}✓  {stage.says}: {seconds:.0f} s  ({self.count} of {self.total})")

    def tick(self) -> None:
        if self.live and self.busy:
            shown = ", ".join(f"{name} {time.monotonic() - since:.0f} s" for name, since in self.busy.items())
            sys.stderr.write(f"\r   {shown}\x1b[K")
            sys.stderr.flush()


VERBS = (demo, study)
