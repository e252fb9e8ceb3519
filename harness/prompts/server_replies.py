"""What servers with OpenAI's interface reply to /completions and /chat/completions, checked as it enters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field, FiniteFloat, StrictStr, model_validator

from harness.types import Finish

MAX_TOKENS = 10**8  # of one request: no window is so long
STOP_REASONS = {"", "stop", "eos", "eos_token", "end_turn", "stop_sequence", "stop_str", "completed", "complete", "finished"}
LENGTH_REASONS = {"length", "max_tokens", "max_length", "max_output_tokens"}
FILTER_REASONS = {"content_filter", "safety", "recitation", "refusal"}

Count = Annotated[int, Field(ge=0, le=MAX_TOKENS)]
Logprob = Annotated[FiniteFloat, Field(le=1e-3)]  # servers round: 0 may be a little more


class Usage(BaseModel):
    prompt_tokens: Count | None = None
    completion_tokens: Count | None = None


class Part(BaseModel):
    """A part of a message.  Only texts are understood: no picture counts as an empty answer.

    `think`: LibreChat's; `redacted_thinking`: Anthropic's, which holds no words.
    """

    type: Literal["text", "output_text", "thinking", "think", "reasoning", "redacted_thinking", "refusal"]
    text: StrictStr | list[Part] | None = None
    thinking: StrictStr | list[Part] | None = None
    think: StrictStr | None = None
    refusal: StrictStr | None = None

    @property
    def is_reasoning(self) -> bool:
        return self.type in ("thinking", "think", "reasoning", "redacted_thinking")

    def join(self) -> str:
        """Its text, which may itself be a list of parts."""
        value = (self.thinking or self.think if self.is_reasoning else self.refusal) or self.text or ""
        return value if isinstance(value, str) else "".join(part.join() for part in value)


class ReasoningDetail(BaseModel):
    text: StrictStr | None = None
    summary: StrictStr | None = None


class ReplyMessage(BaseModel):
    """An assistant's message.

    Servers have the reasoning in a field next to the content (vLLM, SGLang, DeepSeek: reasoning_content; OpenRouter and newer
    ones: reasoning, reasoning_details; gateways: the others), or as parts of the content (Mistral).  OpenAI puts a refusal into
    a field of its own.
    """

    content: StrictStr | list[Part] | None = None
    reasoning_content: StrictStr | None = None
    reasoning: StrictStr | None = None
    reasoning_text: StrictStr | None = None
    thinking: StrictStr | None = None
    thoughts: StrictStr | None = None
    reasoning_details: list[ReasoningDetail] | None = None
    refusal: StrictStr | None = None
    tool_calls: list[Any] | None = None
    function_call: Any = None
    audio: Any = None
    images: Any = None

    @model_validator(mode="after")
    def holds_text(self) -> Self:
        if not self.content and (self.audio or self.images):
            raise ValueError("an answer of sound or pictures, which is no text")
        return self

    def split(self) -> tuple[str, str]:
        """(answer, reasoning)."""
        parts = self.content if isinstance(self.content, list) else []
        fields = (self.reasoning_content, self.reasoning, self.reasoning_text, self.thinking, self.thoughts)
        details = "".join(detail.text or detail.summary or "" for detail in self.reasoning_details or ())
        reasoning = next(filter(None, (*fields, details)), "") or "".join(p.join() for p in parts if p.is_reasoning)
        text = self.content if isinstance(self.content, str) else "".join(p.join() for p in parts if not p.is_reasoning)
        return text or self.refusal or "", reasoning


class TokenLogprobs(BaseModel):
    """Tokens of a prompt and of what was generated behind it, with log-probabilities (natural) and offsets (characters)."""

    tokens: list[StrictStr] = []
    token_logprobs: list[Logprob | None] = []
    text_offset: list[Count] = []
    top_logprobs: list[dict[str, Logprob] | None] | None = None

    @model_validator(mode="after")
    def is_consistent(self) -> Self:
        count = len(self.token_logprobs)
        if self.text_offset and not len(self.tokens) == len(self.text_offset) == count:
            raise ValueError(f"{len(self.tokens)} tokens, {len(self.text_offset)} offsets and {count} log-probabilities")
        if self.top_logprobs and len(self.top_logprobs) != count:
            raise ValueError(f"{len(self.top_logprobs)} sets of likeliest tokens for {count} tokens")
        if any(later < earlier for earlier, later in pairwise(self.text_offset)):
            raise ValueError("offsets that go backwards")
        return self


class ReplyChoice(BaseModel):
    finish_reason: StrictStr | None = None
    error: Any = None  # gateways: what broke the answer off

    @property
    def ending(self) -> tuple[Finish, str]:
        """(finish, "") of an answer; ("error", why) where it is none, or ended in a way that is not known."""
        if self.error:
            return "error", f"the server broke the answer off: {self.error!s:.200}"
        reason = (self.finish_reason or "").lower()
        if reason in STOP_REASONS | LENGTH_REASONS:
            return ("length" if reason in LENGTH_REASONS else "stop"), ""
        if reason in FILTER_REASONS:
            return "error", "the server's filter withheld the answer"
        return "error", f"the server ended the answer for another reason than stop or length: {self.finish_reason!r}"


class TextChoice(ReplyChoice):
    text: StrictStr | None = None
    logprobs: TokenLogprobs | None = None

    def split(self) -> tuple[str, str]:
        """(answer, reasoning), of which there is none."""
        return self.text or "", ""


class ChatChoice(ReplyChoice):
    message: ReplyMessage

    def split(self) -> tuple[str, str]:
        """(answer, reasoning)."""
        return self.message.split()

    @property
    def ending(self) -> tuple[Finish, str]:
        """The same; ("error", why) also where the server has made a call of a tool of the answer, or of a part of it."""
        if self.message.tool_calls or self.message.function_call:
            return "error", "the server took a call of a tool out of the answer, and none was offered: turn its tool parser off"
        return super().ending


class Reply(BaseModel):
    usage: Usage | None = None

    @property
    def tokens_in(self) -> int:
        return (self.usage and self.usage.prompt_tokens) or 0

    @property
    def tokens_out(self) -> int:
        return (self.usage and self.usage.completion_tokens) or 0


class TextReply(Reply):
    choices: Annotated[list[TextChoice], Field(min_length=1)]


class ChatReply(Reply):
    choices: Annotated[list[ChatChoice], Field(min_length=1)]


class EchoReply(TextReply):
    """A prompt given back with log-probabilities, and at most one token behind it."""

    @property
    def new_tokens(self) -> int:
        tokens = self.usage.completion_tokens if self.usage else None
        return 1 if tokens is None else tokens

    @property
    def logprobs(self) -> TokenLogprobs | None:
        """The log-probabilities; None where there are none of the prompt."""
        logprobs = self.choices[0].logprobs
        return (
            logprobs if logprobs and logprobs.text_offset and len(logprobs.token_logprobs) > min(self.new_tokens, 1) else None
        )

    @model_validator(mode="after")
    def has_one_token_more(self) -> Self:
        if self.logprobs and self.new_tokens > 1:
            raise ValueError(f"{self.new_tokens} new tokens, where one was asked for")
        return self


@dataclass(frozen=True)
class PromptLogprobs:
    """For each token of a prompt its offset, its log-probability, and that of the likeliest token; `end`: the text's end.

    Offsets are tokens from wherever the server likes: some count the beginning-of-sequence token, which the text lacks.
    """

    offsets: Sequence[int]
    logprobs: Sequence[float | None]
    best: Sequence[float | None]
    end: int

    def suffix_loglikelihood(self, length: int) -> tuple[float, bool] | None:
        """(log-probability, would greedy decoding have produced it?) of the last `length` characters.

        None where one of its tokens has no log-probability.
        """
        ends = [*self.offsets[1:], self.end]
        suffix = [i for i, stop in enumerate(ends) if stop > self.end - length]
        logprobs = [p for i in suffix if (p := self.logprobs[i]) is not None]
        if not logprobs or len(logprobs) < len(suffix):
            return None
        greedy = all((top := self.best[i]) is not None and p >= top for i, p in zip(suffix, logprobs, strict=True))
        return sum(logprobs), greedy


def parse_logprobs(logprobs: TokenLogprobs, new_tokens: int, text: str) -> PromptLogprobs:
    """The prompt's part of the log-probabilities; the last `new_tokens` are the server's own.

    Raises ValueError where the tokens are not as long as the text that was sent: its choice cannot be told from its context.
    """
    count = len(logprobs.token_logprobs) - new_tokens
    offsets = logprobs.text_offset
    end = offsets[count] if new_tokens else offsets[-1] + len(logprobs.tokens[-1])
    # One may be the beginning-of-sequence token, and a tokenizer may take the first space away.
    if end - offsets[0] - len(text) not in (0, -1 if text[:1].isspace() else 0, len(logprobs.tokens[0])):
        raise ValueError(f"the offsets of a prompt's tokens span {end - offsets[0]} characters; {len(text)} were sent")
    tops = logprobs.top_logprobs or [None] * count
    best = [max(top.values()) if top else None for top in tops[:count]]
    return PromptLogprobs(offsets[:count], logprobs.token_logprobs[:count], best, end)
