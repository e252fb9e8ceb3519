"""vLLM in this process: one engine for a base and its LoRA adapters, prefix caching, a seed for each request.

Prompts are rendered and encoded here, as for `transformers`, so both backends ask the same tokens.  Choices are weighed token
by token, behind cached prefixes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from harness.engine.plain import TokenPair
from harness.engine.sequences import Generation, TokenPrompt
from harness.evaluation.model_reports import AnswerMeter
from harness.loading.contract import find_infinite
from harness.loading.generation_config import read_generation_config
from harness.loading.model import require_loadable
from harness.loading.settings import LoadSettings, parse_dtype
from harness.loading.tokenizer import load_tokenizer
from harness.prompts import encoding, rendered_hash, templates, tokenizer_cache
from harness.prompts.text_limits import end_tokens
from harness.redaction import redact_settings
from harness.types import Checkpoint, Json, Request, Response, SkilldeltaError
from harness.vllm_adapters import adapter_rank
from harness.vllm_engine import LastEngine, VllmEngine, VllmJob, VllmOptions, VllmOutput
from harness.vllm_package import INSTALL, has_vllm, vllm_version

DECIMALS = 6  # of log-probabilities: more is noise
# Settings of generation beyond Request's own, by transformers' names -> vLLM's.
FURTHER_SETTINGS = {
    "top_k": "top_k",
    "min_p": "min_p",
    "repetition_penalty": "repetition_penalty",
    "min_new_tokens": "min_tokens",
}
TokenLogprobs = dict[int, tuple[float, bool]]  # place in a continuation -> log-probability, and whether it is the likeliest
LAST_TOKENIZER = tokenizer_cache.LastTokenizer()


@dataclass(frozen=True)
class TokenPlan:
    """Token sequences as they are: vLLM finds shared prefixes itself."""

    sequences: list[Any]

    @property
    def size(self) -> int:
        return sum(len(s.context) + len(s.continuation) if isinstance(s, TokenPair) else len(s.ids) for s in self.sequences)


LAST_ENGINE = LastEngine()


class VllmModel:
    """A checkpoint on a vLLM engine."""

    block = 1024  # vLLM schedules within a block as it likes

    def __init__(self, engine: VllmEngine, checkpoint: Checkpoint, tokenizer: tokenizer_cache.CachedTokenizer) -> None:
        self.engine, options = engine, engine.options
        self.adapter = checkpoint.path if checkpoint.base else ""
        self.tokenizer = tokenizer.for_window(engine.window)
        rendering = templates.TemplateSettings.from_text(options.template_args, options.template_date, options.template_prefix)
        self.template = templates.choose_template(options.chat_template, tokenizer.tokenizer, rendering)
        self.encoder = encoding.RequestEncoder(self.tokenizer, self.template)
        self.meter = AnswerMeter(lambda tokens, seconds_left: None)
        generation = read_generation_config(engine.source, LoadSettings(revision=options.revision))
        self.end_tokens = end_tokens(generation, tokenizer.tokenizer)

    @property
    def settings(self) -> Json:
        model = self.engine.llm.llm_engine.model_config
        return {
            "backend": "vllm",
            "vllm": vllm_version(),
            "device": self.engine.device,
            "dtype": str(model.dtype).removeprefix("torch."),
            "template": self.template.name,
            **self.template.settings,
            "window": self.tokenizer.window,
            "args": redact_settings(self.engine.options.args),
        }

    def report_tokens(self, report: Callable[[int, float | None], None]) -> None:
        """From now on, `report` is called with the tokens of the answers so far and the seconds left, as answers come."""
        self.meter = AnswerMeter(report)

    def answer(self, requests: Sequence[Request]) -> Iterator[tuple[int, Response]]:
        """Every response with its request's place, as vLLM finishes it: first those to requests with choices, then texts."""
        self.meter.begin(len(requests))
        for answers in (
            self.loglikelihoods([(i, r) for i, r in enumerate(requests) if r.choices]),
            self.generate([(i, r) for i, r in enumerate(requests) if not r.choices]),
        ):
            for place, response in answers:
                self.meter.add(response.tokens_out or response.tokens_in)
                yield place, response

    def loglikelihoods(self, placed_requests: Sequence[tuple[int, Request]]) -> Iterator[tuple[int, Response]]:
        """A log-likelihood for each choice."""
        make_plan: Any = TokenPlan  # the encoder's own plans are trees
        choices = self.encoder.encode_choices([r for _, r in placed_requests], make_plan)
        pairs: list[TokenPair] = choices.plan.sequences  # type: ignore[attr-defined]
        for place, response in choices.early:
            yield placed_requests[place][0], response
        entries: list[TokenLogprobs] = [{} for _ in pairs]
        groups = pairs_by_place(choices)
        pending = {place: sum(len(pairs[at].continuation) for at in group) for place, group in groups.items()}
        steps = tokens_by_prefix(pairs)
        jobs = [
            VllmJob(ids, {"max_tokens": 1, "logprob_token_ids": sorted({t for _, _, t in tokens})}) for ids, tokens in steps
        ]
        for step, output in self.engine.run(jobs, self.adapter):
            for at, number, token in steps[step][1]:
                entries[at][number] = token_logprob(token, output)
                place = choices.owners[at][0]
                pending[place] -= 1
                if not pending[place]:
                    index, request = placed_requests[place]
                    yield (
                        index,
                        choices_response(
                            [(choices.owners[at][1], entries[at]) for at in groups[place]],
                            len(request.choices),
                            *choices.context_sizes[place],
                        ),
                    )

    def generate(self, placed_requests: Sequence[tuple[int, Request]]) -> Iterator[tuple[int, Response]]:
        """A text for each prompt, up to its first stop string."""
        make_plan: Any = TokenPlan
        prompts = self.encoder.encode_prompts([r for _, r in placed_requests], make_plan, FURTHER_SETTINGS)
        for place, response in prompts.early:
            yield placed_requests[place][0], response
        sequences: list[TokenPrompt] = prompts.plan.sequences  # type: ignore[attr-defined]
        requests = [placed_requests[place][1] for place, *_ in prompts.owners]
        jobs = [self.text_job(request, prompt) for request, prompt in zip(requests, sequences, strict=True)]
        for at, output in self.engine.run(jobs, self.adapter):
            place, tokens_in, overflow = prompts.owners[at]
            ids = output.ids[:-1] if output.ids and output.ids[-1] in self.end_tokens else output.ids
            generation = Generation(ids, output.finish)
            response = self.encoder.make_response(requests[at], generation, place in prompts.in_block)
            yield placed_requests[place][0], replace(response, tokens_in=tokens_in, truncated=overflow)

    def text_job(self, request: Request, prompt: TokenPrompt) -> VllmJob:
        """A request for a text as vLLM's job."""
        settings: dict[str, Any] = {"max_tokens": prompt.max_tokens, "stop_token_ids": sorted(self.end_tokens)}
        if prompt.temperature > 0 and prompt.top_p > 0:  # vLLM refuses a share of 0, which is greedy
            settings |= {"temperature": prompt.temperature, "top_p": prompt.top_p, "seed": prompt.seed % 2**63}
        return VllmJob(prompt.ids, settings | {FURTHER_SETTINGS[n]: v for n, v in request.generation}, prompt.should_stop)

    def rendered_hash(self, requests: Sequence[Request]) -> str:
        return rendered_hash.hash_rendered(self.template, requests)


def choices_response(windows: Sequence[tuple[int, TokenLogprobs]], count: int, tokens_in: int, overflow: int) -> Response:
    """The response with a log-likelihood for each of `count` choices: the sum over the tokens of its windows."""
    tokens: list[list[tuple[float, bool]]] = [[] for _ in range(count)]
    for choice, by_number in windows:
        tokens[choice] += by_number.values()
    logprobs = tuple(round(sum(p for p, _ in row), DECIMALS) for row in tokens)
    greedy = tuple(all(is_best for _, is_best in row) for row in tokens)
    return Response(logprobs=logprobs, greedy=greedy, tokens_in=tokens_in, truncated=overflow)


def pairs_by_place(choices: encoding.EncodedChoices) -> dict[int, list[int]]:
    """The numbers of the pairs of each request, by its place."""
    groups: dict[int, list[int]] = defaultdict(list)
    for at, (place, _) in enumerate(choices.owners):
        groups[place].append(at)
    return groups


def tokens_by_prefix(pairs: Sequence[TokenPair]) -> list[tuple[list[int], list[tuple[int, int, int]]]]:
    """(ids of a prefix, what is asked behind it: pair, place in its continuation, token) for every token of a continuation.

    vLLM's own log-probabilities of a prompt read no cached prefix, and with adapters on a processor they end the engine
    (0.32); the first new token's cost one block behind a cached prefix.
    """
    groups: dict[tuple[int, ...], list[tuple[int, int, int]]] = defaultdict(list)
    for at, pair in enumerate(pairs):
        ids = (*pair.context, *pair.continuation)
        for number, token in enumerate(pair.continuation):
            groups[ids[: len(pair.context) + number]].append((at, number, token))
    return [(list(prefix), tokens) for prefix, tokens in groups.items()]


def token_logprob(token: int, output: VllmOutput) -> tuple[float, bool]:
    """(log-probability of a token, is it the likeliest?) from vLLM's output for the prefix before it.

    Raises SkilldeltaError where it is no number: the model is broken.
    """
    logprob = float(output.logprobs[0][token].logprob)
    if logprob != logprob:
        raise SkilldeltaError("The model's log-probabilities are no numbers (NaN): its weights are broken.")
    return logprob, output.ids[0] == token


def load(checkpoint: Checkpoint, options: VllmOptions) -> VllmModel:
    """The checkpoint on an engine: an adapter on its base's.  Raises SkilldeltaError where vLLM is not there or refuses it."""
    if not has_vllm():
        raise SkilldeltaError(f"{INSTALL}.")
    dtype = parse_dtype(options.dtype)
    settings = LoadSettings("causal", dtype, trust_remote_code=options.trust_remote_code, revision=options.revision)
    require_loadable(checkpoint, settings)
    if problem := find_infinite(checkpoint):  # vLLM would answer with whatever such weights give
        raise SkilldeltaError(f"{checkpoint.path} cannot be scored: {problem}.")
    tokenizer = load_tokenizer(checkpoint, settings, LAST_TOKENIZER)
    engine = LAST_ENGINE.get(checkpoint.base or checkpoint.path, options, adapter_rank(checkpoint))
    return VllmModel(engine, checkpoint, tokenizer)
