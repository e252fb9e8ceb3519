"""Texts by continuous batching: the same as plain decoding gives, and the old way where the library refuses or fails."""

import os
import random
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import peft
import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.backends.transformers import TransformersOptions, load
from harness.engine import continuous_batching, paged_requests, plain
from harness.engine.continuous_batching import PagedBatch, PagedLimits, PagedMode
from harness.engine.engine import BatchLimits, Engine
from harness.engine.plans import GenerationPlan
from harness.engine.sequences import DecodingRow, Generation, TokenPrompt, choose_tokens
from harness.engine.token_meter import TokenMeter
from harness.types import Checkpoint, Request
from tests.engine import test_model_families
from tests.engine.test_engine import CONFIGS, SIZES, UNPACKABLE, make
from tests.support import tiny

ENDS = frozenset({2})
SHORT = 6  # of a window, in tokens: shorter than the texts
WINDOWED: dict[str, transformers.PreTrainedConfig] = {
    "mistral": transformers.MistralConfig(**SIZES, sliding_window=SHORT),
    "gemma3": transformers.Gemma3TextConfig(**SIZES, head_dim=8, sliding_window=SHORT, sliding_window_pattern=2),
}
PATHS = {"llama": CONFIGS["llama"], "qwen3": CONFIGS["qwen3"], **WINDOWED}
ENGINES: dict[tuple[str, str], Engine] = {}


def engine_of(name: str, path: Any) -> Engine:
    """Rows that wait for one another, in passes that cut prompts."""
    if (name, path) not in ENGINES:
        ENGINES[name, path] = Engine(make(PATHS[name]), BatchLimits(8, 3, 16), path)
    return ENGINES[name, path]


def ends_never(_: list[int]) -> bool:
    return False


def ends_early(ids: list[int]) -> bool:
    return sum(ids) % 7 == 3


@st.composite
def questions(draw: st.DrawFn) -> list[TokenPrompt]:
    stem = draw(st.lists(st.integers(3, 9), min_size=1, max_size=40))
    asked = []
    for seed in range(draw(st.integers(1, 6))):
        ids = stem[: draw(st.integers(1, len(stem)))] + draw(st.lists(st.integers(3, 9), max_size=4))
        temperature, top_p = draw(st.sampled_from([(0.0, 1.0), (0.8, 1.0), (1.0, 0.7)]))
        stop = draw(st.sampled_from([ends_never, ends_early]))
        asked.append(TokenPrompt(ids, draw(st.integers(1, 9)), stop, temperature, top_p, seed))
    return asked


def answers(engine: Engine, prompts: list[TokenPrompt]) -> dict[int, Generation]:
    return dict(engine.generate(engine.plan_prompts(prompts), ENDS))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["llama", *(pytest.param(name, marks=pytest.mark.slow) for name in PATHS if name != "llama")])
@settings(max_examples=4, deadline=None)
@given(prompts=questions())
def test_texts_are_those_of_plain_decoding(name: str, prompts: list[TokenPrompt]) -> None:
    engine = engine_of(name, "continuous")
    assert (engine.name, engine.note) == ("tree, decoding in pages", "")
    assert answers(engine, prompts) == answers(engine_of(name, "plain"), prompts)


def some_prompts(count: int, length: int = 30, **changes: Any) -> list[TokenPrompt]:
    source = random.Random(4)
    stem = [source.randrange(3, 60) for _ in range(length)]
    return [
        replace(TokenPrompt([*stem, *[source.randrange(3, 60) for _ in range(i)]], 7, ends_never, seed=i), **changes)
        for i in range(count)
    ]


@pytest.mark.slow
def test_an_answer_comes_as_soon_as_it_ends() -> None:
    prompts = some_prompts(3, length=3)
    prompts[1] = replace(prompts[1], max_tokens=2)
    steps: list[int] = []
    engine = engine_of("llama", "continuous")
    assert engine.page_path is not None
    rows = {i: DecodingRow(p, frozenset()) for i, p in enumerate(prompts)}
    answering = engine.page_path.generate(rows, lambda stepped: steps.append(len(stepped)))
    assert next(answering)[0] == 1
    assert len(steps) < 7
    assert sorted(place for place, _ in answering) == [0, 2]
    assert not rows


@pytest.mark.slow
@pytest.mark.parametrize("top_p", [1.0, pytest.param(0.6, marks=pytest.mark.slow)])
def test_a_draw_depends_on_its_seed_alone(top_p: float) -> None:
    engine = engine_of("llama", "continuous")
    prompts = some_prompts(5, temperature=1.5, top_p=top_p)
    together = answers(engine, prompts)
    for i in (0, 4):
        assert answers(engine, [prompts[i]])[0] == together[i]
    others = answers(engine, [replace(p, seed=p.seed + 100) for p in prompts])
    assert sum(others[i] != together[i] for i in together) > 2


@pytest.mark.slow
@given(seed=st.integers(0, 2**20), top_p=st.sampled_from([1.0, 0.5]))
def test_the_sampler_of_the_library_draws_what_ours_draws(seed: int, top_p: float) -> None:
    prompts = [TokenPrompt([1], 9, ends_never, 0.7, top_p, seed + i) for i in range(4)]
    logits = 3 * torch.randn(4, 50, generator=torch.Generator().manual_seed(seed))
    ours = choose_tokens(logits, [DecodingRow(p, ENDS) for p in prompts])
    rows = [DecodingRow(p, ENDS) for p in prompts]
    futures = [
        transformers.generation.continuous_batching.requests.FutureRequestState(
            paged_requests.RowRequest(str(i), [1], draws=paged_requests.RowDraws(row), position_offset=1), True, {}, 1
        )
        for i, row in enumerate(rows)
    ]
    scores = logits
    for processor in paged_requests.make_processors(paged_requests.sampling_kind(rows[0])):
        scores = processor(scores, processor.prepare_tensor_args(futures))
    assert scores.argmax(1).tolist() == ours.tolist()


def test_a_request_that_lost_its_memory_goes_on_with_its_row_and_its_draws() -> None:
    row = DecodingRow(TokenPrompt([5, 6], 9, ends_never, 1.0, seed=3), ENDS)
    log: list[DecodingRow] = []
    request = paged_requests.RowRequest("0", [5, 6], max_new_tokens=None, draws=paged_requests.RowDraws(row), log=log)
    request.position_offset = 2
    first = request.next_uniform
    request.status = paged_requests.RequestStatus.DECODING
    assert not request.update_and_check_completion(7, None)
    again = request.create_equivalent_initial_request()
    assert (again.initial_tokens, again.request_id, row.ids) == ([5, 6, 7], "0", [7])
    again.position_offset = 3
    assert again.next_uniform != first
    again.position_offset = 2
    assert again.next_uniform == first
    again.status = paged_requests.RequestStatus.DECODING
    assert again.update_and_check_completion(2, None)
    assert (row.finish, row.ids, log) == ("stop", [7], [row, row])


@pytest.mark.slow
@pytest.mark.parametrize("name", UNPACKABLE)
def test_what_the_library_cannot_decode_goes_the_old_way(name: str) -> None:
    engine = Engine(make(deepcopy(UNPACKABLE[name])), BatchLimits(4, 3), "continuous")
    assert not engine.decodes_in_pages
    assert engine.note.startswith("continuous batching is not used: with plain kernels, ")
    assert "no prefix is shared" in engine.note
    prompts = some_prompts(3)
    assert answers(engine, prompts) == answers(Engine(engine.model, BatchLimits(4, 3), "plain"), prompts)


@pytest.mark.slow
def test_a_window_that_the_library_misplaces_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    build = continuous_batching.ContinuousBatchingManager._create_batch_processor

    def widened(manager: Any) -> Any:
        processor = build(manager)
        processor.inputs_and_outputs.config = replace_window(processor.inputs_and_outputs.config)
        return processor

    monkeypatch.setattr(continuous_batching.ContinuousBatchingManager, "_create_batch_processor", widened)
    wide = transformers.MistralConfig(**SIZES, sliding_window=64)  # longer than the texts of every other test
    engine = Engine(make(wide), BatchLimits(4, 3), "continuous")
    assert not engine.decodes_in_pages
    assert "behind a window" in engine.note


def replace_window(config: Any) -> Any:
    other = type(config)(**config.to_dict())
    other._attn_implementation = config._attn_implementation
    other.sliding_window = 2 * config.sliding_window
    return other


@pytest.mark.slow
def test_a_failure_on_the_way_is_said_and_the_rest_goes_the_old_way(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine(make(CONFIGS["llama"]), BatchLimits(4, 3), "continuous")
    prompts = some_prompts(6)
    plan = engine.plan_prompts(prompts)
    assert plan.page_places == list(range(6))
    step, steps = PagedBatch.step, iter(range(100))

    def fails_at_last(batch: PagedBatch) -> bool:
        if next(steps) > 9:
            raise RuntimeError("the kernel is not what it was")
        return step(batch)

    monkeypatch.setattr(PagedBatch, "step", fails_at_last)
    found = dict(engine.generate(plan, ENDS))
    assert next(steps) > 9
    assert found == answers(Engine(engine.model, BatchLimits(4, 3), "plain"), prompts)
    assert engine.note == "continuous batching is not used: RuntimeError: the kernel is not what it was"
    assert engine.plan_prompts(prompts).page_places == []


@pytest.mark.slow
def test_memory_that_runs_out_halves_the_rows_and_changes_no_text(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = engine_of("llama", "continuous")
    prompts = some_prompts(6, temperature=1.0)
    expected = answers(engine, prompts)
    counts: list[int] = []
    create = PagedBatch.__init__

    def too_many(batch: PagedBatch, model: Any, rows: Any, limits: PagedLimits, mode: PagedMode) -> None:
        counts.append(limits.rows)
        if limits.rows > 1:
            raise torch.OutOfMemoryError("no room")
        create(batch, model, rows, limits, mode)

    monkeypatch.setattr(PagedBatch, "__init__", too_many)
    assert answers(engine, prompts) == expected
    assert counts == [3, 1]


@pytest.mark.slow
def test_a_cache_beyond_the_memory_is_halved_too(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = engine_of("llama", "continuous")
    prompts = some_prompts(4)
    expected = answers(engine, prompts)
    needed = continuous_batching.pages_needed
    asked: list[int] = []

    def much(prompts: Any, rows: int, page: int) -> int:
        asked.append(rows)
        return needed(prompts, rows, page) if rows == 1 else 2**40

    monkeypatch.setattr(continuous_batching, "pages_needed", much)
    assert answers(engine, prompts) == expected
    assert asked == [3, 1]
    assert not engine.note


@pytest.mark.slow
def test_between_answers_the_model_is_as_it_was() -> None:
    model = make(deepcopy(CONFIGS["llama"]))
    model.set_attn_implementation("eager")
    engine = Engine(model, BatchLimits(4, 2), "continuous")
    assert engine.decodes_in_pages
    prompts = some_prompts(4)
    for _ in engine.generate(engine.plan_prompts(prompts), ENDS):
        assert model.config._attn_implementation == "eager"
    assert answers(engine, prompts) == answers(Engine(model, BatchLimits(4, 2), "plain"), prompts)


@pytest.mark.slow
def test_an_answer_that_nobody_takes_leaves_the_model_as_it_was() -> None:
    model = make(deepcopy(CONFIGS["llama"]))
    model.set_attn_implementation("eager")
    engine = Engine(model, BatchLimits(4, 2), "continuous")
    answering = engine.generate(engine.plan_prompts(some_prompts(4)), ENDS)
    next(answering)
    answering.close()  # type: ignore[attr-defined]
    assert model.config._attn_implementation == "eager"


@pytest.mark.slow
def test_tokens_are_counted_while_they_come() -> None:
    engine = Engine(make(CONFIGS["llama"]), BatchLimits(4, 3), "continuous")
    seen: list[int] = []
    clock: Iterator[float] = iter(range(1000))
    engine.meter = TokenMeter(lambda tokens, _: seen.append(tokens), clock=lambda: next(clock))
    found = answers(engine, some_prompts(4))
    assert seen[-1] == sum(len(g.ids) + (g.finish == "stop") for g in found.values())
    assert len(seen) > 4


@pytest.mark.slow
def test_somebody_elses_choice_of_tokens_goes_the_old_way() -> None:
    engine = engine_of("llama", "continuous")
    plan: GenerationPlan = engine.plan_prompts(some_prompts(3))
    found = dict(engine.generate(plan, ENDS, lambda logits, rows: torch.full((len(rows),), 5)))
    assert [found[i].ids for i in range(3)] == [[5] * 7] * 3


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.bfloat16, pytest.param(torch.float16, marks=pytest.mark.slow)])
def test_half_precision_passes_against_its_own_rounding(dtype: torch.dtype) -> None:
    engine = Engine(make(deepcopy(CONFIGS["llama"])).to(dtype), BatchLimits(4, 3), "continuous")
    assert (engine.decodes_in_pages, engine.note) == (True, "")
    found = answers(engine, some_prompts(3))
    assert [len(found[i].ids) for i in range(3)] == [7] * 3


@pytest.mark.slow
def test_an_adapter_is_decoded_with_and_a_learnt_prompt_is_not() -> None:
    lora = peft.LoraConfig(r=4, target_modules=["q_proj", "v_proj"], init_lora_weights=False, task_type="CAUSAL_LM")
    torch.manual_seed(1)
    model = peft.get_peft_model(make(deepcopy(CONFIGS["llama"])), lora).eval()
    engine, prompts = Engine(model, BatchLimits(4, 3), "continuous"), some_prompts(4)
    assert engine.decodes_in_pages
    found = answers(engine, prompts)
    assert found == answers(Engine(model, BatchLimits(4, 3), "plain"), prompts)
    assert found != answers(engine_of("llama", "plain"), prompts)
    learnt = peft.PromptTuningConfig(num_virtual_tokens=3, task_type="CAUSAL_LM")
    with pytest.raises(ValueError, match="learnt prompt"):
        continuous_batching.inner_model(peft.get_peft_model(make(deepcopy(CONFIGS["llama"])), learnt))


@pytest.mark.slow
def test_a_backend_takes_the_option_and_says_what_it_did(tmp_path: Path) -> None:
    folder = tiny.llama(tmp_path / "model")
    requests = [Request(f"Question {i}: what is it?", max_tokens=6, stop=("o",)) for i in range(5)]
    found = {}
    for engine in ("auto", "continuous", "plain"):
        options = TransformersOptions(engine=engine, dtype="float32", chat_template="none")
        model = load(Checkpoint("m", str(folder), "transformers"), options)
        found[engine] = [dict(model.answer(requests))[i].text for i in range(5)]
        assert ("decoding in pages" in str(model.settings["engine"])) == (engine == "continuous")
    assert found["continuous"] == found["auto"] == found["plain"]


def test_a_gpu_has_several_ways_and_a_processor_one(monkeypatch: pytest.MonkeyPatch) -> None:
    there = SimpleNamespace(device=torch.device("cuda"), dtype=torch.bfloat16)
    monkeypatch.setattr(continuous_batching.import_utils, "is_flash_attn_3_available", lambda: False)
    monkeypatch.setattr(continuous_batching.import_utils, "is_flash_attn_2_available", lambda: True)
    modes = continuous_batching.possible_modes(there)
    assert modes == [PagedMode("flash_attention_2", True), PagedMode(graphs=True), PagedMode()]
    assert list(map(str, modes)) == ["flash attention 2 and captured graphs", "captured graphs", "plain kernels"]
    there.dtype = torch.float32
    assert continuous_batching.possible_modes(there) == modes[1:]
    assert continuous_batching.possible_modes(make(CONFIGS["llama"])) == [PagedMode()]


@pytest.mark.slow
def test_a_way_that_fails_is_said_and_the_next_one_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(continuous_batching, "possible_modes", lambda model: [PagedMode("flash_attention_9"), PagedMode()])
    model = make(deepcopy(CONFIGS["llama"])).to(torch.bfloat16)
    engine = Engine(model, BatchLimits(4, 3), "continuous")
    assert engine.decodes_in_pages
    assert engine.note.startswith("texts are decoded by continuous batching with plain kernels: with flash attention 9, ")
    assert model.config._attn_implementation == "sdpa"
    prompts = some_prompts(3)
    assert len(answers(engine, prompts)) == 3


TAKEN = {"gemma3_text", "mixtral", "qwen2_moe", "olmo2", "phi3", "gpt_bigcode", "gpt_oss"}


@pytest.mark.slow
@pytest.mark.parametrize("family", test_model_families.FAMILIES)
def test_a_family_is_decoded_rightly_or_refused(family: str) -> None:
    model = test_model_families.make(family)
    engine = Engine(model, BatchLimits(4, 3, 16), "continuous")
    assert engine.decodes_in_pages == (family in TAKEN)
    assert ("continuous batching is not used" in engine.note) == (family not in TAKEN)
    prompts = some_prompts(4)
    assert answers(engine, prompts) == answers(Engine(model, BatchLimits(4, 3), "plain"), prompts)


def is_tie(model: Any, context: list[int], tokens: tuple[int, int]) -> bool:
    """Are two next tokens so near that rounding decides between them?"""
    values = [plain.loglikelihood_batch(model, [plain.TokenPair(context, [token])])[0].logprob for token in tokens]
    return abs(values[0] - values[1]) < 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_real_models_texts_are_those_without_it_up_to_ties(dtype: str) -> None:
    place = os.environ.get("SKILLDELTA_MODEL", "")
    if not Path(place).is_dir() or not place:
        pytest.skip("needs a real model: set SKILLDELTA_MODEL to its folder")
    checkpoint, found = Checkpoint("m", place, "transformers"), {}
    topics = ("the sea", "a clock", "bread", "the moon", "salt", "a bridge", "rain", "music")
    for path in ("auto", "continuous"):
        model = load(checkpoint, TransformersOptions(engine=path, dtype=dtype, device="cpu"))  # type: ignore[arg-type]
        assert not model.note
        ids = [model.tokenizer.hf_tokenizer(f"You know much.  Here is a short text about {t}:")["input_ids"] for t in topics]
        prompts = [TokenPrompt(i, 24, ends_never, seed=n) for n, i in enumerate(ids)]
        found[path] = dict(model.engine.generate(model.engine.plan_prompts(prompts), model.end_tokens))
    assert model.engine.decodes_in_pages
    differing = [i for i in found["auto"] if found["auto"][i] != found["continuous"][i]]
    for i in differing if dtype == "float32" else []:
        texts = found["auto"][i].ids, found["continuous"][i].ids
        at = next(n for n, (a, b) in enumerate(zip(*texts, strict=False)) if a != b)
        assert is_tie(model.model, [*ids[i], *texts[0][:at]], (texts[0][at], texts[1][at]))
    assert len(differing) <= len(topics) // 2
