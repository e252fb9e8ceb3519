"""What the engine holds at once: tokens in a pass, rows in slots, logits, and the limits of a container."""

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import transformers

from harness.engine import generate, loglikelihood, memory, plain, prompt_prefill
from harness.engine.engine import BatchLimits, Engine, PathName
from harness.engine.kv_cache import DecodingBatch
from harness.engine.memory import TokenBudget
from harness.engine.plain import TokenPair
from harness.engine.sequences import TokenPrompt

SIZES = {
    "vocab_size": 61, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 2048,
}  # fmt: skip
TOKEN = 2 * 2 * 2 * 8 * 4  # bytes of a token's keys and values: layers, both, heads, width, float32


@pytest.fixture(scope="module")
def model() -> Any:
    torch.manual_seed(0)
    return transformers.AutoModelForCausalLM.from_config(transformers.LlamaConfig(**SIZES)).eval().requires_grad_(False)


class Counted:
    """A model that notes how many tokens each pass has."""

    def __init__(self, model: Any) -> None:
        self.model, self.passes = model, list[int]()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)

    def __call__(self, **inputs: Any) -> Any:
        self.passes.append(inputs["input_ids"].numel())
        return self.model(**inputs)


PAIRS = [TokenPair([1, 2, 3, *range(n)], [n, 5, 6]) for n in range(1, 30)]


@pytest.mark.slow
@pytest.mark.parametrize("tokens", [1, 7, 50])
def test_a_pass_has_no_more_tokens_than_it_may(model: Any, tokens: int) -> None:
    counted = Counted(model)
    list(loglikelihood.loglikelihoods_over_tree(counted, loglikelihood.PairTree(PAIRS), TokenBudget(tokens)))
    assert max(counted.passes) == tokens
    counted = Counted(model)
    asked = [TokenPrompt(p.context, 3, lambda ids: False) for p in PAIRS]
    list(
        generate.generate_over_tree(
            counted, prompt_prefill.PlannedPrompts(asked), generate.DecodingRules(4, frozenset()), TokenBudget(tokens)
        )
    )
    assert max(counted.passes) <= max(tokens, 4)


@pytest.mark.slow
@pytest.mark.parametrize("wish", ["tree", "plain"])
def test_no_pass_of_an_engine_has_more_tokens_than_its_limit(model: Any, wish: PathName) -> None:
    counted = Counted(model)
    engine = Engine(counted, BatchLimits(8, 64, tokens=40), wish)
    assert not engine.caching_unsupported_reason
    counted.passes.clear()  # the trial's own
    assert len(dict(engine.loglikelihoods(engine.plan_pairs(PAIRS)))) == len(PAIRS)
    asked = [TokenPrompt(p.context, 3, lambda ids: False) for p in PAIRS * 2]
    assert len(dict(engine.generate(engine.plan_prompts(asked), frozenset()))) == len(asked)
    assert max(counted.passes) <= 40


def test_logits_that_do_not_fit_are_read_in_halves(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = loglikelihood.score_logits

    def short(step: Any, *rest: Any) -> None:
        if len(step.nodes) > 3:
            raise torch.OutOfMemoryError("logits in float32")
        whole(step, *rest)

    monkeypatch.setattr(loglikelihood, "score_logits", short)
    budget = TokenBudget(64)
    found = dict(loglikelihood.loglikelihoods_over_tree(model, loglikelihood.PairTree(PAIRS), budget))
    for i, pair in enumerate(PAIRS):
        (alone,) = plain.loglikelihood_batch(model, [pair])
        assert found[i].logprob == pytest.approx(alone.logprob, abs=1e-4)
        assert found[i].greedy == alone.greedy
    assert budget.tokens < 64
    monkeypatch.setattr(loglikelihood, "score_logits", lambda *_: (_ for _ in ()).throw(torch.OutOfMemoryError("not even one")))
    with pytest.raises(torch.OutOfMemoryError):
        list(loglikelihood.loglikelihoods_over_tree(model, loglikelihood.PairTree(PAIRS), TokenBudget(64)))


@pytest.mark.slow
def test_rows_behind_a_long_prefix_hold_no_more_than_their_share(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """400 tokens are shared; 60 rows of up to 200 own tokens each would need four times what there is for them."""
    share = 15 * 220 * TOKEN
    monkeypatch.setattr(memory, "device_memory", lambda device: int(share / memory.CACHE_MEMORY_SHARE["cpu"]))
    held: list[tuple[int, int]] = []
    step = DecodingBatch.step

    def watched(self: DecodingBatch, tokens: Any) -> torch.Tensor:
        logits = step(self, tokens)
        buffers = [b for layer in self.layers for block in layer.blocks for b in block]
        held.append((len(tokens), sum(b.numel() * b.element_size() for b in buffers)))
        return logits

    monkeypatch.setattr(DecodingBatch, "step", watched)
    shots = [n % 50 for n in range(400)]
    asked = [TokenPrompt([*shots, n, n + 1], 200, lambda ids, n=n: len(ids) > 100 + n) for n in range(60)]  # type: ignore[misc]
    found = dict(
        generate.generate_over_tree(
            model, prompt_prefill.PlannedPrompts(asked), generate.DecodingRules(64, frozenset()), TokenBudget(256)
        )
    )
    assert sorted(found) == list(range(60))
    assert max(rows for rows, _ in held) >= 8
    assert max(size for _, size in held) <= 1.5 * share


def test_the_limit_of_a_container_counts_as_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    processor = torch.device("cpu")
    everything = memory.device_memory(processor)
    (tmp_path / "none").write_text("max\n")
    (tmp_path / "some").write_text("1000000\n")
    monkeypatch.setattr(memory, "CGROUP_LIMIT_FILES", [str(tmp_path / name) for name in ("missing", "none")])
    assert memory.device_memory(processor) >= everything
    monkeypatch.setattr(memory, "CGROUP_LIMIT_FILES", [str(tmp_path / name) for name in ("missing", "none", "some")])
    assert memory.device_memory(processor) == 1000000


SMALL = transformers.LlamaConfig(
    vocab_size=49152,
    hidden_size=576,
    intermediate_size=1536,
    num_hidden_layers=30,
    num_attention_heads=9,
    num_key_value_heads=3,
)
LARGE = transformers.LlamaConfig(
    vocab_size=128256, hidden_size=4096, intermediate_size=14336, num_hidden_layers=32, num_attention_heads=32,
    num_key_value_heads=8,
)  # fmt: skip
GIB = 1 << 30


def on_gpu(monkeypatch: pytest.MonkeyPatch, config: Any, free: int) -> Any:
    """A model of half precision on a GPU of 80 GiB, of which so much is free."""
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (free - 2 * GIB, 80 * GIB))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _: 3 * GIB)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda _: GIB)
    return SimpleNamespace(device=torch.device("cuda"), config=config, dtype=torch.bfloat16)


def test_a_gpu_counts_what_is_free_in_eighths_so_that_two_runs_batch_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    on_gpu(monkeypatch, SMALL, 79 * GIB)
    assert memory.device_memory(torch.device("cuda")) == 70 * GIB
    on_gpu(monkeypatch, SMALL, 71 * GIB)
    assert memory.device_memory(torch.device("cuda")) == 70 * GIB
    on_gpu(monkeypatch, SMALL, 3 * GIB)
    assert memory.device_memory(torch.device("cuda")) == 10 * GIB


@pytest.mark.parametrize(
    ("config", "free", "tokens"), [(SMALL, 79, 4096), (LARGE, 62, 4096), (LARGE, 11, 1024), (SMALL, 1, 4096)]
)
def test_a_pass_takes_the_tokens_that_free_memory_holds(
    monkeypatch: pytest.MonkeyPatch, config: Any, free: int, tokens: int
) -> None:
    assert memory.pass_tokens(on_gpu(monkeypatch, config, free * GIB)) == tokens


def test_the_rows_of_a_plain_batch_go_by_free_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    many, few = (memory.batch_tokens(on_gpu(monkeypatch, config, free * GIB)) for config, free in ((SMALL, 79), (LARGE, 20)))
    assert many >= 64 * 1024 > few > 4 * 1024
    assert memory.state_bytes(LARGE, 2) == 32 * 2 * 8 * 128 * 2  # layers, keys and values, heads, their width, bytes


def test_a_processor_counts_rows_alone() -> None:
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**SIZES))
    assert (memory.pass_tokens(model), memory.batch_tokens(model)) == (384, math.inf)
    assert Engine(model, BatchLimits(3, 2), "plain").batch_rows(10**6) == 3
    assert Engine(model, BatchLimits(3, 2, 100), "plain").batch_rows(60) == 1
