"""Alpha spending: tests that come one after another without an end, with one error for all of them.

Test number k is made at level alpha / (k (k + 1)).  These levels sum to alpha, since 1 / (k (k + 1)) = 1 / k - 1 / (k + 1).  By
the union bound the chance of any false alarm is at most alpha, however the tests depend on each other and whenever one stops
(Foster and Stine 2008; Tian and Ramdas 2021).
"""

from __future__ import annotations

import math


def spend_alpha(alpha: float, number: int) -> float:
    """The level of test `number` (1, 2, ...)."""
    return alpha / (number * (number + 1))


def draws_to_reject(alpha: float, tests: int) -> int:
    """How many random draws let Holm's correction over `tests` reach `alpha`, with as many again to spare.

    The smallest p-value of B draws is 1 / (B + 1), and the correction multiplies it by `tests`.
    """
    return math.ceil(2 * max(tests, 1) / alpha)
