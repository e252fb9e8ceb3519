"""What a case comes to on a checkout."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """`fault`: why it does not hold.  `absent`: the checkout has no such command, flag or program."""

    name: str
    fault: str = ""
    absent: bool = False
