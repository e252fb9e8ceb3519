"""What `watch` checks and says before the first checkpoint, which may be hours away, and at the end."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from harness.bounded_files import resolve_links
from harness.cli.screen import note
from harness.types import SkilldeltaError

if TYPE_CHECKING:
    from harness.store import Results


def check_times(every: float, idle: float) -> None:
    """SkilldeltaError for spans that are none."""
    if not 0 <= every < float("inf"):
        raise SkilldeltaError(f"--every {every:g}: write a number of seconds, 0 or more.")
    if not idle >= 0:
        raise SkilldeltaError(f"--idle {idle:g}: write a number of minutes, or 0 to go on until Ctrl-C.")


def announce_start(paths: list[str], results: Results, baseline: str, every: float) -> None:
    """Says what is watched, and what a later comparison will lack: the first checkpoint may be hours away."""
    if missing := [p for p in paths if not Path(p).exists()]:
        note(f"Waiting for {', '.join(missing)}: {'it does' if len(missing) == 1 else 'they do'} not exist yet.")
    if present := [p for p in paths if Path(p).exists()]:
        note(f"Watching {', '.join(present)}: a look every {every:g} s; Ctrl-C ends it.")
    stored_names = results.checkpoints()
    if baseline and baseline not in stored_names:
        names = f"it holds {', '.join(stored_names)}" if stored_names else "it holds no checkpoint yet"
        note(
            f"The baseline {baseline} is not in {results.folder} ({names}): nothing is compared until it is there.  Score it "
            "on the same tasks, now or meanwhile: skilldelta score FOLDER "
            f"--name {quote(baseline)} -o {quote(str(results.folder))} ..."
        )


def next_step(results: Results, baseline: str) -> str:
    """What to do once no checkpoint comes any more."""
    if not any(True for _ in results.cells()):
        return f"Nothing was scored: {results.folder} holds no answers."
    return f"Next: skilldelta compare {quote(str(results.folder))} --baseline {quote(baseline) if baseline else 'NAME'}"


def find_baseline(results: Results, baseline: str) -> str:
    """The name of the baseline in the results, for its name or its folder.  SkilldeltaError for a folder of several."""
    from harness import discovery

    stored_checkpoints = results.checkpoints()
    if not baseline or baseline in stored_checkpoints or not Path(baseline).is_dir():
        return baseline
    place = resolve_links(baseline)
    if names := [name for name, record in stored_checkpoints.items() if record.path and resolve_links(record.path) == place]:
        return names[0]
    checkpoints = discovery.find_at(baseline)
    if len(checkpoints) > 1:
        names = [checkpoint.name for checkpoint in checkpoints]
        raise SkilldeltaError(f"--baseline {baseline} holds several checkpoints: name one of {', '.join(names)}.")
    return checkpoints[0].name
