"""Shares, as flags take them."""

import math

import pytest

from harness.shares import check_share
from harness.types import SkilldeltaError


@pytest.mark.parametrize("share", [1e-9, 0.02, 0.5, 1.0])
def test_what_is_a_share_is_taken(share: float) -> None:
    check_share("--share", share)


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.0, "--share 0: a share is above 0 and at most 1, such as 0.1."),
        (-0.1, "--share -0.1: a share is above 0 and at most 1, such as 0.1."),
        (math.nan, "--share nan: a share is above 0 and at most 1, such as 0.1."),
        (2.0, "--share 2: a share is above 0 and at most 1: for 2 % write 0.02."),
        (100.0, "--share 100: a share is above 0 and at most 1: for 100 % write 1."),
        (150.0, "--share 150: a share is above 0 and at most 1, such as 0.1."),
    ],
)
def test_what_is_none_is_refused_with_the_way_out(share: float, text: str) -> None:
    with pytest.raises(SkilldeltaError) as error:
        check_share("--share", share)
    assert str(error.value) == text


def test_of_a_part_not_all_may_be_taken() -> None:
    with pytest.raises(SkilldeltaError, match="above 0 and below 1, such as"):
        check_share("--holdout", 1.0, may_be_all=False)
