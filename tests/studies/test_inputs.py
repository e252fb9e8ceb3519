"""A study whose files or folders are not there says so before its first stage."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from harness.cli import main
from harness.studies.file import read_study_file
from harness.studies.inputs import check_inputs, missing_inputs
from harness.studies.plan import StudyPlan
from harness.types import SkilldeltaError

STUDY = """
summary: inputs
bases: {{small: {{path: {base}}}}}
data: {{pairs: {{files: [{pairs}, "hub:owner/set"]}}, unused: {{files: [nowhere.jsonl]}}}}
prompts: {{asked: {{files: [{prompts}]}}}}
grid:
  - {{method: dpo, data: pairs}}
  - {{method: ppo, reward: "task:gsm8k", prompts: asked}}
  - {{method: dpo, label: foreign, run: {run}}}
"""


def plan_with(folder: Path, **places: str) -> StudyPlan:
    present = folder / "present.jsonl"
    present.touch()
    chosen = {"base": "owner/model", "pairs": str(present), "prompts": str(present), "run": str(folder), **places}
    file = folder / "study.yaml"
    file.write_text(STUDY.format(**chosen), encoding="utf-8")
    return StudyPlan(read_study_file(file))


@pytest.mark.slow
def test_files_folders_and_hub_names_that_are_there_are_in_order(tmp_path: Path) -> None:
    """A file that no run reads may be missing, and whether the Hub has a model is not known here."""
    assert list(missing_inputs(plan_with(tmp_path))) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("what", "place", "line"),
    [
        ("pairs", "data/paris.jsonl.gz", "data 'pairs': data/paris.jsonl.gz"),
        ("prompts", "/nowhere/prompts.jsonl", "prompts 'asked': /nowhere/prompts.jsonl"),
        ("base", "/models/of/another/machine", "base 'small': /models/of/another/machine"),
        ("base", "./checkpoint-80", "base 'small': ./checkpoint-80"),
        ("run", "runs/dpo/checkpoint-80", "run: runs/dpo/checkpoint-80"),
    ],
)
def test_what_is_not_there_is_named(tmp_path: Path, what: str, place: str, line: str) -> None:
    plan = plan_with(tmp_path, **{what: place})
    assert list(missing_inputs(plan)) == [line]
    with pytest.raises(SkilldeltaError, match="needs an input that cannot be found"):
        check_inputs(plan)


@pytest.mark.slow
def test_the_command_stops_before_the_first_stage_and_the_plan_says_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan_with(tmp_path, pairs="paris.jsonl", run="/no/run")
    command, out = ["study", str(tmp_path / "study.yaml"), "-o", str(tmp_path / "out")], tmp_path / "out"
    with pytest.raises(SystemExit) as ended:
        main(command)
    assert ended.value.code == 3
    assert "2 inputs that cannot be found:\n  data 'pairs': paris.jsonl\n  run: /no/run\n" in capsys.readouterr().err
    assert not (out / "runs").exists()
    with pytest.raises(SystemExit) as ended:
        main([*command, "--plan"])
    assert ended.value.code == 0
    assert "does not begin without it: data 'pairs': paris.jsonl" in capsys.readouterr().out


FINISHED = """
summary: one pair of checkpoints
tasks: {suite}
bases: {{small: {{path: {base}}}}}
data: {{pairs: {{files: [{pairs}]}}}}
settings: {{dpo: {{lr: {rate}, batch: 8, max_steps: 2, max_length: 96}}}}
grid:
  - {{method: dpo, data: pairs}}
"""


@pytest.mark.slow
def test_a_finished_study_is_reported_again_though_its_inputs_are_gone(
    tmp_path: Path, tiny: str, pairs: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What nothing is left to do for needs no inputs; a change of what is trained does."""
    base, suite = shutil.copytree(tiny, tmp_path / "base"), tmp_path / "few.yaml"
    suite.write_text("summary: two questions\ntasks: [{task: world_sums, limit: 2}]\n", encoding="utf-8")
    places = {"suite": suite, "base": base, "pairs": pairs}

    def run(rate: str) -> int | str | None:
        (tmp_path / "study.yaml").write_text(FINISHED.format(**places, rate=rate), encoding="utf-8")
        shutil.rmtree(tmp_path / "out" / "report", ignore_errors=True)
        with pytest.raises(SystemExit) as ended:
            main(["study", str(tmp_path / "study.yaml"), "-o", str(tmp_path / "out"), "--jobs", "1"])
        return ended.value.code

    assert run("1e-4") == 0
    first = (tmp_path / "out" / "report" / "table.csv").read_bytes()
    Path(pairs).unlink()
    shutil.rmtree(base)
    assert run("1e-4") == 0
    assert (tmp_path / "out" / "report" / "table.csv").read_bytes() == first
    capsys.readouterr()
    assert run("1e-3") == 3
    assert f"data 'pairs': {pairs}" in capsys.readouterr().err
