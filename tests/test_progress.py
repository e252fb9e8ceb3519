"""Progress lines: tokens while nothing is finished, and a forecast that covers the blocks to come."""

import pytest

from harness.cli import progress
from harness.evaluation.outcome import Outcome


def test_lines_show_tokens_and_the_time_left_before_a_sample_is_ready(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
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


def test_without_a_forecast_the_samples_tell_the_time(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    display = progress.PlainProgress()
    display.begin("dpo", "mmlu", 100, 40)
    for _ in range(20):
        now[0] += 1
        display.advance()
    assert "dpo · mmlu: 55/100, 1.0/s, 45 s left" in capsys.readouterr().err
    now[0] += 1
    display.count_tokens(512, 10, 7.0)
    now[0] += 60  # the model has said nothing since
    assert display.seconds_left() == pytest.approx(81 / 20 * 40)


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
