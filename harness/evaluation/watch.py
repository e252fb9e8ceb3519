"""Scores checkpoints during training: each is hard-linked as soon as it is complete, then scored in turn.

Trainers with a limit of saved checkpoints (save_total_limit) delete old ones.  Hard links to a checkpoint's files cost no space
and remain when the run deletes its own, until its turn has come.  They also remain when this process is stopped or killed: the
same command then goes on with them.  Times are measured with a monotonic clock, and no file's time is read: a checkpoint is new
where its path is, or where other files lie there.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from harness import discovery, fingerprint
from harness.atomic_files import folder_name, link_file
from harness.checkpoint_selection import Selection, parse_steps
from harness.evaluation.checkpoint_files import is_complete, is_for_training, stamp_files
from harness.evaluation.lazy_model import Loader
from harness.evaluation.link_records import RECORD, read_links, write_links
from harness.evaluation.model_reports import TokenListener
from harness.evaluation.outcome import Outcome, Progress
from harness.evaluation.preflight import find_explanation
from harness.evaluation.questions import EvaluationSettings
from harness.evaluation.result_names import own_name, readable_records
from harness.evaluation.run import score_checkpoints
from harness.file_locks import FolderLock
from harness.grouping import run_order
from harness.named_bases import apply_source
from harness.system_errors import explain_system_error
from harness.types import Checkpoint, SkilldeltaError, Task, digest

if TYPE_CHECKING:
    from harness.store import Results

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
    selection: Selection = field(default_factory=Selection)
    results: Results | None = None  # whose names are taken; None: the names of the run folder alone
    explain_unloadable: Callable[[Checkpoint], str] = lambda _: ""  # why the loader cannot load one
    names: dict[str, str] = field(default_factory=dict)  # by path, of what waits and of what was there at the last look
    seen_stamps: dict[str, str] = field(default_factory=dict)  # by the checkpoint's path
    waiting: list[tuple[Checkpoint, Checkpoint]] = field(default_factory=list)  # the run's own, and behind our links
    failures: dict[str, str] = field(default_factory=dict)  # by path: why it could not be taken yet
    last_look: float = float("-inf")
    last_news: float = field(init=False)

    def __post_init__(self) -> None:
        self.last_news = self.clock()
        check_selection(self.selection)

    def adopt(self) -> None:
        """Takes over what an earlier process had linked and not scored; links of which some are missing are removed."""
        for folder in sorted(self.folder.iterdir()) if self.folder.is_dir() else ():
            if not (folder / RECORD).is_file():
                shutil.rmtree(folder, ignore_errors=True)
                continue
            checkpoint, place, stamp = read_links(folder)
            self.seen_stamps[checkpoint.path] = stamp
            self.waiting.append((checkpoint, replace(checkpoint, path=str(place))))
        self.waiting.sort(key=lambda pair: run_order(pair[0].run, pair[0].step, pair[0].name))
        for checkpoint, _ in self.waiting:
            self.listener.tell(f"{checkpoint.name}: linked before, waiting")

    def look(self) -> None:
        """Links every checkpoint that is complete and was not seen before."""
        self.last_look = self.clock()
        checkpoints = self.checkpoints()
        self.names = {c.path: c.name for c in checkpoints} | {c.path: c.name for c, _ in self.waiting}
        for checkpoint in checkpoints:
            if checkpoint.problem:
                self.tell_problem(checkpoint, f"waits: {checkpoint.problem}")
                continue
            try:
                self.take(checkpoint)
            except OSError as error:  # a full disk, a right that is missing: it may be mended, and others can be linked
                why = explain_system_error(error) or f"{type(error).__name__}: {error}"
                self.tell_problem(checkpoint, f"cannot be linked yet; the next look tries again ({why})")

    def tell_problem(self, checkpoint: Checkpoint, text: str) -> None:
        """Says once why a checkpoint is not scored yet."""
        if self.failures.get(checkpoint.path) != text:
            self.failures[checkpoint.path] = text
            self.listener.tell(f"{checkpoint.name}: {text}")

    def take(self, checkpoint: Checkpoint) -> None:
        """Links a checkpoint, unless it was seen with the same files."""
        stamp = stamp_files(Path(checkpoint.path))
        if self.seen_stamps.get(checkpoint.path) == stamp:
            return
        copy = link_checkpoint(checkpoint, self.folder, stamp)
        if copy and self.results is not None:  # the name by which `score` would call it there
            others = {name for path, name in self.names.items() if path != checkpoint.path}
            self.names[checkpoint.path] = own_name(checkpoint, others, readable_records(self.results), copy)
            checkpoint, copy = (replace(c, name=self.names[checkpoint.path]) for c in (checkpoint, copy))
        if copy:  # on a full disk it is not seen yet
            write_links(checkpoint, Path(copy.path), stamp)
        self.seen_stamps[checkpoint.path] = stamp
        self.failures.pop(checkpoint.path, None)
        self.last_news = self.clock()
        if copy:
            self.waiting.append((checkpoint, copy))
            problem = self.explain_unloadable(copy)
            warning = f"; it cannot be scored: {problem}" if problem else ""
            self.listener.tell(f"{checkpoint.name}: found, {len(self.waiting)} waiting{warning}")
        else:
            self.listener.tell(f"{checkpoint.name}: deleted by its run before it could be linked: not scored")

    def checkpoints(self) -> list[Checkpoint]:
        """What lies below the paths now and is selected; a path that does not exist yet holds nothing yet."""
        try:
            return discovery.find_so_far(self.paths, self.selection)
        except FileNotFoundError:
            return []  # the run deleted something while it was being read: the next look will tell

    def begin(self, checkpoint: str, task: str, total: int, done: int) -> None:
        self.listener.begin(checkpoint, task, total, done)

    def advance(self) -> None:
        self.listener.advance()
        self.look_in_time()

    def count_tokens(self, block: int, tokens: int, seconds_left: float | None) -> None:
        if isinstance(self.listener, TokenListener):
            self.listener.count_tokens(block, tokens, seconds_left)
        self.look_in_time()

    def end(self, outcome: Outcome) -> None:
        self.listener.end(outcome)
        self.look_in_time()

    def look_in_time(self) -> None:
        if self.clock() - self.last_look >= self.every:
            self.look()


def check_selection(selection: Selection) -> None:
    """Refuses flags that choose among finished checkpoints, steps that are none, and folders that are not there."""
    if selection.last or selection.best:
        raise SkilldeltaError("--last and --best choose among the checkpoints of a finished run: use them with `score`.")
    if selection.steps:
        parse_steps(selection.steps)
    apply_source(Checkpoint("", "", ""), selection)


def link_checkpoint(checkpoint: Checkpoint, folder: Path, stamp: str = "") -> Checkpoint | None:
    """The checkpoint behind links of our own; None when its run deleted it before every file was linked.

    OSError where a file can be neither linked nor copied, although it is there.
    """
    source = Path(checkpoint.path)
    target = folder / folder_name(f"{checkpoint.name}~{stamp[:8]}") / source.name
    shutil.rmtree(target.parent, ignore_errors=True)
    target.parent.mkdir(parents=True)
    try:
        if source.is_file():  # GGUF
            link_file(source, target)
        else:
            link_files(source, target)
    except OSError:
        shutil.rmtree(target.parent, ignore_errors=True)
        if source.exists() and stamp_files(source) == stamp:
            raise
        return None
    # Its deletion may have begun before the first link: then it is not whole any more.
    is_whole = stamp_files(source) == stamp and is_complete(source, checkpoint.base)
    if not is_whole and not is_complete(target, checkpoint.base):
        shutil.rmtree(target.parent, ignore_errors=True)
        return None
    return replace(checkpoint, path=str(target))


def link_files(source: Path, target: Path) -> None:
    """Links a folder's own files alone: a run's final model lies next to the folders of its steps."""
    target.mkdir()
    for file in source.iterdir():
        if file.is_file() and not is_for_training(file):
            link_file(file, target / file.name)


def score_new_checkpoints(
    watch: Watch, tasks: Sequence[Task], loader: Loader, results: Results, settings: EvaluationSettings, idle: float
) -> Iterator[list[Outcome]]:
    """Scores each checkpoint on all tasks as it comes; ends after `idle` seconds without a new one (inf: never).

    SkilldeltaError where another process watches the same paths for the same results.
    """
    watch.folder.mkdir(parents=True, exist_ok=True)
    try:
        lock = FolderLock(watch.folder)
    except BlockingIOError as error:
        raise SkilldeltaError(f"Another process watches the same paths ({watch.folder}): wait for it, or stop it.") from error
    try:
        watch.explain_unloadable = find_explanation(loader)
        watch.adopt()
        while True:
            watch.look()
            while watch.waiting:
                checkpoint, copy = watch.waiting[0]
                outcomes = score_checkpoints([copy], tasks, loader, results, settings, watch)
                if any(o.state != "failed" for o in outcomes):
                    results.add(checkpoint, fingerprint.hash_checkpoint(copy))  # under the run's own path, not ours
                watch.waiting.pop(0)
                shutil.rmtree(Path(copy.path).parent, ignore_errors=True)
                yield outcomes
            if watch.clock() - watch.last_news >= idle:
                return
            time.sleep(min(watch.every, max(idle - (watch.clock() - watch.last_news), 0.1)))
    finally:
        if not watch.waiting:
            shutil.rmtree(watch.folder, ignore_errors=True)
            if watch.folder.parent.name == LINK_FOLDER and not any(watch.folder.parent.iterdir()):
                watch.folder.parent.rmdir()
        lock.release()


def watch_name(paths: Sequence[str]) -> str:
    """A name for the watch of these paths: what an earlier process of it has left is found under it."""
    return digest(sorted(str(Path(path).resolve()) for path in paths))
