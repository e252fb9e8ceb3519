"""A command that fails before anything is stored leaves no results folder; one that holds something stays."""

import json
from pathlib import Path

import pytest

from harness import results_marker
from harness.cli import main
from harness.store import MARKER, Results
from tests.support.results_folder import store_scores


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as end:
        main(list(arguments))
    assert isinstance(end.value.code, int)
    return end.value.code


@pytest.mark.parametrize("is_there", [False, True])
def test_a_failed_command_leaves_no_empty_results(is_there: bool, tmp_path: Path) -> None:
    output, log = tmp_path / "results", tmp_path / "log.json"
    log.write_text(json.dumps({"of": "no program"}))
    if is_there:
        output.mkdir()
    assert run("import", str(log), "-o", str(output)) == 3
    assert run("watch", str(tmp_path / "none"), "-t", "gsm8k", "--last", "1", "-o", str(output)) == 3
    assert output.exists() == is_there, "an empty folder of the user's own stays"
    assert not (output / MARKER).exists()


def test_results_that_hold_something_and_those_of_others_stay(tmp_path: Path) -> None:
    store_scores(tmp_path / "full", "sft", "sums", [1.0])
    Results.make(tmp_path / "other")
    log = tmp_path / "log.json"
    log.write_text("{}")
    for name in ("full", "other"):
        assert run("import", str(log), "-o", str(tmp_path / name)) == 3
        assert (tmp_path / name / MARKER).is_file()


def test_what_another_process_has_begun_to_fill_stays(tmp_path: Path) -> None:
    for name in ("filled", "gone"):
        Results.make(tmp_path / name)
    (tmp_path / "filled" / "sft").mkdir()
    (tmp_path / "gone" / MARKER).unlink()
    (tmp_path / "gone").rmdir()
    results_marker.remove_unused()
    assert (tmp_path / "filled" / MARKER).is_file()
    assert not results_marker.new_folders
