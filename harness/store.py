"""The results folder: append-only samples, resume, what is done already.

RESULTS/skilldelta.json                    says that this is a results folder, and its format
RESULTS/<checkpoint>/checkpoint.json       what the checkpoint is, with its fingerprint
RESULTS/<checkpoint>/<task>/task.json      what was asked and how; the only place for times
RESULTS/<checkpoint>/<task>/samples.jsonl  one line per example and draw
RESULTS/_examples/<task>.jsonl             the rows that were asked about, by their hash: for people who read samples
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from harness.atomic_files import encode_json, folder_name, remove_halves, whole_file, whole_stream, write_json
from harness.bounded_files import is_folder, is_listed, read_stored_json
from harness.differences import changed_parts, describe_differences
from harness.example_rows import add_rows, read_rows
from harness.file_locks import lock_folder
from harness.grouping import run_order
from harness.json_lines import Writer, open_writer, remove_torn_line
from harness.own_folders import make_locked
from harness.records import CellRecord, CheckpointRecord, read_record
from harness.results_marker import FORMAT, mark_folder
from harness.results_marker import MARKER as MARKER
from harness.sample_files import read_samples
from harness.sample_lines import sample_to_json
from harness.types import Checkpoint, Example, Json, Sample, SkilldeltaError
from harness.visible_text import printable

RECORD = "checkpoint.json"
READABLE = (1, 2)
SampleKey = tuple[str, int]  # of Sample.key: Example.id and draw


@dataclass(frozen=True)
class Cell:
    """One checkpoint on one task."""

    folder: Path

    @property
    def samples_file(self) -> Path:
        return self.folder / "samples.jsonl"

    @property
    def record_file(self) -> Path:
        return self.folder / "task.json"

    def read(self) -> CellRecord:
        """What task.json says; SkilldeltaError where there is none."""
        return read_record(self.record_file, CellRecord)

    def record(self) -> CellRecord | None:
        """What task.json says; None for a cell that was never begun."""
        return self.read() if is_listed(self.record_file) else None

    def samples(self) -> Iterator[Sample]:
        """The stored samples.  SkilldeltaError, with the line, for a damaged file."""
        if is_listed(self.samples_file):
            yield from read_samples(self.samples_file)

    def begin(self, record: CellRecord, ask_again: bool = False) -> None:
        """Writes task.json.  SkilldeltaError where the cell was begun with other inputs, another backend or checkpoint.

        With `ask_again` the samples that were made differently are taken out instead.
        """
        before = self.record()
        unlike = before.differences(record) if before else []
        if unlike and not ask_again and next(self.samples(), None):
            raise SkilldeltaError(describe_differences(self.folder, unlike))
        if unlike or not before:  # without a record nobody knows what samples were asked
            self.clear()
            before = None
        earlier = replace(before, traceback="").to_json() if before else {}  # the failure is over, as its `why` is
        write_json(self.record_file, earlier | record.to_json())

    def write_record(self, record: CellRecord) -> None:
        write_json(self.record_file, record.to_json())

    def clear(self) -> None:
        """Takes the samples out, and what task.json says of them."""
        self.samples_file.unlink(missing_ok=True)
        self.record_file.unlink(missing_ok=True)

    def update(self, **changes: Any) -> None:
        """Changes fields of task.json, which must be there."""
        self.write_record(replace(self.read(), **changes))

    def rewrite(self, samples: Iterable[Sample], record: CellRecord | None = None) -> None:
        """Replaces all samples, and the record with them, whole or not at all: both are written before either has its name."""
        with ExitStack() as stack:
            if record:  # entered first: it has its name last
                stack.enter_context(whole_file(self.record_file)).write_bytes(encode_json(record.to_json()))
            open_writer(stack.enter_context(whole_stream(self.samples_file))).write_all(map(sample_to_json, samples))


def read_own_record(path: Path) -> CheckpointRecord:
    """A checkpoint.json.  SkilldeltaError where it is damaged, or lies in the folder of another checkpoint."""
    record = read_record(path, CheckpointRecord)
    own_folder = path.parent.parent / folder_name(record.name)
    if not is_folder(str(own_folder)) or not own_folder.samefile(path.parent):
        name = printable(record.name)[:200]
        raise SkilldeltaError(f"{path} is of a checkpoint named {name!r}, which belongs into another folder.")
    return record


class CellInUseError(SkilldeltaError):
    """Another process is writing a cell."""


class SampleWriter:
    """The one writer of a cell, from its record to its last sample; a second is refused with CellInUseError.

    Each sample is flushed as it comes.
    """

    def __init__(self, cell: Cell) -> None:
        self.cell = cell
        try:
            lock = make_locked(cell.folder)
        except BlockingIOError as error:
            raise CellInUseError(f"Another process is writing {cell.folder}: wait for it, or stop it.") from error
        self.resources = ExitStack()
        self.resources.callback(lock.release)
        for file in (cell.samples_file, cell.record_file):
            remove_halves(file)

    def __enter__(self) -> SampleWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Gives the cell up to other writers."""
        self.resources.close()

    @cached_property
    def lines(self) -> Writer:
        """Opened with the first sample: until then the cell may still be emptied."""
        stream = self.resources.enter_context(self.cell.samples_file.open("ab+"))
        remove_torn_line(stream)
        return open_writer(stream, flush=True)

    def append(self, sample: Sample) -> None:
        self.lines.write(sample_to_json(sample))

    def sort(self, order: Sequence[SampleKey]) -> None:
        """Puts the finished cell into the order of its examples, so that the same inputs give the same bytes."""
        place = {key: i for i, key in enumerate(order)}
        samples = {s.key: s for s in self.cell.samples()}
        self.cell.rewrite(sorted(samples.values(), key=lambda s: place[s.key]))


class Results:
    """A results folder."""

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        if not (self.folder / MARKER).is_file():
            state = "There is no folder" if not self.folder.exists() else "Not a results folder:"
            raise SkilldeltaError(f"{state} {self.folder}.  `skilldelta score ... -o FOLDER` makes one (it holds {MARKER}).")
        self.format = read_stored_json(self.folder / MARKER).get("format")
        if self.format not in READABLE:
            fault = f"{self.folder} has format {self.format!r:.60}; this version of skilldelta reads {READABLE[0]} to {FORMAT}."
            raise SkilldeltaError(f"{fault}  Read it with the version that wrote it, or score into another folder (-o).")

    @classmethod
    def make(cls, folder: Path | str) -> Results:
        """Opens a results folder, or makes one of a new or empty folder."""
        path = Path(folder)
        if path.exists() and not path.is_dir():
            raise SkilldeltaError(f"{path} is a file, not a folder for results.")
        if not (path / MARKER).exists():
            mark_folder(path)
        results = cls(path)
        results.upgrade()
        return results

    def upgrade(self) -> None:
        """Says that the folder has the present format, before anything is written that older versions cannot read."""
        if self.format != FORMAT:
            write_json(self.folder / MARKER, {"format": FORMAT})
            self.format = FORMAT

    def add(self, checkpoint: Checkpoint, fingerprint: Mapping[str, str]) -> None:
        """Writes a checkpoint's record; refuses another checkpoint of the same name."""
        path = self.folder / folder_name(checkpoint.name) / RECORD
        record = CheckpointRecord.of(checkpoint, fingerprint)
        with lock_folder(self.folder):
            before = read_record(path, CheckpointRecord) if is_listed(path) else None
            if before and (parts := changed_parts(before.fingerprint, record.fingerprint)):
                raise SkilldeltaError(
                    f"{self.folder} already holds another checkpoint named {checkpoint.name!r} ({before.path or 'recorded'}); "
                    f"they differ in: {', '.join(name for name, *_ in parts)}.\n"
                    "Give this one a --name, or score into another folder."
                )
            remove_halves(path)
            write_json(path, record.to_json())

    def cell(self, checkpoint: str, task: str) -> Cell:
        return Cell(self.folder / folder_name(checkpoint) / folder_name(task))

    def examples_file(self, task: str) -> Path:
        return self.folder / "_examples" / f"{folder_name(task)}.jsonl"

    def keep(self, task: str, examples: Iterable[Example]) -> None:
        """Stores the examples' rows next to the samples, each once: a row that is there stays as it is."""
        with lock_folder(self.folder):  # two processes may ask different rows of a task
            add_rows(self.examples_file(task), examples)

    def rows(self, task: str) -> dict[str, Json]:
        """The stored rows of a task by example; {} where none were stored."""
        return read_rows(self.examples_file(task))

    def checkpoints(self) -> dict[str, CheckpointRecord]:
        """Every checkpoint by name, in the order of run, step and name."""
        paths = (place / RECORD for place in sorted(self.folder.iterdir()) if is_listed(place / RECORD))
        records = sorted(map(read_own_record, paths), key=lambda c: run_order(c.run, c.step, c.name))
        return {c.name: replace(c, results=str(self.folder)) for c in records}

    def cells(self) -> Iterator[tuple[str, CellRecord, Cell]]:
        """(checkpoint name, task.json, cell) of everything that was begun."""
        for name in self.checkpoints():
            cells = map(Cell, sorted((self.folder / folder_name(name)).iterdir()))
            yield from ((name, cell.read(), cell) for cell in cells if is_listed(cell.record_file))
