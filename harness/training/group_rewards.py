"""What a batch of groups says of its rewards: the figures of its log, and a word where they taught little."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from torch import Tensor

from harness.training import losses
from harness.training.rollouts import Rollout

LOG = logging.getLogger("skilldelta")
MAX_EQUAL = 0.5  # of the groups without a spread of rewards; a run beyond it has learnt from the smaller part


def group_numbers(rewards: Tensor, rollouts: Sequence[Rollout], size: int) -> dict[str, float]:
    """Means over a batch of groups of `size` answers, under TRL's names: reward, its spread in groups, ends and lengths."""
    spreads = losses.nan_deviation(rewards.view(-1, size))
    lengths = [r.tokens.target_count for r in rollouts]
    return {
        "reward": rewards.nanmean().item(),
        "reward_std": spreads.nanmean().item(),
        "frac_reward_zero_std": (spreads.nan_to_num(0.0) < 1e-8).float().mean().item(),  # groups that teach nothing
        "completions/mean_length": sum(lengths) / len(lengths),
        "completions/clipped_ratio": 1 - sum(r.has_end for r in rollouts) / len(rollouts),
    }


def warn_of_equal_rewards(shares: Sequence[float]) -> None:
    """Says it where in most groups all answers had the same reward; `shares`: of each step."""
    share = sum(shares) / len(shares) if shares else 0.0
    if share > MAX_EQUAL:
        LOG.warning(
            "In %.0f %% of the groups all answers had the same reward, and taught nothing.  Where hardly any is rewarded, "
            "take easier prompts, more --rollouts or a model that solves some; where all are, harder prompts.",
            100 * share,
        )
