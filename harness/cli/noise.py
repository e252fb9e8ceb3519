"""skilldelta noise: how many scores change when a checkpoint answers the same questions again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.noise_table import noise_row, print_noise_table
from harness.cli.options import Backend, BackendArgs, Checkpoints, Data, Include, Json, Judges, Output, Tasks
from harness.cli.screen import note, print_json


def noise(
    paths: Checkpoints,
    tasks: Tasks = "",
    output: Output = Path("results"),
    share: Annotated[float, typer.Option(help="%: how much of each task to repeat, but at least 50 items.")] = 10.0,
    backend: Backend = "transformers",
    backend_args: BackendArgs = "",
    data: Data = None,
    judge: Judges = None,
    include: Include = None,
    as_json: Json = False,
) -> None:
    """Repeats a share of stored questions in another order and other batches, and stores how many scores change."""
    from harness import api, config, discovery
    from harness.evaluation.evaluate import Settings
    from harness.evaluation.repeatability import Share, reask
    from harness.judges import assignment
    from harness.store import Results

    settings = Settings(api.use_data(data), judges=assignment.parse(judge or ()))
    loader = api.Backend(backend, config.pairs(backend_args)).loader()
    checkpoints, chosen = discovery.checkpoints(paths), api.resolve(tasks, include or ())
    repeats = []
    for repeat in reask(checkpoints, chosen, loader, Results(output), settings, Share(share / 100)):
        note(f"{repeat.checkpoint} · {repeat.task}: asked again")
        repeats.append(repeat)
    if as_json:
        print_json([noise_row(repeat) for repeat in repeats])
        return
    print_noise_table(repeats)
    note(f"Stored in {output}: comparisons show it, and add it to an interval where it matters.")


VERBS = (noise,)
