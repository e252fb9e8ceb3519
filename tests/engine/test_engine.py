"""The prefix-sharing engine against plain, one-request-at-a-time passes, on tiny random models of several architectures."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
import transformers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.engine import generate, kv_cache, loglikelihood, plain, prompt_prefill, row_lengths, self_test
from harness.engine.engine import BatchLimits, Engine
from harness.engine.memory import TokenBudget
from harness.engine.plain import TokenPair
from harness.engine.sequences import TokenPrompt
from harness.engine.tree import build_tree, common_prefix_length

VOCABULARY = 61
SIZES = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "pad_token_id": 0,
    "eos_token_id": 2,
}
GPT2 = {"vocab_size": VOCABULARY, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128}
CONFIGS: dict[str, transformers.PreTrainedConfig] = {
    "llama": transformers.LlamaConfig(**SIZES),
    "gpt2": transformers.GPT2Config(**GPT2),
    "qwen2": transformers.Qwen2Config(**SIZES),
    "qwen3": transformers.Qwen3Config(**SIZES, head_dim=8),
    "mistral": transformers.MistralConfig(**SIZES, sliding_window=32),
    "gemma2": transformers.Gemma2Config(**SIZES, head_dim=8, sliding_window=32),
    "gpt_neox": transformers.GPTNeoXConfig(**SIZES),
}
UNPACKABLE: dict[str, transformers.PreTrainedConfig] = {
    "bloom": transformers.BloomConfig(vocab_size=VOCABULARY, hidden_size=32, n_layer=2, n_head=4),
    "mamba": transformers.MambaConfig(vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=2),
}


def make(config: transformers.PreTrainedConfig) -> Any:
    """A random model that is sure of what it says, so that a wrong context shows."""
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config).eval().requires_grad_(False)
    for weights in model.parameters():
        if weights.ndim > 1:
            weights.mul_(4)
    return model


MODELS: dict[str, Any] = {}


def model_of(name: str) -> Any:
    if name not in MODELS:
        MODELS[name] = make(CONFIGS[name])
    return MODELS[name]


tokens = st.integers(0, 3)  # few, so that beginnings are shared


@st.composite
def requests(draw: st.DrawFn, longest: int = 20) -> list[TokenPair]:
    stem = draw(st.lists(tokens, min_size=1, max_size=longest))
    pairs = []
    for _ in range(draw(st.integers(1, 10))):
        cut = draw(st.integers(0, len(stem)))
        context = stem[:cut] + draw(st.lists(tokens, min_size=0 if cut else 1, max_size=6))
        pairs.append(TokenPair(context, draw(st.lists(st.integers(0, VOCABULARY - 1), min_size=1, max_size=5))))
    return pairs


def same(found: dict[int, plain.LogLikelihood], pairs: Sequence[TokenPair], model: Any) -> None:
    assert sorted(found) == list(range(len(pairs)))
    for i, pair in enumerate(pairs):
        (alone,) = plain.loglikelihood_batch(model, [pair])
        assert found[i].logprob == pytest.approx(alone.logprob, abs=1e-4)
        assert found[i].greedy == alone.greedy


@pytest.mark.slow
@pytest.mark.parametrize("name", CONFIGS)
@settings(max_examples=12, deadline=None)
@given(pairs=requests(), budget=st.integers(1, 50))
def test_the_tree_gives_the_log_likelihoods_of_single_passes(name: str, pairs: list[TokenPair], budget: int) -> None:
    model = model_of(name)
    same(dict(loglikelihood.loglikelihoods_over_tree(model, loglikelihood.PairTree(pairs), TokenBudget(budget))), pairs, model)


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(st.lists(tokens, min_size=1, max_size=8), min_size=1, max_size=12))
def test_a_tree_has_every_distinct_prefix_once_and_its_nodes_see_their_ancestors(rows: list[list[int]]) -> None:
    tree = build_tree(rows, [0] * len(rows))
    prefixes = {tuple(r[: n + 1]) for r in rows for n in range(len(r))}
    assert len(tree) == len(prefixes)
    for row, path in zip(rows, tree.paths, strict=True):
        assert [int(tree.tokens[n]) for n in path] == row
        assert [int(tree.depth[n]) for n in path] == list(range(len(row)))
        every = torch.arange(len(tree)).numpy()
        assert every[tree.ancestor_mask(every[path[-1:]], every)[0]].tolist() == path


@given(st.lists(tokens, max_size=9), st.lists(tokens, max_size=9))
def test_what_two_sequences_share_is_their_longest_common_beginning(first: list[int], second: list[int]) -> None:
    n = common_prefix_length(first, second)
    assert first[:n] == second[:n]
    assert n in (len(first), len(second)) or first[n] != second[n]


@st.composite
def prompts(draw: st.DrawFn) -> list[TokenPrompt]:
    stop = draw(st.integers(0, VOCABULARY - 1))
    heat = st.tuples(st.sampled_from([0.0, 1.0]), st.sampled_from([0.5, 1.0]), st.integers(0, 9))
    return [
        TokenPrompt(p.context, draw(st.integers(1, 6)), lambda ids: ids[-1] == stop, *draw(heat))
        for p in draw(requests(longest=14))
    ]


@pytest.mark.slow
@pytest.mark.parametrize("name", CONFIGS)
@settings(max_examples=8, deadline=None)
@given(asked=prompts(), rows=st.integers(1, 6), budget=st.integers(1, 40))
def test_slots_generate_what_single_rows_do(name: str, asked: list[TokenPrompt], rows: int, budget: int) -> None:
    model, ends = model_of(name), frozenset([2, 3])
    found = dict(
        generate.generate_over_tree(
            model, prompt_prefill.PlannedPrompts(asked), generate.DecodingRules(rows, ends), TokenBudget(budget)
        )
    )
    assert found == dict(plain.generate_in_batches(model, asked, ends, 1))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["llama", "gemma2", "gpt2"])
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(asked=prompts(), rows=st.integers(2, 8), block=st.integers(1, 4), budget=st.integers(1, 40), grows=st.booleans())
def test_slots_behind_several_prefixes_generate_what_single_rows_do(
    monkeypatch: pytest.MonkeyPatch, name: str, asked: list[TokenPrompt], rows: int, block: int, budget: int, grows: bool
) -> None:
    monkeypatch.setattr(kv_cache, "rows_per_block", lambda like, rows: block)
    if grows:  # as on other devices than a processor
        monkeypatch.setattr(
            generate, "DecodingBatch", lambda model, like, rows, most: kv_cache.DecodingBatch(model, like, rows)
        )
    monkeypatch.setattr(prompt_prefill, "MIN_TOKENS_SAVED", 1)
    model, ends = model_of(name), frozenset([2, 3])
    asked = [*asked, *(replace(p, ids=[*begin, *p.ids]) for p in asked for begin in ([5, 6, 7], [5, 6, 8]))]
    assert len(set(prompt_prefill.PromptTree([p.ids for p in asked]).group_of.values())) > 1
    found = dict(
        generate.generate_over_tree(
            model, prompt_prefill.PlannedPrompts(asked), generate.DecodingRules(rows, ends), TokenBudget(budget)
        )
    )
    assert found == dict(plain.generate_in_batches(model, asked, ends, 1))


@given(lengths=st.lists(st.integers(1, 90), min_size=1, max_size=30), size=st.integers(1, 9), drops=st.data())
def test_a_freed_slot_is_filled_from_later_blocks_and_only_the_last_one_vanishes(
    lengths: list[int], size: int, drops: st.DataObject
) -> None:
    held = row_lengths.RowLengths(size)
    held.counts = sorted(lengths, reverse=True)
    while held.counts:
        slot = drops.draw(st.integers(0, len(held.counts) - 1))
        kept = sorted([*held.counts[:slot], *held.counts[slot + 1 :]])
        chain = held.slot_chain(slot)
        assert chain == sorted(set(chain))
        assert chain[-1] == len(held.counts) - 1
        kv_cache.move_along(chain, held.counts)
        assert sorted(held.counts) == kept
        held.begin_tokens([1] * len(held.counts), torch.tensor(held.counts))
        reached = [part.read_length for part in held.active_blocks]
        assert reached == sorted(reached, reverse=True), "long rows stay in the first blocks"


def grouped(rows: list[list[int]]) -> list[prompt_prefill.PrefixGroup]:
    return prompt_prefill.group_by_prefix(rows, sorted(range(len(rows)), key=rows.__getitem__))


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(st.lists(tokens, min_size=1, max_size=8), min_size=1, max_size=30), worth=st.integers(1, 30))
def test_groups_hold_every_sequence_once_behind_tokens_that_its_members_share(rows: list[list[int]], worth: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prompt_prefill, "MIN_TOKENS_SAVED", worth)
        found = grouped(rows)
    assert sorted(i for group in found for i in group.members) == list(range(len(rows)))
    for group in found:
        first = rows[group.members[0]]
        assert all(common_prefix_length(first, rows[i]) >= group.prefix_length for i in group.members)


def test_a_long_prefix_has_a_group_of_its_own_and_loners_share_one() -> None:
    few_shot = [[3] * 200 + [n] for n in range(20)] + [[5] * 300 + [n] for n in range(20)]
    loners = [[2, n] for n in range(3)] + [[4, n] for n in range(20)] + [[6, n] for n in range(9)]
    nested = [[5] * 150 + [9] * 200 + [n] for n in range(5)]
    assert {(len(g.members), g.prefix_length) for g in grouped([*few_shot, *loners])} == {(20, 200), (20, 300), (32, 0)}
    assert {(len(g.members), g.prefix_length) for g in grouped([*few_shot, *nested])} == {(20, 200), (20, 300), (5, 350)}
    assert [len(g.members) for g in grouped([[n, n, n] for n in range(50)])] == [50]


class Watched:
    """A model that counts the tokens it is given, and has memory for so many at once."""

    def __init__(self, model: Any, memory: int = 10_000) -> None:
        self.model, self.memory, self.seen = model, memory, 0
        self.device, self.dtype, self.config = model.device, model.dtype, model.config
        self.modules = model.modules

    def __call__(self, **inputs: Any) -> Any:
        out = self.model(**inputs)
        if inputs["input_ids"].numel() > self.memory:  # after the cache has grown: the worst moment
            raise torch.OutOfMemoryError("no memory")
        self.seen += inputs["input_ids"].numel()
        return out


@pytest.mark.slow
@settings(max_examples=20, deadline=None)
@given(pairs=requests(), budget=st.integers(1, 50))
def test_every_tree_token_is_forwarded_once(pairs: list[TokenPair], budget: int) -> None:
    watched = Watched(model_of("llama"))
    list(loglikelihood.loglikelihoods_over_tree(watched, loglikelihood.PairTree(pairs), TokenBudget(budget)))
    rows = [[*p.context, *p.continuation][:-1] for p in pairs]
    assert watched.seen == len({tuple(r[: n + 1]) for r in rows for n in range(len(r))})


@pytest.mark.slow
@settings(max_examples=20, deadline=None)
@given(pairs=requests(), memory=st.integers(1, 12))
def test_out_of_memory_halves_the_budget_and_loses_nothing(pairs: list[TokenPair], memory: int) -> None:
    model, budget = model_of("llama"), TokenBudget(40)
    same(
        dict(loglikelihood.loglikelihoods_over_tree(Watched(model, memory), loglikelihood.PairTree(pairs), budget)),
        pairs,
        model,
    )
    rows = build_tree([[*p.context, *p.continuation][:-1] for p in pairs], [0] * len(pairs))
    assert budget.tokens <= memory or len(rows) <= memory


def test_no_memory_for_a_single_token_is_an_error() -> None:
    with pytest.raises(torch.OutOfMemoryError):
        list(
            loglikelihood.loglikelihoods_over_tree(
                Watched(model_of("llama"), 0), loglikelihood.PairTree([TokenPair([1], [2])]), TokenBudget(4)
            )
        )


@pytest.mark.slow
@pytest.mark.parametrize("name", CONFIGS)
def test_models_with_full_attention_are_packed(name: str) -> None:
    assert self_test.packing_unsupported_reason(model_of(name)) == ""
    assert Engine(model_of(name), BatchLimits(4, 4)).shares_prefixes


@pytest.mark.slow
@pytest.mark.parametrize("name", UNPACKABLE)
def test_a_model_that_cannot_be_packed_is_detected_and_takes_the_plain_path(name: str) -> None:
    model = make(UNPACKABLE[name])
    engine = Engine(model, BatchLimits(4, 4))
    assert engine.name == "plain"
    assert engine.unsupported_reason
    pairs = [TokenPair([1, 2, 3], [4, 5]), TokenPair([1, 2], [3])]
    same(dict(engine.loglikelihoods(engine.plan_pairs(pairs))), pairs, model)


@pytest.mark.slow
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_stays_within_its_noise(dtype: torch.dtype, attention: str) -> None:
    model = transformers.AutoModelForCausalLM.from_config(CONFIGS["llama"], attn_implementation=attention).eval().to(dtype)
    pairs = self_test.branching_pairs(model)
    assert self_test.packing_unsupported_reason(model) == ""
    found = dict(loglikelihood.loglikelihoods_over_tree(model, loglikelihood.PairTree(pairs), TokenBudget(5)))
    for i, pair in enumerate(pairs):
        (alone,) = plain.loglikelihood_batch(model, [pair])
        assert found[i].logprob == pytest.approx(alone.logprob, abs=0.05 * len(pair.continuation))


@pytest.mark.slow
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_continues_with_a_likeliest_token_within_its_noise(dtype: torch.dtype, attention: str) -> None:
    model = transformers.AutoModelForCausalLM.from_config(CONFIGS["llama"], attn_implementation=attention).eval().to(dtype)
    assert Engine(model, BatchLimits(4, 4)).shares_prefixes
    asked = [TokenPrompt([1, 2, 3, *range(n)], 8, lambda ids: False) for n in range(1, 9)]
    found = dict(
        generate.generate_over_tree(
            model, prompt_prefill.PlannedPrompts(asked), generate.DecodingRules(3, frozenset()), TokenBudget(6)
        )
    )
    assert sorted(found) == list(range(len(asked)))
    for i, prompt in enumerate(asked):
        assert len(found[i].ids) == 8
        rows = torch.tensor([[*prompt.ids, *found[i].ids]])
        logits = model(rows).logits[0, len(prompt.ids) - 1 : -1].float()
        chosen = logits.gather(1, torch.tensor(found[i].ids)[:, None])[:, 0]
        assert (logits.max(1).values - chosen).max() < 0.05


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(asked=prompts(), memory=st.integers(1, 12), batch=st.integers(1, 16))
def test_out_of_memory_in_generation_halves_and_loses_nothing(asked: list[TokenPrompt], memory: int, batch: int) -> None:
    model, ends = model_of("llama"), frozenset([2])
    alone = dict(plain.generate_in_batches(model, asked, ends, 1))
    assert (
        dict(
            generate.generate_over_tree(
                Watched(model, memory),
                prompt_prefill.PlannedPrompts(asked),
                generate.DecodingRules(batch, ends),
                TokenBudget(40),
            )
        )
        == alone
    )


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(pairs=requests(), rows=st.integers(1, 4), batch=st.integers(1, 16))
def test_out_of_memory_on_the_plain_path_halves_and_loses_nothing(pairs: list[TokenPair], rows: int, batch: int) -> None:
    model = model_of("llama")
    longest = max(len(p.context) + len(p.continuation) for p in pairs)
    same(dict(plain.loglikelihoods_in_batches(Watched(model, rows * longest), pairs, batch)), pairs, model)
    prompts = [TokenPrompt(p.context, 4, lambda ids: False) for p in pairs]
    ends: frozenset[int] = frozenset()
    found = dict(plain.generate_in_batches(Watched(model, rows * longest), prompts, ends, batch))
    assert found == dict(plain.generate_in_batches(model, prompts, ends, 1))


def test_an_error_that_is_not_about_memory_is_not_tried_again() -> None:
    class Broken(Watched):
        def __call__(self, **inputs: Any) -> Any:
            raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes do not match"):
        list(plain.loglikelihoods_in_batches(Broken(model_of("llama")), [TokenPair([1], [2])], 8))
