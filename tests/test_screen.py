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


def test_a_table_whose_words_would_break_stands_as_several_with_the_names_in_each(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    columns = ["checkpoint", "average", "factuality", "reasoning", "coding", "truthfulness", "safety", "instruction following"]
    rows = [[f"dpo@{i}00", *["50.8\n+10.6 ·\n[−10.4, +13.6]"] * 7] for i in (1, 2)]
    for width, count in ((160, 1), (100, 1), (80, 2), (40, 4)):
        monkeypatch.setenv("COLUMNS", str(width))
        screen.print_wide_table(columns, rows, title="Scores")
        text = capsys.readouterr().out
        assert text.count("Scores") == 1
        assert text.count("dpo@100") == count
        assert all(word in text.split() for name in columns for word in name.split()), "no word is broken"
        assert text.count("[−10.4,") == 14
        assert max(map(len, text.splitlines())) <= width


@pytest.mark.parametrize("terminal", [False, True])
def test_sentences_break_between_words_on_a_terminal_alone(
    terminal: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "Ship dpo-a@200: +2.3 [+0.3, +4.3] points on average against sft; cannot be told from it: dpo-a@100."
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setattr(screen.sys.stdout, "isatty", lambda: terminal)
    screen.say_sentences(text)
    lines = capsys.readouterr().out.splitlines()
    assert " ".join(lines) == text
    assert (max(map(len, lines)) <= 40) == terminal


@given(st.lists(st.tuples(st.integers(1, 90), st.integers(1, 30)), min_size=2, max_size=12), st.integers(10, 200))
def test_every_column_stands_in_one_group_and_each_group_fits(columns: list[tuple[int, int]], width: int) -> None:
    longest, words = [wish for wish, _ in columns], [min(pair) for pair in columns]
    groups = screen.group_columns(longest, words, width)
    assert [place for group in groups for place in group] == list(range(1, len(columns)))
    for group in groups:
        total = min(longest[0], width // 2) + sum(screen.GAP + min(words[p], screen.MAX_WHOLE_WORD) for p in group)
        assert total <= width or len(group) == 1


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
