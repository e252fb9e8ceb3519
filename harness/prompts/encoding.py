"""Requests as token ids, ready for the engine: the same for every checkpoint with one tokenizer, template and window."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

from harness.engine.plain import TokenPair
from harness.engine.sequences import Generation, TokenPrompt
from harness.prompts.generation_settings import refuse_further_settings
from harness.prompts.reasoning_blocks import ends_inside_block
from harness.prompts.stopping import AnswerBudget, StopCheck
from harness.prompts.template_trial import try_requests
from harness.prompts.templates import ChatTemplate, TemplateError, plain_text
from harness.types import Finish, Request, Response, SkilldeltaError, digest

if TYPE_CHECKING:
    from harness.engine.plans import GenerationPlan, LogLikelihoodPlan
    from harness.prompts.tokenization import WindowedTokenizer

    PlanPairs = Callable[[list[TokenPair]], LogLikelihoodPlan]
    PlanPrompts = Callable[[list[TokenPrompt]], GenerationPlan]

EarlyResponses = tuple[tuple[int, Response], ...]  # responses that need no model, with their places in the requests


@dataclass(frozen=True)
class EncodedChoices:
    """Requests with choices.

    `context_sizes`: by the place of a request, the tokens of its longest context, and the most that were truncated from one.
    `owners`: for each pair the place of its request and the number of its choice.
    """

    early: EarlyResponses
    context_sizes: dict[int, tuple[int, int]]
    owners: list[tuple[int, int]]
    plan: LogLikelihoodPlan

    @property
    def size(self) -> int:
        return self.plan.size

    def pairs_per_request(self) -> Counter[int]:
        """How many pairs belong to each request: several for one choice where a text is longer than the window."""
        return Counter(place for place, _ in self.owners)


@dataclass(frozen=True)
class EncodedPrompts:
    """Requests for texts.  `owners`: for each prompt the place of its request, its tokens, and how many were truncated.

    `in_block`: the places of the requests whose prompt opens a block of reasoning.
    """

    early: EarlyResponses
    owners: list[tuple[int, int, int]]
    plan: GenerationPlan
    in_block: frozenset[int] = frozenset()

    @property
    def size(self) -> int:
        return self.plan.size


@dataclass(frozen=True)
class RequestEncoder:
    """Turns requests into token ids, with a tokenizer and a chat template.

    `rows`: of the model's embeddings; a text with a token beyond them is not asked.  0: all tokens have one.
    """

    tokenizer: WindowedTokenizer
    template: ChatTemplate
    rows: int = 0

    def encode_choices(self, requests: Sequence[Request], plan: PlanPairs) -> EncodedChoices:
        """Requests with choices, each pair within the window.  One that cannot be encoded gets its response at once."""
        try_requests(self.template, requests)
        early, sizes, owners, pairs = list[tuple[int, Response]](), {}, list[tuple[int, int]](), list[TokenPair]()
        for place, request in enumerate(requests):
            if self.template.kind == "none" and request.chat:
                plain_text(request)  # refuses it, for all alike: no response of its own would say more
            if reason := explain_half_characters(request):
                early.append((place, Response(finish="error", error=reason)))
                continue
            try:
                choices = self.tokenizer.encode_choices(request, self.template)
            except TemplateError:
                raise
            except SkilldeltaError as error:
                early.append((place, Response(finish="error", error=str(error))))
                continue
            if not choices:  # an empty text, as a whole, is certain
                early.append((place, Response(logprobs=(0.0,), greedy=(True,))))
                continue
            if reason := self.explain_unknown_token(i for c in choices for i in (*c.pair.context, *c.pair.continuation)):
                early.append((place, Response(finish="error", error=reason)))
                continue
            overflow = max(c.overflow for c in choices)
            longest = max(len(c.pair.continuation) for c in choices)
            if (overflow and not request.truncate) or longest > self.tokenizer.window:
                early.append((place, Response(finish="overlong", tokens_in=len(choices[0].pair.context) + overflow)))
                continue
            sizes[place] = (max(len(c.pair.context) for c in choices), overflow)
            pairs += [c.pair for c in choices]
            owners += [(place, c.choice) for c in choices]
        return EncodedChoices(tuple(early), sizes, owners, plan(pairs))

    def encode_prompts(self, requests: Sequence[Request], plan: PlanPrompts, supported: Container[str] = ()) -> EncodedPrompts:
        """Requests for texts, each prompt with room behind it in the window.  `supported`: further settings of generation.

        Raises SkilldeltaError where a request asks for no new tokens, or for so many that no prompt fits.
        """
        try_requests(self.template, requests)
        early, owners, prompts = list[tuple[int, Response]](), list[tuple[int, int, int]](), list[TokenPrompt]()
        in_block = set[int]()
        for place, request in enumerate(requests):
            refuse_further_settings(request, supported)
            if reason := explain_half_characters(request):
                early.append((place, Response(finish="error", error=reason)))
                continue
            text = self.template.render(request)
            ids = self.tokenizer.with_start(self.tokenizer.encode(text))
            if ends_inside_block(text):
                in_block.add(place)
            if request.max_tokens < 1:
                raise SkilldeltaError(f"{request.max_tokens} new tokens are asked for: at least 1 is needed.")
            window, count = self.tokenizer.window, request.max_tokens + request.thinking
            room = window - (count if request.truncate else 1)
            if room < 1:
                raise SkilldeltaError(f"{count} new tokens leave no room for a prompt in a window of {window}.")
            if reason := self.explain_unknown_token(ids):
                early.append((place, Response(finish="error", error=reason)))
                continue
            overflow = max(len(ids) - room, 0)
            if overflow and not request.truncate:
                early.append((place, Response(finish="overlong", tokens_in=len(ids))))
                continue
            prompts.append(self.to_token_prompt(request, ids[overflow:], place in in_block))
            owners.append((place, len(ids) - overflow, overflow))
        return EncodedPrompts(tuple(early), owners, plan(prompts), frozenset(in_block))

    def explain_unknown_token(self, ids: Iterable[int]) -> str:
        """Why the model cannot read these tokens: one lies beyond its embeddings; "" where it can."""
        largest = max(ids, default=0) if self.rows else -1
        if largest < self.rows:
            return ""
        token = self.tokenizer.hf_tokenizer.convert_ids_to_tokens(largest)
        return (
            f"the tokenizer's token {largest} ({token!r}) lies beyond the model's {self.rows} embeddings: "
            "tokens were added to the tokenizer, and the model was not resized"
        )

    def to_token_prompt(self, request: Request, ids: Sequence[int], in_block: bool = False) -> TokenPrompt:
        """A request with its ids.  Its seed depends on the request alone, so its text does not depend on the batch."""
        room = min(request.max_tokens + request.thinking, self.tokenizer.window - len(ids))
        seed = int(digest(["draw", request.id]), 16)
        return TokenPrompt(ids, room, self.make_check(request, in_block), request.temperature, request.top_p, seed)

    def make_check(self, request: Request, in_block: bool) -> StopCheck:
        budget = AnswerBudget(request.thinking, request.max_tokens)
        return self.tokenizer.make_answer_check(request.stop, in_block, budget)

    def make_response(self, request: Request, generation: Generation, in_block: bool) -> Response:
        """What was generated, as text; its counts of prompt tokens are the caller's."""
        text = self.tokenizer.decode_until_stop(generation.ids, request.stop, in_block)
        finish: Finish = generation.finish
        if request.thinking and generation.ids:
            check = self.make_check(request, in_block)
            check(generation.ids)
            finish = "length" if check.over_budget else finish
        return Response(text, finish, tokens_out=len(generation.ids), in_block=in_block)


def explain_half_characters(request: Request) -> str:
    """Why no tokenizer takes the request's texts: one has half a character, as where an emoji was cut; "" where it can."""
    prompts = [(p,) if isinstance(p, str) else tuple(m.content for m in p) for p in (request.prompt, *request.contexts)]
    for text in chain(*prompts, (request.prefix, *request.choices)):
        try:
            text.encode()
        except UnicodeEncodeError as error:
            return f"a text of the prompt holds half a character, U+{ord(text[error.start]):04X}, which no tokenizer takes"
    return ""
