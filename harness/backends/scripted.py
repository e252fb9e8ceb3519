"""A backend with a fixed answer to every request: for tests, and to try a set-up without a model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from harness.prompts.stopping import cut_at_stop
from harness.types import Checkpoint, Json, Request, Response


@dataclass(frozen=True)
class ScriptedOptions:
    """`text` answers every prompt; of choices, the one at `choice` is the likeliest."""

    text: str = ""
    choice: int = 0
    block: int = 64


class ScriptedModel:
    """Answers each request by a function of it."""

    def __init__(self, answer_one: Callable[[Request], Response], settings: Json | None = None, block: int = 64) -> None:
        self.answer_one = answer_one
        self.settings = settings or {"backend": "scripted"}
        self.block = block

    def answer(self, requests: Sequence[Request]) -> Iterator[tuple[int, Response]]:
        for index, request in enumerate(requests):
            yield index, self.answer_one(request)


def load(checkpoint: Checkpoint, options: ScriptedOptions) -> ScriptedModel:
    """The same answer to every request."""

    def answer_one(request: Request) -> Response:
        if not request.choices:
            return Response(cut_at_stop(options.text, request.stop), tokens_out=len(options.text.split()))
        likeliest = min(options.choice, len(request.choices) - 1)
        logprobs = tuple(-1.0 if i == likeliest else -2.0 for i in range(len(request.choices)))
        return Response(logprobs=logprobs, greedy=tuple(p == -1.0 for p in logprobs))

    return ScriptedModel(answer_one, {"backend": "scripted", "text": options.text, "choice": options.choice}, options.block)
