"""CSV files that a spreadsheet opens."""

import csv
from pathlib import Path

from harness.csv_files import write_csv


def test_a_file_holds_every_row_and_runs_no_text_of_a_stranger(tmp_path: Path) -> None:
    rows = [["=1+1", 2.5, None], ['a, "b"\nc', -1, "\udc80"]]
    path = write_csv(tmp_path / "new" / "x.csv", ("name", "number", "text"), rows)
    with path.open(encoding="utf-8", newline="") as stream:
        assert list(csv.reader(stream)) == [["name", "number", "text"], ["'=1+1", "2.5", ""], ['a, "b"\nc', "-1", "\\udc80"]]
