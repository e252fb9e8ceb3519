"""`skilldelta train`: the list of trainers, and one line of help on every setting of each."""

import dataclasses
from pathlib import Path

import pytest

from harness import registry
from harness.cli import main
from harness.cli.train import OUTPUT, setting_flag
from harness.config import field_comments, settings_class

METHODS = registry.modules("trainers")


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as exit_info:
        main(list(arguments))
    assert exit_info.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("method", METHODS)
def test_every_setting_of_every_trainer_has_a_line_of_help(method: str) -> None:
    kind = settings_class(registry.module("trainers", method))
    comments = field_comments(kind)
    assert {f.name for f in dataclasses.fields(kind)} == set(comments)
    assert all(len(comment) > 5 for comment in comments.values())


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("flags", [(), ("--help",), ("--lr", "1e-4", "-h")])
def test_help_shows_each_setting_with_type_default_and_meaning(
    method: str, flags: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    text = printed(capsys, "train", method, *flags)
    kind = settings_class(registry.module("trainers", method))
    rows = {line.split()[0]: line for line in text.splitlines() if line.startswith("--")}
    assert set(rows) == {setting_flag(f.name) for f in dataclasses.fields(kind)}
    assert str(kind().lr) in rows["--lr"].split()
    assert rows["--overlong"].split()[1:3] == ["drop|cut", kind().overlong]
    assert rows["--micro-batch"].split()[1:3] == ["int", "0"]
    assert "rows computed at once" in rows["--micro-batch"]


@pytest.mark.parametrize("flags", [(), ("--help",), ("-h",)])
def test_without_a_method_all_are_listed(flags: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, "train", *flags)
    assert {line.split()[0] for line in text.splitlines() if line} >= set(METHODS)
    for method in METHODS:
        assert registry.about("trainers", method)[:40] in text


def test_hyphens_and_underscores_name_the_same_setting() -> None:
    from harness.config import build_config, parse_flags

    kind = settings_class(registry.module("trainers", "sft"))
    hyphens = build_config(kind, parse_flags(["--micro-batch", "2", "--overlap-with=gsm8k"]))
    assert hyphens == build_config(kind, parse_flags(["--micro_batch=2", "--overlap_with", "gsm8k"]))
    assert hyphens.micro_batch == 2


def test_the_run_folder_is_named_by_the_flag_of_every_other_verb() -> None:
    assert (setting_flag("out"), setting_flag("micro_batch")) == ("--output", "--micro-batch")
    assert [OUTPUT.sub("--out", flag) for flag in ("-o", "--output", "--output=x", "--out", "--outline")] == [
        "--out", "--out", "--out=x", "--out", "--outline",
    ]  # fmt: skip


@pytest.mark.parametrize("flag", ["--holdout", "--overlap-share", "--warmup", "--lr-end"])
def test_percent_where_a_share_is_wanted_is_refused(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_info:
        main(["train", "sft", "--model", "m", "--data", "rows.jsonl", "--output", "run", flag, "20"])
    assert exit_info.value.code == 3
    assert f"{flag} 20: a share is above 0" in (text := " ".join(capsys.readouterr().err.split()))
    assert "for 20 % write 0.2" in text


@pytest.mark.slow
@pytest.mark.parametrize(("method", "command"), [("reward", "reward-accuracy {run}"), ("dpo", "score {run} --suite")])
def test_what_can_be_done_next_with_a_model_is_said(
    method: str, command: str, tiny: str, pairs: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A reward model writes no answers: it is not scored, but compared with preferences."""
    run = tmp_path / "run"
    with pytest.raises(SystemExit) as ended:
        main(["train", method, "--model", tiny, "--data", pairs, "-o", str(run), "--max-steps", "1", "--batch", "2"])
    assert ended.value.code == 0
    assert f"Next: skilldelta {command.format(run=run)}" in capsys.readouterr().err
