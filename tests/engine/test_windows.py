"""Sliding windows and sinks behind shared prefixes, against plain passes under the model's own masks."""

import random
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.backends import lm_eval
from harness.backends.transformers import TransformersOptions, load
from harness.engine import generate, kv_cache, loglikelihood, plain, prompt_prefill, self_test
from harness.engine.engine import BatchLimits, Engine
from harness.engine.memory import TokenBudget
from harness.engine.plain import TokenPair
from harness.engine.sequences import TokenPrompt
from harness.types import Checkpoint, Request
from tests.engine.test_engine import SIZES, VOCABULARY, make, prompts, requests, same
from tests.support import tiny

EXPERTS = {"num_experts_per_tok": 2, "num_local_experts": 4}
SHORT = 4
CONFIGS: dict[str, transformers.PreTrainedConfig] = {  # in the order: all layers, every second, with a softcap, with sinks
    "mistral": transformers.MistralConfig(**SIZES, sliding_window=SHORT),
    "gemma3": transformers.Gemma3TextConfig(**SIZES, head_dim=8, sliding_window=SHORT, sliding_window_pattern=2),
    "gemma2": transformers.Gemma2Config(**SIZES, head_dim=8, sliding_window=SHORT),
    "gpt_oss": transformers.GptOssConfig(**SIZES, **EXPERTS, head_dim=8, sliding_window=SHORT),
}
MODELS: dict[str, Any] = {}


def model_of(name: str) -> Any:
    if name not in MODELS:
        MODELS[name] = make(CONFIGS[name])
        for module in MODELS[name].modules():  # sinks are zeros in a new model
            if getattr(module, "sinks", None) is not None:
                module.sinks.normal_(generator=torch.Generator().manual_seed(1))
    return MODELS[name]


@pytest.mark.slow
@pytest.mark.parametrize("name", CONFIGS)
@settings(max_examples=25, deadline=None)
@given(pairs=requests(), budget=st.integers(1, 50), run=st.integers(1, 9))
def test_runs_of_a_packed_row_see_their_window_alone(name: str, pairs: list[TokenPair], budget: int, run: int) -> None:
    same(
        dict(loglikelihood.loglikelihoods_over_tree(model_of(name), loglikelihood.PairTree(pairs), TokenBudget(budget, run))),
        pairs,
        model_of(name),
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", CONFIGS)
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(asked=prompts(), rows=st.integers(1, 8), block=st.integers(1, 4), worth=st.integers(1, 9))
def test_rows_behind_shared_prefixes_see_their_window_alone(
    monkeypatch: pytest.MonkeyPatch, name: str, asked: list[TokenPrompt], rows: int, block: int, worth: int
) -> None:
    monkeypatch.setattr(kv_cache, "rows_per_block", lambda like, rows: block)
    monkeypatch.setattr(prompt_prefill, "MIN_TOKENS_SAVED", worth)
    model, ends = model_of(name), frozenset([2, 3])
    found = dict(
        generate.generate_over_tree(
            model, prompt_prefill.PlannedPrompts(asked), generate.DecodingRules(rows, ends), TokenBudget(16, 5)
        )
    )
    assert found == dict(plain.generate_in_batches(model, asked, ends, 1))


def long_pairs(stem: int = 60) -> list[TokenPair]:
    source = random.Random(0)
    ids = [source.randrange(VOCABULARY) for _ in range(stem)]
    return [TokenPair(ids[:n], [7, 8]) for n in (5, 29, 31, 45, stem)]


@pytest.mark.slow
@pytest.mark.parametrize("name", CONFIGS)
def test_a_windowed_model_shares_prefixes_longer_than_its_window(name: str) -> None:
    config = type(CONFIGS[name])(**CONFIGS[name].to_dict() | {"sliding_window": 32})
    model, pairs = make(config), long_pairs()
    engine = Engine(model, BatchLimits(4, 4))
    plan = engine.plan_pairs(pairs)
    assert plan.plain_places == []
    same(dict(engine.loglikelihoods(plan)), pairs, model)
    asked = [TokenPrompt([*p.context, n], 9, lambda ids: False) for n, p in enumerate(pairs)]
    texts = engine.plan_prompts(asked)
    assert texts.plain_places == []
    assert dict(engine.generate(texts, frozenset([2]))) == dict(plain.generate_in_batches(model, asked, frozenset([2]), 1))
    assert model.config.sliding_window == 32


@pytest.mark.slow
@pytest.mark.parametrize("name", CONFIGS)
def test_masks_of_the_models_own_attention_have_its_windows(name: str) -> None:
    """As on a GPU, where packed rows are not read by runs."""
    config = type(CONFIGS[name])(**CONFIGS[name].to_dict() | {"sliding_window": 32})
    model, pairs = make(config), long_pairs()
    engine = Engine(model, BatchLimits(4, 4, 16))
    engine.budget.run_length = 0
    plan = engine.plan_pairs(pairs)
    assert (plan.plain_places, engine.budget.has_windows) == ([], True)
    same(dict(engine.loglikelihoods(plan)), pairs, model)
    asked = [TokenPrompt([*p.context, n], 9, lambda ids: False) for n, p in enumerate(pairs)]
    texts = engine.plan_prompts(asked)
    assert dict(engine.generate(texts, frozenset([2]))) == dict(plain.generate_in_batches(model, asked, frozenset([2]), 1))


@pytest.mark.slow
def test_a_mask_without_windows_would_be_wrong_and_where_windows_fail_the_plain_path_is_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, pairs = make(transformers.MistralConfig(**SIZES, sliding_window=32)), long_pairs()
    monkeypatch.setattr(self_test, "window_unsupported_reason", lambda *_: "no windows")
    wrong = dict(loglikelihood.loglikelihoods_over_tree(model, loglikelihood.PairTree(pairs), TokenBudget(16)))
    (alone,) = plain.loglikelihood_batch(model, pairs[-1:])
    assert wrong[4].logprob != pytest.approx(alone.logprob, abs=1e-4)
    engine = Engine(model, BatchLimits(4, 4))
    engine.budget.run_length = 0
    plan = engine.plan_pairs(pairs)
    assert plan.plain_places == [2, 3, 4]
    same(dict(engine.loglikelihoods(plan)), pairs, model)


@pytest.mark.slow
def test_a_window_that_another_attention_ignores_is_detected(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make(transformers.MistralConfig(**SIZES, sliding_window=32))
    assert self_test.window_unsupported_reason(model, 128, decodes=True) == ""
    attend = type(model.model.layers[0].self_attn)
    own = attend.forward

    def wide(self: Any, *given: Any, **more: Any) -> Any:
        held, self.config.sliding_window = self.config.sliding_window, None
        try:
            return own(self, *given, **more)
        finally:
            self.config.sliding_window = held

    monkeypatch.setattr(attend, "forward", wide)  # says nothing of its window
    assert "longer than its window" in self_test.window_unsupported_reason(model, 128, decodes=False)
    engine, pairs = Engine(model, BatchLimits(4, 4)), long_pairs()
    assert engine.max_shared_length == 32
    same(dict(engine.loglikelihoods(engine.plan_pairs(pairs))), pairs, model)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gemma3", "gpt_oss"])
def test_lm_evals_hf_says_the_same_far_beyond_the_window(name: str, tmp_path: Path) -> None:
    """Right as it asks one request after another, with a cache of its own."""
    words = tiny.tokenizer()
    config = type(CONFIGS[name])(**CONFIGS[name].to_dict() | {"sliding_window": 16, "vocab_size": len(words)})
    make(config).save_pretrained(tmp_path)
    words.save_pretrained(tmp_path)
    shots = "Question: How many apples are left? Answer: There were 12 apples, 5 were eaten, so 7 are left.\n\n" * 3
    ends = ("How many?", "What is 3+4?", "Are there apples? " * 3, "And the quick brown fox?")
    weighed = [Request(f"{shots}Question: {q} Answer:", choices=(" A", " 12 apples, 5 left"), raw=True) for q in ends]
    written = [Request(f"{shots}Question: {q} Answer:", max_tokens=8, stop=("\n\n",), raw=True) for q in ends]
    checkpoint = Checkpoint(name, str(tmp_path), "transformers")
    ours = load(checkpoint, TransformersOptions(dtype="float32", device="cpu"))
    theirs = lm_eval.load(checkpoint, lm_eval.LmEvalOptions("hf", dtype="float32", device="cpu", chat_template="none"))
    assert (
        ours.engine.plan_prompts(
            [ours.encoder.to_token_prompt(r, ours.tokenizer.encode(r.prompt)) for r in written]
        ).plain_places
        == []
    )
    (mine, official) = (dict(side.answer([*weighed, *written])) for side in (ours, theirs))
    for i in range(len(ends)):
        assert mine[i].logprobs == pytest.approx(official[i].logprobs, abs=1e-4)
        assert mine[i].greedy == official[i].greedy
    for i in range(len(ends), 2 * len(ends)):
        assert mine[i].text == official[i].text
    assert any(mine[i].text for i in range(len(ends), 2 * len(ends)))
