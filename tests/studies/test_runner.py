"""Stages: in the order of their needs, each once, gone on with after a failure."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from harness.studies import runner
from harness.studies.runner import Stage
from harness.system_errors import ROOM, explain_system_error
from harness.types import SkilldeltaError
from tests.conftest import ROOT
from tests.support.disk_faults import faults_from


class Quiet:
    def __init__(self) -> None:
        self.ended: list[str] = []
        self.failed: list[str] = []

    def fail(self, stage: Stage) -> None:
        self.failed.append(stage.name)

    def begin(self, stage: Stage) -> None: ...
    def tick(self) -> None: ...
    def end(self, stage: Stage, seconds: float) -> None:
        self.ended.append(stage.name)


def stage(out: Path, name: str, *needs: str, code: int = 0, version: str = "") -> Stage:
    return Stage(name, ("tests.support.stage_toy", str(out / "ran"), name + version, str(code)), needs)


def ran(out: Path) -> list[str]:
    return (out / "ran").read_text().split() if (out / "ran").exists() else []


@pytest.mark.slow
def test_stages_run_after_what_they_need_and_once(tmp_path: Path) -> None:
    made = [stage(tmp_path, "c", "a", "b"), stage(tmp_path, "a"), stage(tmp_path, "b", "a")]
    runner.run_stages(tmp_path, made, 2, Quiet())
    assert ran(tmp_path) == ["a", "b", "c"]
    again = Quiet()
    runner.run_stages(tmp_path, made, 2, again)
    assert ran(tmp_path) == ["a", "b", "c"]
    assert again.ended == []


@pytest.mark.slow
def test_stages_leave_the_search_path_of_this_process_as_it_was(tmp_path: Path) -> None:
    before = {name: os.environ.get(name) for name in ("PYTHONSAFEPATH", "PYTHONPATH")}
    runner.run_stages(tmp_path, [stage(tmp_path, "a")], 1, Quiet())
    assert {name: os.environ.get(name) for name in before} == before


@pytest.mark.slow
def test_a_failure_shows_its_log_and_the_rest_is_gone_on_with(tmp_path: Path) -> None:
    with pytest.raises(SkilldeltaError, match=r"'b' failed with exit code 7(.|\n)*b says hello"):
        runner.run_stages(tmp_path, [stage(tmp_path, "a"), stage(tmp_path, "b", "a", code=7)], 1, Quiet())
    runner.run_stages(tmp_path, [stage(tmp_path, "a"), stage(tmp_path, "b", "a")], 1, Quiet())
    assert ran(tmp_path) == ["a", "b", "b"]


@pytest.mark.parametrize("mark", ['{"done": true}', '{"done": true, "key": 5}', "[1]", '{"done": tr'])
def test_a_damaged_mark_is_named_and_without_it_the_stage_is_run_anew(mark: str, tmp_path: Path) -> None:
    runner.run_stages(tmp_path, [stage(tmp_path, "a")], 1, Quiet())
    (tmp_path / "stages" / "a.json").write_text(mark)
    with pytest.raises(SkilldeltaError, match=r"stages/a\.json is damaged .*\.  Remove it, and the stage is run anew"):
        runner.run_stages(tmp_path, [stage(tmp_path, "a")], 1, Quiet())
    assert ran(tmp_path) == ["a"]
    (tmp_path / "stages" / "a.json").unlink()
    runner.run_stages(tmp_path, [stage(tmp_path, "a")], 1, Quiet())
    assert ran(tmp_path) == ["a", "a"]


@pytest.mark.slow
def test_a_full_disk_ends_a_study_by_name_at_any_moment_and_the_same_command_goes_on(tmp_path: Path) -> None:
    def work(folder: Path) -> None:
        runner.run_stages(folder, [stage(folder, "a"), stage(folder, "b", "a")], 1, Quiet())

    with faults_from(tmp_path / "whole") as faults:
        work(tmp_path / "whole")
    for moment in range(1, faults.count + 1):
        folder = tmp_path / f"full-{moment}"
        with faults_from(folder, moment, is_full=True), pytest.raises((OSError, SkilldeltaError)) as refusal:
            work(folder)
        assert ROOM in (explain_system_error(refusal.value) or str(refusal.value))
        for mark in folder.glob("stages/*.json"):
            assert json.loads(mark.read_text())["key"]
        work(folder)
        assert sorted(set(ran(folder))) == ["a", "b"]
        assert {p.name for p in folder.rglob("*") if p.is_file()} == {"a.json", "b.json", "a.log", "b.log", "ran"}


def test_a_failed_stage_whose_log_could_not_be_written_is_named_with_the_disk(tmp_path: Path) -> None:
    assert runner.find_refusal(tmp_path) == []
    assert not list(tmp_path.iterdir())
    with faults_from(tmp_path, 1, is_full=True):
        (reason,) = runner.find_refusal(tmp_path)
    assert reason.startswith(f"No space left on device: {tmp_path}")
    assert ROOM in reason


def test_of_a_log_only_the_end_is_read_and_what_is_no_log_is_named(tmp_path: Path) -> None:
    work = runner.Runner(tmp_path, [stage(tmp_path, "a")])
    log = work.log_file(work.stages["a"])
    log.parent.mkdir()
    with log.open("wb") as stream:
        stream.truncate(1 << 40)
        stream.seek(0, os.SEEK_END)
        stream.write(b"\nthe reason\nprocessor time: 2.5 s\n")
    assert work.log_end(work.stages["a"]).endswith("\nthe reason\nprocessor time: 2.5 s\n")
    assert len(work.log_end(work.stages["a"])) == runner.MAX_LOG_END
    log.unlink()
    os.mkfifo(log)
    assert work.log_end(work.stages["a"]) == "a.log is a pipe, not a file"
    log.unlink()
    assert work.log_end(work.stages["a"]) == "a.log is missing"


def test_a_failure_stops_only_what_needs_it(tmp_path: Path) -> None:
    made = [stage(tmp_path, "a", code=7), stage(tmp_path, "b", "a"), stage(tmp_path, "c"), stage(tmp_path, "d", "c", code=8)]
    listener = Quiet()
    failures = r"'a' failed with exit code 7(.|\n)*'d' failed with exit code 8(.|\n)*1 stage needs"
    with pytest.raises(SkilldeltaError, match=failures):
        runner.run_stages(tmp_path, [*made, stage(tmp_path, "e", "c")], 1, listener)
    assert sorted(listener.failed) == ["a", "d"]
    assert sorted(listener.ended) == ["c", "e"]
    assert sorted(ran(tmp_path)) == ["a", "c", "d", "e"]


def test_a_changed_stage_runs_what_follows_from_it_again_and_nothing_else(tmp_path: Path) -> None:
    def all_of(version: str) -> list[Stage]:
        return [
            stage(tmp_path, "a"),
            stage(tmp_path, "b", "a", version=version),
            stage(tmp_path, "c", "b"),
            stage(tmp_path, "d", "a"),
        ]

    runner.run_stages(tmp_path, all_of(""), 1, Quiet())
    before = len(ran(tmp_path))
    runner.run_stages(tmp_path, all_of("2"), 1, Quiet())
    assert ran(tmp_path)[before:] == ["b2", "c"]


def test_a_changed_file_runs_what_follows_from_it_again_and_nothing_else(tmp_path: Path) -> None:
    """By its content, not by its date; what is gone is as it was when it was read."""
    pairs, model = tmp_path / "pairs.jsonl", tmp_path / "model"
    pairs.write_text("one")
    model.mkdir()
    (model / "model.safetensors").write_bytes(b"weights")
    trained = replace(stage(tmp_path, "b", "a"), reads=(str(pairs), str(model)))

    def run() -> list[str]:
        before = len(ran(tmp_path))
        runner.run_stages(tmp_path, [stage(tmp_path, "a"), trained, stage(tmp_path, "c", "b")], 1, Quiet())
        return ran(tmp_path)[before:]

    assert run() == ["a", "b", "c"]
    pairs.touch()
    (model / "log.txt").touch()
    assert run() == []
    pairs.write_text("two")
    assert run() == ["b", "c"]
    (model / "model.safetensors").write_bytes(b"others!")
    assert run() == ["b", "c"]
    pairs.unlink()
    assert run() == []


def test_a_mark_of_an_older_version_stays_done(tmp_path: Path) -> None:
    """It does not say what its stage read: nothing is trained anew for that."""
    (tmp_path / "pairs.jsonl").write_text("one")
    reading = replace(stage(tmp_path, "a"), reads=(str(tmp_path / "pairs.jsonl"),))
    runner.run_stages(tmp_path, [stage(tmp_path, "a"), stage(tmp_path, "b", "a")], 1, Quiet())
    for mark in (tmp_path / "stages").iterdir():
        mark.write_text(json.dumps({k: v for k, v in json.loads(mark.read_text()).items() if k != "inputs"}))
    runner.run_stages(tmp_path, [reading, stage(tmp_path, "b", "a")], 1, Quiet())
    assert ran(tmp_path) == ["a", "b"]


def test_going_back_to_earlier_settings_runs_again(tmp_path: Path) -> None:
    for version in ("", "2", ""):
        runner.run_stages(tmp_path, [stage(tmp_path, "a", version=version)], 1, Quiet())
    assert ran(tmp_path) == ["a", "a2", "a"]


KILLED = """
import os, signal, sys
from pathlib import Path
from harness.studies import runner as stages
from tests.studies.test_runner import Quiet
class Killing(Quiet):
    def tick(self):
        if Path(sys.argv[2]).exists():
            os.kill(os.getpid(), signal.SIGKILL)
if __name__ == "__main__":
    stage = stages.Stage("a", ("tests.support.stage_toy", sys.argv[2], "a", "wait"))
    stages.run_stages(Path(sys.argv[1]), [stage], 1, Killing())
"""


def alive(process: int) -> bool:
    """Is it there, and not only waiting for its parent to hear of its end?"""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except FileNotFoundError:
        return False


@pytest.mark.slow
def test_a_killed_run_takes_its_stages_with_it(tmp_path: Path) -> None:
    program, told = tmp_path / "killed.py", tmp_path / "told"
    program.write_text(KILLED)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    killed = subprocess.run([sys.executable, str(program), str(tmp_path), str(told)], check=False, env=environment, timeout=300)
    assert killed.returncode == -signal.SIGKILL
    process = int(told.read_text())
    deadline = time.monotonic() + 120  # it waits for ever, unless it is killed too
    while alive(process) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(process)


OWN_PACKAGES = """
import sys
from pathlib import Path
from harness.studies import runner
from tests.studies.test_runner import Quiet
if __name__ == "__main__":
    runner.run_stages(Path(sys.argv[1]), [runner.Stage("a", ("harness", "list", "trainers"))], 1, Quiet())
"""


@pytest.mark.slow
def test_a_working_folder_with_packages_of_the_same_names_disturbs_no_stage(tmp_path: Path) -> None:
    program, project, out = tmp_path / "program.py", tmp_path / "project", tmp_path / "out"
    program.write_text(OWN_PACKAGES)
    for name in ("harness", "tasks", "reports"):
        (project / name).mkdir(parents=True)
        (project / name / "__init__.py").write_text("raise RuntimeError('the package of the user')\n")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(program), str(out)]
    subprocess.run(command, check=True, env=environment, cwd=project, timeout=300)
    assert "dpo" in (out / "logs" / "a.log").read_text()


def test_stages_that_need_each_other_or_nobody_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SkilldeltaError, match="in a circle: "):
        runner.run_stages(tmp_path, [stage(tmp_path, "a", "b"), stage(tmp_path, "b", "a")], 1, Quiet())
    with pytest.raises(SkilldeltaError, match="needs 'x', which is no stage"):
        runner.run_stages(tmp_path, [stage(tmp_path, "a", "x")], 1, Quiet())
