"""Scores checkpoints during training: each is hard-linked as soon as it is complete, then scored in turn.

Trainers with a limit of saved checkpoints (save_total_limit) delete old ones.  Hard links to a checkpoint's files cost no space
and remain when the run deletes its own, until its turn has come.
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
from harness.atomic_files import folder_name
from harness.checkpoint_names import name_apart
from harness.evaluation.questions import EvaluationSettings
from harness.evaluation.run import Loader, Outcome, Progress, score_checkpoints
from harness.store import Results
from harness.types import Checkpoint, SkilldeltaError, Task

# Files that training needs to go on, and that answering does not.
TRAINING_FILES = ("optimizer*", "scheduler*", "scaler*", "rng_state*", "training_args.bin")
LINK_FOLDER = ".held"


class WatchListener(Progress, Protocol):
    """Is also called with what becomes of checkpoints."""

    def tell(self, text: str) -> None: ...


@dataclass
class Watch:
    """The checkpoints below `paths` that were seen, and those that wait to be scored.

    It is the run's progress as well: it looks again while samples come.
    """

    paths: Sequence[str]
    folder: Path  # where the links are
    listener: WatchListener
    every: float = 30.0  # seconds between looks
    clock: Callable[[], float] = time.monotonic
    seen_paths: set[str] = field(default_factory=set)
    waiting: list[tuple[Checkpoint, Checkpoint]] = field(default_factory=list)  # the run's own, and behind our links
    last_look: float = float("-inf")
    last_news: float = field(init=False)

    def __post_init__(self) -> None:
        self.last_news = self.clock()

    def look(self) -> None:
        """Links every checkpoint that is complete and was not seen before."""
        self.last_look = self.clock()
        for checkpoint in self.checkpoints():
            if checkpoint.path in self.seen_paths or checkpoint.problem or not Path(checkpoint.path).is_dir():
                continue
            self.seen_paths.add(checkpoint.path)
            self.last_news = self.clock()
            if copy := link_checkpoint(checkpoint, self.folder):
                self.waiting.append((checkpoint, copy))
                self.listener.tell(f"{checkpoint.name}: found, {len(self.waiting)} waiting")
            else:
                self.listener.tell(f"{checkpoint.name}: deleted by its run before it could be linked: not scored")

    def checkpoints(self) -> list[Checkpoint]:
        """What lies below the paths now; a path that does not exist yet holds nothing yet."""
        try:
            return name_apart([c for path in map(Path, self.paths) if path.is_dir() for c in discovery.find_inside(path)])
        except FileNotFoundError:
            return []  # the run deleted something while it was being read: the next look will tell

    def begin(self, checkpoint: str, task: str, total: int, done: int) -> None:
        self.listener.begin(checkpoint, task, total, done)

    def advance(self) -> None:
        self.listener.advance()
        if self.clock() - self.last_look >= self.every:
            self.look()

    def end(self, outcome: Outcome) -> None:
        self.listener.end(outcome)


def link_checkpoint(checkpoint: Checkpoint, folder: Path) -> Checkpoint | None:
    """The checkpoint behind links of our own; None when its run deleted it before every file was linked."""
    target = folder / folder_name(checkpoint.name) / Path(checkpoint.path).name
    shutil.rmtree(target.parent, ignore_errors=True)
    target.mkdir(parents=True)
    try:
        # Its own files alone: a run's final model lies next to the folders of its steps.
        for file in Path(checkpoint.path).iterdir():
            if file.is_file() and not any(map(file.match, TRAINING_FILES)):
                link_file(file, target / file.name)
        (copy,) = discovery.find_at(str(target))
    except (OSError, SkilldeltaError):
        if Path(checkpoint.path).exists():
            raise
        return None
    return None if copy.problem else replace(checkpoint, path=str(target))


def link_file(source: Path, target: Path) -> None:
    """A second name for a file; a copy where the results are on another file system."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def score_new_checkpoints(
    watch: Watch, tasks: Sequence[Task], loader: Loader, results: Results, settings: EvaluationSettings, idle: float
) -> Iterator[list[Outcome]]:
    """Scores each checkpoint on all tasks as it comes; ends after `idle` seconds without a new one (inf: never)."""
    try:
        while True:
            watch.look()
            while watch.waiting:
                checkpoint, copy = watch.waiting.pop(0)
                outcomes = score_checkpoints([copy], tasks, loader, results, settings, watch)
                if any(o.state != "failed" for o in outcomes):
                    results.add(checkpoint, fingerprint.hash_checkpoint(copy))  # under the run's own path, not ours
                shutil.rmtree(Path(copy.path).parent, ignore_errors=True)
                yield outcomes
            if watch.clock() - watch.last_news >= idle:
                return
            time.sleep(min(watch.every, max(idle - (watch.clock() - watch.last_news), 0.1)))
    finally:
        shutil.rmtree(watch.folder, ignore_errors=True)
