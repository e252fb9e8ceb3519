"""The difference between the log-probabilities of a sampler that is another program and those of the policy itself."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import torch
from torch import Tensor

from harness.types import SkilldeltaError

LOG = logging.getLogger("skilldelta")
GAP = "sampling/sampling_logp_difference/mean"  # TRL's name
LARGE_GAP, WRONG_GAP = 0.1, 0.5  # nats of a token at temperature 1; bfloat16 gives SmolLM2 0.04


def pad_logprobs(logprobs: Sequence[Sequence[float]], like: Tensor) -> Tensor | None:
    """The sampler's log-probabilities as a table like [B, T], 0 behind an answer; None where it gives none."""
    if not any(logprobs):
        return None
    rows = [torch.tensor([*row, *[0.0] * (like.shape[1] - len(row))]) for row in logprobs]
    return torch.stack(rows).to(like.device)


def check_gap(gap: float, temperature: float) -> None:
    """Says that vLLM's log-probabilities are far from the policy's own; SkilldeltaError where they are of another model.

    `gap`: the mean difference of a token, in nats.  Temperatures below 1 enlarge it.
    """
    size = gap * min(temperature, 1.0)
    text = f"vLLM gives the tokens that it samples log-probabilities that differ from the policy's by {gap:.2g} on average"
    if not size < WRONG_GAP:  # NaN too
        raise SkilldeltaError(
            f"{text}: it does not compute this policy, and training would learn from another model's answers.\n"
            "Use --sampler engine with another --output."
        )
    if size > LARGE_GAP:
        LOG.warning("%s: the answers are not quite the policy's own.  --sampler engine has no difference.", text)
