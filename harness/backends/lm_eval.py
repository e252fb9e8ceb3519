"""Any backend that lm-eval has (hf, vllm, local-chat-completions ...), asked through lm-eval's own model interface.

That interface takes no seed for one request and does not tell why a text ended: what is drawn depends on the whole block
that is asked at once, and every text counts as finished.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import torch

from harness.registry import unknown
from harness.types import Checkpoint, Json, Message, Request, Response, SkilldeltaError, digest

SERVERS = ("local-", "openai-", "anthropic-")  # backends that name a model instead of loading one
Asked = Sequence[tuple[int, Request]]


@dataclass(frozen=True)
class Options:
    """`backend`: lm-eval's name of it; `args`: its --model_args, as name=value;name=value."""

    backend: str = "hf"
    args: str = ""
    batch_size: str = "8"
    device: str = ""
    dtype: str = ""
    chat_template: str = "auto"


class LmEval:
    """A model behind lm-eval's interface."""

    block = 256

    def __init__(self, model: Any, options: Options) -> None:
        self.model, self.options = model, options
        wanted = options.chat_template != "none"
        named = getattr(getattr(model, "tokenizer", None), "chat_template", None) if wanted else None
        self.templated = wanted and bool(named or options.backend.startswith(SERVERS))
        self.template = f"own:{digest(named)}" if self.templated and named else "server" if self.templated else "none"
        self.window = int(getattr(model, "max_length", 0) or 0)  # 0: the backend does not know

    @property
    def settings(self) -> Json:
        return {
            "backend": f"lm-eval:{self.options.backend}",
            "lm-eval": version("lm_eval"),
            "args": self.options.args,
            "dtype": self.options.dtype or "auto",
            "template": self.template,
        }

    def answer(self, requests: Sequence[Request]) -> Iterator[tuple[int, Response]]:
        """Every response: choices first, then whole texts, then continuations.  Each kind is one call."""
        with fixed(requests):
            found = [
                *self.weigh([(i, r) for i, r in enumerate(requests) if r.choices and not r.rolling]),
                *self.roll([(i, r) for i, r in enumerate(requests) if r.rolling]),
                *self.write([(i, r) for i, r in enumerate(requests) if not r.choices]),
            ]
        yield from found

    def weigh(self, asked: Asked) -> Iterator[tuple[int, Response]]:
        """Log-probabilities of choices."""
        ready: list[tuple[int, Request, int, int]] = []  # with the tokens asked, and those of them that do not fit
        for index, request in asked:
            tokens = max(self.count(context + choice) for context, choice in self.choices(request))
            cut = max(tokens - (self.window + 1), 0) if self.window else 0
            if cut and not request.cut:
                yield index, Response(finish="overlong", tokens_in=tokens)
            else:
                ready.append((index, request, tokens, cut))
        flat = [instance("loglikelihood", pair) for _, r, _, _ in ready for pair in self.choices(r)]
        found = iter(self.model.loglikelihood(flat, disable_tqdm=True) if flat else ())
        for index, request, tokens, cut in ready:
            one = [next(found) for _ in request.choices]
            logprobs, greedy = tuple(float(p) for p, _ in one), tuple(bool(g) for _, g in one)
            yield index, Response(logprobs=logprobs, greedy=greedy, tokens_in=tokens - cut, truncated=cut)

    def roll(self, asked: Asked) -> Iterator[tuple[int, Response]]:
        """Log-probabilities of whole texts."""
        flat = [instance("loglikelihood_rolling", (r.choices[0],)) for _, r in asked]
        sums = self.model.loglikelihood_rolling(flat, disable_tqdm=True) if flat else ()
        for (index, request), total in zip(asked, sums, strict=True):
            yield index, Response(logprobs=(float(total),), greedy=(False,), tokens_in=self.count(request.choices[0]))

    def write(self, asked: Asked) -> Iterator[tuple[int, Response]]:
        """Texts."""
        ready: list[tuple[int, int, int]] = []
        flat = []
        for index, request in asked:
            prompt = self.render(request)
            tokens = self.count(prompt)
            if self.window and tokens >= self.window and not request.cut:
                yield index, Response(finish="overlong", tokens_in=tokens)
                continue
            most, cut = self.room(request, tokens)
            ready.append((index, tokens - cut, cut))
            flat.append(instance("generate_until", (prompt, generation(request, most))))
        texts = self.model.generate_until(flat, disable_tqdm=True) if flat else ()
        for (index, tokens, cut), text in zip(ready, texts, strict=True):
            yield index, Response(str(text), tokens_in=tokens, tokens_out=self.count(str(text)), truncated=cut)

    def room(self, request: Request, tokens: int) -> tuple[int, int]:
        """(new tokens, prompt tokens cut).  lm-eval cuts prompts to make room: here only where the request allows it."""
        if not self.window:
            return request.max_tokens, 0
        if not request.cut:
            return min(request.max_tokens, self.window - tokens), 0
        if request.max_tokens >= self.window:
            raise SkilldeltaError(f"{request.max_tokens} new tokens leave no room for a prompt in a window of {self.window}.")
        return request.max_tokens, max(tokens - (self.window - request.max_tokens), 0)

    def count(self, text: Any) -> int:
        """Tokens of a text; 0 where the backend does not tell."""
        if not self.window or not isinstance(text, str) or getattr(self.model, "tokenizer", None) is None:
            return 0
        return len(self.model.tok_encode(text))

    def choices(self, request: Request) -> list[tuple[str, str]]:
        contexts = request.contexts or (self.render(request),) * len(request.choices)
        return list(zip(contexts, request.choices, strict=True))

    def render(self, request: Request) -> str:
        """The prompt as text (or as messages for a server): by the backend's chat template, unless the request is raw."""
        if request.raw or not self.templated:
            parts = [request.prompt] if isinstance(request.prompt, str) else [m.content for m in request.prompt]
            text = "\n\n".join(parts)
            glue = "\n" if request.prefix and text and not text[-1].isspace() and not request.raw else ""
            return f"{text}{glue}{request.prefix}"
        said = (Message("user", request.prompt),) if isinstance(request.prompt, str) else request.prompt
        rendered = self.model.apply_chat_template([{"role": m.role, "content": m.content} for m in said])
        if not isinstance(rendered, str):
            if request.prefix:
                raise SkilldeltaError("This server takes messages alone: a task that begins the answer cannot be asked of it.")
            return rendered  # type: ignore[no-any-return]
        return rendered + request.prefix


def instance(kind: str, arguments: tuple[Any, ...]) -> Any:
    from lm_eval.api.instance import Instance

    return Instance(request_type=kind, doc={}, arguments=arguments, idx=0, metadata=("", 0, 1))


def generation(request: Request, most: int) -> dict[str, Any]:
    settings: dict[str, Any] = {"until": list(request.stop), "max_gen_toks": most, "do_sample": request.temperature > 0}
    if request.temperature > 0:
        settings |= {"temperature": request.temperature, "top_p": request.top_p}
    return settings


@contextmanager
def fixed(requests: Sequence[Request]) -> Iterator[None]:
    """The global generators seeded by what is asked, for as long as it is answered; then as they were."""
    seed = int(digest([r.id for r in requests]), 16) % 2**32
    before = random.getstate()
    with torch.random.fork_rng():
        random.seed(seed)
        torch.manual_seed(seed)
        try:
            yield
        finally:
            random.setstate(before)


def load(checkpoint: Checkpoint, options: Options) -> LmEval:
    """The checkpoint on the lm-eval backend that `options` names."""
    from lm_eval.api.registry import get_model, model_registry
    from lm_eval.utils import simple_parse_args_string

    try:
        kind = get_model(options.backend)
    except (ValueError, KeyError) as error:
        raise unknown("lm-eval backend", options.backend, map(str, model_registry)) from error
    given: dict[str, Any] = simple_parse_args_string(options.args.replace(";", ","))
    # hf's own default is the GPU, also where there is none
    device = options.device or ("cpu" if options.backend == "hf" and not torch.cuda.is_available() else "")
    more = {"batch_size": options.batch_size} | ({"device": device} if device else {})
    arguments = where(checkpoint, options) | given
    return LmEval(kind.create_from_arg_obj(arguments, {k: v for k, v in more.items() if k not in given}), options)


def where(checkpoint: Checkpoint, options: Options) -> dict[str, str]:
    """The checkpoint as the backend's arguments."""
    if options.backend.startswith(SERVERS):
        return {"model": checkpoint.path}
    if checkpoint.base and options.backend != "hf":
        raise SkilldeltaError(
            f"{checkpoint.name} is an adapter; lm-eval:{options.backend} takes whole models.  Merge it into its base, "
            "or use the backend transformers or lm-eval:hf."
        )
    found = {"pretrained": checkpoint.base, "peft": checkpoint.path} if checkpoint.base else {"pretrained": checkpoint.path}
    return found | ({"dtype": options.dtype} if options.dtype else {})
