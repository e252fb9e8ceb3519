"""Tables on the screen: every word of every cell is there, within the width, and a name is broken last."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.cli import screen

CELLS = st.text("abcdefgh", min_size=1, max_size=60)


@given(longest=st.lists(st.integers(1, 300), min_size=1, max_size=9), width=st.integers(1, 200))
def test_columns_share_the_width(longest: list[int], width: int) -> None:
    sizes = screen.share_width(longest, width)
    assert len(sizes) == len(longest)
    assert all(1 <= size <= wish for size, wish in zip(sizes, longest, strict=True))
    if sum(longest) <= width:
        assert sizes == longest
    elif width >= 2 * len(longest):
        assert sum(sizes) <= width
        assert sizes[0] == min(longest[0], width // 2)
        cut = [size for size, wish in zip(sizes[1:], longest[1:], strict=True) if size < wish]
        assert all(size >= bound - 1 for size in cut for bound in sizes[1:]), "a wide column is as wide as any"


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
