"""Checkpoints that transformers can load: a folder, a Hub name, or a PEFT adapter with its base."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, Literal
from weakref import WeakKeyDictionary

import torch
import transformers

from harness.checkpoint_folders import explain_load_failure
from harness.engine import plain, rounding
from harness.engine.device_names import default_device
from harness.engine.engine import BatchLimits, Engine
from harness.engine.plans import LogLikelihoodPlan
from harness.engine.token_meter import TokenMeter
from harness.loading.decided_settings import requested_settings, settings_differences
from harness.loading.preflight import explain_unloadable
from harness.loading.settings import LoadSettings, parse_dtype
from harness.loading.shared_base import BaseHolder, LoadedModel
from harness.loading.tokenizer import load_tokenizer
from harness.prompts import encoding, rendered_hash, sample_texts, templates, tokenizer_cache
from harness.prompts.text_limits import context_window, end_tokens
from harness.prompts.tokenizer_cache import CachedTokenizer
from harness.types import Checkpoint, Json, Request, Response, SkilldeltaError, digest

__all__ = [
    "TransformersModel", "TransformersOptions", "explain_unloadable", "load", "requested_settings", "settings_differences",
]  # fmt: skip
LAST_TOKENIZER = tokenizer_cache.LastTokenizer()
BASES: WeakKeyDictionary[TransformersOptions, BaseHolder] = WeakKeyDictionary()  # a base lives as long as its run's settings
DECIMALS = 6  # of log-probabilities: more is noise


@dataclass(frozen=True)
class TransformersOptions:
    """`dtype`: auto is the checkpoint's own on a GPU, float32 elsewhere.  `device`: "" is the fastest there is.

    `batch_size` and `max_batch_tokens` 0: by the device.  `engine`: tree computes shared prefixes once, plain shares nothing,
    auto tests what the model can take, continuous too, with transformers' continuous batching for texts (auto's way on a CUDA
    device).  `attention`: auto is sdpa for a model that has it, else eager.
    `template_*`: see TemplateSettings.
    """

    batch_size: int = 0
    max_batch_tokens: int = 0
    engine: Literal["auto", "tree", "plain", "continuous"] = "auto"
    device: str = ""
    dtype: str = "auto"
    chat_template: str = "auto"
    template_args: str = ""
    template_date: str = ""
    template_prefix: templates.PrefixMode = "refuse"
    attention: str = "auto"
    max_length: int = 0
    trust_remote_code: bool = False
    revision: str = ""


class TransformersModel:
    """A causal language model with its tokenizer and template."""

    block = 512  # a shared prefix is computed once a block

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        options: TransformersOptions,
        cache: CachedTokenizer | None = None,
        user: LoadedModel | None = None,
    ) -> None:
        self.model, self.options, self.user = model, options, user
        self.cached_tokenizer = cache or CachedTokenizer(tokenizer)
        rendering = templates.TemplateSettings.from_text(options.template_args, options.template_date, options.template_prefix)
        self.template = templates.choose_template(options.chat_template, tokenizer, rendering)
        self.tokenizer = self.cached_tokenizer.for_window(options.max_length or context_window(model.config, tokenizer))
        self.encoder = encoding.RequestEncoder(self.tokenizer, self.template, model.get_input_embeddings().weight.shape[0])
        self.engine: Engine = (user and user.resident.engine) or self.make_engine()
        if user:
            user.resident.engine = self.engine
        self.end_tokens = end_tokens(getattr(model, "generation_config", None), tokenizer)

    def make_engine(self) -> Engine:
        """The engine for the model, with the batches that its device takes."""
        gpu = self.model.device.type == "cuda"
        rows, slots = (self.options.batch_size or n for n in ((128, 256) if gpu else (8, 64)))
        texts = sample_texts.encode_sample_texts(self.tokenizer.hf_tokenizer, self.tokenizer.window)
        path = "continuous" if gpu and self.options.engine == "auto" else self.options.engine
        return Engine(self.model, BatchLimits(rows, slots, self.options.max_batch_tokens), path, texts)

    def activate(self) -> None:
        """Puts this checkpoint's adapter into the model, where another one on the same base was used since."""
        if self.user:
            self.user.activate()

    @property
    def settings(self) -> Json:
        return {
            "backend": "transformers",
            "transformers": transformers.__version__,
            "torch": torch.__version__,
            "device": self.model.device.type,
            "dtype": str(self.model.dtype).removeprefix("torch."),
            "attention": str(self.model.config.get_text_config()._attn_implementation),
            "template": self.template.name,
            **self.template.settings,
            **({"end_token": "left out of prompts"} if self.tokenizer.appended else {}),
            "window": self.tokenizer.window,
            **({"revision": self.options.revision} if self.options.revision else {}),
            "engine": self.engine.name,
        }

    @property
    def note(self) -> str:
        """That its adapter changes nothing, and why the model is slower than it could be; "" for neither."""
        return "; ".join(filter(None, (self.user.note if self.user else "", self.engine.note)))

    def report_tokens(self, report: Callable[[int, float | None], None]) -> None:
        """From now on, `report` is called with the tokens computed so far and the seconds left, as answers are being made."""
        self.engine.meter = TokenMeter(report)

    def answer(self, requests: Sequence[Request]) -> Iterator[tuple[int, Response]]:
        """Every response with its request's place: first those to requests with choices, then texts."""
        kinds = [(i, r) for i, r in enumerate(requests) if r.choices], [(i, r) for i, r in enumerate(requests) if not r.choices]
        self.activate()
        for indexed_response in chain(self.loglikelihoods(kinds[0]), self.generate(kinds[1])):
            yield indexed_response
            self.activate()  # whoever took the response may have asked another checkpoint

    def loglikelihoods(self, placed_requests: Sequence[tuple[int, Request]]) -> Iterator[tuple[int, Response]]:
        """A log-likelihood for each choice; a response is ready with its last choice."""
        if not placed_requests:
            return
        requests = [r for _, r in placed_requests]
        key = self.plan_key("loglikelihood", self.engine.packs_trees, requests)
        choices = self.cached_tokenizer.plan_once(key, lambda: self.encoder.encode_choices(requests, self.engine.plan_pairs))
        yield from ((placed_requests[place][0], response) for place, response in choices.early)
        values: dict[int, dict[int, list[plain.LogLikelihood]]] = {p: {} for p in choices.context_sizes}
        pending = choices.pairs_per_request()
        for at, value in self.engine.loglikelihoods(choices.plan):
            place, choice = choices.owners[at]
            values[place].setdefault(choice, []).append(value)
            pending[place] -= 1
            if not pending[place]:
                index, request = placed_requests[place]
                yield index, choices_response(values.pop(place), len(request.choices), *choices.context_sizes[place])

    def generate(self, placed_requests: Sequence[tuple[int, Request]]) -> Iterator[tuple[int, Response]]:
        """A text for each prompt."""
        if not placed_requests:
            return
        requests = [r for _, r in placed_requests]
        key = self.plan_key("in pages" if self.engine.decodes_in_pages else "generate", self.engine.shares_prefixes, requests)
        prompts = self.cached_tokenizer.plan_once(key, lambda: self.encoder.encode_prompts(requests, self.engine.plan_prompts))
        yield from ((placed_requests[place][0], response) for place, response in prompts.early)
        for at, generation in self.engine.generate(prompts.plan, self.end_tokens):
            place, tokens_in, overflow = prompts.owners[at]
            index, request = placed_requests[place]
            response = self.encoder.make_response(request, generation, place in prompts.in_block)
            yield index, replace(response, tokens_in=tokens_in, truncated=overflow)

    def measure_rounding(self, requests: Sequence[Request]) -> tuple[float, float]:
        """How rounding moves the log-likelihoods of choices: see SupportsRounding."""
        self.activate()
        pairs: list[plain.TokenPair] = []

        def plan(planned: list[plain.TokenPair]) -> LogLikelihoodPlan:
            pairs.extend(planned)
            return self.engine.plan_pairs(planned)

        values = dict(self.engine.loglikelihoods(self.encoder.encode_choices(requests, plan).plan))
        distances = rounding.measure_rounding(self.model, pairs, [values[at] for at in range(len(pairs))])
        return distances.plain, distances.ours

    def rendered_hash(self, requests: Sequence[Request]) -> str:
        return rendered_hash.hash_rendered(self.template, requests)

    def plan_key(self, kind: str, shares: bool, requests: Sequence[Request]) -> tuple[object, ...]:
        """Everything that decides how requests become a plan, for one tokenizer."""
        paths = (kind, shares, self.engine.max_shared_length)
        return (*paths, self.tokenizer.window, self.template.key, digest([r.id for r in requests]))


def choices_response(values: dict[int, list[plain.LogLikelihood]], choices: int, tokens_in: int, overflow: int) -> Response:
    """The response with a log-likelihood for each choice: the sum over its windows."""
    logprobs = tuple(round(sum(v.logprob for v in values[c]), DECIMALS) for c in range(choices))
    greedy = tuple(all(v.greedy for v in values[c]) for c in range(choices))
    return Response(logprobs=logprobs, greedy=greedy, tokens_in=tokens_in, truncated=overflow)


def load(checkpoint: Checkpoint, options: TransformersOptions) -> TransformersModel:
    """The checkpoint's model on its device, in evaluation mode.

    Raises SkilldeltaError for weights that are unsafe, missing or not those of a causal language model.
    """
    transformers.utils.logging.disable_progress_bar()  # our own progress shows the loading
    user = load_model(checkpoint, options)
    try:
        settings = LoadSettings(trust_remote_code=options.trust_remote_code, revision=options.revision)
        tokenizer = load_tokenizer(checkpoint, settings, LAST_TOKENIZER)
    except (OSError, ValueError, ImportError, KeyError) as error:
        raise SkilldeltaError(explain_load_failure(checkpoint, error)) from error
    backend, model = TransformersModel(user.model, tokenizer.tokenizer, options, tokenizer, user), user.model
    if reason := backend.engine.tests.nan_reason:
        raise SkilldeltaError(
            f"{checkpoint.path} gives NaN, so it is broken and nothing it answers can be scored: {reason}.\n"
            "Its weights are damaged or its training diverged"
            + ("; or numbers overflow in float16: try --dtype bfloat16 or float32." if model.dtype == torch.float16 else ".")
        )
    if reason := backend.engine.not_causal_reason:
        raise SkilldeltaError(
            f"{checkpoint.path} is no causal language model ({model.config.model_type}): {reason}.\n"
            "So it sees the words whose probability it should predict.  Score a model that was trained to continue texts; a "
            "BERT that was has is_decoder in its config.json."
        )
    return backend


def load_model(checkpoint: Checkpoint, options: TransformersOptions) -> LoadedModel:
    """The model on its device, an adapter on its base, which is kept for the next adapter as long as `options` are in use.

    Raises SkilldeltaError where it breaks the load contract.
    """
    device = default_device(options.device)
    settings = LoadSettings(
        dtype=parse_dtype(options.dtype if options.dtype != "auto" or device.type == "cuda" else "float32"),
        attention="" if options.attention == "auto" else options.attention,
        trust_remote_code=options.trust_remote_code,
        revision=options.revision,
    )
    return BASES.setdefault(options, BaseHolder()).load(checkpoint, settings, device)
