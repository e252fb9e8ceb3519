"""How the rows of a source are read."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class ParseSettings:
    """How rows are read, and the labels of their source.

    `rate` orders completions: "mean" of the aspects, "overall", or one aspect.  With `chat`, plain text becomes turns.
    `ignore` columns are no part of a row; `unused` collects the names of those that nothing read.
    """

    rate: str = "mean"
    seed: int = 0
    source: str = ""
    kind: str = ""
    chat: bool = False
    ignore: tuple[str, ...] = ()
    unused: set[str] = field(default_factory=set, compare=False)
