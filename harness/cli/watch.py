"""skilldelta watch: scores checkpoints as a training run writes them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli import options
from harness.cli.progress import PlainProgress
from harness.cli.screen import note, say
from harness.types import SkilldeltaError

if TYPE_CHECKING:
    from harness.evaluation.run import Outcome


@options.with_option_groups
def watch(
    paths: Annotated[list[str], typer.Argument(help="Run folders, or the folder around them; they need not exist yet.")],
    what: options.TaskOptions,
    where: options.DataOptions,
    model: options.ModelOptions,
    output: options.Output = Path("results"),
    baseline: Annotated[str, typer.Option(help="Compare each new checkpoint with this one in the results at once.")] = "",
    every: Annotated[float, typer.Option(help="Seconds between looks at the folders.")] = 30.0,
    idle: Annotated[float, typer.Option(help="Stop after so many minutes without a new checkpoint; default: never.")] = 0.0,
) -> None:
    """Scores checkpoints while a run trains, even those that it deletes again.  Stop it with Ctrl-C; it can be continued."""
    from harness.evaluation import watch as run
    from harness.store import Results

    tasks, selections = what.choose(model.chat_template)
    settings, loader, results = where.settings(selections=selections), model.backend().loader(), Results.make(output)
    if missing := [p for p in paths if not Path(p).exists()]:
        note(f"Waiting for {', '.join(missing)}: it does not exist yet.")
    watcher = run.Watch(paths, results.folder / run.LINK_FOLDER, WatchProgress(), every)
    failures = 0
    for outcomes in run.score_new_checkpoints(watcher, tasks, loader, results, settings, 60 * idle or float("inf")):
        failures += sum(o.state == "failed" for o in outcomes)
        if baseline:
            print_differences(outcomes, output, baseline)
    note(f"No new checkpoint for {idle:g} minutes.  Next: skilldelta compare {output} --baseline NAME")
    if failures:
        raise typer.Exit(4)


class WatchProgress(PlainProgress):
    """Plain lines on a terminal too: the command runs for hours unattended."""

    def tell(self, text: str) -> None:
        note(text)


def print_differences(outcomes: Sequence[Outcome], output: Path, baseline: str) -> None:
    """Prints a new checkpoint's differences from the baseline: a line for the average and each skill."""
    from harness import api
    from harness.comparison.number_format import format_difference, format_number

    name = outcomes[0].checkpoint
    if name == baseline:
        return
    try:
        comparison = api.compare(output, baseline, candidates=[name])
    except SkilldeltaError as error:
        note(f"{name}: not compared: {error}")
        return
    for row in (*comparison.at("average"), *comparison.at("skill")):
        if row.checkpoint == name and row.difference:
            say(f"{name}: {row.name} {format_number(row.score)}, {format_difference(row.difference)}")


VERBS = (watch,)
