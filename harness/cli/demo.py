"""skilldelta demo: makes its own models, tunes, scores and compares them."""

from __future__ import annotations

import os
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.compare import show, write
from harness.cli.screen import note, say

if TYPE_CHECKING:
    from harness.study import Stage


def demo(
    out: Annotated[Path, typer.Option(help="Where everything goes.")] = Path("demo"),
    full: Annotated[bool, typer.Option("--full", help="Also a PPO run that games its reward model.")] = False,
    jobs: Annotated[int, typer.Option(help="Stages at a time; default: one a processor.")] = 0,
) -> None:
    """The whole path on the embedded world: models made on the spot, tuned by DPO and PPO, scored, compared.  Minutes."""
    from harness import demo as world
    from harness import study
    from harness.comparison.compare import compare
    from harness.comparison.result import Settings

    started = time.monotonic()
    stages = world.stages(out, full)
    note(f"{len(stages)} stages into {out}; each is a command that works on your own models too.  Interrupted, it goes on.")
    study.run(out, stages, jobs or os.cpu_count() or 1, Told(len(stages)))
    found = compare(out / "results", world.baseline(out), Settings())
    paths = write(found, out / "report")
    show(found)
    index = next(p for p in paths if p.name == "index.html").resolve()
    say(f"\nDone in {(time.monotonic() - started) / 60:.1f} minutes.  Open the page: {index.as_uri()}")
    say("On your own checkpoints:\n  skilldelta score RUN_FOLDER SFT_FOLDER --suite quick -o results")
    say("  skilldelta compare results --baseline SFT -o report")


class Told:
    """A line when a stage begins and ends; on a terminal, what is at work stays on the last line."""

    def __init__(self, total: int) -> None:
        self.total, self.count = total, 0
        self.busy: dict[str, float] = {}
        self.live = sys.stderr.isatty()

    def begin(self, stage: Stage) -> None:
        self.busy[stage.name] = time.monotonic()
        note(f"{'' if not self.live else chr(13)}…  {stage.says}\n     {shlex.join(['python', '-m', *stage.arguments])}")

    def end(self, stage: Stage, seconds: float) -> None:
        self.count += 1
        del self.busy[stage.name]
        note(f"{'' if not self.live else chr(13)}✓  {stage.says}: {seconds:.0f} s  ({self.count} done)")

    def tick(self) -> None:
        if self.live and self.busy:
            shown = ", ".join(f"{name} {time.monotonic() - since:.0f} s" for name, since in self.busy.items())
            sys.stderr.write(f"\r   {shown}\x1b[K")
            sys.stderr.flush()


VERBS = (demo,)
