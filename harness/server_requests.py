"""Requests as a server takes them, and texts as it gives them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from harness import http
from harness.prompts.server_replies import Reply, ReplyChoice
from harness.prompts.stopping import cut_at_stop
from harness.prompts.templates import plain_text
from harness.types import Request, Response, SkilldeltaError, digest

MAX_STOPS = 4  # OpenAI takes no more; the answer is cut at the others here
TOO_LONG = (
    *("context_length_exceeded", "maximum context length", "context window", "longer than the maximum model length"),
    *("available context size", "context size has been exceeded"),  # llama.cpp, the second one with HTTP 500
    "longer than the model's context length",  # SGLang
)
# Where a server refuses what every request has, as OpenAI's reasoning models do: by what it names, the flags that change it.
WAYS_OUT = {
    "max_completion_tokens": "--backend-args length_field=max_completion_tokens sends the limit under the name that it takes.",
    "'temperature'": "--gen-kwargs temperature=1 asks at the temperature that it takes.",
    "'stop'": "--gen-kwargs stop= asks without stop strings.",
}
FILTER_SIGNS = ("content_filter", "content management policy", "responsibleaipolicy")  # of a prompt: Azure answers HTTP 400
EVERY_TOKEN = 1_000_000  # more than any vocabulary: servers disagree on whether 0 or -1 means all of it

R = TypeVar("R", bound=Reply)


@dataclass
class FurtherFields:
    """Fields beyond OpenAI's interface.  A server may refuse them: then the same request is sent without.

    `refused_names`: those without which a request was answered.  `is_used`: whether one was answered with any.
    """

    refused_names: set[str] = field(default_factory=set)
    is_used: bool = False

    @property
    def note(self) -> str:
        """What holds instead of the fields that the server refuses; "" where it takes all."""
        names = ", ".join(sorted(self.refused_names))
        return f"the server refuses {names}: its own values held in these answers, if it has any" if names else ""

    async def post(self, send: Callable[[Mapping[str, Any]], Awaitable[R]], further: Mapping[str, Any]) -> R:
        """What `send` gives with the fields that the server takes.  Raises what it raises for other reasons."""
        first = {name: value for name, value in further.items() if name not in self.refused_names}
        left = first
        while True:
            try:
                reply = await send(left)
            except (http.RequestRefusedError, http.UnsoundReplyError) as failure:  # some break at what they do not know
                may_be_any = isinstance(failure, http.RequestRefusedError) and not self.is_used
                names = {name for name in left if name in str(failure)} or (set(left) if may_be_any else set())
                if not names:
                    raise
                left = {name: value for name, value in left.items() if name not in names}
                continue
            self.refused_names |= first.keys() - left.keys()
            self.is_used |= bool(left)
            return reply


def choice_contexts(request: Request) -> tuple[str, ...]:
    """The text before each choice.  Raises SkilldeltaError for whole texts, and for a chat, which only the server renders."""
    if request.rolling:
        raise SkilldeltaError("A server has no log-likelihood of a whole text: it gives its first token no probability.")
    own = () if request.chat else request.contexts
    contexts = tuple(c if isinstance(c, str) else plain_text(replace(request, prompt=c)) for c in own)
    return contexts or (plain_text(request),) * len(request.choices)


def sampling_fields(request: Request) -> dict[str, Any]:
    """The settings of generation; the seed depends on the request alone, as far as the server keeps to it."""
    is_drawn = request.temperature > 0 and request.top_p > 0  # some servers refuse a share of 0, which is greedy
    fields: dict[str, Any] = {"temperature": request.temperature if is_drawn else 0.0}
    if is_drawn:
        fields |= {"top_p": request.top_p, "seed": int(digest(["draw", request.id]), 16) % 2**31}
    return fields | ({"stop": list(request.stop[:MAX_STOPS])} if request.stop else {})


def exact_fields(request: Request) -> dict[str, Any]:
    """What switches off a server's own defaults, which OpenAI's interface knows nothing of: penalties and cuts of sampling.

    llama-cpp-python and Ollama punish repetition by 1.1, greedy decoding too; llama.cpp draws from 40 tokens; vLLM and SGLang
    take such settings from the model's generation_config.json.
    """
    fields: dict[str, Any] = {"repetition_penalty": 1.0, "repeat_penalty": 1.0}
    return fields | ({"top_k": EVERY_TOKEN, "min_p": 0.0} if request.temperature > 0 else {})


def refused(refusal: str) -> Response | None:
    """The response where a refusal is of the prompt itself; None where it is of anything else."""
    words = refusal.lower()
    if any(sign in words for sign in TOO_LONG):
        return Response(finish="overlong", error=refusal)
    return Response(finish="error", error=refusal) if any(sign in words for sign in FILTER_SIGNS) else None


def way_out(failure: str) -> str:
    """What to do where a server answers nothing, by why."""
    is_setting = "support" in failure.lower()
    flags = " ".join(text for name, text in WAYS_OUT.items() if is_setting and name in failure)
    return flags or "Look at the server and the settings; the same command goes on from here."


def text_response(text: str, choice: ReplyChoice, reply: Reply, request: Request) -> Response:
    """A text up to its first stop string, with the reason why it ended."""
    finish, error = choice.ending
    answer = text if error else cut_at_stop(text, request.stop)
    if finish == "length" and answer != text:
        finish = "stop"
    return Response(answer, finish, tokens_in=reply.tokens_in, tokens_out=reply.tokens_out, error=error)


def as_plain_question(request: Request) -> Request:
    """A short question with the settings of a request, whose own text may be why it is refused."""
    return replace(request, prompt="Hello", contexts=(), choices=request.choices and (" there",), prefix="")


def request_failure(future: Future[Response]) -> Exception | None:
    """Why a request has no answer, where it failed alone; whatever else went wrong is raised."""
    failure = future.exception()
    if failure is None or isinstance(failure, (http.RequestRefusedError, http.UnsoundReplyError)):
        return failure
    raise failure
