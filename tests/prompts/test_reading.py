"""The reading step: from what a model wrote to what a task scores."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.prompts.reading import plain_quotes


@pytest.mark.parametrize(
    ("typographic", "plain"),
    [
        ("I can’t, she ‘said’", "I can't, she 'said'"),
        ("“Yes”, „ja“, «oui»", '"Yes", "ja", "oui"'),
        ("don´t, donʼt, don＇t, don′t", "don't, don't, don't, don't"),
        ("`code` - — … é", "`code` - — … é"),
    ],
)
def test_typographic_quotes_are_read_as_plain_ones(typographic: str, plain: str) -> None:
    assert plain_quotes(typographic) == plain


@given(st.text())
def test_plain_quotes_keep_every_place_of_a_text(text: str) -> None:
    assert len(plain_quotes(text)) == len(text)
    assert plain_quotes(plain_quotes(text)) == plain_quotes(text)
