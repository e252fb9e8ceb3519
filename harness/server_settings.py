"""Settings of the backend for servers: what can be chosen, what of it is stored, and where two runs differ."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from harness.config import changed_settings
from harness.differences import differences
from harness.http import JsonServer
from harness.prompts.templates import parse_arguments
from harness.records import RAW
from harness.server_address import parse_address, read_key, show_address
from harness.types import Checkpoint, Json, SkilldeltaError, unknown_name

OPENAI_URL = "https://api.openai.com/v1"
OPENAI_KEY = "OPENAI_API_KEY"
TEMPLATES = ("auto", "none")
PREFIX_MODES = ("refuse", "continue", "drop")
SAMPLING_MODES = ("exact", "server")
NEUTRAL = (
    "key",
    "concurrency",
    "timeout",
    "retries",
    "backoff",
    "stream",
    "model",
    "url",
    "moved_from",
)  # move no answer, or are named by settings


@dataclass(frozen=True)
class OpenAIOptions:
    """`model` empty: the checkpoint's name.  `key`: the environment variable that holds the key, never the key itself.

    `chat_template` auto: the server's own; none: plain text.  `prefix` decides about text that begins the answer in a chat:
    refuse the task, let the server continue it (vLLM and SGLang can), or drop it.  Times in seconds; `timeout` is for a whole
    answer.
    """

    url: str = OPENAI_URL
    model: str = ""
    key: str = OPENAI_KEY
    chat_template: str = "auto"
    template_args: str = ""  # variables of the server's chat template, sent as chat_template_kwargs (vLLM and SGLang take them)
    prefix: str = "refuse"
    sampling: str = "exact"  # server: with the server's own penalties and cuts, which exact switches off where it takes that
    stream: bool = True  # long answers come in pieces, where a try shows that this changes nothing
    moved_from: str = ""  # the address under which this same server gave the answers that are stored
    length_field: str = "max_tokens"  # max_completion_tokens for OpenAI's reasoning models
    concurrency: int = 8
    timeout: float = 300.0
    retries: int = 6
    backoff: float = 1.0


def make_settings(model: str, options: OpenAIOptions) -> dict[str, Any]:
    """What can move an answer.  The address has no password here, and the key is not among them.

    `sampling` is absent where its fields are never sent, and from results of before they were.
    """
    chat = options.chat_template == "auto"
    template_args = parse_arguments(options.template_args)
    return {
        "backend": "openai",
        "url": show_address(options.moved_from or options.url, os.environ.get(options.key, "")),
        "model": model,
        "template": "server" if chat else "none",
        "prefix": options.prefix if chat else "",
        **({"template_args": template_args} if template_args else {}),
        **({"sampling": options.sampling} if options.url != OPENAI_URL or options.sampling != SAMPLING_MODES[0] else {}),
    }


def requested_settings(options: OpenAIOptions) -> dict[str, Any]:
    """The settings that flags asked for and that can move an answer: those which are not at their default."""
    url = show_address(options.url, os.environ.get(options.key, ""))
    return changed_settings(options, NEUTRAL) | ({"url": url} if options.url != OPENAI_URL else {})


def settings_differences(
    checkpoint: Checkpoint, options: OpenAIOptions, old_settings: Json, old_flags: Json | None
) -> list[tuple[str, str, str]]:
    """Where the model would have other settings now than the stored ones, as (name, stored, now)."""
    now = make_settings(served_name(checkpoint, options), options)
    if old_settings.get("template") == RAW:  # every prompt was rendered already
        now["template"] = RAW
    unlike = differences({"backend": dict(old_settings)}, {"backend": now})
    hint = " (if it is the same server: moved_from= with the stored address)"
    return [(name, old, new + hint * (name == "backend.url")) for name, old, new in unlike]


def served_name(checkpoint: Checkpoint, options: OpenAIOptions) -> str:
    return options.model or checkpoint.path or checkpoint.name


def make_server(options: OpenAIOptions) -> JsonServer:
    """The server at `options.url`.  SkilldeltaError for what openai.load() refuses."""
    if options.chat_template not in TEMPLATES:
        raise unknown_name("chat template for a server", options.chat_template, TEMPLATES)
    if options.prefix not in PREFIX_MODES:
        raise unknown_name("way with a prefix", options.prefix, PREFIX_MODES)
    if options.sampling not in SAMPLING_MODES:
        raise unknown_name("way of sampling", options.sampling, SAMPLING_MODES)
    if min(options.concurrency, options.timeout) <= 0 or min(options.retries, options.backoff) < 0:
        raise SkilldeltaError("concurrency and timeout must be more than 0, retries and backoff 0 or more.")
    key = read_key(options.key)
    address = parse_address(options.url, key)
    if not key and (options.key != OPENAI_KEY or options.url.rstrip("/") == OPENAI_URL):
        name = options.key if options.key.isupper() else "that key= names"  # it may be the key itself
        raise SkilldeltaError(
            f"The environment variable {name} holds no key for {address.label}.  Set it, name another variable with "
            "key=NAME, or another server with url=http://HOST:PORT/v1."
        )
    server = JsonServer(address, options.timeout, options.retries, options.backoff)
    _ = server.proxy  # refused now, where it is none
    return server
