"""One vLLM engine in this process: weights of a base, its LoRA adapters by request, weights of the next checkpoint in place."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from harness import config
from harness.bounded_files import read_json
from harness.hub_cache import hub_place
from harness.prompts import templates, tokenizer_cache
from harness.types import SkilldeltaError, digest

PROBE = "The quick brown fox jumps over the lazy dog, and 17 + 25 = 42 because numbers add up."


@dataclass(frozen=True)
class VllmOptions:
    """`tensor_parallel`: GPUs that hold one model together.  `memory`: the share of a GPU that vLLM may fill.

    `max_length` 0: the model's own.  `template_*`: see TemplateSettings.  `args`: further arguments of vLLM's engine, as
    name=value;name=value.
    """

    dtype: str = "auto"
    device: str = ""  # vLLM chooses it; CUDA_VISIBLE_DEVICES limits the choice
    chat_template: str = "auto"
    template_args: str = ""
    template_date: str = ""
    template_prefix: templates.PrefixMode = "refuse"
    max_length: int = 0
    tensor_parallel: int = 1
    memory: float = 0.9
    trust_remote_code: bool = False
    revision: str = ""
    args: str = ""


@dataclass(frozen=True)
class VllmJob:
    """A prompt with vLLM's SamplingParams by name (greedy unless they say otherwise); `should_stop`: see TokenPrompt."""

    ids: Sequence[int]
    settings: Mapping[str, Any]
    should_stop: Callable[[list[int]], bool] | None = None

    def parameters(self) -> Any:
        """vLLM's object.  Tokens come as they are made only where somebody looks at them; vLLM itself decodes no text."""
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        kind = RequestOutputKind.DELTA if self.should_stop else RequestOutputKind.FINAL_ONLY
        return SamplingParams(**{"temperature": 0.0, "detokenize": False, "output_kind": kind} | dict(self.settings))


@dataclass
class VllmOutput:
    """What vLLM gave for a job: new ids, with log-probabilities by id for each of them and for those of the prompt."""

    ids: list[int] = field(default_factory=list)
    finish: Literal["stop", "length"] = "stop"
    logprobs: list[Mapping[int, Any]] = field(default_factory=list)
    prompt_logprobs: Sequence[Any] = ()

    def extend(self, delta: Any, should_stop: Callable[[list[int]], bool] | None) -> bool:
        """Takes what is new; True where the text ends within it."""
        completion = delta.outputs[0]
        self.prompt_logprobs = delta.prompt_logprobs or self.prompt_logprobs
        self.logprobs += completion.logprobs or ()
        if completion.finish_reason == "length":
            self.finish = "length"
        for token in completion.token_ids:
            self.ids.append(token)
            if should_stop and should_stop(self.ids):
                self.finish = "stop"
                return True
        return False


class VllmEngine:
    """vLLM with the weights of one checkpoint or base.  `max_rank` 0: no adapters."""

    def __init__(self, source: str, options: VllmOptions, max_rank: int) -> None:
        os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
        import vllm

        self.source, self.options, self.max_rank = source, options, max_rank
        self.adapters: dict[str, int] = {}  # path -> vLLM's number of it
        self.requests = 0
        name, revision = hub_place(source, options.revision)
        arguments: dict[str, Any] = {
            "model": name,
            "revision": revision or None,
            "dtype": options.dtype,
            "max_model_len": options.max_length or None,
            "tensor_parallel_size": options.tensor_parallel,
            "gpu_memory_utilization": options.memory,
            "trust_remote_code": options.trust_remote_code,
            "enable_prefix_caching": True,
            "generation_config": "vllm",  # no sampling settings of the checkpoint's own: the request has them all
            "worker_extension_cls": "harness.vllm_worker.EndingWorker",
        }
        arguments |= {"enable_lora": True, "max_lora_rank": max_rank} if max_rank else {}
        try:
            self.llm = vllm.LLM(**arguments | config.parse_json_pairs(options.args))
            self.llm.collective_rpc("end_with_process", args=(os.getpid(),))
        except Exception as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[-1]  # vLLM's texts are long
            raise SkilldeltaError(
                f"vLLM does not load {source}: {reason}\nUse --backend transformers, or change vLLM's settings "
                "(--backend-args memory=0.8,max_length=4096,args=NAME=VALUE)."
            ) from error

    @property
    def window(self) -> int:
        """Tokens of a prompt and its answer together, less one, so that a prompt whose tokens are all weighed fits too."""
        return int(self.llm.llm_engine.model_config.max_model_len) - 1

    @property
    def device(self) -> str:
        """cuda, cpu, xpu ...: vLLM chooses it."""
        from vllm.platforms import current_platform

        return str(current_platform.device_type)

    def run(self, jobs: Sequence[VllmJob], adapter: str = "") -> Iterator[tuple[int, VllmOutput]]:
        """The output of each job with its place, as it finishes.  A job whose text is to stop is ended at once."""
        from vllm.lora.request import LoRARequest

        engine, running = self.llm.llm_engine, dict[str, tuple[int, VllmOutput]]()
        number = self.adapters.setdefault(adapter, len(self.adapters) + 1) if adapter else 0
        lora = LoRARequest(f"adapter-{number}", number, adapter) if adapter else None
        try:
            for place, job in enumerate(jobs):
                self.requests += 1
                running[str(self.requests)] = (place, VllmOutput())
                prompt = {"prompt_token_ids": list(job.ids)}
                engine.add_request(str(self.requests), prompt, job.parameters(), lora_request=lora)
            while running:
                for delta in engine.step():
                    if delta.request_id not in running:
                        continue  # it was ended, and this is what was on its way
                    place, output = running[delta.request_id]
                    if output.extend(delta, jobs[place].should_stop) or delta.finished:
                        del running[delta.request_id]
                        if not delta.finished:
                            engine.abort_request([delta.request_id])
                        yield place, output
        finally:
            if running:  # the caller stopped early
                engine.abort_request(list(running))

    def probe(self) -> tuple[float, ...]:
        """Log-probabilities of a fixed text: what tells these weights from others."""
        ids = self.llm.get_tokenizer().encode(PROBE)
        ((_, output),) = self.run([VllmJob(ids, {"max_tokens": 1, "prompt_logprobs": 0})])
        rows = zip(ids[1:], output.prompt_logprobs[1:], strict=True)
        return tuple(round(by_id[token].logprob, 3) for token, by_id in rows)

    def load_weights(self, source: str) -> None:
        """Puts the weights of another checkpoint of the same shape in their place, if vLLM is faithful: see try_loading."""
        self.llm.collective_rpc("reload_weights", kwargs={"weights_path": source})
        self.llm.reset_prefix_cache()
        self.source, self.adapters = source, {}

    def close(self) -> None:
        """Ends vLLM's processes and frees its memory."""
        self.llm.llm_engine.engine_core.shutdown()
        del self.llm
        gc.collect()


class LastEngine:
    """The engine of the checkpoint that was loaded last: the next one of its base or shape goes on with it."""

    def __init__(self) -> None:
        self.engine: VllmEngine | None = None
        self.is_faithful: bool | None = None  # whether weights loaded in place answer like fresh ones; None: not tried

    def get(self, source: str, options: VllmOptions, rank: int) -> VllmEngine:
        """An engine with the weights of `source` and room for adapters of that rank."""
        engine = self.engine
        if engine is None or engine.options != options or engine.max_rank < rank:
            return self.start(source, options, rank)
        if engine.source == source:
            return engine
        if not same_shape(engine.source, source):
            self.is_faithful = None
            return self.start(source, options, rank)
        if self.is_faithful is None:
            return self.try_loading(source, options, rank)
        if not self.is_faithful:
            return self.start(source, options, rank)
        engine.load_weights(source)
        return engine

    def start(self, source: str, options: VllmOptions, rank: int) -> VllmEngine:
        """A new engine in the place of the last."""
        self.close()
        self.engine = VllmEngine(source, options, rank)
        return self.engine

    def try_loading(self, source: str, options: VllmOptions, rank: int) -> VllmEngine:
        """A new engine for the second checkpoint of a shape, on which loading in place is tried.

        The first checkpoint's weights, loaded into it, must give a fixed text the log-probabilities that they gave in an engine
        of their own; and so must the second's, loaded back.
        """
        assert self.engine is not None
        first, first_probe = self.engine.source, self.engine.probe()
        engine = self.start(source, options, rank)
        second_probe = engine.probe()
        try:
            engine.load_weights(first)
            self.is_faithful = engine.probe() == first_probe
            engine.load_weights(source)
            self.is_faithful = self.is_faithful and engine.probe() == second_probe
        except Exception:  # noqa: BLE001  a shape that vLLM cannot load in place gets new engines, which say what is wrong
            self.is_faithful = False
        return engine if self.is_faithful else self.start(source, options, rank)

    def close(self) -> None:
        if self.engine:
            self.engine.close()
            self.engine = None


def same_shape(source: str, other: str) -> bool:
    """Whether two folders hold models of one configuration with one tokenizer, so that they differ in weights alone."""
    shapes = []
    for folder in map(Path, (source, other)):
        if not (folder / "config.json").exists():
            return False
        values = read_json(folder / "config.json")
        names = {"_name_or_path", "transformers_version"}
        shapes.append((digest({k: v for k, v in values.items() if k not in names}), tokenizer_cache.tokenizer_key(str(folder))))
    return shapes[0] == shapes[1]
