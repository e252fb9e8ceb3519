"""The noise floor: how many answers change when the same checkpoint is asked again in another batch or precision."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.comparison.estimate import Floats

STATED = 0.2  # a noise that makes more than this share of the discordance is added to the interval


@dataclass(frozen=True)
class Noise:
    """`n` items asked twice; `flips` of them scored differently; `shift` is the second mean minus the first."""

    n: int
    flips: int
    shift: float

    @property
    def rate(self) -> float:
        return self.flips / self.n if self.n else 0.0


def measure(first: Floats, second: Floats) -> Noise:
    """From the scores of the same items, asked twice (NaN: unscored, left out)."""
    both = ~(np.isnan(first) | np.isnan(second))
    change = second[both] - first[both]
    return Noise(int(both.sum()), int(np.sum(change != 0)), float(change.mean()) if both.any() else 0.0)


def share(noise: Noise, discordance: float) -> float:
    """The share of the items that differ between two checkpoints that noise alone would make differ."""
    return noise.rate / discordance if discordance > 0 else float(noise.rate > 0)


def added(noise: Noise, discordance: float, n: int, stated: float = STATED) -> float:
    """The variance to add to a difference over `n` items: that of the flips, where noise makes more than the stated share.

    Flips that fall on items one by one are in the discordance already; what is added is for the case that they do not
    (another batch moves many items the same way), so it errs on the safe side.
    """
    return noise.rate / n if share(noise, discordance) > stated else 0.0
