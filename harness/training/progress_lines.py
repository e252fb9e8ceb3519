"""One line for people at a step that is logged: how far the training is, its main figures, and the time that is left."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

# Under the names of the log; a line has the first four that a method has.
MAIN_FIGURES = (
    "loss", "reward", "objective/scores", "objective/kl", "kl", "rewards/accuracies", "accuracy", "mean_token_accuracy",
    "rewards/margins", "val/length", "completions/mean_length", "frac_reward_zero_std",
)  # fmt: skip
SHOWN_FIGURES = 4
QUIET_SECONDS = 5.0  # between two lines: a small model makes hundreds of steps a minute


@dataclass
class StepLines:
    """Says which steps are worth a line.  Times are of this process: a run that was continued measures anew."""

    total: int  # steps
    start: tuple[int, float] | None = None  # the first step that was logged here, and when (seconds)
    last_time: float | None = None

    def describe(self, step: int, numbers: Mapping[str, float | None], now: float | None = None) -> str:
        """The line for this step; "" soon after the last one, unless the step is the last or evaluates held-out rows.

        now: seconds on a clock that never goes back; None: this machine's.
        """
        now = time.monotonic() if now is None else now
        self.start = self.start or (step, now)
        is_evaluation = any(name.startswith("eval_") for name in numbers)
        is_soon = self.last_time is not None and now - self.last_time < QUIET_SECONDS
        if is_soon and step < self.total and not is_evaluation:
            return ""
        self.last_time = now
        figures = [f"{name} {value:.3g}" for name, value in main_figures(numbers).items()]
        return f"step {step} of {self.total}: {', '.join(figures + self.describe_pace(step, now))}"

    def describe_pace(self, step: int, now: float) -> list[str]:
        """Seconds for each step and the minutes left; nothing at the first step, which also warms up, and at the last."""
        first, began = self.start or (step, now)
        if not first < step < self.total:
            return []
        pace = (now - began) / (step - first)
        return [f"{pace:.3g} s a step", describe_left(pace * (self.total - step))]


def main_figures(numbers: Mapping[str, float | None]) -> dict[str, float]:
    """The few figures that a line shows, by their names in the log; those of held-out rows keep their eval_."""
    names = [f"{prefix}{name}" for name in MAIN_FIGURES for prefix in ("", "eval_")]
    figures = {name: value for name in names if (value := numbers.get(name)) is not None}
    return dict(list(figures.items())[:SHOWN_FIGURES])


def describe_left(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s left"
    return f"{seconds / 60:.0f} min left" if seconds < 5400 else f"{seconds / 3600:.1f} h left"
