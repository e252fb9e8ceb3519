"""skilldelta score, rescore: checkpoints, or recorded responses, in; scored samples out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.cli import options
from harness.cli.noise_table import print_noise_table
from harness.cli.progress import PlainProgress, describe_outcome, progress_display
from harness.cli.screen import note, print_json, print_table
from harness.types import SkilldeltaError, Task

if TYPE_CHECKING:
    from harness.data import Selection
    from harness.evaluation.evaluate import Outcome
    from harness.evaluation.sequential import Settled

MAX_NAMES = 6  # checkpoints that the last line names


def score(
    paths: Annotated[
        list[str] | None, typer.Argument(help="Folders of checkpoints or training runs, or names on the Hub.")
    ] = None,
    tasks: options.Tasks = "",
    suite: options.Suite = "",
    output: options.Output = Path("results"),
    recordings: Annotated[
        list[str] | None, typer.Option("--recorded", help="Score responses that another program recorded; may be repeated.")
    ] = None,
    name: Annotated[str, typer.Option(help="Name of the checkpoint in the results (for one checkpoint or --recorded).")] = "",
    backend: options.Backend = "transformers",
    backend_args: options.BackendArgs = "",
    data: options.Data = None,
    num_fewshot: options.FewShot = None,
    limit: options.Limit = None,
    sample_seed: options.SampleSeed = None,
    batch_size: options.BatchSize = None,
    max_batch_tokens: options.MaxBatchTokens = None,
    device: options.Device = "",
    dtype: options.Dtype = "",
    apply_chat_template: options.ChatTemplate = "",
    gen_kwargs: options.GenKwargs = "",
    draws: options.Draws = None,
    seed: Annotated[int, typer.Option(help="Seed of sampling.")] = 0,
    judge: options.Judges = None,
    include: options.Include = None,
    against: options.Against = "",
    until: options.Until = "decided",
    margin: options.Margin = 0.0,
    sandbox: options.SandboxTier = "",
    sandbox_limits: options.SandboxLimits = "",
    unsafe_local_code: options.Unconfined = False,
    check_noise: options.CheckNoise = 0.0,
    as_json: options.Json = False,
) -> None:
    """Scores every checkpoint on every task.  After an interruption, the same command continues."""
    from harness import api, config
    from harness.evaluation.evaluate import Settings
    from harness.judges import assignment
    from harness.types import SandboxOptions

    check_combination(paths, recordings, against, until, check_noise)
    chosen, selections = choose_tasks(tasks, suite, include or (), num_fewshot)
    settings = Settings(
        folder=api.use_data(data),
        selections=api.limits(limit, sample_seed) or selections,
        overrides=api.generation(config.pairs(gen_kwargs)),
        draws=draws,
        seed=seed,
        judges=assignment.parse(judge or ()),
        sandbox=SandboxOptions("none" if unsafe_local_code else sandbox, sandbox_limits),
    )
    backend_settings: dict[str, Any] = dict(config.pairs(backend_args))
    if recordings:
        label = name or Path(recordings[0]).stem
        outcomes = api.score_recorded(
            recordings, label, chosen, output, options=backend_settings, settings=settings, progress=progress_display()
        )
        print_outcomes(outcomes, output, as_json)
        return
    flags = {"batch_size": batch_size, "max_batch_tokens": max_batch_tokens, "device": device, "dtype": dtype}
    flags |= {"chat_template": apply_chat_template}
    plugin = api.Backend(backend, backend_settings | {k: v for k, v in flags.items() if v not in (None, "")})
    folders = [*(paths or ()), *([against] if against else ())]
    if against and until == "decided":
        decisions = api.race(folders[0], against, chosen, output, backend=plugin, settings=settings, margin=margin)
        print_decisions(decisions, as_json)
        return
    noise = api.Noise(check_noise) if check_noise else None
    outcomes = api.score(
        folders, chosen, output, backend=plugin, settings=settings, name=name, progress=progress_display(), noise=noise
    )
    if noise and not as_json:
        print_noise_table(noise.found)
    print_outcomes(outcomes, output, as_json)


def check_combination(
    paths: Sequence[str] | None, recordings: Sequence[str] | None, against: str, until: str, check_noise: float
) -> None:
    """Refuses flags that exclude one another, before anything is loaded."""
    if not paths and not recordings:
        raise SkilldeltaError("Nothing to score: name a folder of checkpoints, or --recorded FILES.")
    if check_noise and (against or recordings):
        raise SkilldeltaError("--check-noise repeats questions to checkpoints: use it without --against and --recorded.")
    if against and (recordings or len(paths or ()) != 1):
        raise SkilldeltaError("--against asks two checkpoints in turn: name one other folder, and no --recorded.")
    if until not in ("decided", "all"):
        raise SkilldeltaError(f"--until {until}: write decided or all.")


def choose_tasks(
    tasks: str, suite: str, include: Sequence[Path], num_fewshot: int | None
) -> tuple[list[Task], dict[str, Selection]]:
    """The tasks to score, and which examples of each task name (a suite may take a part of a task)."""
    from harness import api, suites

    if bool(tasks) == bool(suite):
        raise SkilldeltaError(
            "Say what to score: --tasks NAME,... or --suite NAME (`skilldelta list tasks`, `skilldelta list suites`)."
        )
    if suite:
        return suites.load(suite)
    return api.resolve(tasks, include, num_fewshot), {}


def print_decisions(decisions: Iterable[Settled], as_json: bool) -> None:
    """Prints each task's decision as it is made, then a table of all of them."""
    from harness.comparison.number_format import format_interval, format_number

    tasks = []
    for task in decisions:
        note(f"{task.task}: {task.verdict} after {task.used} of {task.items} items")
        tasks.append(task)
    if as_json:
        print_json([asdict(task) for task in tasks])
        return
    columns = ["task", "verdict", "items asked", "of", "saved %", "difference", "95 %, at any time"]
    rows = []
    for task in tasks:
        counts = [str(task.used), str(task.items), f"{100 * task.saved:.0f}"]
        difference = [format_number(task.delta, signed=True), format_interval(task.low, task.high, signed=True)]
        rows.append([task.task, task.verdict, *counts, *difference])
    print_table(columns, rows, right=columns[2:])
    if any(task.verdict in ("better", "worse") and task.low <= 0 <= task.high for task in tasks):
        note("A verdict tests zero alone; the interval holds for all differences at once, and may still include zero.")


def rescore(
    results: options.ResultsFolder,
    data: options.Data = None,
    judge: options.Judges = None,
    include: options.Include = None,
    as_json: options.Json = False,
) -> None:
    """Scores stored responses again, after a fix to a scorer, without running a model."""
    from harness import api, registry
    from harness.evaluation import evaluate
    from harness.judges import assignment
    from harness.store import Results

    store = Results(results)
    names = sorted({facts["task"]["name"] for _, facts, _ in store.cells()})
    tasks = {name: registry.task(name, include or ()) for name in names}
    settings = evaluate.Settings(api.use_data(data), judges=assignment.parse(judge or ()))
    print_outcomes(evaluate.rescore(store, tasks, settings), results, as_json, PlainProgress())


def print_outcomes(outcomes: Sequence[Outcome], output: Path, as_json: bool, progress: PlainProgress | None = None) -> None:
    """Prints how a run of cells ended.  Exit code 4 when a cell failed."""
    if as_json:
        print_json([asdict(o) for o in outcomes])
    for outcome in outcomes if progress else ():
        note(describe_outcome(outcome))
    failures = [o for o in outcomes if o.state == "failed"]
    if failures:
        note(f"{len(failures)} of {len(outcomes)} cells failed; the others are stored in {output}:")
        for outcome in failures:
            note("  " + describe_outcome(outcome))
        raise typer.Exit(4)
    names = list(dict.fromkeys(o.checkpoint for o in outcomes))
    choices = f" (one of {', '.join(names)})" if 1 < len(names) <= MAX_NAMES else ""
    cells = f"{len(outcomes)} cell{'s' * (len(outcomes) != 1)}"
    note(f"{cells} in {output}.  Next: skilldelta compare {output} --baseline NAME{choices}")


VERBS = (score, rescore)
