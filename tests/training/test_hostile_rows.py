"""Rows of strangers: values that JSON has not, values within values without end, files that are none.

Each ends with the file's name, or is read.
"""

import datetime
import gzip
import json
import math
from pathlib import Path
from typing import Any

import pytest

from harness.training import source_rows
from harness.training.contamination import evaluation_examples
from harness.training.conversations import parse_conversation
from harness.training.datasets import parse_every
from harness.training.messages import UnusableRowError
from harness.training.parse_settings import ParseSettings
from harness.training.preferences import parse_pair
from harness.training.source_rows import raw_rows
from harness.types import Message, SkilldeltaError
from tests.support.damage import FILES, replace_field
from tests.support.forked import run_command
from tests.support.training_toy import preference

SETTINGS = ParseSettings(source="rows.jsonl")
QUESTION = "Which of the seven rivers of the north reaches the sea before the first snow falls?"
ROW = json.dumps({"question": QUESTION}) + "\n"
ASKED = [{"role": "user", "content": "a"}]
DEEP = "[" * 600 + "]" * 600  # which Python's own parser reads, and few functions that call themselves
ENDLESS = "[" * 100_000
ODD_VALUES = [math.nan, math.inf, datetime.date(2024, 5, 1), b"\xff"]  # of a table of the Hub, or of parquet


@pytest.mark.parametrize("value", ODD_VALUES, ids=str)
def test_rated_rows_with_values_that_json_has_not_are_pairs(value: Any) -> None:
    ratings = [{"response": text, "ratings": {"truth": n}} for text, n in (("A day has 24 hours.", 5), ("No.", 1))]
    pair = parse_pair({"instruction": "How long is a day?", "completions": ratings, "created": value}, SETTINGS)
    assert [answer[0].content for answer in (pair.chosen, pair.rejected)] == ["A day has 24 hours.", "No."]


@pytest.mark.parametrize("value", ODD_VALUES, ids=str)
def test_rows_of_the_hub_with_values_that_json_has_not_have_a_hash(value: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    hashes = set()
    for rows in ([{"prompt": "a", "when": value}], [{"prompt": "b", "when": value}], [{"prompt": "a", "when": value}]):
        monkeypatch.setattr(source_rows, "hub_rows", lambda _, rows=rows: rows)
        found, sha = raw_rows("hub:somebody/rows")
        assert found == rows
        hashes.add(sha)
    assert len(hashes) == 2


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999"])
def test_an_evaluation_row_with_a_number_that_is_none_is_searched_for(number: str, tmp_path: Path) -> None:
    data, asked = tmp_path / "data.jsonl", tmp_path / "asked.jsonl"
    data.write_text(ROW)
    asked.write_text(f'{{"question": "{QUESTION}", "score": {number}}}\n' + ROW)
    code, output = run_command(["overlap", str(data), "-t", str(asked), "--json"])
    assert code == 0, output
    assert '"dirty": 2' in output
    assert len({example.id for example in evaluation_examples(str(asked))[str(asked)]}) == 2


@pytest.mark.parametrize("kind", ["timestamp", "date", "duration", "zone"])
def test_dates_that_no_calendar_holds_are_refused_by_the_name_of_their_file(kind: str, tmp_path: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    columns = {
        "timestamp": pyarrow.array([2**62], pyarrow.timestamp("us")),
        "date": pyarrow.array([2**30], pyarrow.int32()).cast(pyarrow.date32()),
        "duration": pyarrow.array([2**62], pyarrow.duration("s")),
        "zone": pyarrow.array([0], pyarrow.timestamp("us", tz="Nowhere/Nothing")),
    }
    file = tmp_path / "rows.parquet"
    parquet.write_table(pyarrow.table({"prompt": ["a"], "when": columns[kind]}), file)
    with pytest.raises(SkilldeltaError, match=r"rows\.parquet cannot be read as parquet"):
        raw_rows(str(file))


@pytest.mark.parametrize("ending", ["json", "jsonl"])
def test_values_within_values_are_bounded(ending: str, tmp_path: Path) -> None:
    for deep in (DEEP, ENDLESS):
        text = f'{{"prompt": "a", "completion": "b", "more": {deep}}}'
        (tmp_path / f"rows.{ending}").write_text(f"[{text}]" if ending == "json" else text)
        with pytest.raises(SkilldeltaError, match="nested too deeply"):
            raw_rows(str(tmp_path / f"rows.{ending}"))


@pytest.mark.parametrize("deep", [DEEP, ENDLESS, "9" * 5000], ids=["deep", "endless", "5,000 digits"])
def test_json_in_the_texts_of_a_row_is_bounded(deep: str) -> None:
    call = {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "f", "arguments": deep}}]}
    with pytest.raises(UnusableRowError, match="no JSON"):
        parse_conversation({"messages": [*ASKED, {"role": "assistant", "content": "b"}], "tools": deep}, SETTINGS)
    with pytest.raises(UnusableRowError):
        parse_conversation({"messages": [*ASKED, call]}, SETTINGS)
    written = f'[{{"role": "user", "content": "a", "more": {deep}}}]'
    with pytest.raises(UnusableRowError):
        parse_conversation({"messages": written}, SETTINGS)
    arena = {"prompt": f'["a", {deep}', "response_a": deep, "response_b": "b", "winner": "a"}
    assert parse_pair(arena, SETTINGS).chosen == (Message("assistant", deep),)


def hostile_files(folder: Path) -> list[Path]:
    """Files that are none, that unpack to too much, whose text no UTF-8 holds, whose cells are large."""
    for name, damage in FILES.items():
        file = folder / f"{name.replace(' ', '-').replace(',', '')}.jsonl"
        file.write_text(ROW)
        damage(file)
    (folder / "surrogate.jsonl").write_text('{"question": "\\ud800 alone"}\n')
    (folder / "bomb.jsonl.gz").write_bytes(gzip.compress(b'{"question": "' + b"x" * 80_000_000 + b'"}'))
    (folder / "half.jsonl.gz").write_bytes(gzip.compress(ROW.encode())[:-9])
    (folder / "half.parquet").write_bytes(b"PAR1" + bytes(50))
    (folder / "cell.csv").write_text("question\n" + "y" * 3_000_000 + "\n")
    (folder / "NUL.csv").write_text("question\na\0b\n")
    return sorted(folder.iterdir())


@pytest.mark.slow
def test_hostile_files_of_training_and_of_evaluation_rows_end_with_their_names(tmp_path: Path) -> None:
    (tmp_path / "hostile").mkdir()
    sound = tmp_path / "sound.jsonl"
    sound.write_text(ROW)
    for file in hostile_files(tmp_path / "hostile"):
        for data, asked in ((file, sound), (sound, file)):
            code, output = run_command(["overlap", str(data), "-t", str(asked), "--show", "1"])
            assert code in (0, 3), (file.name, output)
            assert code == 0 or file.name.removesuffix(".gz") in output, (file.name, output)
            assert "Traceback" not in output
            assert "\x1b" not in output


@pytest.mark.parametrize("place", [("prompt", 0, "content"), ("chosen", 0, "content"), ("rejected", 0, "content")])
def test_a_row_with_half_of_a_surrogate_pair_is_skipped_and_counted(place: tuple[str | int, ...]) -> None:
    good = preference(1)
    bad = replace_field(good, place, "a \ud800 b")
    rows, faults = parse_every([good, bad, good], ParseSettings(source="rows.jsonl"), parse_pair)
    assert len(rows) == 2
    assert dict(faults) == {"a text with half of a surrogate pair, which no tokenizer reads": 1}
