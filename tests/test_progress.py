"""Progress lines: tokens while nothing is finished, and a forecast that covers the blocks to come."""

from pathlib import Path

import pytest

from harness.cli import progress
from harness.evaluation.outcome import Outcome


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The display's clock: its seconds are the only item."""
    seconds = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: seconds[0])
    return seconds


def test_lines_show_tokens_and_the_time_left_before_a_sample_is_ready(
    now: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    now[0] = 100.0
    display = progress.PlainProgress()
    display.begin("dpo", "ifeval", 541, 0)
    now[0] += 20
    display.count_tokens(512, 6400, 180.0)
    line = capsys.readouterr().err
    assert "dpo · ifeval: 0/541, 6400 tokens, 320/s" in line
    # 180 s for this block of 512, and 29 questions of another one: 29 / 512 of 200 s.
    assert "3 min left" in line
    now[0] += 5
    display.count_tokens(512, 8000, 170.0)
    assert capsys.readouterr().err == "", "a line every 15 s"


def test_a_model_that_cannot_tell_yet_takes_its_forecast_back(now: list[float]) -> None:
    display = progress.PlainProgress()
    display.begin("dpo", "xstest", 16, 0)
    now[0] = 10.0
    display.count_tokens(16, 500, 80.0)
    assert display.describe() == "500 tokens, 50/s, 80 s left"
    display.count_tokens(16, 510, None)
    assert display.describe() == "510 tokens, 51/s"


def test_without_a_forecast_the_samples_tell_the_time(now: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    display = progress.PlainProgress()
    display.begin("dpo", "mmlu", 100, 40)
    for _ in range(20):
        now[0] += 1
        display.advance()
    assert "dpo · mmlu: 55/100, 1.0/s, 45 s left" in capsys.readouterr().err
    now[0] += 1
    display.count_tokens(512, 10, 7.0)
    now[0] += 20
    assert display.seconds_left() == 0, "it reads long prompts, perhaps"
    now[0] += 40  # the model has said nothing since
    assert display.seconds_left() == pytest.approx(81 / 20 * 40)


def test_the_shortest_answers_do_not_tell_the_time_of_the_others(now: list[float]) -> None:
    """Of 200 that are made side by side, one has ended: that is not 200 times its seconds."""
    display = progress.PlainProgress()
    display.begin("dpo", "gsm8k", 200, 0)
    now[0] = 15.0
    display.advance()
    assert display.seconds_left() == 15 * 199
    display.count_tokens(200, 3000, None)
    assert display.seconds_left() is None


def test_slow_tokens_are_not_taken_for_slow_samples(now: list[float]) -> None:
    display = progress.PlainProgress()
    display.begin("dpo", "gsm8k", 4, 0)
    now[0] = 12.0
    display.count_tokens(4, 3, 5.0)
    assert display.describe() == "3 tokens, 4.0 s a token, 5 s left"


def test_a_checkpoint_that_cannot_be_loaded_is_explained_once(capsys: pytest.CaptureFixture[str]) -> None:
    display, output = progress.PlainProgress(), Path("results")
    display.remark("dpo, ppo cannot be scored: its base is not here")
    whys = {
        "dpo": "runs/dpo cannot be loaded: its base is not here.",
        "ppo": "runs/ppo cannot be loaded: its base is not here.",
    }
    failures = [Outcome(name, "mmlu", "failed", why=why) for name, why in whys.items()]
    for outcome in failures:
        display.end(outcome)
    progress.print_failures(failures, 2, output, display.reasons)
    assert capsys.readouterr().err.splitlines() == [
        "dpo, ppo cannot be scored: its base is not here",
        "dpo · mmlu: FAILED: as said above",
        "ppo · mmlu: FAILED: as said above",
        "2 of 2 cells failed, as said above.",
    ]
    other = Outcome("ppo", "xstest", "failed", why="the disk is full")
    display.end(other)
    progress.print_failures([*failures, other], 4, output, display.reasons)
    printed = capsys.readouterr().err
    assert "ppo · xstest: FAILED: the disk is full" in printed
    assert "  dpo · mmlu: runs/dpo cannot be loaded" in printed, "hours of other cells may lie between"


@pytest.mark.parametrize(("count", "seconds", "text"), [(20, 10.0, "2.0/s"), (2, 60.0, "30.0 s each"), (3, 3.0, "1.0/s")])
def test_a_slow_rate_is_the_time_of_each_and_never_rounds_to_nothing(count: int, seconds: float, text: str) -> None:
    assert progress.describe_rate(count, seconds) == text


def test_a_reason_that_fails_every_task_of_a_checkpoint_is_printed_once(capsys: pytest.CaptureFixture[str]) -> None:
    display = progress.PlainProgress()
    why = "dpo cannot be loaded: its base is not here"
    for checkpoint, task, state in (("dpo", "mmlu", "failed"), ("dpo", "xstest", "failed"), ("ppo", "mmlu", "failed")):
        display.end(Outcome(checkpoint, task, state, why=why))
    assert capsys.readouterr().err.splitlines() == [
        f"dpo · mmlu: FAILED: {why}",
        "dpo · xstest: FAILED: for the same reason",
        f"ppo · mmlu: FAILED: {why}",
    ]
