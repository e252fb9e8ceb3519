"""skilldelta noise: how many scores change when a checkpoint answers the same questions again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli import options
from harness.cli.noise_table import noise_row, print_noise_table
from harness.cli.screen import note, print_json
from harness.cli.selection import SelectionOptions
from harness.name_value_pairs import split_names
from harness.shares import check_share
from harness.types import SkilldeltaError


@options.with_option_groups
def noise(
    paths: options.Checkpoints,
    where: options.DataOptions,
    model: options.ModelOptions,
    choice: SelectionOptions,
    tasks: options.Tasks = None,
    include: options.Include = None,
    output: options.Output = Path("results"),
    share: Annotated[float, typer.Option(help="Repeat this share (0.1: 10 %) of each task, but at least 50 items.")] = 0.1,
    as_json: options.Json = False,
) -> None:
    """Repeats a share of stored questions in another order and other batches, and stores how many scores change."""
    from harness import api
    from harness.evaluation.repeatability import RepeatShare, repeat_cells
    from harness.store import Results

    check_share("--share", share)
    names = split_names(tasks)
    if not names:
        stored_tasks = sorted({record.task.name for _, record, _ in Results(output).cells()})
        raise SkilldeltaError(f"Say what to repeat: --tasks NAME,...; {output} holds: {', '.join(stored_tasks) or 'no task'}.")
    settings, loader = where.settings(), model.backend().loader()
    checkpoints, selected_tasks = (
        api.find_checkpoints(paths, loader, choice.selection()),
        api.resolve(",".join(names), include or ()),
    )
    repeats = []
    for repeat in repeat_cells(checkpoints, selected_tasks, loader, Results(output), settings, RepeatShare(share)):
        note(f"{repeat.checkpoint} · {repeat.task}: asked again")
        repeats.append(repeat)
    if as_json:
        print_json([noise_row(repeat) for repeat in repeats])
        return
    print_noise_table(repeats)
    note(f"Stored in {output}: comparisons show it, and add it to an interval where it matters.")


VERBS = (noise,)
