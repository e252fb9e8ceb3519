"""Any backend that lm-eval has (hf, vllm, local-chat-completions ...), asked through lm-eval's own model interface."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from harness.config import pairs
from harness.registry import unknown
from harness.types import Checkpoint, Json, Message, Request, Response, SkilldeltaError, digest

SERVERS = ("local-", "openai-", "anthropic-")  # backends that name a model instead of loading one


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
        named = getattr(getattr(model, "tokenizer", None), "chat_template", None)
        self.templated = options.chat_template != "none" and bool(named or options.backend.startswith(SERVERS))
        self.template = f"own:{digest(named)}" if self.templated and named else "server" if self.templated else "none"

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
        """Every response: choices first, then whole texts, then continuations."""
        weighed = [(i, r) for i, r in enumerate(requests) if r.choices and not r.rolling]
        rolled = [(i, r) for i, r in enumerate(requests) if r.rolling]
        yield from self.weigh(weighed)
        if rolled:
            sums = self.model.loglikelihood_rolling([instance("loglikelihood_rolling", (r.choices[0],)) for _, r in rolled])
            yield from ((i, Response(logprobs=(float(s),), greedy=(False,))) for (i, _), s in zip(rolled, sums, strict=True))
        yield from self.write([(i, r) for i, r in enumerate(requests) if not r.choices])

    def weigh(self, asked: Sequence[tuple[int, Request]]) -> Iterator[tuple[int, Response]]:
        flat = [instance("loglikelihood", pair) for _, r in asked for pair in self.choices(r)]
        found = iter(self.model.loglikelihood(flat) if flat else ())
        for index, request in asked:
            one = [next(found) for _ in request.choices]
            yield index, Response(logprobs=tuple(float(p) for p, _ in one), greedy=tuple(bool(g) for _, g in one))

    def choices(self, request: Request) -> list[tuple[str, str]]:
        contexts = request.contexts or (self.render(request),) * len(request.choices)
        return list(zip(contexts, request.choices, strict=True))

    def write(self, asked: Sequence[tuple[int, Request]]) -> Iterator[tuple[int, Response]]:
        """Texts.  lm-eval's interface does not tell why a text ended, nor take a seed for one request."""
        flat = [instance("generate_until", (self.render(r), generation(r))) for _, r in asked]
        texts = self.model.generate_until(flat) if flat else ()
        for (index, _), text in zip(asked, texts, strict=True):
            yield index, Response(str(text))

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


def generation(request: Request) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "until": list(request.stop),
        "max_gen_toks": request.max_tokens,
        "do_sample": request.temperature > 0,
    }
    if request.temperature > 0:
        settings |= {"temperature": request.temperature, "top_p": request.top_p}
    return settings


def load(checkpoint: Checkpoint, options: Options) -> LmEval:
    """The checkpoint on the lm-eval backend that `options` names."""
    from lm_eval.api.registry import get_model, model_registry

    arguments: dict[str, Any] = dict(pairs(options.args.replace(";", ",")))
    if options.backend.startswith(SERVERS):
        arguments = {"model": checkpoint.path} | arguments
    else:
        adapter = (
            {"pretrained": checkpoint.base, "peft": checkpoint.path} if checkpoint.base else {"pretrained": checkpoint.path}
        )
        arguments = adapter | ({"dtype": options.dtype} if options.dtype else {}) | arguments
    try:
        kind = get_model(options.backend)
    except (ValueError, KeyError) as error:
        raise unknown("lm-eval backend", options.backend, map(str, model_registry)) from error
    more = {"batch_size": options.batch_size} | ({"device": options.device} if options.device else {})
    return LmEval(kind.create_from_arg_obj(arguments, more), options)
