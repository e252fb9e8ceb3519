"""Wrong values and names in a user's file are explained in plain words, with what to write."""

from pathlib import Path

import pytest

from harness import yaml_files
from harness.checkpoint_selection import Selection
from harness.cli import main
from harness.comparison.gate import parse_policy
from harness.config import build_config
from harness.discovery import find_at
from harness.store import Results
from harness.studies.file import read_study_file
from harness.studies.grid import StudyBase
from harness.types import SkilldeltaError
from harness.visible_text import show_value
from tests.support.results_folder import store_scores


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"default": {"max_dorp": 2}}, "default.max_dorp: There is no key 'max_dorp'. Did you mean 'max_drop'?"),
        ({"defualt": {}}, "defualt: There is no key 'defualt'. Did you mean 'default'? There are: average,"),
        ({"skills": {"safety": {"margin": "abc"}}}, "skills.safety.margin: write a number, not 'abc'"),
        ({"skills": {"safety": {"kind": "soft"}}}, "skills.safety.kind: write 'critical' or 'advisory', not 'soft'"),
        ({"average": {"max_drop": -1}}, "average.max_drop: write 0.0 or more, not -1"),
        ({"max_unscored": 500}, "max_unscored: write 100.0 or less, not 500"),
        ({"tasks": ["a"]}, "tasks: write names and values, not ['a']"),
    ],
)
def test_a_policy_says_what_to_write(values: dict[str, object], words: str) -> None:
    with pytest.raises(SkilldeltaError) as fault:
        parse_policy(values)
    assert words in str(fault.value)
    assert "Input should" not in str(fault.value)


@pytest.mark.parametrize(("value", "words"), [("two", "last: write a whole number, not 'two'"), ([1], "last: write a whole")])
def test_settings_say_what_to_write(value: object, words: str) -> None:
    with pytest.raises(SkilldeltaError, match=words):
        build_config(Selection, {"last": value})


def test_a_results_folder_is_not_searched_for_checkpoints(tmp_path: Path) -> None:
    with pytest.raises(SkilldeltaError, match=r"is a results folder: it holds answers, no checkpoints\."):
        find_at(str(Results.make(tmp_path / "r").folder))


def test_a_folder_in_place_of_a_study_is_called_one(tmp_path: Path) -> None:
    (tmp_path / "known.yaml").write_text("a: 1")
    (tmp_path / "notes.txt").write_text("")
    for name, words in ((tmp_path, "is a folder"), (tmp_path / "notes.txt", "is a file of another name")):
        with pytest.raises(SkilldeltaError, match=f"{words}: a file of your own ends in .yaml"):
            yaml_files.find_yaml(str(name), "study", tmp_path)


def test_noise_without_a_task_repeats_nothing_and_says_what_there_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store_scores(tmp_path / "r", "sft", "sums", [1.0])
    for tasks in ([], ["-t", ","]):
        with pytest.raises(SystemExit) as end:
            main(["noise", "runs/sft", "-o", str(tmp_path / "r"), *tasks])
        assert end.value.code == 3
        assert "Say what to repeat: --tasks NAME,...; " in capsys.readouterr().err


def test_a_recipe_without_a_name_is_told_its_form(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["recipes", str(tmp_path), "--recipe", "dpo", "--recipe", "a=b"])
    assert end.value.code == 3
    assert "--recipe dpo: write NAME=CHECKPOINT" in capsys.readouterr().err


def test_a_value_that_python_cannot_write_is_named(tmp_path: Path) -> None:
    """By a policy, by a study, by a suite: YAML reads hexadecimal and sexagesimal numbers of any length."""
    nested: list[object] = []
    for _ in range(100_000):
        nested = [nested]
    assert show_value(nested) == "a value of too many levels"
    assert show_value([16**6000]) == show_value(16**6000) == "a number of thousands of digits"
    file = tmp_path / "study.yaml"
    for number in ("0x" + "f" * 6000, ":".join(["59"] * 3000)):
        file.write_text(f"grid: [{{method: dpo, data: human}}]\nseeds: {number}\nsummary: {number}\n")
        with pytest.raises(SkilldeltaError, match="a number of thousands of digits"):
            read_study_file(file)


@pytest.mark.parametrize("value", [10**400, -(10**20), "9" * 30])
def test_a_whole_number_beyond_all_counts_is_refused(value: object) -> None:
    """It overflowed where it was first multiplied by a share: an error of the program."""
    with pytest.raises(SkilldeltaError, match=r"documents is more than anybody counts: write a number of at most 2\^64"):
        build_config(StudyBase, {"documents": value})
    assert build_config(StudyBase, {"documents": 2**64}).documents == 2**64
