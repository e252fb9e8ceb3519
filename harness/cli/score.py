"""skilldelta score, rescore: checkpoints, or recorded responses, in; scored samples out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import asdict, is_dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli import options
from harness.cli.cluster import ClusterOptions, carry_out
from harness.cli.noise_table import print_noise_table
from harness.cli.progress import PlainProgress, describe_outcome, print_failures, print_next_step, progress_display
from harness.cli.screen import note, print_json, print_table
from harness.cli.selection import EarlierAnswerOptions, SelectionOptions
from harness.cli.suite_rule import keep_rule
from harness.cli.suite_template import with_suite_template
from harness.cli.trackers import TrackerOptions, log_scores, open_session
from harness.types import SkilldeltaError, Task

if TYPE_CHECKING:
    from harness.api import Backend, RunOptions
    from harness.checkpoint_selection import Selection
    from harness.evaluation.outcome import Outcome
    from harness.evaluation.questions import EvaluationSettings
    from harness.evaluation.workers import SpreadRun
    from harness.records import SequentialVerdict

    How = tuple[Backend, EvaluationSettings, Selection]

Recordings = Annotated[
    list[str] | None, typer.Option("--recorded", help="Score responses that another program recorded; may be repeated.")
]
CheckNoise = Annotated[
    float,
    typer.Option(
        help="Repeat this share (0.02: 2 %) in other batches, and report what changed.", rich_help_panel=options.REPEATS
    ),
]


@options.with_option_groups
def score(
    what: options.TaskOptions,
    where: options.DataOptions,
    model: options.ModelOptions,
    generation: options.GenerationOptions,
    confinement: options.ConfinementOptions,
    sequential: options.SequentialOptions,
    choice: SelectionOptions,
    earlier: EarlierAnswerOptions,
    tracking: TrackerOptions,
    place: ClusterOptions,
    context: typer.Context,
    paths: Annotated[list[str] | None, typer.Argument(help=options.CHECKPOINTS_HELP)] = None,
    output: options.Output = Path("results"),
    recordings: Recordings = None,
    name: Annotated[str, typer.Option(help="Name in the results, of one checkpoint or of --recorded.")] = "",
    check_noise: CheckNoise = 0.0,
    holdout: options.Holdout = 0.0,
    as_json: options.Json = False,
) -> None:
    """Scores every checkpoint on every task.  After an interruption, the same command continues."""
    from harness import api, config
    from harness.evaluation.repeatability import NoiseCheck

    check_combination(paths or (), recordings or (), sequential, check_noise)
    tasks, selections = what.choose(model.chat_template)
    keep_rule(what.suite, output)
    settings = where.settings(selections=selections, sandbox=confinement.options(), **generation.settings())
    settings = replace(settings, margin=sequential.margin, **earlier.settings())
    how = (with_suite_template(model, what.suite).backend(), settings, place.narrow(choice.selection()))
    others = {"--recorded": recordings, "--check-noise": check_noise, "--holdout": holdout, "--devices": model.devices}
    place.check(sequential, tracking, others | {"--name": name})
    if place.plan or place.is_slurm():
        plan_or_submit(place, name_run(paths or (), tasks, output, how, name), how[0], context.obj, as_json)
    elif holdout:
        refuse_with_holdout(recordings, sequential.against, check_noise, name, model.devices, tracking, earlier)
        print_outcomes(score_other_items(paths or (), tasks, output, holdout, how), output, as_json)
    elif sequential.against and sequential.until == "decided":
        tracking.refuse("--log-to needs every answer: use it with --until all, or without --against.")
        print_decisions(start_race(paths or (), sequential.against, tasks, output, how), as_json)
    else:
        noise = NoiseCheck(check_noise) if check_noise else None
        run_options = api.RunOptions(name, progress_display(), noise, how[2], model.devices, place.ray())
        if recordings:
            ask = partial(api.score_recorded, recordings, reading=config.parse_pairs(model.backend_args))
        else:
            ask = partial(api.score, [*(paths or ()), *filter(None, [sequential.against])], backend=how[0])
        score_all(partial(ask, tasks, output, settings=settings, options=run_options), run_options, tracking, output, as_json)


def score_all(
    ask: Callable[[], list[Outcome]], run_options: RunOptions, tracking: TrackerOptions, output: Path, as_json: bool
) -> None:
    """Has every cell scored, sends the scores to trackers, and prints how it went."""
    with open_session(tracking.log_to, output) as session:
        outcomes = ask()
        log_scores(session, outcomes, output, tracking.baseline)
    if run_options.noise and not as_json:
        print_noise_table(run_options.noise.cells)
    reasons = run_options.progress.reasons if isinstance(run_options.progress, PlainProgress) else ()
    print_outcomes(outcomes, output, as_json, reasons=reasons)


def name_run(paths: Sequence[str], tasks: Sequence[Task], output: Path, how: How, name: str) -> SpreadRun:
    """The run as a value: which checkpoints on which tasks, into which results folder."""
    from harness import api
    from harness.evaluation.result_names import choose_names
    from harness.evaluation.workers import SpreadRun
    from harness.store import Results

    backend, settings, selection = how
    results = Results.make(output)
    checkpoints = choose_names(api.find_checkpoints(paths, backend.loader(), selection), name, results)
    return SpreadRun(checkpoints, tasks, results, settings)


def plan_or_submit(place: ClusterOptions, run: SpreadRun, backend: Backend, arguments: list[str], as_json: bool) -> None:
    """Prints a run's plan, or has SLURM carry it out."""
    outcomes = carry_out(place, run, backend, arguments, as_json)
    if outcomes:
        print_outcomes(outcomes, run.results.folder, as_json)


def refuse_with_holdout(*flags: object) -> None:
    """Raises SkilldeltaError where a flag, or one of a group of options, is given that does not go with --holdout."""
    if any(any(vars(flag).values()) if is_dataclass(flag) else flag for flag in flags):
        raise SkilldeltaError(
            "--holdout asks checkpoints the items that are not held out: use it without --recorded, --against, --check-noise, "
            "--name, --devices, --log-to, --ask-again, --exact-resume and --reuse."
        )


def start_race(
    paths: Sequence[str], against: str, tasks: Sequence[Task], output: Path, how: How
) -> Iterator[SequentialVerdict]:
    """Asks checkpoints and a baseline in turn."""
    from harness import api
    from harness.evaluation import sequential
    from harness.evaluation.preflight import announce_unloadable
    from harness.store import Results

    backend, settings, selection = how
    models, results = api.lazy_models(paths, against, backend.loader(), selection), Results.make(output)
    announce_unloadable([model.checkpoint for model in models], tasks, models[0].loader, results, progress_display())
    return sequential.compare_in_turn(models, api.resolve_tasks(tasks), results, settings)


def score_other_items(paths: Sequence[str], tasks: Sequence[Task], output: Path, share: float, how: How) -> list[Outcome]:
    """Scores the items that are not held out.  The same command without --holdout asks the rest."""
    from harness import api
    from harness.comparison.holdout import Holdout
    from harness.evaluation.cell_part import score_part
    from harness.evaluation.lazy_model import LazyModel
    from harness.evaluation.preflight import announce_unloadable
    from harness.store import Results

    split, (backend, settings, selection) = Holdout(share), how
    loader, results, progress = backend.loader(), Results.make(output), progress_display()
    checkpoints = api.find_checkpoints(paths, loader, selection)
    announce_unloadable(checkpoints, tasks, loader, results, progress)
    models = [LazyModel(checkpoint, loader) for checkpoint in checkpoints]
    return score_part(models, tasks, results, settings, split.develops, progress)


def check_combination(
    paths: Sequence[str], recordings: Sequence[str], sequential: options.SequentialOptions, check_noise: float
) -> None:
    """Refuses flags that exclude one another, before anything is loaded."""
    if not paths and not recordings:
        raise SkilldeltaError("Nothing to score: name a folder of checkpoints, or --recorded FILES.")
    if paths and recordings:  # of --recorded *.jsonl the shell makes one flag and many paths
        raise SkilldeltaError(
            f"--recorded takes one file or folder, and {', '.join(paths)[:200]} would be scored as checkpoints beside "
            "it: write --recorded before each file, or name a folder that holds them; score checkpoints by themselves."
        )
    if check_noise and (sequential.against or recordings):
        raise SkilldeltaError("--check-noise repeats questions to checkpoints: use it without --against and --recorded.")
    if sequential.against and (recordings or not paths):
        raise SkilldeltaError("--against asks checkpoints in turn with a baseline: name their folders, and no --recorded.")
    sequential.check()


def print_decisions(decisions: Iterable[SequentialVerdict], as_json: bool) -> None:
    """Prints each task's decision as it is made, then a table of all of them."""
    from harness.comparison.number_format import format_interval, format_number

    tasks = []
    for task in decisions:
        why = f" ({task.why})" if task.why else ""
        note(f"{task.candidate} on {task.task}: {task.verdict} after {task.used} of {task.items} items{why}")
        tasks.append(task)
    if as_json:
        print_json([task.to_json() for task in tasks])
        return
    columns = ["checkpoint", "task", "verdict", "items asked", "of", "saved %", "difference", "95 %, at any time"]
    rows = []
    for task in tasks:
        counts = [str(task.used), str(task.items), f"{100 * task.saved:.0f}"]
        difference = [format_number(task.delta, signed=True), format_interval(task.low, task.high, signed=True)]
        rows.append([task.candidate, task.task, task.verdict, *counts, *difference])
    print_table(columns, rows, right=columns[3:])
    if any(task.verdict in ("better", "worse") and task.low <= 0 <= task.high for task in tasks):
        note("A verdict tests zero alone; the interval holds for all differences at once, and may still include zero.")


@options.with_option_groups
def rescore(
    results: options.ResultsFolder,
    where: options.DataOptions,
    confinement: options.ConfinementOptions,
    include: options.Include = None,
    as_json: options.Json = False,
) -> None:
    """Scores stored responses again, after a fix to a scorer, without running a model."""
    from harness.evaluation import rescore as evaluation
    from harness.store import Results

    store = Results(results)
    tasks, settings = evaluation.stored_tasks(store, include or ()), where.settings(sandbox=confinement.options())
    print_outcomes(evaluation.rescore(store, tasks, settings), results, as_json, PlainProgress())


def print_outcomes(
    outcomes: Sequence[Outcome],
    output: Path,
    as_json: bool,
    progress: PlainProgress | None = None,
    reasons: Collection[str] = (),
) -> None:
    """Prints how a run of cells ended.  Exit code 4 when a cell failed.

    `reasons` that were printed stand right above where nothing else came: there they are not repeated.
    """
    if as_json:
        print_json([asdict(o) for o in outcomes])
    for outcome in outcomes if progress else ():
        note(describe_outcome(outcome))
    failures = [o for o in outcomes if o.state == "failed"]
    if failures:
        print_failures(failures, len(outcomes), output, reasons)
        raise typer.Exit(4)
    print_next_step(outcomes, output)


VERBS = (score, rescore)
