"""The alarm of a watch: when a skill falls it acts, once, also after a restart, and never on what it has looked at before."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.cli import main
from harness.comparison.gate import Policy, Rule
from harness.evaluation.watch_alarm import AlarmAction, WatchAlarm
from harness.store import Results
from harness.types import SkilldeltaError
from tests.checkpoints.test_discovery import model, run
from tests.support import toys
from tests.support.results_folder import store_scores

TASK = """
from pathlib import Path
from harness.types import Request, Response, Score, Task

def score(example, response):
    return Score(float(Path("quality").read_text()))

TASKS = (Task(
    name="words", skill="reasoning", version=1, source="made for this test",
    rows=lambda folder: [{"word": f"w{i}"} for i in range(60)],
    ask=lambda e: Request(e.row["word"]), score=score, ideal=lambda e: Response("a"),
),)
"""
FLAGS = ["-t", "words", "--include-path", "words.py", "--backend", "scripted", "--backend-args", "text=a", "-o", "results"]


def make_alarm(folder: Path, *actions: str, policy: Policy = Policy()) -> WatchAlarm:
    return WatchAlarm(Results(folder), "sft", policy, [AlarmAction(text) for text in actions], "dpo")


def store_right(folder: Path, name: str, right: int, task: str = "reasoning") -> None:
    store_scores(folder, name, task, [1.0] * right + [0.0] * (200 - right))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    store_right(tmp_path / "r", "sft", 160)
    return tmp_path / "r"


def look_at(alarm: WatchAlarm, *names: str) -> list[tuple[str, str]]:
    texts: list[str] = []
    for name in names:
        alarm.add(name)
    looks = [(look.checkpoint, look.answer) for look in alarm.look(texts.append)]
    assert alarm.act(texts.append), texts
    return looks


def test_a_fall_is_an_alarm_and_each_look_has_a_stricter_level(folder: Path) -> None:
    for name, right in (("a", 160), ("b", 158), ("c", 100), ("d", 159)):
        store_right(folder, name, right)
    alarm = make_alarm(folder)
    looks = look_at(alarm, "a", "b", "c", "d")
    assert [name for name, answer in looks if answer == "regression"] == ["c"]
    assert [look.alpha for look in alarm.looks] == pytest.approx([0.05 / 2, 0.05 / 6, 0.05 / 12, 0.05 / 20])
    assert alarm.alarms[0].falls == ("reasoning: a drop of more than 2 points is proven",)


def test_rules_on_several_levels_share_the_error(folder: Path) -> None:
    store_right(folder, "a", 160)
    alarm = make_alarm(folder, policy=Policy(tasks={"reasoning": Rule()}, average=Rule()))
    look_at(alarm, "a")
    assert alarm.looks[0].alpha == pytest.approx(0.05 / 2 / 3)


@pytest.mark.slow
def test_a_fall_that_one_look_would_prove_is_not_proven_late(folder: Path) -> None:
    """What 5 % would call a regression is none at look 12, whose share of the error is 0.03 %."""
    policy = Policy(default=Rule(max_drop=0))
    store_right(folder, "first", 151)
    for number in range(11):
        store_right(folder, f"same {number}", 160)
    store_right(folder, "late", 151)
    early, late = make_alarm(folder, policy=policy), make_alarm(folder, policy=policy)
    assert look_at(early, "first") == [("first", "regression")]
    names = [f"same {number}" for number in range(11)]
    assert {answer for _, answer in look_at(late, *names, "late")} <= {"pass", "inconclusive"}


def test_after_a_restart_it_goes_on_counting_and_looks_at_nothing_twice(folder: Path) -> None:
    store_right(folder, "a", 160)
    store_right(folder, "b", 100)
    assert len(look_at(make_alarm(folder), "a")) == 1
    again = make_alarm(folder)
    assert [checkpoint for checkpoint, _ in look_at(again, "a", "b")] == ["b"]
    assert [look.number for look in again.looks] == [1, 2]
    store_right(folder, "a", 90, task="coding")  # more is known of it now
    store_right(folder, "sft", 160, task="coding")
    assert look_at(make_alarm(folder), "a") == [("a", "regression")]


def test_what_was_not_done_is_done_after_a_restart_and_what_was_done_is_not(folder: Path, tmp_path: Path) -> None:
    code = f"import os; open({str(tmp_path / 'calls')!r}, 'a').write(os.environ['SKILLDELTA_CHECKPOINT'] + '\\n')"
    (tmp_path / "command.py").write_text(code)
    store_right(folder, "b", 100)
    actions = [f"run:{sys.executable} {tmp_path / 'command.py'}", f"stop:{tmp_path / 'not a folder' / 'STOP'}"]
    (tmp_path / "not a folder").write_text("")
    alarm, texts = make_alarm(folder, *actions), []
    alarm.add("b")
    assert [look.answer for look in alarm.look(texts.append)] == ["regression"]
    assert not alarm.act(texts.append)
    assert "--on-alarm stop:" in texts[0]
    assert "failed: [Errno" in texts[0]
    (tmp_path / "not a folder").unlink()
    assert make_alarm(folder, *actions).act(texts.append)
    assert (tmp_path / "calls").read_text() == "b\n"
    verdict = json.loads((tmp_path / "not a folder" / "STOP").read_text())
    assert (verdict["candidate"], verdict["answer"]) == ("b", "regression")


def test_a_command_is_no_text_for_a_shell_and_its_failure_is_said(folder: Path, tmp_path: Path) -> None:
    store_right(folder, "b", 100)
    alarm, texts = make_alarm(folder, f"run:{sys.executable} -c 'raise SystemExit(7)' ; touch {tmp_path / 'shell'}"), []
    alarm.add("b")
    list(alarm.look(texts.append))
    assert not alarm.act(texts.append)
    assert "returned non-zero exit status 7" in texts[0]
    assert not (tmp_path / "shell").exists()


def test_a_checkpoint_waits_for_its_baseline(tmp_path: Path) -> None:
    store_right(tmp_path / "r", "b", 100)
    alarm, texts = make_alarm(tmp_path / "r"), []
    alarm.add("b")
    assert list(alarm.look(texts.append)) == []
    assert "the alarm cannot look at it yet: There is no checkpoint 'sft'" in texts[0]
    store_right(tmp_path / "r", "sft", 160)
    assert look_at(make_alarm(tmp_path / "r")) == [("b", "regression")]


@pytest.mark.parametrize("text", ["mail", "stop:", "run: ", "run:a 'b"])
def test_what_is_no_action_is_refused(text: str) -> None:
    with pytest.raises(SkilldeltaError, match="--on-alarm"):
        AlarmAction(text)


def test_a_rule_on_an_unknown_skill_is_refused_before_anything_is_scored(folder: Path) -> None:
    alarm = make_alarm(folder, policy=Policy(skills={"reasonning": Rule()}))
    with pytest.raises(SkilldeltaError, match="In the policy: There is no skill 'reasonning'"):
        alarm.check_names([toys.adding()])


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a scored baseline, and a run whose checkpoints are worse."""
    monkeypatch.chdir(tmp_path)
    Path("words.py").write_text(TASK)
    Path("quality").write_text("1")
    model(tmp_path / "sft")
    assert call("score", "sft", *FLAGS) == 0
    Path("quality").write_text("0")
    run(tmp_path / "dpo", (10, 20))
    return tmp_path


def call(*arguments: str) -> int:
    with pytest.raises(SystemExit) as end:
        main(list(arguments))
    assert isinstance(end.value.code, int)
    return end.value.code


WATCH = ("watch", "dpo", *FLAGS, "--baseline", "sft", "--idle", "1e-9", "--every", "0")


@pytest.mark.slow
def test_the_watch_ends_with_exit_code_1_at_the_first_fall(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(*WATCH, "--max-drop", "5") == 1
    out = capsys.readouterr().out
    assert "ALARM dpo@10: reasoning: a drop of more than 5 points is proven" in out
    assert not Path("results/dpo@20").exists()
    assert call(*WATCH, "--max-drop", "5") == 1  # goes on with what it had linked
    assert "dpo@20: linked before, waiting" in capsys.readouterr().err
    assert Path("results/dpo@20").exists()


@pytest.mark.slow
def test_a_tracker_that_fails_at_its_end_hides_no_alarm(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def session_that_cannot_end(*_: object) -> Iterator[None]:
        yield
        raise SkilldeltaError("the tracker's server is gone")

    monkeypatch.setattr("harness.cli.watch.open_session", session_that_cannot_end)
    assert call(*WATCH, "--max-drop", "5") == 1
    assert "the tracker's server is gone" in capsys.readouterr().err


@pytest.mark.slow
def test_with_a_stop_file_the_watch_goes_on_and_still_ends_with_1(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("policy.yaml").write_text("default: null\nskills: {reasoning: {max_drop: 5}}\n")
    assert call(*WATCH, "--alarm", "policy.yaml", "--on-alarm", "stop:dpo/STOP") == 1
    assert json.loads(Path("dpo/STOP").read_text())["answer"] == "regression"
    assert Path("results/dpo@20").exists()
    assert capsys.readouterr().out.count("ALARM") == 2


@pytest.mark.slow
def test_without_a_fall_it_ends_with_0_and_flags_that_need_others_are_refused(project: Path) -> None:
    Path("quality").write_text("1")
    assert call(*WATCH, "--max-drop", "5") == 0
    assert call("watch", "dpo", *FLAGS, "--max-drop", "5") == 3
    assert call(*WATCH, "--on-alarm", "end") == 3
    assert call("watch", "dpo", *FLAGS, "--report", "page") == 3


@pytest.mark.slow
def test_the_report_is_written_again_after_each_checkpoint(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(*WATCH, "--report", "page") == 0
    assert capsys.readouterr().err.count("wrote page/index.html") == 2
    rows = json.loads(Path("page/comparison.json").read_text())["rows"]
    assert {row["checkpoint"] for row in rows} == {"sft", "dpo@10", "dpo@20"}
