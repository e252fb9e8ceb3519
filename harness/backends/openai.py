"""Any server that speaks OpenAI's HTTP interface (OpenAI, vLLM, SGLang, llama.cpp, Ollama ...).

Texts come from /chat/completions, where the server applies the chat template; or, with chat_template=none and for prompts that
are rendered already, from /completions.  Log-likelihoods of choices come from /completions with `echo` and `logprobs`, which
vLLM and others have and OpenAI's newer models do not.  A server may answer the same request differently twice: what is stored
stays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

from harness import http, server_requests
from harness.http_streams import STREAM_FIELDS
from harness.prompts.generation_settings import refuse_further_settings
from harness.prompts.server_replies import ChatReply, TextReply
from harness.prompts.templates import as_dicts, parse_arguments, plain_text
from harness.server_logprobs import PromptWeigher
from harness.server_meter import ServerMeter
from harness.server_names import explain_unlisted
from harness.server_requests import FurtherFields, choice_contexts, exact_fields, refused, sampling_fields, text_response
from harness.server_settings import OPENAI_URL, OpenAIOptions, make_server, make_settings, served_name
from harness.server_settings import requested_settings as requested_settings
from harness.server_settings import settings_differences as settings_differences
from harness.types import Checkpoint, Json, Request, Response, SkilldeltaError

MIN_PATIENCE = 8  # requests without a sound answer, one after another, that end a cell; more where more are asked at once
STREAM_PROBE = Request("Count from 1 to 9: 1, 2, 3, 4,", max_tokens=24, stop=("8",))
PREFIX_PROBE = Request("Hello", prefix="A", max_tokens=1)
MAX_PREFIX_TOKENS = 2  # of its prefix; the end of a message and the beginning of another are 4 and more in most templates
LONG = 128  # tokens that an answer may have, from which on it comes in pieces: a slow server needs a minute for them


class OpenAIModel:
    """A model behind a server."""

    block = 2048

    def __init__(self, model: str, server: http.JsonServer, options: OpenAIOptions) -> None:
        self.model, self.server, self.options = model, server, options
        self.template_args = parse_arguments(options.template_args)
        self.has_answered = False  # whether a sound answer ever came
        self.further_fields = FurtherFields()
        self.weigher = PromptWeigher(model, server)
        self.is_heard = self.is_streaming = False  # whether anybody takes reports; whether long answers come in pieces
        self.meter = ServerMeter(lambda tokens, seconds_left: None)

    @property
    def settings(self) -> Json:
        return make_settings(self.model, self.options)

    @property
    def note(self) -> str:
        return "; ".join(filter(None, (self.unlisted_note, self.further_fields.note)))

    @cached_property
    def unlisted_note(self) -> str:
        return explain_unlisted(self.server, self.model)

    def report_tokens(self, report: Callable[[int, float | None], None]) -> None:
        """From now on, `report` is called with the tokens of the answers so far and the seconds left, as answers come."""
        self.meter, self.is_heard = ServerMeter(report), True

    def answer(self, requests: Sequence[Request]) -> Iterator[tuple[int, Response]]:
        """Every response as it arrives; those that failed come last, so that they are asked again where the cell fails.

        A server that cannot be reached, or that gives nothing sound to many requests in a row, ends the cell: responses before
        that are answer.  Raises SkilldeltaError then.
        """
        failures: dict[int, Exception] = {}
        in_a_row, patience = 0, max(MIN_PATIENCE, self.options.concurrency)
        self.is_streaming = self.is_heard and self.options.stream and any(map(may_stream, requests)) and self.can_stream
        self.meter.begin_requests(requests, self.options.concurrency)
        for place, future in http.ask_concurrently(self.answer_request, requests, self.options.concurrency, self.meter.tick):
            failure = server_requests.request_failure(future)
            if failure is None:
                self.has_answered, in_a_row = True, 0
                self.meter.end(requests[place], future.result().tokens_out or future.result().tokens_in)
                yield place, future.result()
                continue
            failures[place] = failure
            self.meter.end(requests[place], 0)
            # A server that refuses is at work; only one that has never answered may have been asked in the wrong way.
            in_a_row += not (self.has_answered and isinstance(failure, http.RequestRefusedError))
            if in_a_row >= patience:
                raise self.no_answers(in_a_row, failure)
        if failures and not (self.has_answered or self.takes_plain_question(requests, failures)):
            raise self.no_answers(len(failures), list(failures.values())[-1])
        yield from ((place, Response(finish="error", error=str(failure))) for place, failure in sorted(failures.items()))

    def takes_plain_question(self, requests: Sequence[Request], failures: Mapping[int, Exception]) -> bool:
        """Where nothing else was answered: whether a short question is, so that it is their own texts that were refused."""
        if any(isinstance(failure, http.UnsoundReplyError) for failure in failures.values()):
            return False
        question = server_requests.as_plain_question(requests[min(failures)])
        ((_, future),) = http.ask_concurrently(self.answer_request, [question], 1)
        return server_requests.request_failure(future) is None

    def no_answers(self, count: int, failure: Exception) -> SkilldeltaError:
        return SkilldeltaError(
            f"{self.server.address.label} gave no sound answer, {count} time{'s' * (count != 1)} in a row: {failure}.\n"
            f"All answers so far are stored.  {server_requests.way_out(str(failure))}"
        )

    async def answer_request(self, connection: http.Connection, request: Request) -> Response:
        """The response to one request; an error with its reason where the prompt itself is refused."""
        self.meter.begin_request(request)
        try:
            return await (self.loglikelihoods(connection, request) if request.choices else self.generate(connection, request))
        except (http.RequestRefusedError, http.UnsoundReplyError) as refusal:  # the second: of HTTP 500, and 200 with an error
            if response := refused(str(refusal)):
                return response
            raise

    async def generate(self, connection: http.Connection, request: Request) -> Response:
        is_streamed = self.is_streaming and connection.streams and may_stream(request)
        return await self.ask_text(connection, request, self.meter.piece_counter(request) if is_streamed else None)

    async def ask_text(self, connection: http.Connection, request: Request, count: http.Count | None) -> Response:
        """A text, which comes in pieces where `count` takes them."""
        refuse_further_settings(request)
        is_chat = self.options.chat_template == "auto" and not request.raw
        path, kind = ("/chat/completions", ChatReply) if is_chat else ("/completions", TextReply)
        length = {self.options.length_field: request.max_tokens + request.thinking}
        fields = {"model": self.model, **sampling_fields(request), **length, **(STREAM_FIELDS if count else {})}
        fields |= self.chat_fields(request) if is_chat else {"prompt": plain_text(request)}
        further = exact_fields(request) if self.options.sampling == "exact" and self.options.url != OPENAI_URL else {}
        reply: ChatReply | TextReply = await self.further_fields.post(
            lambda more: self.server.post(connection, path, {**fields, **more}, kind, count), further
        )
        text, reasoning = reply.choices[0].split()
        return replace(text_response(text, reply.choices[0], reply, request), reasoning=reasoning)

    @cached_property
    def can_stream(self) -> bool:
        """Whether replies in pieces say what those say that come whole: a short question is asked both ways."""

        async def compare(connection: http.Connection, request: Request) -> bool:
            whole = await self.ask_text(connection, request, None)
            return await self.ask_text(connection, request, lambda: None) == whole and connection.streams

        try:
            ((_, future),) = http.ask_concurrently(compare, [STREAM_PROBE], 1)
            return future.result()
        except (http.RequestRefusedError, http.UnsoundReplyError):
            return False

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

    async def loglikelihoods(self, connection: http.Connection, request: Request) -> Response:
        """A log-probability for each choice: the sum over the tokens that end after the context does.

        Blanks between the two belong to the choice, as in WindowedTokenizer.encode_pair().
        """
        contexts = choice_contexts(request)
        texts = [context + choice for context, choice in zip(contexts, request.choices, strict=True)]
        prompts = [await self.weigher.weigh(connection, text) for text in texts]
        lengths = [len(text) - len(context.rstrip()) for text, context in zip(texts, contexts, strict=True)]
        values = [prompt.suffix_loglikelihood(length) for prompt, length in zip(prompts, lengths, strict=True)]
        if None in values:
            raise http.RequestRefusedError(
                "a server gives the first token of a text no probability, and here the choice begins with it"
            )
        return Response(
            logprobs=tuple(value[0] for value in values if value),
            greedy=tuple(value[1] for value in values if value),
            tokens_in=max(len(p.logprobs) for p in prompts),
        )

    @cached_property
    def prefix_problem(self) -> str:
        """Why this server does not go on from a text that begins the answer; "" where it may.

        One that ends the assistant's message behind the text, and begins a new one, counts more tokens than the text has.
        """

        async def count_tokens(connection: http.Connection, request: Request) -> int:
            return (await self.ask_text(connection, request, None)).tokens_in

        try:
            counts = dict(http.ask_concurrently(count_tokens, [PREFIX_PROBE, replace(PREFIX_PROBE, prefix="")], 1))
            longer, shorter = counts[0].result(), counts[1].result()
        except (SkilldeltaError, http.RequestRefusedError, http.UnsoundReplyError) as error:
            return str(error)
        if longer <= shorter + MAX_PREFIX_TOKENS:
            return ""
        return (
            f"{self.server.address.label} does not go on from a text that begins the answer (prefix=continue): "
            f"{PREFIX_PROBE.prefix!r} makes a prompt {longer - shorter} tokens longer, so its message is ended behind it.\n"
            "Set prefix=drop to leave such texts out, or chat_template=none for plain text."
        )

    def unsupported_reason(self, requests: Sequence[Request]) -> str:
        """Why a task cannot be asked here; "" where it can."""
        try:
            for request in requests:
                if request.choices:
                    choice_contexts(request)
                else:
                    refuse_further_settings(request)
                    self.chat_fields(request) if self.options.chat_template == "auto" and not request.raw else plain_text(
                        request
                    )
        except SkilldeltaError as error:
            return str(error)
        if self.options.prefix == "continue" and any(self.begins_answer(request) for request in requests):
            return self.prefix_problem
        return self.weigher.problem if any(request.choices for request in requests) else ""

    def begins_answer(self, request: Request) -> bool:
        """Whether the prompt is a chat whose last message the server is to continue."""
        return bool(request.prefix) and not request.choices and not request.raw and self.options.chat_template == "auto"


def may_stream(request: Request) -> bool:
    """Whether the answer may be long, and is asked for as STREAM_PROBE is."""
    return not request.choices and not request.raw and request.max_tokens + request.thinking >= LONG


def names_models(options: OpenAIOptions) -> bool:
    """A checkpoint is a name that the server knows, never a folder."""
    return bool(options.url)


def load(checkpoint: Checkpoint, options: OpenAIOptions) -> OpenAIModel:
    """The model that `options` or the checkpoint names, on the server at `options.url`.

    Raises SkilldeltaError for an unknown setting, an address that is none, and a key that is missing or cannot be sent.
    """
    return OpenAIModel(served_name(checkpoint, options), make_server(options), options)
