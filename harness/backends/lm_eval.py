"""Any backend that lm-eval has (hf, vllm, local-chat-completions ...), called through lm-eval's own model interface.

That interface takes no seed for one request and does not say why a text ended: a sampled text depends on its whole block of
requests, and every text counts as finished.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from harness.engine.device_names import default_device
from harness.prompts import rendered_hash, templates
from harness.prompts.templates import as_dicts
from harness.redaction import redact_settings
from harness.types import Checkpoint, Json, Request, Response, SkilldeltaError, digest, unknown_name
from harness.vllm_adapters import find_foreign_kind

SERVERS = ("local-", "openai-", "anthropic-")  # backends that name a model instead of loading one
ADAPTER_ARGUMENTS = {"hf": "peft", "vllm": "lora_local_path"}  # of backends that take a base with an adapter
PlacedRequests = Sequence[tuple[int, Request]]


@dataclass(frozen=True)
class LmEvalOptions:
    """`backend`: lm-eval's name of it; `args`: its --model_args, as name=value;name=value.

    `template_*`: see TemplateSettings; where the tokenizer is here, its template is rendered as by every other backend.
    """

    backend: str = "hf"
    args: str = ""
    batch_size: str = "8"
    device: str = ""
    dtype: str = ""
    chat_template: str = "auto"
    template_args: str = ""
    template_date: str = ""
    template_prefix: templates.PrefixMode = "refuse"


class LmEvalModel:
    """A model behind lm-eval's interface."""

    block = 256

    def __init__(self, model: Any, options: LmEvalOptions) -> None:
        self.model, self.options = model, options
        # Without a template no tokenizer is loaded: some backends would fetch one from the Hub.
        tokenizer = getattr(model, "tokenizer", None) if options.chat_template != "none" else None
        is_server = options.backend.startswith(SERVERS)
        self.server_renders = options.chat_template != "none" and is_server and not getattr(tokenizer, "chat_template", None)
        rendering = templates.TemplateSettings.from_text(options.template_args, options.template_date, options.template_prefix)
        renderer = tokenizer if hasattr(tokenizer, "apply_chat_template") else None
        kind = options.chat_template if renderer and not self.server_renders else "none"
        self.template = templates.choose_template(kind, renderer, rendering)
        self.window = int(getattr(model, "max_length", 0) or 0)  # 0: the backend does not know

    @property
    def settings(self) -> Json:
        return {
            "backend": f"lm-eval:{self.options.backend}",
            "lm-eval": version("lm_eval"),
            "args": redact_settings(self.options.args),
            "dtype": self.options.dtype or "auto",
            "template": "server" if self.server_renders else self.template.name,
            **self.template.settings,
        }

    def answer(self, requests: Sequence[Request]) -> Iterator[tuple[int, Response]]:
        """Every response: choices first, then whole texts, then generated texts.  Each kind is one call."""
        with seeded_generators(requests):
            responses = [
                *self.loglikelihoods([(i, r) for i, r in enumerate(requests) if r.choices and not r.rolling]),
                *self.rolling_loglikelihoods([(i, r) for i, r in enumerate(requests) if r.rolling]),
                *self.generate([(i, r) for i, r in enumerate(requests) if not r.choices]),
            ]
        yield from responses

    def loglikelihoods(self, requests: PlacedRequests) -> Iterator[tuple[int, Response]]:
        """Log-probabilities of choices; an over-long request without leave to truncate is not sent."""
        batch: list[tuple[int, Request, int, int]] = []  # with the tokens of its longest choice, and those that do not fit
        for index, request in requests:
            tokens = max(self.count_tokens(context + choice) for context, choice in self.context_pairs(request))
            overflow = max(tokens - (self.window + 1), 0) if self.window else 0
            if overflow and not request.truncate:
                yield index, Response(finish="overlong", tokens_in=tokens)
            else:
                batch.append((index, request, tokens, overflow))
        instances = [make_instance("loglikelihood", pair) for _, r, _, _ in batch for pair in self.context_pairs(r)]
        results = iter(self.model.loglikelihood(instances, disable_tqdm=True) if instances else ())
        for index, request, tokens, overflow in batch:
            of_choices = [next(results) for _ in request.choices]
            logprobs, greedy = tuple(float(p) for p, _ in of_choices), tuple(bool(g) for _, g in of_choices)
            yield index, Response(logprobs=logprobs, greedy=greedy, tokens_in=tokens - overflow, truncated=overflow)

    def rolling_loglikelihoods(self, requests: PlacedRequests) -> Iterator[tuple[int, Response]]:
        """Log-probabilities of whole texts."""
        instances = [make_instance("loglikelihood_rolling", (r.choices[0],)) for _, r in requests]
        sums = self.model.loglikelihood_rolling(instances, disable_tqdm=True) if instances else ()
        for (index, request), total in zip(requests, sums, strict=True):
            tokens = self.count_tokens(request.choices[0])
            yield index, Response(logprobs=(float(total),), greedy=(False,), tokens_in=tokens)

    def generate(self, requests: PlacedRequests) -> Iterator[tuple[int, Response]]:
        """Texts."""
        batch: list[tuple[int, int, int]] = []  # index, prompt tokens that fit, and that do not
        instances = []
        for index, request in requests:
            prompt = self.render(request)
            tokens = self.count_tokens(prompt)
            if self.window and tokens >= self.window and not request.truncate:
                yield index, Response(finish="overlong", tokens_in=tokens)
                continue
            max_tokens, overflow = self.generation_room(request, tokens)
            batch.append((index, tokens - overflow, overflow))
            instances.append(make_instance("generate_until", (prompt, generation_settings(request, max_tokens))))
        texts = self.model.generate_until(instances, disable_tqdm=True) if instances else ()
        for (index, tokens, overflow), text in zip(batch, texts, strict=True):
            tokens_out = self.count_tokens(str(text))
            yield index, Response(str(text), tokens_in=tokens, tokens_out=tokens_out, truncated=overflow)

    def generation_room(self, request: Request, tokens: int) -> tuple[int, int]:
        """(new tokens, prompt tokens that do not fit) for a prompt of so many tokens.

        lm-eval truncates prompts to make room: here only where the request allows it.  Raises SkilldeltaError where the new
        tokens alone fill the window.
        """
        if not self.window:
            return request.max_tokens, 0
        if not request.truncate:
            return min(request.max_tokens, self.window - tokens), 0
        if request.max_tokens >= self.window:
            raise SkilldeltaError(f"{request.max_tokens} new tokens leave no room for a prompt in a window of {self.window}.")
        return request.max_tokens, max(tokens - (self.window - request.max_tokens), 0)

    def rendered_hash(self, requests: Sequence[Request]) -> str:
        return "" if self.server_renders else rendered_hash.hash_rendered(self.template, requests)

    def count_tokens(self, text: Any) -> int:
        """Tokens of a text; 0 where the backend has no tokenizer."""
        if not self.window or not isinstance(text, str) or getattr(self.model, "tokenizer", None) is None:
            return 0
        return len(self.model.tok_encode(text))

    def context_pairs(self, request: Request) -> list[tuple[str, str]]:
        """(context, choice) for each choice."""
        own_contexts = [c if isinstance(c, str) else self.render(replace(request, prompt=c)) for c in request.contexts]
        contexts = own_contexts or [self.render(request)] * len(request.choices)
        return list(zip(contexts, request.choices, strict=True))

    def render(self, request: Request) -> str:
        """The prompt as text (or as messages for a server): by the model's chat template, unless the request is raw.

        Raises SkilldeltaError for a prefix of the answer, where the server takes messages alone, and for a template that fails.
        """
        if request.raw or not self.server_renders:
            return self.template.render(request)
        if request.chat and request.prefix:
            messages = [*as_dicts(request), {"role": "assistant", "content": request.prefix}]
            return self.model.apply_chat_template(messages, add_generation_prompt=False)  # type: ignore[no-any-return]
        prompt = self.model.apply_chat_template(as_dicts(request))
        if request.prefix and not isinstance(prompt, str):
            raise SkilldeltaError("This server takes messages alone, so it cannot run a task that begins the answer itself.")
        return prompt + request.prefix if request.prefix else prompt  # type: ignore[no-any-return]


def make_instance(kind: str, arguments: tuple[Any, ...]) -> Any:
    from lm_eval.api.instance import Instance

    return Instance(request_type=kind, doc={}, arguments=arguments, idx=0, metadata=("", 0, 1))


def generation_settings(request: Request, max_tokens: int) -> dict[str, Any]:
    """A request's settings under lm-eval's names."""
    is_drawn = request.temperature > 0 and request.top_p > 0  # some refuse a share of 0, which is greedy
    settings: dict[str, Any] = {"until": list(request.stop), "max_gen_toks": max_tokens, "do_sample": is_drawn}
    if is_drawn:
        settings |= {"temperature": request.temperature, "top_p": request.top_p}
    return settings | dict(request.generation)


@contextmanager
def seeded_generators(requests: Sequence[Request]) -> Iterator[None]:
    """The global random generators, seeded by the requests inside the `with`; then as they were."""
    seed = int(digest([r.id for r in requests]), 16) % 2**32
    before = random.getstate()
    with torch.random.fork_rng():
        random.seed(seed)
        torch.manual_seed(seed)
        try:
            yield
        finally:
            random.setstate(before)


def names_models(options: LmEvalOptions) -> bool:
    """Whether a checkpoint is a name that a server knows, and no folder."""
    return options.backend.startswith(SERVERS)


def load(checkpoint: Checkpoint, options: LmEvalOptions) -> LmEvalModel:
    """The checkpoint on the lm-eval backend that `options` names.  Raises SkilldeltaError where lm-eval has no such backend."""
    from lm_eval.api.registry import get_model, model_registry
    from lm_eval.utils import simple_parse_args_string

    try:
        kind = get_model(options.backend)
    except (ValueError, KeyError) as error:
        raise unknown_name("lm-eval backend", options.backend, map(str, model_registry)) from error
    own: dict[str, Any] = simple_parse_args_string(options.args.replace(";", ","))
    # hf's own default is CUDA, also where there is none; other backends choose for themselves.
    device = str(default_device(options.device)) if options.backend == "hf" else options.device
    settings = {"batch_size": options.batch_size} | ({"device": device} if device else {})
    arguments = model_arguments(checkpoint, options) | own
    return LmEvalModel(kind.create_from_arg_obj(arguments, {k: v for k, v in settings.items() if k not in own}), options)


def model_arguments(checkpoint: Checkpoint, options: LmEvalOptions) -> dict[str, str]:
    """The checkpoint as the backend's arguments.  Raises SkilldeltaError for an adapter, where the backend takes none."""
    if options.backend.startswith(SERVERS):
        return {"model": checkpoint.path}
    dtype = {"dtype": options.dtype} if options.dtype else {}
    if checkpoint.base:
        if options.backend not in ADAPTER_ARGUMENTS:
            raise SkilldeltaError(
                f"{checkpoint.name} is an adapter; lm-eval:{options.backend} takes whole models.  Merge it into its base, "
                f"or use the backend transformers or lm-eval:{' or lm-eval:'.join(ADAPTER_ARGUMENTS)}."
            )
        if checkpoint.adapters:
            raise SkilldeltaError(
                f"{checkpoint.name} is an adapter of an adapter; lm-eval:{options.backend} takes one.  "
                "Use the backend transformers."
            )
        if options.backend == "vllm" and (kind := find_foreign_kind(Path(checkpoint.path))):
            raise SkilldeltaError(
                f"{checkpoint.name} is an adapter that vLLM does not take: {kind}.  Use the backend transformers."
            )
        return {"pretrained": checkpoint.base, ADAPTER_ARGUMENTS[options.backend]: checkpoint.path, **dtype}
    return {"pretrained": checkpoint.path, **dtype}
