"""What a training says while it runs."""

from __future__ import annotations

import logging

import pytest

from harness.cli.train import training_lines
from harness.library_messages import make_libraries_printable
from harness.trainers.dpo import DPOConfig
from harness.trainers.ppo import PPOConfig
from harness.training.encoding_losses import describe_losses
from harness.training.progress_lines import StepLines


def test_line_names_the_figures_of_the_method_and_the_time_left() -> None:
    lines = StepLines(total=40)
    first = lines.describe(1, {"loss": 0.69314, "grad_norm": 3.0, "rewards/accuracies": 0.0, "learning_rate": 1e-6}, 100.0)
    later = lines.describe(11, {"loss": 0.5, "rewards/accuracies": 0.75, "rewards/margins": None}, 160.0)
    last = lines.describe(40, {"loss": 0.25}, 161.0)
    assert first == "step 1 of 40: loss 0.693, rewards/accuracies 0"
    assert later == "step 11 of 40: loss 0.5, rewards/accuracies 0.75, 6 s a step, 3 min left"
    assert last == "step 40 of 40: loss 0.25"


def test_lines_are_rare_where_steps_are_quick_but_held_out_figures_are_always_said() -> None:
    lines = StepLines(total=1000)
    said = [step for step in range(1, 1001) if lines.describe(step, {"loss": 1.0}, step / 100)]
    assert said == [1, 501, 1000]
    assert lines.describe(999, {"eval_loss": 2.0}, 10.0).startswith("step 999 of 1000: eval_loss 2")


def test_pace_of_a_continued_run_counts_its_own_steps_alone() -> None:
    lines = StepLines(total=300)
    lines.describe(101, {"loss": 1.0}, 0.0)
    assert lines.describe(111, {"loss": 1.0}, 100.0).endswith("10 s a step, 32 min left")


def test_verb_shows_what_a_trainer_logs_and_leaves_the_logger_as_it_was(capsys: pytest.CaptureFixture[str]) -> None:
    make_libraries_printable()  # as the command line does
    logger = logging.getLogger("skilldelta")
    before = (logger.level, list(logger.handlers))
    with training_lines():
        logger.info("step 1 of 2: loss \x1b[31m1")
    assert capsys.readouterr().err == "step 1 of 2: loss \\x1b[31m1\n"
    assert (logger.level, list(logger.handlers)) == before


@pytest.mark.parametrize(
    ("losses", "config", "sentences"),
    [
        (
            {"overlong": 3, "no text": 1},
            DPOConfig(max_length=64),
            ["Left out: 3 x longer than --max-length 64 tokens, 1 x no text."],
        ),
        ({"overlong": 2}, PPOConfig(max_prompt=32), ["Left out: 2 x longer than --max-prompt 32 tokens."]),
        ({"cut": 5}, DPOConfig(max_length=64), ["Cut: 5 x to --max-length 64 tokens."]),
        ({}, DPOConfig(), []),
    ],
)
def test_rows_that_are_too_long_are_named_with_the_setting_and_a_cut_row_is_not_left_out(
    losses: dict[str, int], config: object, sentences: list[str]
) -> None:
    assert describe_losses(losses, config) == sentences
