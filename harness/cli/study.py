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
from harness.visible_text import show_controls

if TYPE_CHECKING:
    from harness.comparison.result import Comparison
    from harness.studies.plan import StudyPlan
    from harness.studies.runner import Stage

Jobs = Annotated[int, typer.Option(min=0, help="Stages at a time; 0: one for each processor.")]
Full = Annotated[bool, typer.Option("--full", help="Also run what the study file marks with `full`.")]


def study(
    file: Annotated[str, typer.Argument(help="A YAML file, or the name of a study that comes with the program.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="A folder for models, results and the report.")] = Path(
        "study"
    ),
    plan: Annotated[bool, typer.Option("--plan", help="Only say what would be run, with an estimate of its cost.")] = False,
    jobs: Jobs = 0,
    full: Full = False,
) -> None:
    """A grid of base x data x method x reward model x prompts x seeds: trained, scored, compared.  Interrupted, it goes on."""
    study_plan = read_plan(file, full)
    if plan:
        print_plan(study_plan, output, jobs or os.cpu_count() or 1)
        return
    run_study(study_plan, output, jobs)


def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="A folder for models, results and the report.")] = Path("demo"),
    full: Full = False,
    jobs: Jobs = 0,
    real: Annotated[bool, typer.Option("--real", help="A real model of 135 M parameters on real data instead.")] = False,
) -> None:
    """The whole path on the embedded world: models made on the spot, tuned by DPO and PPO, scored, compared.  Minutes."""
    if real:
        from harness.comparison.decision import decide
        from harness.studies.real_model import prepare_environment

        prepare_environment(output, note)
        comparison = run_study(read_plan("smollm2-quick", full), output, jobs)
        say(decide(comparison).sentence)
        return
    run_study(read_plan("unpacking-quick", full), output, jobs)
    say("On your own checkpoints:\n  skilldelta score RUN_FOLDER SFT_FOLDER --suite quick -o results")
    say("  skilldelta compare results --baseline SFT -o report")


def read_plan(name: str, full: bool) -> StudyPlan:
    """The plan of a study by its name or file, checked as far as that goes without running anything."""
    from harness.cli.study_flags import check_score_flags
    from harness.studies import file as files
    from harness.studies.plan import StudyPlan

    plan = StudyPlan(files.read_study_file(files.find_study(name), full))
    check_score_flags(plan.study)
    return plan


def run_study(plan: StudyPlan, folder: Path, jobs: int) -> Comparison:
    """Runs what is missing, then writes and shows the report.  FolderInUseError where another process does so already."""
    from harness.folder_claims import claim_folder

    with claim_folder(folder, "runs a study"):
        return run_claimed_study(plan, folder, jobs)


def run_claimed_study(plan: StudyPlan, folder: Path, jobs: int) -> Comparison:
    """The same in a folder that is this process's."""
    from harness.comparison.compare import compare
    from harness.comparison.result import ComparisonSettings
    from harness.studies import record, runner
    from harness.studies.inputs import check_inputs

    start = time.monotonic()
    folder.mkdir(parents=True, exist_ok=True)
    stages = list(plan.stages.values())
    finished_count = len(runner.Runner(folder, stages).finished_stages)
    if finished_count < len(stages):  # a finished study is reported again, wherever its inputs are by now
        check_inputs(plan)
    left = f"{len(stages)} stages" if not finished_count else f"{len(stages)} stages, {finished_count} of them done,"
    note(f"{left} into {folder}; each is a command that works on your own models too.  Interrupted, it goes on.")
    runner.run_stages(folder, stages, jobs or os.cpu_count() or 1, ProgressLines(folder, len(stages), finished_count))
    record_content = record.write(folder, plan)
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    comparison = compare(folder / record.RESULTS, record_content["baseline"], ComparisonSettings())
    paths = write_reports(comparison, folder / "report")
    print_comparison(comparison)
    if record_content["best_of"]:
        best_of_n = compare(folder / record.BEST_OF, record_content["best_of"]["baseline"], ComparisonSettings())
        write_reports(best_of_n, folder / "report" / record.BEST_OF)
        print_comparison(best_of_n)
    report_claims(plan, folder)
    if not plan.study.claims:  # claims compare recipes, with all their runs
        from harness.studies.seeds import describe_seeds

        for line in describe_seeds(folder / record.RESULTS, comparison, record_content["cells"]):
            say(line)
    index = next(p for p in paths if p.name == "index.html").resolve()
    say(f"\nDone in {(time.monotonic() - start) / 60:.1f} minutes.  Open the page: {index.as_uri()}")
    return comparison


def report_claims(plan: StudyPlan, folder: Path) -> None:
    """The claims that the study file names, tested over its grid."""
    if not plan.study.claims:
        return
    from harness.cli.claims import print_claims, write_claims
    from harness.studies.claims import assess_claims

    report = assess_claims(folder, plan.study.claims)
    write_claims(report, folder / "report")
    print_claims(report)


def print_plan(plan: StudyPlan, folder: Path, jobs: int) -> None:
    """The stages with what they are estimated to cost."""
    from harness.studies import cost_estimate
    from harness.studies.inputs import missing_inputs
    from harness.studies.runner import Runner

    costs = cost_estimate.stage_seconds(plan)
    done_names = Runner(folder, list(plan.stages.values())).finished_stages
    rows = [
        [
            name,
            stage.says,
            "done" if name in done_names else "?" if costs[name] is None else f"{costs[name]:.0f}",
            ", ".join(stage.needs),
        ]
        for name, stage in plan.stages.items()
    ]
    print_table(["stage", "what it does", "about, s", "needs"], rows, right=["about, s"])
    left = [costs[name] for name in plan.stages if name not in done_names]
    minutes, unknown = sum(cost or 0 for cost in left) / 60, left.count(None)
    sizes = f"{unknown} of {len(left)} stages cannot be estimated (?): the size of a model or of the data is not known here."
    estimate = (
        f"About {minutes:.0f} minutes of one processor core, {minutes / jobs:.0f} with {jobs} at a time: estimated from "
        "parameters and tokens."
    )
    parts = [*([estimate] if unknown < len(left) or not left else []), *([sizes] if unknown else [])]
    say(f"\n{len(plan.stages)} stages, {len(done_names)} done.  {'  '.join(parts)}")
    for missing in missing_inputs(plan):
        say(f"Not there yet, and the study does not begin without it: {missing}")


class ProgressLines:
    """A line when a stage begins and ends; on a terminal, what is at work stays on the last line."""

    def __init__(self, folder: Path, total: int, count: int) -> None:
        self.total, self.count = total, count
        self.started: dict[str, float] = {}
        self.is_terminal = sys.stderr.isatty()
        note(f"The commands below run in {folder}.")

    def begin(self, stage: Stage) -> None:
        self.started[stage.name] = time.monotonic()
        self.clear_line()
        note(f"…  {stage.says}\n     {shlex.join(['python', '-m', *stage.arguments])}")

    def end(self, stage: Stage, seconds: float) -> None:
        self.count += 1
        del self.started[stage.name]
        self.clear_line()
        note(f"✓  {stage.says}: {seconds:.0f} s  ({self.count} of {self.total})")

    def fail(self, stage: Stage) -> None:
        del self.started[stage.name]
        self.clear_line()
        note(f"✗  {stage.says}: failed; what does not need it goes on")

    def clear_line(self) -> None:
        if self.is_terminal:
            sys.stderr.write("\r\x1b[K")

    def tick(self) -> None:
        if self.is_terminal and self.started:
            line = ", ".join(f"{name} {time.monotonic() - since:.0f} s" for name, since in self.started.items())
            sys.stderr.write(f"\r   {show_controls(line)}\x1b[K")
            sys.stderr.flush()


VERBS = (demo, study)
