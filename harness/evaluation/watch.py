"""Scores checkpoints while a training run is still writing them: each is held as soon as it is whole, then scored in turn.

Trainers with a limit of saved checkpoints (save_total_limit) delete old ones: a checkpoint that waits for its turn is held by
hard links to its files, which cost no space and stay when the run's own names are gone.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from harness import discovery, fingerprint
from harness.evaluation import evaluate
from harness.evaluation.evaluate import Loader, Outcome, Progress, Settings
from harness.store import Results, folder_name
from harness.types import Checkpoint, SkilldeltaError, Task

# Needed to go on with training, not to ask the model.
STATES = ("optimizer*", "scheduler*", "scaler*", "rng_state*", "training_args.bin")
HELD = ".held"


class Listener(Progress, Protocol):
    """Also hears what becomes of checkpoints."""

    def tell(self, text: str) -> None: ...


@dataclass
class Watch:
    """What was seen below `paths`, and what waits to be scored.  It is the run's progress, too: it looks while samples come."""

    paths: Sequence[str]
    folder: Path  # where checkpoints are held
    told: Listener
    every: float = 30.0  # seconds between looks
    clock: Callable[[], float] = time.monotonic
    seen: set[str] = field(default_factory=set)
    waiting: list[tuple[Checkpoint, Checkpoint]] = field(default_factory=list)  # as found, as held
    looked: float = float("-inf")
    news: float = field(init=False)

    def __post_init__(self) -> None:
        self.news = self.clock()

    def look(self) -> None:
        """Takes hold of every checkpoint that is whole and was not seen before."""
        self.looked = self.clock()
        for found in self.there():
            if found.path in self.seen or found.problem or not Path(found.path).is_dir():
                continue
            self.seen.add(found.path)
            self.news = self.clock()
            if held := hold(found, self.folder):
                self.waiting.append((found, held))
                self.told.tell(f"{found.name}: found, {len(self.waiting)} waiting")
            else:
                self.told.tell(f"{found.name}: deleted by its run before it could be held: not scored")

    def there(self) -> list[Checkpoint]:
        """What lies below the paths now; a path that is not there yet holds nothing yet."""
        try:
            return discovery.rename([c for path in map(Path, self.paths) if path.is_dir() for c in discovery.inside(path)])
        except FileNotFoundError:
            return []  # deleted by the run while it was being read: the next look tells

    def begin(self, checkpoint: str, task: str, total: int, done: int) -> None:
        self.told.begin(checkpoint, task, total, done)

    def advance(self) -> None:
        self.told.advance()
        if self.clock() - self.looked >= self.every:
            self.look()

    def end(self, outcome: Outcome) -> None:
        self.told.end(outcome)


def hold(found: Checkpoint, folder: Path) -> Checkpoint | None:
    """The checkpoint behind links of our own; None when its run deleted it before all of it was held."""
    target = folder / folder_name(found.name) / Path(found.path).name
    shutil.rmtree(target.parent, ignore_errors=True)
    target.mkdir(parents=True)
    try:
        for file in Path(found.path).iterdir():  # its own files alone: a run's final model lies beside the folders of its steps
            if file.is_file() and not any(map(file.match, STATES)):
                link(file, target / file.name)
        (held,) = discovery.at(str(target))
    except (OSError, SkilldeltaError):
        if Path(found.path).exists():
            raise
        return None
    return None if held.problem else replace(found, path=str(target))


def link(source: Path, target: Path) -> None:
    """A second name for a file; a copy where the results are on another file system."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def score(
    watch: Watch, tasks: Sequence[Task], loader: Loader, results: Results, settings: Settings, idle: float
) -> Iterator[list[Outcome]]:
    """Scores each checkpoint as it comes, on all tasks; ends when for `idle` seconds nothing new was written (inf: never)."""
    try:
        while True:
            watch.look()
            while watch.waiting:
                found, held = watch.waiting.pop(0)
                outcomes = evaluate.score([held], tasks, loader, results, settings, watch)
                if any(o.state != "failed" for o in outcomes):
                    results.add(found, fingerprint.checkpoint(held))  # under the run's own path, not ours
                shutil.rmtree(Path(held.path).parent, ignore_errors=True)
                yield outcomes
            if watch.clock() - watch.news >= idle:
                return
            time.sleep(min(watch.every, max(idle - (watch.clock() - watch.news), 0.1)))
    finally:
        shutil.rmtree(watch.folder, ignore_errors=True)
