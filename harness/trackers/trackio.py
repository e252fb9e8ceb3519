"""trackio: a run in PROJECT of the local database, or of the Space or server that its own variables name."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from pathlib import Path

PACKAGE = "trackio"
PROJECT = "skilldelta"


def start(run: str, where: str, folder: Path) -> TrackioRun:
    return TrackioRun(run, where or PROJECT)


class TrackioRun:
    """A run of trackio.  It has one open run in a process, so that each point opens its own and closes it."""

    def __init__(self, run: str, project: str) -> None:
        self.run, self.project = run, project
        self.place = f"project {project}"

    def log(self, step: int, values: Mapping[str, float]) -> None:
        import trackio

        with redirect_stdout(sys.stderr):  # trackio prints, and standard output is for results
            tracker = trackio.init(self.project, self.run, resume="allow", auto_log_gpu=False, auto_log_cpu=False, embed=False)
            tracker.log(dict(values), step=step)
            tracker.finish()

    def close(self) -> None:
        """Every point was closed as it came."""
