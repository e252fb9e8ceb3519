"""The page of recorded verdicts holds what its command prints on the recorded rows."""

from pathlib import Path

import pytest

from tasks.ifbench_rules import wording
from tests.bench import verdicts
from tests.support.ifbench_outputs import has_ifbench_outputs

PAGE = Path(__file__).parents[2] / "harness" / "docs" / "verdicts.md"


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.parametrize("rows", [*verdicts.ROWS, verdicts.ifbench_rows])
def test_the_page_holds_what_the_command_prints(rows: verdicts.RowSource, real_data: Path) -> None:
    if rows is verdicts.ifbench_rows and not (has_ifbench_outputs(real_data) and wording.has_tagger()):
        pytest.skip(f"{real_data} has no ifbench/eval (github.com/allenai/IFBench), or NLTK no tagger")
    lines = verdicts.format_table(verdicts.HEADER, (row.cells() for row in rows(real_data))).splitlines()
    page = PAGE.read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if line not in page] == []
    assert len(lines) > 2


def test_counts_are_of_pairs() -> None:
    assert verdicts.count_equal([(True, True), (False, True), (False, False)]) == (3, 2)
    row = verdicts.VerdictRow("t", "s", "r", 3000, 2999, "we")
    assert row.cells() == ("t", "s", "r", "3,000", "2,999", "1", "we")
