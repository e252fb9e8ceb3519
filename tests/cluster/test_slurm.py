"""An array of jobs: its groups, its script, and the files of one process where a job is killed (submitit's local executor)."""

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from harness.cli.cluster import holds_key, job_arguments, run_slurm
from harness.cluster import slurm
from harness.evaluation.questions import EvaluationSettings
from harness.evaluation.workers import SpreadRun
from harness.store import Results
from harness.types import Checkpoint, SkilldeltaError
from tests.checkpoints.test_discovery import run
from tests.support import toys
from tests.test_cli import skilldelta

submitit = pytest.importorskip("submitit", reason="needs submitit: pip install 'skilldelta[cluster]'")
TASK = """
import os, signal
from dataclasses import replace
from pathlib import Path
from tests.support import toys

def score(example, response):
    marker = Path({marker!r})
    if example.row["question"] == "5+5" and marker.exists():
        marker.unlink()
        os.kill(os.getpid(), signal.SIGKILL)
    return toys.adding(1).score(example, response)

TASKS = (replace(toys.adding(12), score=score),)
"""


def test_groups_are_of_one_size_and_keep_adapters_of_one_base_together() -> None:
    adapters = [Checkpoint(f"{base}{n}", f"/a/{base}{n}", "peft", base=f"/{base}") for n in range(4) for base in "xy"]
    groups = slurm.split_checkpoints(adapters, 2)
    assert groups == [("x0", "x1", "x2", "x3"), ("y0", "y1", "y2", "y3")]
    whole = [Checkpoint(str(n), f"/m/{n}", "transformers") for n in range(10)]
    assert [len(group) for group in slurm.split_checkpoints(whole, 4)] == [2, 3, 2, 3]
    assert [name for group in slurm.split_checkpoints(whole, 4) for name in group] == [c.name for c in whole]
    assert len(slurm.split_checkpoints(whole, 50)) == 10


def test_a_job_gets_the_commands_own_arguments() -> None:
    flags = ["score", "runs", "--cluster", "slurm", "--cluster-args=jobs=2", "--json", "-t", "ifeval", "--dry-run", "-o", "r"]
    assert job_arguments(flags) == ["score", "runs", "-t", "ifeval", "-o", "r"]


def test_a_key_in_a_command_is_refused_because_the_results_would_keep_it(tmp_path: Path) -> None:
    spread = SpreadRun([Checkpoint("a", "/a", "x")], [toys.adding(1)], Results.make(tmp_path / "r"), EvaluationSettings())
    for argument in ("args=base_url=x;api_key=abcdef", "args=api_key=abcdef", "--backend-args=args=hf_token=abcdef"):
        with pytest.raises(SkilldeltaError, match="holds a key"):
            run_slurm(spread, slurm.SlurmOptions(), ["score", argument], dry_run=True)
    assert not holds_key("--gen-args=max_tokens=5,stop=a=b")


def test_a_dry_run_prints_the_script_and_submits_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slurm, "open_executor", None)
    folder = run(tmp_path / "dpo", (10, 20, 30))
    settings = "jobs=2,partition=gpu,account=lab,minutes=90,gpus=1,cpus=8,memory_gib=64,setup=source env.sh"
    flags = ["-t", "world_sums_validation", "--backend", "scripted", "-o", tmp_path / "r", "--cluster", "slurm"]
    code, out, err = skilldelta(capsys, "score", folder, *flags, "--cluster-args", settings, "--dry-run")
    assert code == 0, err
    lines = out.splitlines()
    for line in (
        *("#SBATCH --array=0-1%2", "#SBATCH --partition=gpu", "#SBATCH --account=lab", "#SBATCH --time=90"),
        *("#SBATCH --gpus-per-node=1", "#SBATCH --cpus-per-task=8", "#SBATCH --mem=64GB", "source env.sh"),
    ):
        assert line in lines, out
    jobs = [line for line in lines if line.startswith("# job")]
    assert jobs[0].endswith("--only-checkpoint dpo@10")
    assert jobs[1].endswith("--only-checkpoint dpo@20 --only-checkpoint dpo@30")
    assert all("--cluster" not in line for line in jobs)


@pytest.mark.slow
def test_wrong_settings_and_flags_are_refused_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = run(tmp_path / "dpo", (10,))

    def refusal(*flags: object) -> str:
        command = ["score", folder, "-t", "world_sums_validation", "--backend", "scripted", "-o", tmp_path / "r", *flags]
        code, _, err = skilldelta(capsys, *command)
        assert code == 3
        return err

    assert "write ray, ray:HOST:PORT, ray:auto or slurm" in refusal("--cluster", "pbs")
    assert "There is no setting 'nodes'" in refusal("--cluster", "slurm", "--cluster-args", "nodes=2")
    assert "are 1 or more" in refusal("--cluster", "slurm", "--cluster-args", "jobs=0")
    assert "--cluster does not go with --check-noise" in refusal("--cluster", "ray", "--check-noise", "0.1")
    assert "--cluster does not go with --against" in refusal("--cluster", "slurm", "--against", folder, "--until", "all")
    assert "--cluster does not go with --devices" in refusal("--cluster", "ray", "--devices", "cpu,cpu")
    assert "--cluster does not go with --name" in refusal("--cluster", "slurm", "--name", "mine")
    assert "--plan does not go with --holdout" in refusal("--plan", "--holdout", "0.5")
    assert "--dry-run prints the script of --cluster slurm" in refusal("--dry-run")
    assert "--cluster-args are settings of --cluster" in refusal("--cluster-args", "workers=2")
    if not shutil.which("sbatch"):
        assert "there is no sbatch here" in refusal("--cluster", "slurm")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_job_that_is_killed_is_submitted_again_and_the_files_are_those_of_one_process(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    marker, mine = tmp_path / "die", tmp_path / "mine.py"
    mine.write_text(TASK.format(marker=str(marker)))
    folder = run(tmp_path / "dpo", (10, 20))
    flags = ["-t", "adding", "--include-path", mine, "--backend", "scripted", "--backend-args", "text=10"]
    code, _, err = skilldelta(capsys, "score", folder, *flags, "-o", tmp_path / "alone")
    assert code == 0, err
    marker.touch()
    cluster = ["--cluster", "slurm", "--cluster-args", "executor=local,jobs=2,gpus=0", "--json"]
    code, out, err = skilldelta(capsys, "score", folder, *flags, "-o", tmp_path / "r", *cluster)
    assert code == 0, err
    assert Counter((o["state"], o["samples"]) for o in json.loads(out)) == {("done", 12): 2}
    assert "was lost" in err
    assert not marker.exists()
    stored = {name: content for name, content in toys.tree(tmp_path / "r").items() if not name.startswith(slurm.FOLDER)}
    assert stored == toys.tree(tmp_path / "alone")


def test_a_job_that_is_lost_too_often_fails_its_cells_with_the_reason(tmp_path: Path) -> None:
    class Job:
        job_id, state = "7_0", "OUT_OF_MEMORY"

        def result(self) -> Any:
            raise submitit.core.utils.UncompletedJobError("Job 7_0 has no output")

    class Silent(Job):
        def result(self) -> Any:
            raise EOFError

    group, lines = slurm.Group(("dpo",), Job(), tries=1), list[str]()
    options = slurm.SlurmOptions(retries=1)
    slurm.take_result(group, options, tmp_path, lines.append)
    assert (group.code, group.problem) == (None, "")
    group.tries = 2
    slurm.take_result(group, options, tmp_path, lines.append)
    assert "job 7_0 was lost (OUT_OF_MEMORY: Job 7_0 has no output), 2 times over" in group.problem
    assert "it is submitted again" in lines[0]
    group.job = Silent()
    slurm.take_result(group, options, tmp_path, lines.append)
    assert "(OUT_OF_MEMORY: EOFError)" in group.problem


def test_an_interrupted_command_says_how_the_jobs_are_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Job:
        job_id = "42_0"

        def done(self) -> bool:
            raise KeyboardInterrupt

    monkeypatch.setattr(slurm, "open_executor", lambda options, output: None)
    monkeypatch.setattr(slurm, "submit", lambda executor, groups, command: [setattr(g, "job", Job()) for g in groups])
    lines: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        slurm.run_groups([slurm.Group(("dpo",))], lambda names: [], slurm.SlurmOptions(), tmp_path, lines.append)
    assert any("`scancel 42` ends them" in line for line in lines)


def test_the_job_runs_the_command_line_in_its_own_process(capsys: pytest.CaptureFixture[str]) -> None:
    assert slurm.GroupJob(["list", "suites"])() == 0
    assert slurm.GroupJob(["score"])() == 3
    assert isinstance(slurm.GroupJob(["list"]).checkpoint(), submitit.helpers.DelayedSubmission)
    capsys.readouterr()
