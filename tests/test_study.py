"""Stages: in the order of their needs, each once, gone on with after a failure; and the demo's own stages."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harness import demo, study
from harness.study import Stage
from harness.types import SkilldeltaError


class Quiet:
    def __init__(self) -> None:
        self.ended: list[str] = []

    def begin(self, stage: Stage) -> None: ...
    def tick(self) -> None: ...
    def end(self, stage: Stage, seconds: float) -> None:
        self.ended.append(stage.name)


def stage(out: Path, name: str, *needs: str, code: int = 0, version: str = "") -> Stage:
    return Stage(name, ("tests.stage_toy", str(out / "ran"), name + version, str(code)), needs)


def ran(out: Path) -> list[str]:
    return (out / "ran").read_text().split() if (out / "ran").exists() else []


def test_stages_run_after_what_they_need_and_once(tmp_path: Path) -> None:
    stages = [stage(tmp_path, "c", "a", "b"), stage(tmp_path, "a"), stage(tmp_path, "b", "a")]
    study.run(tmp_path, stages, 2, Quiet())
    assert ran(tmp_path) == ["a", "b", "c"]
    again = Quiet()
    study.run(tmp_path, stages, 2, again)
    assert ran(tmp_path) == ["a", "b", "c"]
    assert again.ended == []


def test_a_failure_shows_its_log_and_the_rest_is_gone_on_with(tmp_path: Path) -> None:
    with pytest.raises(SkilldeltaError, match=r"'b' failed with exit code 7(.|\n)*b says hello"):
        study.run(tmp_path, [stage(tmp_path, "a"), stage(tmp_path, "b", "a", code=7)], 1, Quiet())
    study.run(tmp_path, [stage(tmp_path, "a"), stage(tmp_path, "b", "a")], 1, Quiet())
    assert ran(tmp_path) == ["a", "b", "b"]


def test_a_changed_stage_runs_what_follows_from_it_again_and_nothing_else(tmp_path: Path) -> None:
    def all_of(version: str) -> list[Stage]:
        return [
            stage(tmp_path, "a"),
            stage(tmp_path, "b", "a", version=version),
            stage(tmp_path, "c", "b"),
            stage(tmp_path, "d", "a"),
        ]

    study.run(tmp_path, all_of(""), 1, Quiet())
    before = len(ran(tmp_path))
    study.run(tmp_path, all_of("2"), 1, Quiet())
    assert ran(tmp_path)[before:] == ["b2", "c"]


def test_going_back_to_earlier_settings_runs_again(tmp_path: Path) -> None:
    for version in ("", "2", ""):
        study.run(tmp_path, [stage(tmp_path, "a", version=version)], 1, Quiet())
    assert ran(tmp_path) == ["a", "a2", "a"]


KILLED = """
import os, signal, sys
from pathlib import Path
from harness import study
from tests.test_study import Quiet
from harness.study import Stage
class Killing(Quiet):
    def tick(self):
        os.kill(os.getpid(), signal.SIGKILL)
study.run(Path(sys.argv[1]), [Stage("a", ("tests.stage_toy", sys.argv[2], "a", "wait"))], 1, Killing())
"""


def test_a_killed_run_takes_its_stages_with_it(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    killed = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), str(pipe)], check=False, timeout=60)
    assert killed.returncode == -signal.SIGKILL
    # The stage waits for a reader of the pipe: were it alive, opening the pipe would find it there.
    with pytest.raises(OSError, match="No such device"):
        os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)


def test_stages_that_need_each_other_or_nobody_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SkilldeltaError, match="in a circle: "):
        study.run(tmp_path, [stage(tmp_path, "a", "b"), stage(tmp_path, "b", "a")], 1, Quiet())
    with pytest.raises(SkilldeltaError, match="needs 'x', which is no stage"):
        study.run(tmp_path, [stage(tmp_path, "a", "x")], 1, Quiet())


@pytest.mark.parametrize("full", [False, True])
def test_the_demos_stages_fit_together(tmp_path: Path, full: bool) -> None:
    board = study.Board(tmp_path, demo.stages(tmp_path, full))
    names = list(board.stages)
    assert {"sft", "dpo", "ppo", "planted", "sft-again", "score-ppo"} <= set(names)
    assert ("ppo-overopt" in names) == full
    assert [s.name for s in board.ready()] == ["data"]
