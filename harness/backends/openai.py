"""Any server that speaks OpenAI's HTTP interface (OpenAI, vLLM, SGLang, llama.cpp, Ollama ...).

Texts come from /chat/completions, where the server applies the chat template; or, with chat_template=none and for prompts that
are rendered already, from /completions.  Log-likelihoods of choices come from /completions with `echo` and `logprobs`, which
vLLM and others have and OpenAI's newer models do not.  A server may answer the same request differently twice: what is stored
stays.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from harness import http
from harness.prompts.generation_settings import refuse_further_settings
from harness.prompts.server_messages import read_message
from harness.prompts.stopping import cut_at_stop
from harness.prompts.templates import as_dicts, parse_arguments, plain_text
from harness.types import Checkpoint, Finish, Json, Request, Response, SkilldeltaError, digest, unknown_name

OPENAI_URL = "https://api.openai.com/v1"
TEMPLATES = ("auto", "none")
PREFIX_MODES = ("refuse", "continue", "drop")
MAX_STOPS = 4  # OpenAI takes no more; the answer is cut at the others here
TOO_LONG = ("context_length_exceeded", "maximum context length", "context window", "longer than the maximum model length")


@dataclass(frozen=True)
class OpenAIOptions:
    """`model` empty: the checkpoint's name.  `key`: the environment variable that holds the key, never the key itself.

    `chat_template` auto: the server's own; none: plain text.  `prefix` decides about text that begins the answer in a chat:
    refuse the task, let the server continue it (vLLM and SGLang can), or drop it.  Times in seconds.
    """

    url: str = OPENAI_URL
    model: str = ""
    key: str = "OPENAI_API_KEY"
    chat_template: str = "auto"
    template_args: str = ""  # variables of the server's chat template, sent as chat_template_kwargs (vLLM and SGLang take them)
    prefix: str = "refuse"
    length_field: str = "max_tokens"  # max_completion_tokens for OpenAI's reasoning models
    concurrency: int = 8
    timeout: float = 300.0
    retries: int = 6
    backoff: float = 1.0


class OpenAIModel:
    """A model behind a server."""

    block = 256

    def __init__(self, model: str, server: http.JsonServer, options: OpenAIOptions) -> None:
        self.model, self.server, self.options = model, server, options
        self.template_args = parse_arguments(options.template_args)

    @property
    def settings(self) -> Json:
        chat = self.options.chat_template == "auto"
        return {
            "backend": "openai",
            "url": self.options.url,
            "model": self.model,
            "template": "server" if chat else "none",
            "prefix": self.options.prefix if chat else "",
            **({"template_args": self.template_args} if self.template_args else {}),
        }

    def answer(self, requests: Sequence[Request]) -> Iterator[tuple[int, Response]]:
        """Every response as it arrives.  A server that cannot be reached ends the cell: responses before that are kept."""
        pool = ThreadPoolExecutor(max_workers=self.options.concurrency)
        try:
            places = {pool.submit(self.answer_request, request): index for index, request in enumerate(requests)}
            for future in as_completed(places):
                yield places[future], future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def answer_request(self, request: Request) -> Response:
        """The response to one request; to one that the server refuses, an error with its reason."""
        try:
            return self.loglikelihoods(request) if request.choices else self.generate(request)
        except http.RequestRefusedError as refusal:
            if any(sign in str(refusal).lower() for sign in TOO_LONG):
                return Response(finish="overlong", error=str(refusal))
            return Response(finish="error", error=str(refusal))

    def generate(self, request: Request) -> Response:
        refuse_further_settings(request, "this backend")
        chat = self.options.chat_template == "auto" and not request.raw
        length = {self.options.length_field: request.max_tokens + request.thinking}
        fields = {"model": self.model, **sampling_fields(request), **length}
        if chat:
            answer = self.server.post("/chat/completions", fields | self.chat_fields(request))
        else:
            answer = self.server.post("/completions", fields | {"prompt": plain_text(request)})
        choice = first_choice(answer)
        text, reasoning = read_message(choice.get("message") or {}) if chat else (str(choice.get("text") or ""), "")
        response = text_response(text, choice.get("finish_reason"), answer.get("usage") or {}, request)
        return replace(response, reasoning=reasoning)

    def chat_fields(self, request: Request) -> dict[str, Any]:
        """The chat as the server takes it.  Raises SkilldeltaError for a prefix, unless the options say how to treat it."""
        chat = as_dicts(request)
        variables = {"chat_template_kwargs": self.template_args} if self.template_args else {}
        if not request.prefix or self.options.prefix == "drop":
            return {"messages": chat, **variables}
        if self.options.prefix == "refuse":
            raise SkilldeltaError(
                f"This task begins the answer itself (with {request.prefix!r}), and some chat servers cannot go on from it.\n"
                "Set prefix=continue if this one can (vLLM, SGLang), prefix=drop to leave it out, or chat_template=none for "
                "plain text."
            )
        chat.append({"role": "assistant", "content": request.prefix})
        return {"messages": chat, "add_generation_prompt": False, "continue_final_message": True, **variables}

    def loglikelihoods(self, request: Request) -> Response:
        """A log-probability for each choice: the sum over the tokens that end after the context does."""
        if request.rolling:
            raise SkilldeltaError("A server has no log-likelihood of a whole text: it gives its first token no probability.")
        # plain_text() refuses a chat: the server would render it, and gives no probabilities of what it rendered.
        contexts = () if request.chat else tuple(map(str, request.contexts))
        contexts = contexts or (plain_text(request),) * len(request.choices)
        prompts = [self.prompt_logprobs(context + choice) for context, choice in zip(contexts, request.choices, strict=True)]
        values = [p.suffix_loglikelihood(len(choice)) for p, choice in zip(prompts, request.choices, strict=True)]
        return Response(
            logprobs=tuple(logprob for logprob, _ in values),
            greedy=tuple(greedy for _, greedy in values),
            tokens_in=max(len(p.logprobs) for p in prompts),
        )

    def prompt_logprobs(self, text: str) -> PromptLogprobs:
        """The server's log-probabilities of the tokens of `text`.  Raises SkilldeltaError where the server gives none."""
        fields = {"model": self.model, "prompt": text, "max_tokens": 1, "temperature": 0, "logprobs": 1, "echo": True}
        answer = self.server.post("/completions", fields)
        logprobs = first_choice(answer).get("logprobs") or {}
        new_tokens = int((answer.get("usage") or {}).get("completion_tokens", 1))
        if len(logprobs.get("token_logprobs") or ()) <= new_tokens or not logprobs.get("text_offset"):
            raise SkilldeltaError(
                f"{self.options.url} gives no log-probabilities of a prompt (/completions with echo and logprobs), so it "
                "cannot run tasks with choices.\nvLLM gives them; tasks that generate text run on any server."
            )
        return parse_logprobs(logprobs, new_tokens)


@dataclass(frozen=True)
class PromptLogprobs:
    """For each token of a prompt its offset, its log-probability, and that of the likeliest token; `end`: the text's end.

    Offsets are counted from wherever the server likes: some count the beginning-of-sequence token, which the text lacks.
    """

    offsets: Sequence[int]
    logprobs: Sequence[float | None]
    best: Sequence[float | None]
    end: int

    def suffix_loglikelihood(self, length: int) -> tuple[float, bool]:
        """(log-probability, would greedy decoding have produced it?) of the last `length` characters.

        Raises RequestRefusedError where one of its tokens has no log-probability.
        """
        ends = [*self.offsets[1:], self.end]
        suffix = [i for i, stop in enumerate(ends) if stop > self.end - length]
        logprobs = [p for i in suffix if (p := self.logprobs[i]) is not None]
        if not logprobs or len(logprobs) < len(suffix):
            raise http.RequestRefusedError(
                "a server gives the first token of a text no probability, and here the choice begins with it"
            )
        greedy = all((top := self.best[i]) is not None and p >= top for i, p in zip(suffix, logprobs, strict=True))
        return sum(logprobs), greedy


def parse_logprobs(logprobs: Mapping[str, Any], new_tokens: int) -> PromptLogprobs:
    """The prompt's part of `logprobs`; the last `new_tokens` are the server's own."""
    count = len(logprobs["token_logprobs"]) - new_tokens
    offsets = logprobs["text_offset"]
    end = offsets[count] if new_tokens else offsets[-1] + len(logprobs["tokens"][-1])
    tops = logprobs.get("top_logprobs") or [None] * count
    best = [max(top.values()) if top else None for top in tops[:count]]
    return PromptLogprobs(offsets[:count], logprobs["token_logprobs"][:count], best, end)


def sampling_fields(request: Request) -> dict[str, Any]:
    """The settings of generation; the seed depends on the request alone, as far as the server keeps to it."""
    fields: dict[str, Any] = {"temperature": request.temperature}
    if request.temperature > 0:
        fields |= {"top_p": request.top_p, "seed": int(digest(["draw", request.id]), 16) % 2**31}
    return fields | ({"stop": list(request.stop[:MAX_STOPS])} if request.stop else {})


def first_choice(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    """The only choice of an answer.  Raises RequestRefusedError where it has none."""
    choices = answer.get("choices") or ()
    if not choices:
        raise http.RequestRefusedError(f"the server's answer holds no choices: {str(answer)[:200]}")
    choice: Mapping[str, Any] = choices[0]
    return choice


def text_response(text: str, reason: str | None, usage: Mapping[str, Any], request: Request) -> Response:
    """A text up to its first stop string, with the reason why it ended."""
    tokens_in, tokens_out = int(usage.get("prompt_tokens") or 0), int(usage.get("completion_tokens") or 0)
    if reason == "content_filter":
        error = "the server's filter withheld the answer"
        return Response(text, "error", tokens_in=tokens_in, tokens_out=tokens_out, error=error)
    kept = cut_at_stop(text, request.stop)
    finish: Finish = "length" if reason == "length" and kept == text else "stop"
    return Response(kept, finish, tokens_in=tokens_in, tokens_out=tokens_out)


def load(checkpoint: Checkpoint, options: OpenAIOptions) -> OpenAIModel:
    """The model that `options` or the checkpoint names, on the server at `options.url`.

    Raises SkilldeltaError for an unknown setting, an address that is none, and a missing key.
    """
    if options.chat_template not in TEMPLATES:
        raise unknown_name("chat template for a server", options.chat_template, TEMPLATES)
    if options.prefix not in PREFIX_MODES:
        raise unknown_name("way with a prefix", options.prefix, PREFIX_MODES)
    address = urlsplit(options.url)
    if address.scheme not in ("http", "https") or not address.netloc:
        raise SkilldeltaError(f"{options.url!r} is no address of a server; one looks like http://localhost:8000/v1 (url=...).")
    key = os.environ.get(options.key, "")
    if not key and options.url == OPENAI_URL:
        raise SkilldeltaError(
            f"The environment variable {options.key} holds no key for {OPENAI_URL}.  Set it, name another variable with "
            "key=NAME, or another server with url=http://HOST:PORT/v1."
        )
    server = http.JsonServer(options.url.rstrip("/"), key, options.timeout, options.retries, options.backoff)
    return OpenAIModel(options.model or checkpoint.path or checkpoint.name, server, options)
