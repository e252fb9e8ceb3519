"""Log-probabilities of a prompt's tokens from a server, which may give none, or give them to other tokens than it says."""

from __future__ import annotations

from functools import cached_property

from harness import http
from harness.prompts.server_replies import EchoReply, PromptLogprobs, parse_logprobs
from harness.types import SkilldeltaError

PROBE = "The quick brown fox jumps over the lazy"
NEAR = 0.5  # nats: so far may a server that computes another batch be from itself


class NoLogprobsError(SkilldeltaError):
    """The server answers, without log-probabilities of the prompt."""


class PromptWeigher:
    """Asks for prompts to be given back (`echo`) with log-probabilities and one token more."""

    def __init__(self, model: str, server: http.JsonServer) -> None:
        self.model, self.server = model, server

    async def weigh(self, connection: http.Connection, text: str) -> PromptLogprobs:
        """The server's log-probabilities of the tokens of `text`.  Raises SkilldeltaError where the server gives none."""
        return (await self.weigh_and_continue(connection, text))[0]

    async def weigh_and_continue(self, connection: http.Connection, text: str) -> tuple[PromptLogprobs, str]:
        """The same with the server's likeliest continuation by one token; "" where it does not say it."""
        fields = {"model": self.model, "prompt": text, "max_tokens": 1, "temperature": 0, "logprobs": 1, "echo": True}
        reply = await self.server.post(connection, "/completions", fields, EchoReply)
        if reply.logprobs is None:
            raise NoLogprobsError(self.no_choices("it answers without them"))
        try:
            whole = reply.choices[0].text or ""
            prompt = parse_logprobs(reply.logprobs, reply.new_tokens, text)
            return prompt, whole[len(text) :] if whole.startswith(text) else ""
        except ValueError as error:
            raise http.UnsoundReplyError(str(error)) from None

    def no_choices(self, why: str) -> str:
        return (
            "Tasks with choices need log-probabilities of a prompt (/completions with echo and logprobs), and "
            f"{self.server.address.label} gives none: {why}.  vLLM gives them; tasks that generate text run on any server."
        )

    @cached_property
    def problem(self) -> str:
        """Why this server cannot weigh choices, found out with one or two short requests; "" where it can."""
        try:
            for _, future in http.ask_concurrently(self.check_places, [PROBE], 1):
                future.result()
        except (http.ServerAwayError, NoLogprobsError) as error:
            return str(error)
        except (SkilldeltaError, http.RequestRefusedError, http.UnsoundReplyError) as error:
            return self.no_choices(str(error))
        return ""

    async def check_places(self, connection: http.Connection, text: str) -> None:
        """Raises UnsoundReplyError where log-probabilities stand at other tokens than theirs.

        A text with its own likeliest continuation ends with a token that is the likeliest there.  llama-cpp-python (0.3.36)
        gives each token the log-probability that it has after itself, where the model has no beginning-of-sequence token.
        """
        prompt, continuation = await self.weigh_and_continue(connection, text)
        if not continuation:
            return
        longer = await self.weigh(connection, text + continuation)
        if list(longer.offsets[:-1]) != list(prompt.offsets):  # the new token has joined an old one
            return
        logprob, best = longer.logprobs[-1], longer.best[-1]
        if logprob is not None and best is not None and logprob < best - NEAR:
            raise http.UnsoundReplyError(
                f"the likeliest token {continuation!r} has the log-probability {logprob:.1f} and another one {best:.1f}, so "
                "they belong to other tokens than it says (llama-cpp-python does so)"
            )
