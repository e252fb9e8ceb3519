"""Shares, as flags take them: numbers from 0 to 1 everywhere, never percent."""

from __future__ import annotations

from harness.types import SkilldeltaError


def check_share(flag: str, share: float, *, may_be_all: bool = True) -> None:
    """Raises SkilldeltaError where the value of a flag is no share: above 0, and at most 1 (below 1 for `may_be_all=False`).

    A value above 1 is taken for percent, and the error says how to write it.
    """
    if 0 < share < 1 or (share == 1 and may_be_all):
        return
    bound = "at most 1" if may_be_all else "below 1"
    hint = f": for {share:g} % write {share / 100:g}" if 1 < share < 100 or (share == 100 and may_be_all) else ", such as 0.1"
    raise SkilldeltaError(f"{flag} {share:g}: a share is above 0 and {bound}{hint}.")
