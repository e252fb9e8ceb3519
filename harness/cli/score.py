"""skilldelta score, rescore: asks checkpoints, or takes what they said from files, and stores scored samples."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.cli.inspect import Include, Json
from harness.cli.noise_table import show
from harness.cli.screen import Lines, line, note, progress, say_json, table
from harness.types import SkilldeltaError, Task

FEW = 6  # names that are listed

if TYPE_CHECKING:
    from harness.data import Selection
    from harness.evaluation.evaluate import Outcome
    from harness.evaluation.sequential import Settled

Tasks = Annotated[str, typer.Option("--tasks", "-t", help="Names, separated by commas; lm-eval:NAME for any lm-eval task.")]
Output = Annotated[Path, typer.Option("--output", "-o", help="The results folder.")]
Data = Annotated[
    Path | None,
    typer.Option("--data", envvar="SKILLDELTA_DATA", help="Folder with the benchmarks' own files; without it, the Hub."),
]

Judge = Annotated[
    list[str] | None, typer.Option("--judge", help="What grades a task's responses: TASK=PLUGIN:WHERE, or TASK=none for later.")
]


def score(
    paths: Annotated[list[str] | None, typer.Argument(help="Folders of checkpoints or runs, or Hub names.")] = None,
    tasks: Tasks = "",
    suite: Annotated[str, typer.Option(help="A named set of tasks; see `skilldelta list suites`.")] = "",
    output: Output = Path("results"),
    recorded: Annotated[
        list[str] | None, typer.Option(help="Score outputs that some other program recorded: a file, or several.")
    ] = None,
    name: Annotated[str, typer.Option(help="The checkpoint's name in the results (one checkpoint, or recorded outputs).")] = "",
    model: Annotated[str, typer.Option(help="Backend: transformers, openai, lm-eval:NAME.")] = "transformers",
    model_args: Annotated[str, typer.Option("--model-args", help="Settings of the backend: name=value,...")] = "",
    data: Data = None,
    num_fewshot: Annotated[int | None, typer.Option("--num-fewshot", help="Exemplars, for lm-eval:NAME tasks.")] = None,
    limit: Annotated[int | None, typer.Option("--limit", "-L", help="The first N examples of each group of a task.")] = None,
    sample_seed: Annotated[int | None, typer.Option("--sample-seed", help="With --limit: N at random, by this seed.")] = None,
    batch_size: Annotated[int | None, typer.Option("--batch-size", "-b")] = None,
    max_batch_tokens: Annotated[
        int | None, typer.Option("--max-batch-tokens", help="In a forward pass of a local model; default: by the device.")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps; default: the best there is.")] = "",
    dtype: Annotated[str, typer.Option(help="float32, bfloat16, float16 or auto.")] = "",
    apply_chat_template: Annotated[str, typer.Option("--apply-chat-template", help="auto, none or tulu.")] = "",
    gen_kwargs: Annotated[str, typer.Option("--gen-kwargs", help="temperature=0.8,top_p=0.95,max_tokens=512")] = "",
    draws: Annotated[int | None, typer.Option(help="Samples drawn of each prompt.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of sampling.")] = 0,
    judge: Judge = None,
    include: Include = None,
    against: Annotated[str, typer.Option(help="A baseline: ask both in turn, and stop each task when it is decided.")] = "",
    until: Annotated[str, typer.Option(help="With --against: decided, or all to ask both everything.")] = "decided",
    margin: Annotated[
        float, typer.Option(help="With --against: also stop when the difference is less than so many points.")
    ] = 0.0,
    sandbox: Annotated[str, typer.Option(help="namespaces, landlock, docker or podman; default: the strongest here.")] = "",
    sandbox_limits: Annotated[
        str, typer.Option(help="What a program may use: cpu_s=5,memory_mb=1024,...; paper: 3 s by the wall clock.")
    ] = "",
    unsafe_local_code: Annotated[
        bool, typer.Option("--unsafe-local-code", help="Run programs that a model wrote UNCONFINED; every result says so.")
    ] = False,
    check_noise: Annotated[
        float, typer.Option("--check-noise", help="Ask this share (0.02: 2 %) again in other batches; tells what changed.")
    ] = 0.0,
    as_json: Json = False,
) -> None:
    """Scores every ready checkpoint on every task.  Interrupted, the same command goes on where it stopped."""
    from harness import api, config
    from harness.evaluation.evaluate import Settings
    from harness.judges import assignment

    if sandbox or unsafe_local_code:
        os.environ["SKILLDELTA_SANDBOX"] = "none" if unsafe_local_code else sandbox
    if sandbox_limits:
        os.environ["SKILLDELTA_SANDBOX_LIMITS"] = sandbox_limits
    chosen, selections = choose(tasks, suite, include or (), num_fewshot)
    selections = api.limits(limit, sample_seed) or selections
    overrides = api.generation(config.pairs(gen_kwargs))
    settings = Settings(api.use_data(data), selections, overrides, draws, seed, assignment.parse(judge or ()))
    options: dict[str, Any] = dict(config.pairs(model_args))
    if check_noise and (against or recorded):
        raise SkilldeltaError("--check-noise asks checkpoints again: it goes with neither --against nor --recorded.")
    if against:
        paths = pair(paths, recorded, against, until)
    if recorded:
        label = name or Path(recorded[0]).stem
        outcomes = api.score_recorded(recorded, label, chosen, output, options=options, settings=settings, progress=progress())
    elif paths:
        flags = {
            "batch_size": batch_size, "max_batch_tokens": max_batch_tokens, "device": device, "dtype": dtype,
            "chat_template": apply_chat_template,
        }  # fmt: skip
        backend = api.Backend(model, options | {k: v for k, v in flags.items() if v not in (None, "")})
        if against and until == "decided":
            settled = api.race(paths[0], against, chosen, output, backend=backend, settings=settings, margin=margin)
            settle(settled, as_json)
            return
        noise = api.Noise(check_noise) if check_noise else None
        outcomes = api.score(
            paths, chosen, output, backend=backend, settings=settings, name=name, progress=progress(), noise=noise
        )
        if noise and not as_json:
            show(noise.found)
    else:
        raise SkilldeltaError("Nothing to score: name a folder of checkpoints, or --recorded FILES.")
    finish(outcomes, output, as_json)


def pair(paths: list[str] | None, recorded: list[str] | None, against: str, until: str) -> list[str]:
    """The candidate's path and the baseline's, where --against asks for two."""
    if recorded or len(paths or ()) != 1:
        raise SkilldeltaError("--against asks two checkpoints in turn: name one path beside it, and no --recorded.")
    if until not in ("decided", "all"):
        raise SkilldeltaError(f"--until {until}: decided, or all.")
    return [*(paths or ()), against]


def settle(settled: Iterable[Settled], as_json: bool) -> None:
    """Tells how each task was decided, as it is; then all of them."""
    from dataclasses import asdict

    from reports.text_tables import number, span

    found = []
    for one in settled:
        note(f"{one.task}: {one.verdict} after {one.used} of {one.items} items")
        found.append(one)
    if as_json:
        say_json([asdict(one) for one in found])
        return
    columns = ["task", "verdict", "items asked", "of", "saved %", "difference", "95 %, at any time"]
    rows = [
        [o.task, o.verdict, str(o.used), str(o.items), f"{100 * o.saved:.0f}", number(o.delta, True), span(o.low, o.high, True)]
        for o in found
    ]
    table(columns, rows, right=columns[2:])
    if any(o.verdict in ("better", "worse") and o.low <= 0 <= o.high for o in found):
        note("A verdict asks about no difference alone; the interval is about all differences at once, and may still reach 0.")


def choose(tasks: str, suite: str, include: Sequence[Path], num_fewshot: int | None) -> tuple[list[Task], dict[str, Selection]]:
    """The tasks to score, and which examples of them."""
    from harness import api

    if bool(tasks) == bool(suite):
        raise SkilldeltaError(
            "Say what to score: --tasks NAME,... or --suite NAME (`skilldelta list tasks`, `skilldelta list suites`)."
        )
    if suite:
        from harness import suites

        found: tuple[list[Task], dict[str, Selection]] = suites.load(suite)
        return found
    return api.resolve(tasks, include, num_fewshot), {}


def rescore(
    results: Annotated[Path, typer.Argument(help="A results folder.")],
    data: Data = None,
    judge: Judge = None,
    include: Include = None,
    as_json: Json = False,
) -> None:
    """Scores stored responses again (after a fix to a scorer), without asking a model."""
    from harness import api, registry
    from harness.evaluation import evaluate
    from harness.judges import assignment
    from harness.store import Results

    there = Results(results)
    names = {facts["task"]["name"] for _, facts, _ in there.cells()}
    known = {n: registry.task(n, include or ()) for n in sorted(names)}
    finish(
        evaluate.rescore(there, known, evaluate.Settings(api.use_data(data), judges=assignment.parse(judge or ()))),
        results,
        as_json,
        Lines(),
    )


def finish(outcomes: Sequence[Outcome], output: Path, as_json: bool, told: Lines | None = None) -> None:
    """Tells how it ended; exit code 4 when a cell failed."""
    from dataclasses import asdict

    if as_json:
        say_json([asdict(o) for o in outcomes])
    for outcome in outcomes if told else ():
        note(line(outcome))
    failed = [o for o in outcomes if o.state == "failed"]
    if failed:
        note(f"{len(failed)} of {len(outcomes)} cells failed; the others are stored in {output}:")
        for outcome in failed:
            note("  " + line(outcome))
        raise typer.Exit(4)
    names = list(dict.fromkeys(o.checkpoint for o in outcomes))
    known = f" (one of {', '.join(names)})" if 1 < len(names) <= FEW else ""
    cells = f"{len(outcomes)} cell{'s' * (len(outcomes) != 1)}"
    note(f"{cells} in {output}.  Next: skilldelta compare {output} --baseline NAME{known}")


VERBS = (score, rescore)
