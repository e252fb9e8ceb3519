"""Chat templates of strangers, tried before they are used: a process that can be ended renders what is to be rendered.

A template is a program.  transformers runs it in jinja2's sandbox, which keeps it from files and from Python, but not from
loops without end, nor from texts larger than the memory.  Templates draw no random numbers: what ended once ends again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from harness.bounded_work import DONE, FAILED, LONG, LONGEST, MEMORY, SECONDS, try_in_child
from harness.prompts.templates import ChatTemplate, TemplateError, as_messages
from harness.types import Request

SECONDS_EACH = 0.05  # for each further prompt
TRIED: set[tuple[str, str]] = set()  # (template, request)


def try_requests(template: ChatTemplate, requests: Iterable[Request]) -> None:
    """Tries the model's own template on requests that it was not tried on before.  TemplateError where it cannot be used."""
    if template.kind != "own":
        return
    key = template.key
    new = [r for r in requests if (key, r.id) not in TRIED and (not r.raw or r.contexts)]
    if new:
        try_template(lambda: render_contexts(template, new), len(new))
        TRIED.update((key, r.id) for r in new)


def render_contexts(template: ChatTemplate, requests: Iterable[Request]) -> Iterator[str]:
    """Every text that the template makes of the requests."""
    for request in requests:
        for context in request.contexts or (as_messages(request),):
            yield template.render_context(request, context)


def try_template(render: Callable[[], Iterable[str]], count: int) -> None:
    """Renders `count` prompts in a process of their own.  TemplateError where that takes too long or too much memory.

    Errors of the template itself are left to the caller: it renders the same prompts, and says more.
    """
    seconds = SECONDS + SECONDS_EACH * count
    outcome = try_in_child(render, seconds)
    if outcome not in (DONE, FAILED):
        reason = {LONG: f"a prompt of more than {LONGEST:,} letters"}.get(
            outcome, f"no end within {seconds:.0f} s and {MEMORY >> 20} MiB"
        )
        raise TemplateError(
            f"The model's chat template cannot be used: it makes {reason} of {count} prompts.\n"
            "Render prompts in another way: --apply-chat-template tulu or none."
        )


def try_chat_template(tokenizer: Any) -> None:
    """TemplateError for a tokenizer's template that takes memory or time without bounds; its errors are left to the rows."""
    if tokenizer.chat_template:
        chats = [[{"role": role, "content": "?"} for role in roles] for roles in (("user",), ("user", "assistant"))]
        try_template(lambda: (str(tokenizer.apply_chat_template(chat, tokenize=False)) for chat in chats), len(chats))
