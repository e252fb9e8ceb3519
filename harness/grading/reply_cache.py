"""A model whose replies are kept on the disk: what was answered, and may have been paid for, is never asked twice.

A reply is found by what the model is (weights or served name, settings) and by the whole request.  Failures are not kept.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

from harness.bounded_files import UnreadableFileError, is_listed, open_bytes
from harness.file_locks import lock_folder
from harness.json_lines import complete_lines, open_writer, parse_line
from harness.row_bounds import bounded_lines
from harness.types import Json, Model, Request, Response, SkilldeltaError, digest

VARIABLE = "SKILLDELTA_JUDGE_CACHE"  # another folder for replies; "none": they are not kept
SPOILT = ("error", "overlong")  # endings of no reply
MAX_BYTES = 1 << 31  # of the replies of one judge
WAY_OUT = f"Name another folder with {VARIABLE}=FOLDER, or {VARIABLE}=none to ask again whatever is lost."
NAMES = {each.name for each in fields(Response)}


def replies_folder() -> Path | None:
    """Where replies are kept; None: nowhere."""
    if (place := os.environ.get(VARIABLE, "")) == "none":
        return None
    return Path(place or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "skilldelta" / "judges")


@dataclass
class ReplyUsage:
    """What was asked, and what it took.  `hits`: requests that an earlier reply answered."""

    requests: int = 0
    hits: int = 0
    failures: int = 0
    tokens_in: int = 0
    tokens_out: int = 0

    def count(self, response: Response) -> None:
        self.requests += 1
        self.failures += response.finish in SPOILT
        self.tokens_in += response.tokens_in
        self.tokens_out += response.tokens_out


@dataclass
class ReplyCache:
    """The replies of one model in a file: a line {"request", "response"} each, appended as it comes."""

    file: Path | None
    replies: dict[str, Response] = field(default_factory=dict)
    position: int = 0  # bytes of the file that have been read

    @classmethod
    def of(cls, identity: Json, folder: Path | None) -> ReplyCache:
        return cls(folder / f"{digest(identity, 32)}.jsonl" if folder else None)

    def refresh(self) -> None:
        """Reads what this process, or another, has appended.  Lines that are damaged are passed over: they are asked again.

        SkilldeltaError where it is no file, or larger than any judge's replies.
        """
        if self.file is None or not is_listed(self.file):
            return
        try:
            with open_bytes(self.file) as stream:
                self.read_on(stream)
        except ValueError as error:
            place = "" if isinstance(error, UnreadableFileError) else f"{self.file.name}: "
            raise SkilldeltaError(
                f"The judge's replies in {self.file.parent} cannot be read: {place}{error}.\n{WAY_OUT}"
            ) from error

    def read_on(self, stream: BinaryIO) -> None:
        """Reads the replies that are not read yet.  ValueError where there are too many, or one is too long."""
        if (size := os.fstat(stream.fileno()).st_size) > MAX_BYTES:
            raise ValueError(f"it has {size:,} bytes, more than the {MAX_BYTES:,} that are read")
        stream.seek(self.position)
        for line in complete_lines(bounded_lines(stream)):
            self.position += len(line)
            if (reply := parse_reply(line)) is not None:
                self.replies[reply[0]] = reply[1]

    def keep(self, key: str, response: Response) -> None:
        """Appends a reply.  SkilldeltaError where it cannot be written: it would be paid for again."""
        self.replies[key] = response
        if self.file is None:
            return
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with lock_folder(self.file.parent), self.file.open("ab+") as stream:
                end_torn_line(stream)
                open_writer(stream).write({"request": key, "response": asdict(response)})
        except OSError as error:
            raise SkilldeltaError(f"The judge's replies cannot be kept in {self.file}: {error.strerror}.\n{WAY_OUT}") from error


def end_torn_line(stream: BinaryIO) -> None:
    """Ends a last line that a killed process left without its newline, so that it spoils no other."""
    if stream.seek(0, os.SEEK_END):
        stream.seek(-1, os.SEEK_END)
        if stream.read(1) != b"\n":
            stream.write(b"\n")


def parse_reply(line: bytes) -> tuple[str, Response] | None:
    """(request, response) of a line; None where it is none."""
    try:
        value: Any = parse_line(line.decode())
        content = value["response"]
        texts = ("text", "error", "reasoning")
        if not isinstance(value["request"], str) or not all(isinstance(content.get(name, ""), str) for name in texts):
            return None
        known_fields = {name: each for name, each in content.items() if name in NAMES}
        numbers = {name: tuple(map(kind, content.get(name, ()))) for name, kind in (("logprobs", float), ("greedy", bool))}
        return value["request"], Response(**known_fields | numbers)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


class CachedModel:
    """Answers from the cache, and asks the model, which is loaded only then, for the rest.  Each reply is kept as it comes."""

    def __init__(self, load: Callable[[], Model], cache: ReplyCache) -> None:
        self.load, self.cache, self.usage = load, cache, ReplyUsage()

    @cached_property
    def model(self) -> Model:
        return self.load()

    def answer(self, requests: Sequence[Request]) -> Iterator[tuple[int, Response]]:
        """Every response with its request's place; equal requests are asked once."""
        self.cache.refresh()
        places: dict[str, list[int]] = {}
        for place, request in enumerate(requests):
            places.setdefault(request.id, []).append(place)
        missing = [requests[at[0]] for key, at in places.items() if key not in self.cache.replies]
        self.usage.hits += len(places) - len(missing)
        for key, at in places.items():
            if key in self.cache.replies:
                yield from ((place, self.cache.replies[key]) for place in at)
        if not missing:
            return
        for index, response in self.model.answer(missing):
            self.usage.count(response)
            key = missing[index].id
            if response.finish not in SPOILT:
                self.cache.keep(key, response)
            yield from ((place, response) for place in places[key])
