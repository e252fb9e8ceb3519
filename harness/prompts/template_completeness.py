"""Whether a chat template writes all of a conversation, and in which form it takes messages: scoring and training ask here."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any

from harness.visible_text import show_value

Chat = list[dict[str, Any]]
PROBE = "a7f3 probe"  # a text that no template writes by itself
PROBES: Chat = [
    {"role": "user", "content": f"{PROBE} 1"},
    {"role": "assistant", "content": f"{PROBE} 2"},
    {"role": "user", "content": f"{PROBE} 3"},
]
POINTER_TEMPLATE = "chat template is a pointer of Git LFS, which was not fetched: `git lfs pull` fetches its file"
# A list of parts that was written as it stands, as "{{ message.content }}" writes it.
SPELLED_PART = re.compile(r"""['"]type['"]\s*:\s*['"]text['"]""")
SYSTEM_WAY_OUT = (
    "Write the instruction into the question and leave the system message out, or render prompts in another way: "
    "--apply-chat-template tulu or none."
)


def is_part(content: str, text: str) -> bool:
    """Is the content in the text, as it is or as JSON text?"""
    return content in text or json.dumps(content, ensure_ascii=False)[1:-1] in text


def missing_message(text: str, chat: Iterable[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The first question, instruction or tool's result that the text lacks; None where it has them all.

    Answers are not searched for: templates of reasoning models leave out earlier thoughts on purpose.  White space at the ends
    does not count, since templates strip it.
    """
    others = (message for message in chat if message["role"] != "assistant")
    return next((message for message in others if not is_part(str(message["content"]).strip(), text)), None)


def as_parts(chat: Chat) -> Chat:
    """The messages as the templates of models that also see images take them: each a list of parts, here of one text."""
    return [
        message | {"content": [{"type": "text", "text": message["content"]}]}
        if isinstance(message["content"], str)
        else message
        for message in chat
    ]


def wants_parts(render: Callable[[Chat], str]) -> bool:
    """Whether a template leaves plain messages out, or fails at them, and writes every one that is a list of parts."""

    def render_probe(chat: Chat) -> str:
        with suppress(Exception):  # templates raise errors of their own, of jinja2's kinds and of Python's
            return render(chat)
        return ""

    if missing_message(render_probe(PROBES), PROBES) is None:
        return False
    text = render_probe(as_parts(PROBES))
    return all(message["content"] in text for message in PROBES) and not SPELLED_PART.search(text)


def is_unfetched(template: Any) -> bool:
    """Whether a template is the text that stands for a file which Git LFS did not fetch."""
    from harness.bounded_files import LFS_POINTER

    return isinstance(template, str) and template.startswith(LFS_POINTER.decode())


def omission_message(message: Mapping[str, Any], template: Any) -> str:
    """What to say of a template that leaves out a message."""
    if is_unfetched(template):
        return f"The model's {POINTER_TEMPLATE}."
    if message["role"] == "system":
        return f"The model's chat template leaves the system message out.\n{SYSTEM_WAY_OUT}"
    return (
        f"The model's chat template leaves out a message of the role {message['role']!r}, so the model would not see it: "
        f"{show_value(message['content'], 60)}.\n"
        "Look at the template (chat_template.jinja or tokenizer_config.json of the model), or render prompts in another way: "
        "--apply-chat-template tulu or none."
    )


def failed_message(chat: Chat, error: Exception) -> str:
    """What to say of a template that raised."""
    roles = ", ".join(message["role"] for message in chat)
    way_out = (
        SYSTEM_WAY_OUT
        if any(m["role"] == "system" for m in chat)
        else (
            "Give the template the variables that it needs (--template-args NAME=VALUE), or render prompts in another way: "
            "--apply-chat-template tulu or none."
        )
    )
    return f"The model's chat template fails on a prompt of the turns {roles}: {type(error).__name__}: {error}.\n{way_out}"
