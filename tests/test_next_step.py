"""The last line of a run names what the results hold, and a wrong value of a flag is told what to write."""

import shlex
from pathlib import Path

import pytest

from harness.cli.score import print_outcomes
from harness.evaluation.outcome import Outcome
from tests.support.results_folder import store_scores
from tests.test_cli import skilldelta


def test_the_next_step_names_every_checkpoint_of_the_results(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("sft", "dpo"):
        store_scores(tmp_path, name, "sums", [1.0])
    print_outcomes([Outcome("sft", "sums", "done", 1)], tmp_path, as_json=False)
    assert "1 cell in" in (err := capsys.readouterr().err)
    assert "--baseline NAME (one of sft, dpo)" in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("study", "unpacking-quick", "--plan", "--jobs", "-3"), "'--jobs': write 0 or more, not '-3'."),
        (("score", "x", "-L", "abc"), "'--limit' / '-L': write a whole number, not 'abc'."),
        (("compare", "x", "--baseline", "y", "--margin", "two"), "'--margin': write a number, not 'two'."),
        (("compare", "x", "--baseline", "y", "--order", "best"), "'--order': 'best' is not one of 'steps', 'decision'.\n"),
    ],
)
def test_a_wrong_value_of_a_flag_is_told_what_to_write(
    arguments: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = skilldelta(capsys, *arguments)
    assert code == 3
    assert words in err
    assert "Input should" not in err


def test_a_command_that_is_told_can_be_pasted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "my results [1]"
    store_scores(folder, "sft", "capitals", [1.0])
    print_outcomes([Outcome("sft", "capitals", "done", 1)], folder, as_json=False)
    told = capsys.readouterr().err + skilldelta(capsys, "rescore", folder)[2]
    commands = [line.partition("skilldelta ")[2] for line in told.splitlines() if "skilldelta " in line]
    assert [shlex.split(command)[1] for command in commands] == [str(folder)] * 2


def test_rescoring_takes_the_flags_that_confine_programs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store_scores(tmp_path, "sft", "world_sums", [1.0])
    code, _, err = skilldelta(capsys, "rescore", tmp_path, "--unsafe-local-code", "--sandbox-limits", "cpu_s=5")
    assert "No such option" not in err
    assert code in (0, 4), err


def test_recorded_files_of_which_the_shell_makes_paths_are_not_dropped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [tmp_path / f"{name}.jsonl" for name in ("first", "second")]
    for file in files:
        file.write_text('{"id": "1", "response": "x"}\n')
    flags = ["-t", "world_sums", "-o", tmp_path / "r"]
    code, _, err = skilldelta(capsys, "score", "--recorded", *files, *flags)
    assert code == 3
    assert f"{files[1]} would be scored as checkpoints" in err
    assert "write --recorded before each file" in err
    code, _, err = skilldelta(capsys, "score", "--recorded", files[0], "--recorded", files[1], *flags)
    assert "None of the 2 recorded outputs" in err
