"""skilldelta noise: how many scores change when a checkpoint is asked again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.inspect import Include, Json
from harness.cli.noise_table import row, show
from harness.cli.score import Data, Judge, Output, Tasks
from harness.cli.screen import note, say_json


def noise(
    paths: Annotated[list[str], typer.Argument(help="The checkpoints that were scored.")],
    tasks: Tasks = "",
    output: Output = Path("results"),
    share: Annotated[float, typer.Option(help="%: how much of each task is asked again, but 50 items at least.")] = 10.0,
    model: Annotated[
        str, typer.Option(help="Backend; another one, batch size or dtype than before is part of the noise.")
    ] = "transformers",
    model_args: Annotated[str, typer.Option("--model-args", help="Settings of the backend: name=value,...")] = "",
    data: Data = None,
    judge: Judge = None,
    include: Include = None,
    as_json: Json = False,
) -> None:
    """Asks part of what is stored again, in another order and batch; comparisons then know what changes by itself."""
    from harness import api, config, discovery
    from harness.evaluation.evaluate import Settings
    from harness.evaluation.repeatability import Share, reask
    from harness.judges import assignment
    from harness.store import Results

    settings = Settings(api.use_data(data), judges=assignment.parse(judge or ()))
    loader = api.Backend(model, config.pairs(model_args)).loader()
    asked = reask(
        discovery.checkpoints(paths), api.resolve(tasks, include or ()), loader, Results(output), settings, Share(share / 100)
    )
    found = []
    for one in asked:
        note(f"{one.checkpoint} · {one.task}: asked again")
        found.append(one)
    if as_json:
        say_json([row(one) for one in found])
        return
    show(found)
    note(f"Kept in {output}: comparisons show it, and add it to an interval where it makes much of a difference.")


VERBS = (noise,)
