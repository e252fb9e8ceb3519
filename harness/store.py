"""The results folder: append-only samples, resume, what is done already.

RESULTS/skilldelta.json                    says that this is a results folder, and its format
RESULTS/<checkpoint>/checkpoint.json       what the checkpoint is, with its fingerprint
RESULTS/<checkpoint>/<task>/task.json      what was asked and how; the only place for times
RESULTS/<checkpoint>/<task>/samples.jsonl  one line per example and draw
RESULTS/_examples/<task>.jsonl             the rows that were asked about, by their hash: for people who read samples
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from io import BufferedRandom
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

from harness.fingerprint import differences
from harness.types import Checkpoint, Example, Finish, Response, Sample, Score, SkilldeltaError

MARKER = "skilldelta.json"
FORMAT = 1
Key = tuple[str, int]  # example, draw


def folder_name(name: str) -> str:
    """A checkpoint's or task's name as the name of a folder, never a path: anything unusual percent-encoded."""
    return quote(name, safe="@+=, -_.~:()") if name.strip(".") else name.replace(".", "%2E")


def write_json(path: Path, value: Any) -> None:
    """Writes JSON whole or not at all: a reader never sees half of it."""
    write_bytes(path, (json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True) + "\n").encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Writes a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(f".{path.name}.{os.getpid()}")
    half.write_bytes(content)
    half.replace(path)


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object of a file of the results folder."""
    try:
        return cast(dict[str, Any], json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise SkilldeltaError(f"{path} cannot be read ({error}): the results folder is damaged there.") from error


def line(sample: Sample) -> bytes:
    """A sample as one line of samples.jsonl, newline included; what is empty is left out."""
    response, score = sample.response, sample.score
    value: dict[str, Any] = {
        "example": sample.example,
        "draw": sample.draw,
        "request": sample.request,
        "response": list(response.logprobs) if response.logprobs else response.text,
        "finish": response.finish,
        "tokens_in": response.tokens_in,
        "tokens_out": response.tokens_out,
        "score": score.value,
        "read_as": score.extracted,
    }
    extra = {
        "greedy": list(response.greedy),
        "cut": response.truncated,
        "error": response.error,
        "parts": dict(score.parts),
        "why": score.why,
        "group": sample.group,
        "cluster": sample.cluster,
    }
    return encode(value | {k: v for k, v in extra.items() if v})


def encode(value: Any) -> bytes:
    """A value as one line of UTF-8 JSON; lone surrogates, which UTF-8 cannot hold, are escaped."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False).encode() + b"\n"
    except UnicodeEncodeError:
        return json.dumps(value, allow_nan=False).encode() + b"\n"


def parse(text: bytes) -> Sample:
    """The sample in a line; ValueError or KeyError when it is none."""
    value = json.loads(text)
    said = value["response"]
    response = Response(
        text=said if isinstance(said, str) else "",
        finish=cast(Finish, value["finish"]),
        logprobs=() if isinstance(said, str) else tuple(said),
        greedy=tuple(value.get("greedy", ())),
        tokens_in=value["tokens_in"],
        tokens_out=value["tokens_out"],
        truncated=value.get("cut", 0),
        error=value.get("error", ""),
    )
    score = Score(value["score"], value["read_as"], value.get("parts", {}), value.get("why", ""))
    return Sample(
        value["example"], value["request"], response, score, value["draw"], value.get("group", ""), value.get("cluster", "")
    )


@dataclass(frozen=True)
class Cell:
    """One checkpoint on one task."""

    folder: Path

    @property
    def samples_file(self) -> Path:
        return self.folder / "samples.jsonl"

    def about(self) -> dict[str, Any]:
        """What task.json says; {} for a cell that was never begun."""
        path = self.folder / "task.json"
        return read_json(path) if path.exists() else {}

    def samples(self) -> Iterator[Sample]:
        """The stored samples.  A torn last line (the process was killed while writing) is passed over."""
        if not self.samples_file.exists():
            return
        with self.samples_file.open("rb") as stream:
            for number, text in enumerate(stream, 1):
                if not text.endswith(b"\n"):
                    return
                try:
                    yield parse(text)
                except (ValueError, KeyError, TypeError) as error:
                    raise SkilldeltaError(
                        f"{self.samples_file}, line {number}, is not a sample ({error!r}).\n"
                        "Delete that line: its example is asked again."
                    ) from error

    def begin(self, about: Mapping[str, Any]) -> None:
        """Writes task.json, unless it is there; refuses a cell that was begun with something else."""
        if there := self.about():
            keys = ("task", "asked", "answered", "fingerprint")
            unlike = differences({k: there.get(k) for k in keys}, {k: about.get(k) for k in keys})
            if unlike:
                listed = "\n".join(f"  {name}: stored {one}, now {other}" for name, one, other in unlike)
                raise SkilldeltaError(
                    f"{self.folder} holds samples that were made differently:\n{listed}\n"
                    "Score into another folder (-o), or delete this one to start again."
                )
        self.note(about)

    def note(self, facts: Mapping[str, Any]) -> None:
        """Adds facts to task.json, or changes them."""
        write_json(self.folder / "task.json", self.about() | dict(facts))

    def rewrite(self, samples: Iterable[Sample]) -> None:
        """Replaces all samples, whole or not at all."""
        half = self.folder / f".samples.{os.getpid()}"
        with half.open("wb") as stream:
            stream.writelines(map(line, samples))
            stream.flush()
            os.fsync(stream.fileno())
        half.replace(self.samples_file)


class Writer:
    """Appends samples to a cell, each flushed as it comes.  One writer at a time: a second is refused."""

    def __init__(self, cell: Cell) -> None:
        cell.folder.mkdir(parents=True, exist_ok=True)
        self.cell = cell
        self.lock = os.open(cell.folder, os.O_RDONLY)
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self.lock)
            raise SkilldeltaError(f"Another process is writing {cell.folder}: wait for it, or stop it.") from error
        self.stream = cell.samples_file.open("ab+")
        mend(self.stream)

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *_: object) -> None:
        self.stream.close()
        os.close(self.lock)

    def append(self, sample: Sample) -> None:
        self.stream.write(line(sample))
        self.stream.flush()

    def sort(self, order: Sequence[Key]) -> None:
        """Puts the finished cell into the order of its examples, so that the same inputs give the same bytes."""
        place = {key: i for i, key in enumerate(order)}
        found = {(s.example, s.draw): s for s in self.cell.samples()}
        self.cell.rewrite(sorted(found.values(), key=lambda s: place[s.example, s.draw]))


def mend(stream: BufferedRandom) -> None:
    """Cuts a torn last line off."""
    stream.seek(0)
    whole = 0
    for text in stream:
        if not text.endswith(b"\n"):
            break
        whole += len(text)
    stream.truncate(whole)
    stream.seek(0, os.SEEK_END)


class Results:
    """A results folder."""

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        if not (self.folder / MARKER).is_file():
            state = "There is no folder" if not self.folder.exists() else "Not a results folder:"
            raise SkilldeltaError(f"{state} {self.folder}.  `skilldelta score ... -o FOLDER` makes one (it holds {MARKER}).")
        if (found := read_json(self.folder / MARKER).get("format")) != FORMAT:
            raise SkilldeltaError(f"{self.folder} has format {found!r}; this version reads {FORMAT}.")

    @classmethod
    def make(cls, folder: Path | str) -> Results:
        """Opens a results folder, or makes one of a new or empty folder."""
        path = Path(folder)
        if path.exists() and not path.is_dir():
            raise SkilldeltaError(f"{path} is a file, not a folder for results.")
        if not (path / MARKER).exists():
            if path.exists() and any(path.iterdir()):
                raise SkilldeltaError(f"{path} holds other things, and no {MARKER}: name a new or empty folder for results.")
            write_json(path / MARKER, {"format": FORMAT})
        return cls(path)

    def add(self, checkpoint: Checkpoint, fingerprint: Mapping[str, str]) -> None:
        """Notes a checkpoint; refuses another one under the same name."""
        path = self.folder / folder_name(checkpoint.name) / "checkpoint.json"
        if path.exists() and (there := read_json(path))["fingerprint"] != dict(fingerprint):
            unlike = ", ".join(name for name, *_ in differences(there["fingerprint"], dict(fingerprint)))
            raise SkilldeltaError(
                f"{self.folder} already holds another checkpoint named {checkpoint.name!r} ({there['path'] or 'recorded'}); "
                f"they differ in: {unlike}.\nGive this one a --name, or score into another folder."
            )
        write_json(path, asdict(checkpoint) | {"fingerprint": dict(fingerprint)})

    def cell(self, checkpoint: str, task: str) -> Cell:
        return Cell(self.folder / folder_name(checkpoint) / folder_name(task))

    def examples_file(self, task: str) -> Path:
        return self.folder / "_examples" / f"{folder_name(task)}.jsonl"

    def keep(self, task: str, examples: Iterable[Example]) -> None:
        """Keeps rows beside the samples, each once: what is there stays."""
        path = self.examples_file(task)
        there = path.read_bytes() if path.exists() else b""
        known = {json.loads(text)["example"] for text in there.split(b"\n") if text}
        new = {e.id: e for e in examples if e.id not in known}
        if new:
            write_bytes(path, there + b"".join(encode({"example": key, "row": dict(e.row)}) for key, e in new.items()))

    def checkpoints(self) -> dict[str, dict[str, Any]]:
        """What checkpoint.json says, by name, in the order of run, step and name."""
        records = [read_json(p) for p in sorted(self.folder.glob("*/checkpoint.json"))]
        # A run's final model (no step) comes after its numbered checkpoints.
        records.sort(key=lambda c: (c["run"], c["step"] is None, c["step"] or 0, c["name"]))
        return {c["name"]: c for c in records}

    def cells(self) -> Iterator[tuple[str, dict[str, Any], Cell]]:
        """(checkpoint name, task.json, cell) of everything that was begun."""
        for name in self.checkpoints():
            for path in sorted((self.folder / folder_name(name)).glob("*/task.json")):
                yield name, read_json(path), Cell(path.parent)
