"""Tables on the screen: every word of every cell is there, within the width, and a name is broken last."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.cli import screen

CELLS = st.text("abcdefgh", min_size=1, max_size=60)


@given(st.lists(st.tuples(st.integers(1, 300), st.integers(1, 12)), min_size=1, max_size=9), st.integers(1, 200))
def test_columns_share_the_width(columns: list[tuple[int, int]], width: int) -> None:
    longest, words = [wish for wish, _ in columns], [min(pair) for pair in columns]
    sizes = screen.share_width(longest, words, width)
    assert all(1 <= size <= wish for size, wish in zip(sizes, longest, strict=True))
    if sum(longest) <= width:
        assert sizes == longest
        return
    assert sum(sizes) <= max(width, len(sizes))
    first = min(longest[0], max(width // 2, 1))
    if first + sum(words[1:]) <= width:
        assert sizes[0] >= first
        assert all(size >= word for size, word in zip(sizes[1:], words[1:], strict=True)), "no word is broken"


@given(rows=st.lists(st.tuples(CELLS, CELLS, CELLS), min_size=1, max_size=4), width=st.integers(30, 120))
def test_no_letter_of_a_cell_is_lost(rows: list[tuple[str, str, str]], width: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        lines: list[str] = []
        patch.setenv("COLUMNS", str(width))
        patch.setattr(screen.sys.stdout, "write", lines.append)
        screen.print_table(["X", "Y", "Z"], rows, right=["Z"])
    text = "".join(lines)
    assert all(len(line) <= width and line == line.rstrip() for line in text.splitlines())
    assert sorted(text.replace(" ", "").replace("\n", "")) == sorted("XYZ" + "".join(map("".join, rows)))
