"""Texts by transformers' continuous batching: paged keys and values, captured graphs, rows that come and go at every step.

The library's processor of batches is driven here, without its thread: a step is a call, an error is an exception, and nothing
runs on while the answers of one step are taken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from transformers import GenerationConfig
from transformers.generation.configuration_utils import ContinuousBatchingConfig
from transformers.generation.continuous_batching.cb_logits_processors import ContinuousBatchingLogitsProcessorList
from transformers.generation.continuous_batching.continuous_api import ContinuousBatchingManager
from transformers.generation.continuous_batching.input_outputs import ContinuousBatchingAsyncIOs
from transformers.generation.continuous_batching.utils import WorkloadHints
from transformers.generation.logits_process import LogitsProcessorList
from transformers.utils import import_utils

from harness.engine.float32_copy import HALF_TYPES
from harness.engine.memory import halve_or_raise
from harness.engine.paged_requests import RowDraws, RowRequest, make_processors, sampling_kind
from harness.engine.plans import places_by_kind
from harness.engine.sequences import DecodingRow, Generation, TokenPrompt
from harness.engine.shared_prefix_attention import attention_configs

# Tokens of a page.  The kernels that read keys and values where they lie take no fewer; else small ones share more prefixes.
KERNEL_PAGE, PAGE = 256, 32
# Without those kernels every row's query meets every row's keys under a mask: the work grows with the square of the rows.
MAX_MASKED_ROWS = 64
MEMORY_SHARE = 0.6  # of what is free on the device, for keys, values and what a step needs
OnStep = Callable[[Sequence[DecodingRow]], object]  # is called with the rows that got a token


@dataclass(frozen=True)
class PagedMode:
    """How the library runs: with kernels for paged keys (`flash`: their name), with captured CUDA graphs (`graphs`)."""

    flash: str = ""
    graphs: bool = False

    def __str__(self) -> str:
        parts = [self.flash.replace("_", " "), "captured graphs" if self.graphs else ""]
        return " and ".join(filter(None, parts)) or "plain kernels"


@dataclass(frozen=True)
class PagedLimits:
    """`rows` are decoded together, `tokens` are in a forward pass, `page` in a page (0: by the mode)."""

    rows: int
    tokens: int
    page: int = 0


def possible_modes(model: Any) -> list[PagedMode]:
    """How a model could run on its device, the fastest first.

    Kernels are used where they are installed: the library would otherwise load them from the Hub, and run them.
    """
    if model.device.type != "cuda":
        return [PagedMode()]
    checks = (import_utils.is_flash_attn_3_available, import_utils.is_flash_attn_2_available)
    is_half = model.dtype in HALF_TYPES
    kernels = [f"flash_attention_{3 - at}" for at, is_installed in enumerate(checks) if is_half and is_installed()]
    return [*(PagedMode(name, True) for name in kernels), PagedMode(graphs=True), PagedMode()]


def inner_model(model: Any) -> Any:
    """The model that the library takes: one with an adapter in its layers is that model.  ValueError: it has a prompt's."""
    if not hasattr(model, "get_base_model"):
        return model
    if any(getattr(config, "is_prompt_learning", False) for config in model.peft_config.values()):
        raise ValueError("its adapter is a learnt prompt")
    return model.get_base_model()


def pages_needed(prompts: Sequence[TokenPrompt], rows: int, page: int) -> int:
    """Pages for the longest `rows` prompts with their answers, so that no row ever has to wait for another one's memory."""
    sizes = sorted((-(-(len(p.ids) + p.max_tokens + 1) // page) for p in prompts), reverse=True)
    return sum(sizes[:rows]) + rows


class PagedBatch:
    """Rows of one kind of sampling that are decoded together; `with` frees the memory and gives the model back.

    `probs`: each request keeps the log-probabilities of its tokens.
    """

    def __init__(self, model: Any, rows: Sequence[DecodingRow], limits: PagedLimits, mode: PagedMode, probs: bool = False):
        self.model, self.rows, self.mode = inner_model(model), list(rows), mode
        self.log: list[DecodingRow] = []  # the rows that got a token in the last step
        self.in_flight = False  # a step whose tokens are not read yet
        page = limits.page or (KERNEL_PAGE if mode.flash else PAGE)
        count = max(1, min(limits.rows if mode.flash else min(limits.rows, MAX_MASKED_ROWS), len(rows)))
        prompts = [row.prompt for row in rows]
        hints = WorkloadHints(max(len(p.ids) for p in prompts), max(p.max_tokens for p in prompts), len(rows))
        config = ContinuousBatchingConfig(
            page_size=page,
            num_blocks=pages_needed(prompts, count, page),
            max_batch_tokens=max(limits.tokens, count),
            max_requests_per_batch=count,
            max_memory_percent=MEMORY_SHARE,
            use_cuda_graph=mode.graphs,
            auto_switch_to_flash=False,
            return_logprobs=probs,
        )
        self.configs = attention_configs(self.model)
        self.plain_attention = self.paged_attention = self.attention_names()
        try:
            if mode.flash:
                self.model.set_attn_implementation(mode.flash)
            # The settings of generation are none of the model's own: what a request does not say is not done.
            self.manager = ContinuousBatchingManager(self.model, GenerationConfig(eos_token_id=-1), config, hints)
            self.paged_attention = self.attention_names()
            self.manager.logit_processor = processor_list(make_processors(sampling_kind(rows[0])))
            with self.attention(), self.on_device():
                self.processor = self.manager._create_batch_processor()
        finally:
            self.name_attention(self.plain_attention)
        self.requests = self.add_requests()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.manager.destroy()
        del self.processor, self.manager
        if self.model.device.type == "cuda":
            torch.cuda.empty_cache()

    def add_requests(self) -> list[RowRequest]:
        """All rows as requests, those with common beginnings one after another: the later ones find the pages of the first."""
        order = sorted(range(len(self.rows)), key=lambda i: list(self.rows[i].prompt.ids))
        requests = {
            i: RowRequest(
                str(i), list(self.rows[i].prompt.ids), max_new_tokens=None, draws=RowDraws(self.rows[i]), log=self.log
            )
            for i in order
        }
        for request in requests.values():
            self.manager.input_queue.put(request)
        return [requests[i] for i in range(len(self.rows))]

    def attention_names(self) -> list[str]:
        """The attention of each part of the model that has a config of its own."""
        return [config._attn_implementation_internal for config in self.configs]

    def name_attention(self, names: Sequence[str]) -> None:
        """Sets them: the library's setter would give all parts the same."""
        for config, name in zip(self.configs, names, strict=True):
            config._attn_implementation_internal = name

    @contextmanager
    def attention(self) -> Iterator[None]:
        """The model with the attention for pages."""
        self.name_attention(self.paged_attention)
        try:
            yield
        finally:
            self.name_attention(self.plain_attention)

    def on_device(self) -> Any:
        """The device of the model as the current one: streams and graphs belong to it."""
        return torch.cuda.device(self.model.device) if self.model.device.type == "cuda" else nullcontext()

    @torch.inference_mode()
    def finish_some(self, on_step: OnStep) -> list[int]:
        """Steps until a row ends: the places of those that did, none once all have.  RuntimeError where it cannot go on."""
        places: list[int] = []
        with self.attention(), self.on_device():
            while not places and self.step():
                if self.log:
                    on_step(self.log)
                places = [int(output.request_id) for output in self.take_outputs()]
                self.log.clear()
        if not places and any(row.finish is None for row in self.rows):
            raise RuntimeError("it stands still with answers that have not ended")
        return places

    def step(self) -> bool:
        """One pass, and the tokens of it or, where passes are launched ahead, of the one before.  False: nothing is left."""
        launches = bool(self.processor.prepare_next_batch())
        if launches:
            self.processor._generation_step(self.model)
        inputs = self.processor.inputs_and_outputs
        if not isinstance(inputs, ContinuousBatchingAsyncIOs):
            if launches:
                self.processor.update_batch()
            return launches
        was_in_flight, self.in_flight = self.in_flight, launches
        if was_in_flight:
            if not launches:
                inputs.swap_io_pairs()  # a pass turns to the other pair by itself
            self.processor.update_batch()
        return launches or was_in_flight

    def take_outputs(self) -> Iterator[Any]:
        """What the library says has ended.  RuntimeError where it gave a request up."""
        queue = self.manager.output_router.output_queue
        while not queue.empty():
            output = queue.get()
            if output.error is not None:
                raise RuntimeError(output.error)
            yield output


def processor_list(processors: Sequence[Any]) -> ContinuousBatchingLogitsProcessorList:
    """The library's list of processors.  It counts the places for numbers of rows only of those that it makes itself."""
    whole = ContinuousBatchingLogitsProcessorList(LogitsProcessorList(processors))
    whole.tensors_required = len(processors)
    return whole


def generate_in_pages(
    model: Any, open_rows: dict[int, DecodingRow], limits: PagedLimits, mode: PagedMode, on_step: OnStep
) -> Iterator[tuple[int, Generation]]:
    """The generation for every row, as it ends, with its key, which leaves `open_rows`.

    Where memory runs out, the prompts that have not ended begin again, half as many at once.  That changes no text: a row draws
    its own random numbers from the start.
    """
    keys = list(open_rows)
    for places_of_kind in places_by_kind([sampling_kind(row) for row in open_rows.values()]):
        waiting, most = [keys[place] for place in places_of_kind], limits.rows
        while waiting:
            rows = [DecodingRow(open_rows[key].prompt, open_rows[key].end_tokens) for key in waiting]
            try:
                with PagedBatch(model, rows, replace(limits, rows=most), mode) as batch:
                    while places := batch.finish_some(on_step):
                        for at in places:
                            del open_rows[waiting[at]]
                            yield waiting[at], Generation(rows[at].ids, rows[at].finish or "stop")
            except (RuntimeError, MemoryError) as error:
                most = halve_or_raise(min(most, len(rows)), as_memory_error(error))
            waiting = [key for key in waiting if key in open_rows]


def as_memory_error(error: Exception) -> RuntimeError:
    """The library's own refusal to plan beyond the memory, as the device's allocator would say it."""
    if isinstance(error, RuntimeError):
        return error
    return torch.OutOfMemoryError(f"{type(error).__name__}: {error}")
