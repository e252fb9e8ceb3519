"""The hash of the prompts as a chat template renders them: part of what two results must share."""

from __future__ import annotations

from collections.abc import Sequence

from harness.prompts.template_trial import render_contexts, try_requests
from harness.prompts.templates import ChatTemplate
from harness.types import Request, digest

HASHES: dict[str, str] = {}  # of rendered prompts, by template and requests


def hash_rendered(template: ChatTemplate, requests: Sequence[Request]) -> str:
    """One hash over the prompts as the template renders them, in order; "" where it renders none of them."""
    chats = [r for r in requests if not r.raw or not all(isinstance(c, str) for c in r.contexts)]
    if template.kind == "none" or not chats:
        return ""
    special_tokens = template.tokenizer.special_tokens_map if template.tokenizer else {}
    key = digest([template.key, special_tokens, [r.id for r in chats]])
    if key not in HASHES:  # the checkpoints of a run share their prompts, and rendering takes as long as a fast GPU's answers
        HASHES[key] = hash_chats(template, chats)
    return HASHES[key]


def hash_chats(template: ChatTemplate, chats: Sequence[Request]) -> str:
    try_requests(template, chats)
    return digest(list(render_contexts(template, chats)))
