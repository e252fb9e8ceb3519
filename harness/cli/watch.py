"""skilldelta watch: scores checkpoints as a training run writes them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.inspect import Include
from harness.cli.score import Data, Judge, Output, Tasks, choose
from harness.cli.screen import Lines, note, say
from harness.types import SkilldeltaError

if TYPE_CHECKING:
    from harness.evaluation.evaluate import Outcome


def watch(
    paths: Annotated[list[str], typer.Argument(help="Run folders, or the folder they are in; they may not be there yet.")],
    tasks: Tasks = "",
    suite: Annotated[str, typer.Option(help="A named set of tasks; see `skilldelta list suites`.")] = "",
    output: Output = Path("results"),
    baseline: Annotated[str, typer.Option(help="A checkpoint in the results: each new one is compared with it at once.")] = "",
    every: Annotated[float, typer.Option(help="Seconds between looks.")] = 30.0,
    idle: Annotated[float, typer.Option(help="Minutes without a new checkpoint after which it ends; default: never.")] = 0.0,
    model: Annotated[str, typer.Option(help="Backend: transformers, lm-eval:NAME.")] = "transformers",
    model_args: Annotated[str, typer.Option("--model-args", help="Settings of the backend: name=value,...")] = "",
    limit: Annotated[int | None, typer.Option("--limit", "-L", help="The first N examples of each group of a task.")] = None,
    data: Data = None,
    judge: Judge = None,
    include: Include = None,
) -> None:
    """Scores checkpoints as a training run writes them, also those that the run deletes again.  Ctrl-C ends it; it goes on."""
    from harness import api, config
    from harness.evaluation import watch as run
    from harness.evaluation.evaluate import Settings
    from harness.judges import assignment
    from harness.store import Results

    chosen, selections = choose(tasks, suite, include or (), None)
    settings = Settings(api.use_data(data), api.limits(limit, None) or selections, judges=assignment.parse(judge or ()))
    loader = api.Backend(model, config.pairs(model_args)).loader()
    results = Results.make(output)
    if missing := [p for p in paths if not Path(p).exists()]:
        note(f"Waiting for {', '.join(missing)}, which is not there yet.")
    looking = run.Watch(paths, results.folder / run.HELD, Told(), every)
    failed = 0
    for outcomes in run.score(looking, chosen, loader, results, settings, 60 * idle or float("inf")):
        failed += sum(o.state == "failed" for o in outcomes)
        if baseline:
            tell(outcomes, output, baseline)
    note(f"Nothing new for {idle:g} minutes.  Next: skilldelta compare {output} --baseline NAME")
    if failed:
        raise typer.Exit(4)


class Told(Lines):
    """Plain lines, as nobody sits before it."""

    def tell(self, text: str) -> None:
        note(text)


def tell(outcomes: Sequence[Outcome], output: Path, baseline: str) -> None:
    """The new checkpoint's differences from the baseline, a line for each skill and the average."""
    from harness import api
    from reports.text_tables import change, number

    name = outcomes[0].checkpoint
    if name == baseline:
        return
    try:
        found = api.compare(output, baseline, candidates=[name])
    except SkilldeltaError as error:
        note(f"{name}: not compared: {error}")
        return
    for row in (*found.at("average"), *found.at("skill")):
        if row.checkpoint == name and row.difference:
            say(f"{name}: {row.name} {number(row.score)}, {change(row.difference)}")


VERBS = (watch,)
