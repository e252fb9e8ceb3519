"""The chat template of a suite, for the models that are asked it."""

from __future__ import annotations

from dataclasses import replace

from harness.cli.options import ModelOptions
from harness.cli.screen import note

LOCAL = ("auto", "transformers", "vllm")  # backends that render prompts themselves


def with_suite_template(model: ModelOptions, suite: str) -> ModelOptions:
    """The options with the suite's template, where the user names no other; a server keeps its own, and that is said."""
    from harness.suites import find_suite

    template = find_suite(suite).template if suite else ""
    if not template or model.chat_template:
        return model
    if model.backend_name in LOCAL:
        return replace(model, chat_template=template)
    note(f"The suite {suite} asks with the chat template {template}; the backend {model.backend_name} keeps its own.")
    return model
