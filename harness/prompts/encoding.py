"""Requests as token ids, ready for the engine: the same for every checkpoint of a family."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from harness.engine.engine import Continuing, Weighing
from harness.engine.plain import Pair
from harness.engine.sequences import Prompt
from harness.prompts.templates import Template
from harness.prompts.tokenization import Tokens
from harness.types import Request, Response, SkilldeltaError, digest

Early = tuple[tuple[int, Response], ...]  # what is answered without the model, with its place in the requests


@dataclass(frozen=True)
class Choices:
    """Requests with choices.  `told`: by place, the tokens of the longest context, and the most that were cut; `owners`: for
    each pair the place of its request and the number of its choice."""

    early: Early
    told: dict[int, tuple[int, int]]
    owners: list[tuple[int, int]]
    plan: Weighing

    @property
    def size(self) -> int:
        return self.plan.size

    def pairs(self) -> Counter[int]:
        """How many pairs belong to each request."""
        return Counter(place for place, _ in self.owners)


@dataclass(frozen=True)
class Texts:
    """Requests for texts.  `owners`: for each prompt the place of its request, its tokens, and how many were cut."""

    early: Early
    owners: list[tuple[int, int, int]]
    plan: Continuing

    @property
    def size(self) -> int:
        return self.plan.size


@dataclass(frozen=True)
class Reader:
    """Turns requests into token ids."""

    tokens: Tokens
    template: Template

    def choices(self, requests: Sequence[Request], plan: Callable[[list[Pair]], Weighing]) -> Choices:
        """Requests with choices, each pair within the window."""
        early, told, owners, pairs = list[tuple[int, Response]](), {}, list[tuple[int, int]](), list[Pair]()
        for place, request in enumerate(requests):
            try:
                found = self.tokens.pairs(request, self.template)
            except SkilldeltaError as error:
                early.append((place, Response(finish="error", error=str(error))))
                continue
            if not found:  # an empty text, as a whole, is certain
                early.append((place, Response(logprobs=(0.0,), greedy=(True,))))
                continue
            cut = max(t.cut for t in found)
            longest = max(len(t.pair.continuation) for t in found)
            if (cut and not request.cut) or longest > self.tokens.window:
                early.append((place, Response(finish="overlong", tokens_in=len(found[0].pair.context) + cut)))
                continue
            told[place] = (max(len(t.pair.context) for t in found), cut)
            pairs += [t.pair for t in found]
            owners += [(place, t.choice) for t in found]
        return Choices(tuple(early), told, owners, plan(pairs))

    def texts(self, requests: Sequence[Request], plan: Callable[[list[Prompt]], Continuing]) -> Texts:
        """Requests for texts, each prompt with room behind it in the window."""
        early, owners, prompts = list[tuple[int, Response]](), list[tuple[int, int, int]](), list[Prompt]()
        for place, request in enumerate(requests):
            ids = self.tokens.begun(self.tokens.encode(self.template.render(request)))
            if request.max_tokens < 1:
                raise SkilldeltaError(f"{request.max_tokens} new tokens are asked for: at least 1 is needed.")
            room = self.tokens.window - (request.max_tokens if request.cut else 1)
            if room < 1:
                raise SkilldeltaError(
                    f"{request.max_tokens} new tokens leave no room for a prompt in a window of {self.tokens.window}."
                )
            cut = max(len(ids) - room, 0)
            if cut and not request.cut:
                early.append((place, Response(finish="overlong", tokens_in=len(ids))))
                continue
            prompts.append(self.prompt(request, ids[cut:]))
            owners.append((place, len(ids) - cut, cut))
        return Texts(tuple(early), owners, plan(prompts))

    def prompt(self, request: Request, ids: Sequence[int]) -> Prompt:
        """A request as the engine takes it.  What is drawn depends on the request alone."""
        most = min(request.max_tokens, self.tokens.window - len(ids))
        seed = int(digest(["draw", request.id]), 16)
        return Prompt(ids, most, self.tokens.stopper(request.stop), request.temperature, request.top_p, seed)
