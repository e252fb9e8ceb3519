"""How the rows of a source are read."""

from __future__ import annotations

from dataclasses import dataclass, field

from harness.types import SkilldeltaError


@dataclass(frozen=True)
class ParseSettings:
    """How rows are read, and the labels of their source.

    `rate` orders completions: "mean" of the aspects, "overall", or one aspect.  With `chat`, plain text becomes turns.
    `ignore` columns are no part of a row; `ignored` collects those of them that a row has, `unused` the names of columns that
    nothing read, `numbers` the labels and winners that are written as numbers: what they mean, only the whole source says.
    """

    rate: str = "mean"
    seed: int = 0
    source: str = ""
    kind: str = ""
    chat: bool = False
    ignore: tuple[str, ...] = ()
    ignored: set[str] = field(default_factory=set, compare=False)
    unused: set[str] = field(default_factory=set, compare=False)
    numbers: set[str] = field(default_factory=set, compare=False)

    def check_numbers(self) -> None:
        """Raises SkilldeltaError where numbers may mean either of two things."""
        if {"winner 1", "winner 0"} <= self.numbers and "winner 2" not in self.numbers:
            raise SkilldeltaError(
                f"The winners of {self.source} are 0 and 1: 0 may be the first answer or a tie.  Write a, b or tie instead."
            )
        if {"-1", "0"} <= self.numbers:
            raise SkilldeltaError(
                f"The labels of {self.source} are -1, 0 and 1, of which 0 is neither desirable nor undesirable: leave those "
                "rows out, or write true and false."
            )
