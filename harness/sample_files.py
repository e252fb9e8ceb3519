"""A file of samples, read line by line: what is no sample, and what contradicts itself, is an error with its line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path

from harness.bounded_files import UnreadableFileError, open_text
from harness.json_lines import InvalidLineError, complete_lines, read_lines
from harness.sample_lines import sample_from_json
from harness.types import Sample, SkilldeltaError
from harness.visible_text import printable


@dataclass
class ScoreLines:
    """The scores so far, each with its line.

    Of two lines of one sample the last one counts, since what failed is asked again.  Two scores that differ are no such case:
    somebody joined two files, or wrote into one.
    """

    file: Path
    scores: dict[tuple[str, int], tuple[float, int]] = field(default_factory=dict)

    def add(self, sample: Sample, number: int) -> None:
        """SkilldeltaError where an earlier line gives the sample another score."""
        if (score := sample.score.value) is None:
            return
        before, line = self.scores.setdefault(sample.key, (score, number))
        if before != score:
            raise SkilldeltaError(
                f"{self.file}, lines {line} and {number}, are one sample (example {printable(sample.example)[:80]}, draw "
                f"{sample.draw}) with two scores, {before:g} and {score:g}: nothing says which one holds.\n"
                "Delete the line that is wrong, or both: the example is then asked again."
            )


def read_samples(file: Path) -> Iterator[Sample]:
    """The samples of a file.  A torn last line (the process was killed while writing) is passed over."""
    place, score_lines = 0, ScoreLines(file)
    with open_samples(file) as stream:
        try:
            for place, value in read_lines(complete_lines(stream)):
                sample = sample_from_json(value)
                score_lines.add(sample, place)
                yield sample
        except OSError as error:  # a disk that fails, a server that has forgotten the file
            raise SkilldeltaError(f"{file} cannot be read: {error.strerror}.") from error
        except (ValueError, TypeError, OverflowError) as error:
            number = error.lineno if isinstance(error, InvalidLineError) else place
            fault = f"{file}, line {number}, is not a sample ({printable(str(error))[:300]})"
            raise SkilldeltaError(f"{fault}.\nDelete that line: its example is asked again.") from error


def open_samples(file: Path) -> BufferedReader:
    """SkilldeltaError for what is no file of text."""
    try:
        return open_text(file)
    except UnreadableFileError as error:
        raise SkilldeltaError(f"{file.parent}: {error}.") from error
