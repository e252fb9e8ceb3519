"""Rows from files: every layout, and errors that say what to do."""

import gzip
import json
from pathlib import Path

import pytest

from harness import config, data, row_bounds
from harness.types import SkilldeltaError

SOURCE = data.DataSource("org/name", "things/test.jsonl", ("question", "answer"))
ROWS = [{"question": "a\u2028b", "answer": "1"}, {"question": "é", "answer": "2"}]


@pytest.mark.parametrize("name", ["x.jsonl", "x.jsonl.gz", "x.json", "x.csv"])
def test_a_file_gives_its_rows_whatever_its_format(tmp_path: Path, name: str) -> None:
    if "jsonl" in name:
        text = "\n".join(json.dumps(r, ensure_ascii=False) for r in ROWS)
    elif name.endswith("json"):
        text = json.dumps(ROWS)
    else:
        text = 'question,answer\n"a\u2028b",1\né,2\n'
    content = text.encode()
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    assert data.read(tmp_path / name) == ROWS


def test_a_missing_file_is_named_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "things").mkdir()
    (tmp_path / "things" / "train.jsonl").write_text("{}")
    with pytest.raises(SkilldeltaError, match=r"things/test.jsonl.*that folder holds: train.jsonl.*\n.*--data"):
        data.rows(SOURCE, tmp_path)


def test_a_missing_column_is_named_with_those_that_are_there(tmp_path: Path) -> None:
    (tmp_path / "things").mkdir()
    (tmp_path / "things" / "test.jsonl").write_text('{"question": "q", "solution": "s"}\n')
    with pytest.raises(SkilldeltaError, match=r"Row 0 .* has no column 'answer'; it has: question, solution"):
        data.rows(SOURCE, tmp_path)


def test_half_a_file_is_an_error_not_fewer_rows(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text('{"question": "q"}\n{"quest')
    with pytest.raises(SkilldeltaError, match="Is the file complete"):
        data.read(tmp_path / "x.jsonl")


@pytest.mark.parametrize(
    ("name", "content", "fault"),
    [
        ("rows.jsonl", '{"a": 1}\n[1, 2]\n', "Row 2 of rows.jsonl is .1, 2., no object"),
        ("rows.json", '{"data": [{"a": 1}]}', "not a list of rows"),
        ("rows.json", "5", "not a list of rows"),
        ("rows.csv", "a,b\n1,2\n1,2,3\n", "Row 2 of rows.csv has more cells than the header"),
    ],
)
def test_what_is_no_table_of_rows_is_named(tmp_path: Path, name: str, content: str, fault: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(SkilldeltaError, match=fault):
        data.read(tmp_path / name)


def test_an_empty_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "things").mkdir()
    (tmp_path / "things" / "test.jsonl").write_text("\n")
    with pytest.raises(SkilldeltaError, match="holds no rows"):
        data.rows(SOURCE, tmp_path)


def test_lm_evals_way_of_writing_settings_is_read() -> None:
    assert config.parse_pairs("temperature=0.8,top_p=0.95") == {"temperature": "0.8", "top_p": "0.95"}
    assert config.parse_flags(["--lr", "1e-4", "--bf16", "--beta=0.1"]) == {"lr": "1e-4", "bf16": "true", "beta": "0.1"}
    with pytest.raises(SkilldeltaError, match="name=value"):
        config.parse_pairs("hot")


def test_an_unknown_setting_lists_the_known_ones() -> None:
    from harness.backends.scripted import ScriptedOptions

    assert config.build_config(ScriptedOptions, {"text": "x", "choice": "2"}) == ScriptedOptions("x", 2)
    with pytest.raises(SkilldeltaError, match=r"no setting 'txt'. Did you mean 'text'\? There are: block, choice, text"):
        config.build_config(ScriptedOptions, {"txt": "x"})
    with pytest.raises(SkilldeltaError, match="choice"):
        config.build_config(ScriptedOptions, {"choice": "two"})


@pytest.mark.parametrize("name", ["x.jsonl.gz", "x.csv.gz"])
def test_packed_rows_have_a_bound_and_the_way_out_is_named(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / name).write_bytes(gzip.compress(b'{"a": 1}\n' * 40_000))
    monkeypatch.setattr(row_bounds, "FREE", 1000)
    with pytest.raises(SkilldeltaError, match=r"unpacks to more than [\d,]+ bytes.*Unpack it yourself"):
        data.read(tmp_path / name)


def test_a_table_whose_rows_lack_most_of_their_cells_is_refused(tmp_path: Path) -> None:
    """A few MB of header and short rows would be 10^10 cells."""
    (tmp_path / "x.csv").write_text("a,b,c\n1,2\n\n3,4,5\n")
    assert data.read(tmp_path / "x.csv") == [{"a": "1", "b": "2", "c": None}, {"a": "3", "b": "4", "c": "5"}]
    (tmp_path / "x.csv").write_text("a,b\n1,2\n1,2,3\n")
    with pytest.raises(SkilldeltaError, match=r"Row 2 of x\.csv has more cells"):
        data.read(tmp_path / "x.csv")
    (tmp_path / "x.csv").write_text("c," * 100_000 + "\n" + "7\n" * 100_000)
    with pytest.raises(SkilldeltaError, match="lack more than 1,000,000 cells"):
        data.read(tmp_path / "x.csv")
