"""What our rows are to transformers' continuous batching: requests that end by our rules, and draws that are ours.

The library counts tokens and knows end tokens.  It knows no stop strings, and one seed for a whole batch: so a request asks its
row after each token whether it ends, and a processor of logits puts the token that a row draws on top.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor
from transformers.generation.continuous_batching.cb_logits_processors import ContinuousBatchingLogitsProcessor
from transformers.generation.continuous_batching.requests import RequestState, RequestStatus

from harness.engine.sequences import DecodingRow, sample_inverse_cdf, sample_nucleus

UNIFORM_STEPS = 2**31  # a uniform number travels in the 31 bits that the library has for a row
SamplingKind = Literal["greedy", "sampled", "nucleus"]


def sampling_kind(row: DecodingRow) -> SamplingKind:
    """How a row's tokens are chosen: rows of one kind share a batch, as the work on the logits is captured once for all."""
    if row.prompt.temperature <= 0:
        return "greedy"
    return "nucleus" if row.prompt.top_p < 1 else "sampled"


@dataclass
class RowDraws:
    """The uniform numbers of a row by the place of the token: a token that is computed again is drawn with the same one."""

    row: DecodingRow
    numbers: list[float] = field(default_factory=list)

    def at(self, place: int) -> float:
        while len(self.numbers) <= place:
            self.numbers.append(self.row.generator.random())
        return self.numbers[place]


@dataclass
class RowRequest(RequestState):  # type: ignore[misc]
    """A row as a request of the library.  `log`: every row that gets a token is appended there."""

    draws: RowDraws | None = None
    log: list[DecodingRow] = field(default_factory=list)

    def update_and_check_completion(self, token_id: int, logprob: float | None) -> bool:
        """Takes the next token.  True: the row ends with it, and its memory is free for the next one at once."""
        assert self.draws is not None
        super().update_and_check_completion(token_id, logprob)
        row = self.draws.row
        row.append(token_id)
        self.log.append(row)
        if row.finish:
            self.status = RequestStatus.FINISHED
        return bool(row.finish)

    def create_equivalent_initial_request(self) -> RowRequest:
        """The request that goes on where memory took this one's keys and values away: its row lives on."""
        return RowRequest(
            request_id=self.request_id,
            initial_tokens=[*self.initial_tokens, *self.generated_tokens],
            max_new_tokens=None,
            logprobs=self.logprobs[:],
            draws=self.draws,
            log=self.log,
        )

    @property
    def next_uniform(self) -> float:
        """The number that draws the token behind those that the library has scheduled."""
        assert self.draws is not None
        return self.draws.at(self.position_offset - len(self.draws.row.prompt.ids))


class RowNumber(ContinuousBatchingLogitsProcessor):  # type: ignore[misc]
    """A number of each row (its temperature, its top_p) on the device, for RowSampler.  It leaves the logits as they are.

    The library carries 32 bits of each row as an integer: here they are those of a float32.
    """

    supported_kwargs: ClassVar[dict[str, type]] = {}
    ignored_kwargs: ClassVar[tuple[str, ...]] = ()

    def __init__(self, name: Literal["temperature", "top_p"]) -> None:
        self.name = name
        self.numbers = torch.empty(0, dtype=torch.int32)

    def fill_defaults(self, int32_tensor: Tensor) -> None:
        int32_tensor.copy_(torch.ones_like(int32_tensor, dtype=torch.float32).view(torch.int32))

    def prepare_tensor_args(self, requests_with_new_token: Sequence[Any]) -> Tensor:
        numbers = [getattr(future.state.draws.row.prompt, self.name) for future in requests_with_new_token]
        return torch.tensor(numbers, dtype=torch.float32).view(torch.int32)

    def __call__(self, scores: Tensor, tensor_arg: Tensor) -> Tensor:
        self.numbers = tensor_arg[: scores.shape[0]]
        return scores

    def read(self) -> Tensor:
        """The rows' numbers: [B] in float64."""
        return self.numbers.view(torch.float32).double()


class RowSampler(ContinuousBatchingLogitsProcessor):  # type: ignore[misc]
    """Logits [B, V] -> 1 at the token that each row draws, 0 elsewhere: the likeliest token is the drawn one."""

    supported_kwargs: ClassVar[dict[str, type]] = {}
    ignored_kwargs: ClassVar[tuple[str, ...]] = ()

    def __init__(self, temperature: RowNumber, top_p: RowNumber, kind: SamplingKind) -> None:
        self.temperature, self.top_p = temperature, top_p
        self.sample = sample_nucleus if kind == "nucleus" else sample_inverse_cdf

    def fill_defaults(self, int32_tensor: Tensor) -> None:
        int32_tensor.zero_()

    def prepare_tensor_args(self, requests_with_new_token: Sequence[Any]) -> Tensor:
        numbers = [int(future.state.next_uniform * UNIFORM_STEPS) for future in requests_with_new_token]
        return torch.tensor(numbers, dtype=torch.int32)

    def __call__(self, scores: Tensor, tensor_arg: Tensor) -> Tensor:
        uniform = tensor_arg[: scores.shape[0]].double() / UNIFORM_STEPS
        probs = (scores.double() / self.temperature.read()[:, None]).softmax(1)
        tokens = self.sample(probs, uniform, self.top_p.read())
        return torch.zeros_like(scores).scatter_(1, tokens[:, None], 1.0)


def make_processors(kind: SamplingKind) -> list[ContinuousBatchingLogitsProcessor]:
    """The processors of logits for rows of one kind."""
    if kind == "greedy":
        return []
    temperature, top_p = RowNumber("temperature"), RowNumber("top_p")
    return [temperature, top_p, RowSampler(temperature, top_p, kind)]
