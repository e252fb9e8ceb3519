"""Any server that speaks OpenAI's HTTP interface (OpenAI, vLLM, SGLang, llama.cpp, Ollama ...).

Texts come from /chat/completions, where the server applies the chat template; or, with chat_template=none and for prompts that
are rendered already, from /completions.  Choices are weighed by /completions with `echo` and `logprobs`, which vLLM and
others have and OpenAI's newer models do not.  A server may answer the same request differently twice: what is stored stays.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from harness import http
from harness.prompts.templates import joined
from harness.registry import unknown
from harness.types import Checkpoint, Finish, Json, Message, Request, Response, SkilldeltaError, digest

OPENAI = "https://api.openai.com/v1"
TEMPLATES = ("auto", "none")
PREFIXES = ("refuse", "continue", "drop")
MOST_STOPS = 4  # OpenAI takes no more; the answer is cut at the others here
TOO_LONG = ("context_length_exceeded", "maximum context length", "context window", "longer than the maximum model length")


@dataclass(frozen=True)
class Options:
    """`model` empty: the checkpoint's name.  `key`: the environment variable that holds the key, never the key itself.

    `chat_template` auto: the server's own; none: plain text.  `prefix` says what becomes of text that begins the answer in a
    chat: refuse the task, have the server continue it (vLLM and SGLang can), or drop it.  Times in seconds.
    """

    url: str = OPENAI
    model: str = ""
    key: str = "OPENAI_API_KEY"
    chat_template: str = "auto"
    prefix: str = "refuse"
    length_field: str = "max_tokens"  # max_completion_tokens for OpenAI's reasoning models
    concurrency: int = 8
    timeout: float = 300.0
    retries: int = 6
    backoff: float = 1.0


class OpenAI:
    """A model behind a server."""

    block = 256

    def __init__(self, model: str, server: http.Server, options: Options) -> None:
        self.model, self.server, self.options = model, server, options

    @property
    def settings(self) -> Json:
        chat = self.options.chat_template == "auto"
        return {
            "backend": "openai",
            "url": self.options.url,
            "model": self.model,
            "template": "server" if chat else "none",
            "prefix": self.options.prefix if chat else "",
        }

    def answer(self, requests: Sequence[Request]) -> Iterator[tuple[int, Response]]:
        """Every response as it arrives.  A server that cannot be reached ends the cell: what arrived before is kept."""
        pool = ThreadPoolExecutor(max_workers=self.options.concurrency)
        try:
            places = {pool.submit(self.one, request): index for index, request in enumerate(requests)}
            for done in as_completed(places):
                yield places[done], done.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def one(self, request: Request) -> Response:
        """The response to one request; what the server refuses has no answer, with its reason."""
        try:
            return self.weigh(request) if request.choices else self.write(request)
        except http.RefusedError as refused:
            if any(sign in str(refused).lower() for sign in TOO_LONG):
                return Response(finish="overlong", error=str(refused))
            return Response(finish="error", error=str(refused))

    def write(self, request: Request) -> Response:
        chat = self.options.chat_template == "auto" and not request.raw
        asked = {"model": self.model, **sampling(request), self.options.length_field: request.max_tokens}
        if chat:
            found = self.server.post("/chat/completions", asked | self.messages(request))
        else:
            found = self.server.post("/completions", asked | {"prompt": plain(request)})
        choice = first(found)
        text = (choice.get("message") or {}).get("content") if chat else choice.get("text")
        return written(text or "", choice.get("finish_reason"), found.get("usage") or {}, request)

    def messages(self, request: Request) -> dict[str, Any]:
        """The chat as the server takes it."""
        said = [{"role": m.role, "content": m.content} for m in messages(request)]
        if not request.prefix or self.options.prefix == "drop":
            return {"messages": said}
        if self.options.prefix == "refuse":
            raise SkilldeltaError(
                f"This task begins the answer itself (with {request.prefix!r}), and a chat server need not be able to go on "
                "from there.\nSet prefix=continue if this one can (vLLM, SGLang), prefix=drop to leave it out, or "
                "chat_template=none to ask for plain text."
            )
        said.append({"role": "assistant", "content": request.prefix})
        return {"messages": said, "add_generation_prompt": False, "continue_final_message": True}

    def weigh(self, request: Request) -> Response:
        """A log-probability for each choice: the sum over the tokens that end after the context does."""
        if request.rolling:
            raise SkilldeltaError("A server does not weigh whole texts: its first token has no probability there.")
        contexts = request.contexts or (plain(request),) * len(request.choices)
        told = [self.echo(context + choice) for context, choice in zip(contexts, request.choices, strict=True)]
        weights = [one.weight(len(choice)) for one, choice in zip(told, request.choices, strict=True)]
        return Response(
            logprobs=tuple(w[0] for w in weights),
            greedy=tuple(w[1] for w in weights),
            tokens_in=max(len(one.logprobs) for one in told),
        )

    def echo(self, text: str) -> Echo:
        """The server's log-probabilities of the tokens of `text`."""
        asked = {"model": self.model, "prompt": text, "max_tokens": 1, "temperature": 0, "logprobs": 1, "echo": True}
        found = self.server.post("/completions", asked)
        told = first(found).get("logprobs") or {}
        made = int((found.get("usage") or {}).get("completion_tokens", 1))
        if len(told.get("token_logprobs") or ()) <= made or not told.get("text_offset"):
            raise SkilldeltaError(
                f"{self.options.url} gives no log-probabilities of a prompt (/completions with echo and logprobs), so that it "
                "cannot be asked to weigh choices.\nvLLM gives them; tasks that generate text run on any server."
            )
        return echoed(told, made)


@dataclass(frozen=True)
class Echo:
    """The tokens of a prompt: where each begins, its log-probability, that of the likeliest token there; and the text's end.

    Offsets are counted from wherever the server likes: some count the beginning-of-sequence token, which the text lacks.
    """

    offsets: Sequence[int]
    logprobs: Sequence[float | None]
    best: Sequence[float | None]
    end: int

    def weight(self, length: int) -> tuple[float, bool]:
        """(log-probability, would greedy decoding have said it?) of the last `length` characters."""
        ends = [*self.offsets[1:], self.end]
        inside = [i for i, stop in enumerate(ends) if stop > self.end - length]
        found = [p for i in inside if (p := self.logprobs[i]) is not None]
        if not found or len(found) < len(inside):
            raise http.RefusedError(
                "a server gives the first token of a text no probability, and here the choice begins with it"
            )
        return sum(found), all((top := self.best[i]) is not None and p >= top for i, p in zip(inside, found, strict=True))


def echoed(told: Mapping[str, Any], made: int) -> Echo:
    """The prompt's part of `logprobs`; the last `made` tokens are the server's own."""
    count = len(told["token_logprobs"]) - made
    offsets = told["text_offset"]
    end = offsets[count] if made else offsets[-1] + len(told["tokens"][-1])
    tops = told.get("top_logprobs") or [None] * count
    best = [max(top.values()) if top else None for top in tops[:count]]
    return Echo(offsets[:count], told["token_logprobs"][:count], best, end)


def sampling(request: Request) -> dict[str, Any]:
    """The settings of generation; what is drawn depends on the request alone, as far as the server keeps to its seed."""
    asked: dict[str, Any] = {"temperature": request.temperature}
    if request.temperature > 0:
        asked |= {"top_p": request.top_p, "seed": int(digest(["draw", request.id]), 16) % 2**31}
    return asked | ({"stop": list(request.stop[:MOST_STOPS])} if request.stop else {})


def messages(request: Request) -> tuple[Message, ...]:
    return (Message("user", request.prompt),) if isinstance(request.prompt, str) else request.prompt


def plain(request: Request) -> str:
    """The prompt as text without a template."""
    return f"{request.prompt}{request.prefix}" if request.raw else joined(messages(request), request.prefix)


def first(found: Mapping[str, Any]) -> Mapping[str, Any]:
    """The only choice of an answer."""
    choices = found.get("choices") or ()
    if not choices:
        raise http.RefusedError(f"the server's answer holds no choices: {str(found)[:200]}")
    chosen: Mapping[str, Any] = choices[0]
    return chosen


def written(text: str, reason: str | None, usage: Mapping[str, Any], request: Request) -> Response:
    """A text up to its first stop string, with why it ended."""
    tokens_in, tokens_out = int(usage.get("prompt_tokens") or 0), int(usage.get("completion_tokens") or 0)
    if reason == "content_filter":
        return Response(
            text, "error", tokens_in=tokens_in, tokens_out=tokens_out, error="the server's filter withheld the answer"
        )
    end = min((at for stop in request.stop if stop and (at := text.find(stop)) >= 0), default=None)
    finish: Finish = "length" if reason == "length" and end is None else "stop"
    return Response(text[:end], finish, tokens_in=tokens_in, tokens_out=tokens_out)


def load(checkpoint: Checkpoint, options: Options) -> OpenAI:
    """The model that `options` or the checkpoint names, on the server at `options.url`."""
    if options.chat_template not in TEMPLATES:
        raise unknown("chat template for a server", options.chat_template, TEMPLATES)
    if options.prefix not in PREFIXES:
        raise unknown("way with a prefix", options.prefix, PREFIXES)
    address = urlsplit(options.url)
    if address.scheme not in ("http", "https") or not address.netloc:
        raise SkilldeltaError(f"{options.url!r} is no address of a server; one looks like http://localhost:8000/v1 (url=...).")
    key = os.environ.get(options.key, "")
    if not key and options.url == OPENAI:
        raise SkilldeltaError(
            f"The environment variable {options.key} holds no key for {OPENAI}.  Set it, name another variable with key=NAME, "
            "or another server with url=http://HOST:PORT/v1."
        )
    server = http.Server(options.url.rstrip("/"), key, options.timeout, options.retries, options.backoff)
    return OpenAI(options.model or checkpoint.path or checkpoint.name, server, options)
