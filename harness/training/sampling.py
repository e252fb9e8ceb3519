"""Answers sampled from a policy during training: token ids in, token ids out.

The distribution is exactly the one that is scored later: softmax(logits / T), no top-p, no penalties.  The engine that
scores checkpoints computes the answers, and a token is drawn by inverting the cumulative distribution.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

import torch
from torch import Tensor, nn

from harness.engine.device import argmax_rows
from harness.engine.engine import BatchLimits, Engine
from harness.engine.packed_linear import temporarily_packed
from harness.engine.sequences import DecodingRow, TokenPrompt
from harness.training import flop_rates, forward, messages, model_loading, parallel
from harness.training.batches import Tokens
from harness.training.half_precision import weights_in_half
from harness.training.rollouts import PolicyItem, Rollout, StopCheck, never_ends
from harness.training.settings import TrainerSettings
from harness.training.training_device import training_device
from harness.types import SkilldeltaError

if TYPE_CHECKING:
    from harness.training.costs import Costs
    from harness.training.tokenization import Encoder


@dataclass(frozen=True)
class SamplingSettings:
    """How answers are drawn.  `seed` and the place of a prompt in the list decide its answer."""

    end: int  # the token that ends an answer
    max_new: int
    temperature: float = 1.0  # 0: the likeliest token
    seed: int = 0
    rows: int = 256  # prompts computed at once
    ends: frozenset[int] = frozenset()  # further tokens that end an answer


@dataclass(frozen=True)
class SampledAnswer:
    """One answer.  With `has_end` its last token is an end token, or completes a stop string."""

    ids: tuple[int, ...]
    has_end: bool
    logprobs: tuple[float, ...] = ()  # of the tokens, at the sampling temperature, where the sampler is another program


class Sampler(Protocol):
    """Draws an answer of a model to every prompt, as `sample_answers` does."""

    def __call__(
        self, model: nn.Module, prompts: Sequence[Sequence[int]], settings: SamplingSettings, stops: Sequence[StopCheck] = (), /
    ) -> list[SampledAnswer]: ...


# Parameters of a small policy.  Its passes cost little compared with the upkeep of decoding slots: padded batches are faster.
SMALL = 2_000_000


@torch.no_grad()
def sample_answers(
    model: nn.Module, prompts: Sequence[Sequence[int]], settings: SamplingSettings, stops: Sequence[StopCheck] = ()
) -> list[SampledAnswer]:
    """An answer to every prompt, in the order of the prompts; `stops[i]` ends the answer to prompt i as well.

    Each process computes a share and all get every answer.  The uniform numbers of all prompts are drawn first, so that an
    answer depends neither on its batch nor on the number of processes.
    """
    generator = torch.Generator().manual_seed(settings.seed)
    uniform = torch.rand(len(prompts), settings.max_new, generator=generator, dtype=torch.float64)
    places = parallel.own_share(sorted(range(len(prompts)), key=lambda i: len(prompts[i])))
    stops = stops or [never_ends] * len(prompts)
    token_prompts = [TokenPrompt(prompts[i], settings.max_new, stops[i], seed=i) for i in places]
    ends, last_tokens = frozenset([settings.end]) | settings.ends, dict[int, int]()

    def choose(logits: Tensor, rows: Sequence[DecodingRow]) -> Tensor:
        numbers = uniform[[r.prompt.seed for r in rows], [len(r.ids) for r in rows]]
        tokens = draw_tokens(logits, numbers.to(logits.device), settings.temperature)
        if len(ends) > 1:  # the engine does not say which of them ended an answer
            last_tokens.update(zip((r.prompt.seed for r in rows), tokens.tolist(), strict=True))
        return tokens

    policy: Any = forward.inner_model(model)
    is_small = sum(p.numel() for p in policy.parameters()) < SMALL
    device = policy.device.type
    autocasts = torch.is_autocast_enabled(device)
    halves = weights_in_half(policy, torch.get_autocast_dtype(device)) if autocasts else nullcontext()
    with halves, nullcontext() if is_small else temporarily_packed(policy):
        engine = engine_of(policy, settings.rows, "plain" if is_small else "auto", autocasts)
        generations = dict(engine.generate(engine.plan_prompts(token_prompts), ends, choose))
    answers = {}
    for at, place in enumerate(places):
        ids, has_end = generations[at].ids, generations[at].finish == "stop"
        has_token = has_end and not (ids and stops[place](ids))
        end = (last_tokens.get(place, settings.end),) if has_token else ()
        answers[place] = SampledAnswer((*ids, *end), has_end)
    every = parallel.gather(answers)
    return [every[i] for i in range(len(prompts))]


def engine_of(policy: Any, rows: int, mode: Literal["auto", "plain"], autocasts: bool) -> Engine:
    """The engine of a policy, kept on it: its self test runs once, because training changes the weights alone."""
    engines: dict[tuple[object, ...], Engine] = vars(policy).setdefault("_engines", {})
    key = (rows, mode, autocasts)
    if key not in engines:
        engines[key] = Engine(policy, BatchLimits(rows, rows), mode)
    return engines[key]


def draw_tokens(logits: Tensor, uniform: Tensor, temperature: float) -> Tensor:
    """One token per row: the first whose cumulative probability passes the uniform number.  [rows, V], [rows] -> [rows]."""
    if temperature == 0:
        return argmax_rows(logits)
    cumulative = torch.softmax(logits.float() / temperature, dim=-1).cumsum(-1)
    # Scaled by the last sum, which rounding leaves a little off 1.
    tokens = torch.searchsorted(cumulative, (uniform[:, None] * cumulative[:, -1:]).float(), right=True)[:, 0]
    return tokens.clamp(max=logits.shape[-1] - 1)


def generate_rollouts(
    policy: nn.Module,
    rate: flop_rates.FlopRates,
    items: Sequence[PolicyItem],
    settings: SamplingSettings,
    costs: Costs,
    sampler: Sampler = sample_answers,
) -> list[Rollout]:
    """An answer of the policy to each prompt."""
    is_training = policy.training
    policy.eval()  # gradient checkpointing, which needs training mode, would forbid the cache
    answers = sampler(policy, [item.ids for item in items], settings, [item.should_stop for item in items])
    policy.train(is_training)
    rollouts = [
        Rollout(item, Tokens((*item.ids, *answer.ids), len(item.ids)), answer.has_end, answer.logprobs)
        for item, answer in zip(items, answers, strict=True)
    ]
    costs.count_sampling(rate, parallel.own_share([r.tokens for r in rollouts]))
    return rollouts


def sample_scale_answers(
    policy: str, prompts: Sequence[messages.Text], encoder: Encoder, settings: SamplingSettings, config: TrainerSettings
) -> list[Tokens]:
    """Answers of a policy, with their prompts, that set the scale; unfinished ones are left out if at least two finished.

    Raises SkilldeltaError for a policy that is a reward model, and where no prompt leaves room for an answer.
    """
    if model_loading.has_score_head(model_loading.model_folder(policy)):
        raise SkilldeltaError(
            f"{policy} is a reward model and cannot answer prompts: name with --sft the policy whose answers set the reward's "
            "scale, or do without a scale by --samples 0."
        )
    short_prompts = [ids for ids in encoder.encode_prompts(prompts) if len(ids) + settings.max_new <= encoder.max_length]
    if prompts and not short_prompts:
        raise SkilldeltaError(
            f"No training prompt leaves room for an answer of --max-new {settings.max_new} tokens within --max-length "
            f"{encoder.max_length}: lower the one or raise the other, or do without a scale by --samples 0."
        )
    model = model_loading.load_model(model_loading.CAUSAL, policy).to(training_device(config))
    answers = sample_answers(model, short_prompts, settings)
    rows = [(Tokens((*ids, *a.ids), len(ids)), a.has_end) for ids, a in zip(short_prompts, answers, strict=True)]
    finished_rows = [row for row, has_end in rows if has_end]
    return finished_rows if len(finished_rows) >= 2 else [row for row, _ in rows]
