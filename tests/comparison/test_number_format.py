"""Numbers as text: one minus sign everywhere, and none before zero."""

import pytest

from harness.comparison.number_format import format_change, format_number


@pytest.mark.parametrize(
    ("value", "signed", "decimals", "text"),
    [
        (-0.04, True, 1, "0.0"),
        (0.04, True, 1, "0.0"),
        (-0.0, False, 1, "0.0"),
        (-10.0, True, 1, "−10.0"),
        (10.0, True, 1, "+10.0"),
        (-0.00001, True, 4, "0.0000"),
        (0.0, True, 0, "0"),
        (-20.0, True, 0, "−20"),
        (float("nan"), True, 1, "—"),
        (None, False, 1, "—"),
    ],
)
def test_a_number_reads_the_same_in_every_view(value: float | None, signed: bool, decimals: int, text: str) -> None:
    assert format_number(value, signed, decimals) == text


def test_a_difference_stands_with_its_interval() -> None:
    assert format_change(-1.25, -3.0, 0.0) == "−1.2 [−3.0, 0.0]"
