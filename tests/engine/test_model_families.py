"""Families of models on whatever path the engine finds right for them, against plain forward passes of the model itself."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from harness.backends import lm_eval
from harness.backends.transformers import TransformersOptions, load
from harness.engine import self_test, shared_length
from harness.engine.engine import BatchLimits, Engine
from harness.engine.plain import TokenPair
from harness.engine.sequences import TokenPrompt
from harness.types import Checkpoint, Request, SkilldeltaError
from tests.support import tiny

VOCABULARY = 61
END = 2
SIZES = {
    "vocab_size": VOCABULARY, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 128, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": END,
}  # fmt: skip
EXPERTS = {"num_experts_per_tok": 2, "moe_intermediate_size": 16, "num_experts": 4, "num_local_experts": 4}
LINEAR = {"linear_num_key_heads": 2, "linear_num_value_heads": 4, "linear_key_head_dim": 8, "linear_value_head_dim": 8}
ALIBI = {"vocab_size": VOCABULARY, "hidden_size": 32, "n_layer": 2, "n_head": 4}
LONG = {"rope_type": "longrope", "rope_theta": 1e4, "short_factor": [1.0] * 4, "long_factor": [3.0, 4.0, 6.0, 8.0]}
WHOLE, WEIGHED, NOTHING = "tree", "tree, decoding plain", "plain"
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "gemma3_text": (WHOLE, {**SIZES, "head_dim": 8, "sliding_window": 32}),
    "mixtral": (WHOLE, {**SIZES, **EXPERTS}),
    "qwen2_moe": (WHOLE, {**SIZES, **EXPERTS, "shared_expert_intermediate_size": 16}),
    "olmo2": (WHOLE, SIZES),
    "phi3": (WHOLE, {**SIZES, "rope_parameters": LONG, "original_max_position_embeddings": 32}),
    "gpt_bigcode": (WHOLE, {"vocab_size": VOCABULARY, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128}),
    "opt": (WHOLE, {**SIZES, "ffn_dim": 48, "word_embed_proj_dim": 32, "dropout": 0.0}),
    "gpt_oss": (WHOLE, {**SIZES, **EXPERTS, "head_dim": 8, "sliding_window": 32}),
    "stablelm": (WEIGHED, SIZES),
    "gpt_neo": (NOTHING, {**SIZES, "num_layers": 2, "num_heads": 4, "attention_types": [[["global", "local"], 1]]}),
    "falcon": (NOTHING, {**SIZES, "alibi": True, "new_decoder_architecture": False}),
    "bloom": (NOTHING, ALIBI),
    "mpt": (NOTHING, {"vocab_size": VOCABULARY, "d_model": 32, "n_layers": 2, "n_heads": 4, "max_seq_len": 128}),
    "mamba": (NOTHING, {**SIZES, "state_size": 8}),
    "bert": (WHOLE, {**SIZES, "is_decoder": True}),
    "recurrent_gemma": (NOTHING, {**SIZES, "lru_width": 32, "block_types": ["recurrent", "attention"]}),
    "mbart": (NOTHING, {**SIZES, "d_model": 32, "decoder_layers": 2, "decoder_attention_heads": 4, "decoder_ffn_dim": 48}),
    "jamba": (NOTHING, {**SIZES, "attn_layer_offset": 1, "attn_layer_period": 2, "num_experts": 2, "use_mamba_kernels": False}),
    "lfm2": (NOTHING, {**SIZES, "layer_types": ["conv", "full_attention"], "block_multiple_of": 8}),
    "qwen3_next": (NOTHING, {**SIZES, **EXPERTS, **LINEAR, "head_dim": 8, "shared_expert_intermediate_size": 16,
                             "layer_types": ["linear_attention", "full_attention"]}),
}  # fmt: skip


def make(family: str, **changes: Any) -> Any:
    """A small random model that is sure of what it says, so that a wrong context shows."""
    config = transformers.CONFIG_MAPPING[family](**FAMILIES[family][1] | changes)
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config).eval().requires_grad_(False)
    for name, weights in model.named_parameters():
        if weights.ndim > 1 and "conv" not in name:
            weights.mul_(4)
    return model


def asked(longest: int = 40) -> list[TokenPair]:
    """Continuations of contexts that share beginnings, some equal, one a beginning of another, one of a single token."""
    source = random.Random(1)

    def some(n: int) -> list[int]:
        return [source.randrange(3, VOCABULARY) for _ in range(n)]

    stem = some(longest)
    cuts = ((longest, 0), (longest, 2), (longest, 0), (30, 3), (12, 1), (0, 1), (0, 5), (longest - 2, 4))
    pairs = [TokenPair(stem[:cut] + some(more), some(1 + n % 4)) for n, (cut, more) in enumerate(cuts)]
    return [*pairs, pairs[0]]


def logits(model: Any, ids: Sequence[int]) -> torch.Tensor:
    """One plain pass over one sequence: [T, V]."""
    with torch.no_grad():
        return model(input_ids=torch.tensor([list(ids)]), use_cache=False).logits[0].double()  # type: ignore[no-any-return]


def check(model: Any, engine: Engine, tolerance: float = 1e-4) -> None:
    """Log-probabilities and greedy flags are those of plain passes; every greedy token is a likeliest one."""
    pairs = asked()
    weights = dict(engine.loglikelihoods(engine.plan_pairs(pairs)))
    prompts = [TokenPrompt(p.context, 6, lambda ids: False) for p in pairs]
    said = dict(engine.generate(engine.plan_prompts(prompts), frozenset([END])))
    assert sorted(weights) == sorted(said) == list(range(len(pairs)))
    for i, pair in enumerate(pairs):
        targets = torch.tensor(list(pair.continuation))
        found = logits(model, [*pair.context, *pair.continuation][:-1])[len(pair.context) - 1 :]
        known = found.log_softmax(-1).gather(1, targets[:, None]).sum().item()
        assert weights[i].logprob == pytest.approx(known, abs=tolerance * len(targets))
        two = found.topk(2).values
        if (two[:, 0] - two[:, 1]).min() > tolerance:
            assert weights[i].greedy == bool((found.argmax(1) == targets).all())
        ids = said[i].ids if said[i].finish == "length" else [*said[i].ids, END]
        found = logits(model, [*pair.context, *ids][:-1])[len(pair.context) - 1 :]
        chosen = found.gather(1, torch.tensor(ids)[:, None])[:, 0]
        assert (found.amax(1) - chosen).max() < tolerance
        assert said[i].finish == "stop" or len(said[i].ids) == 6


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_answers_as_its_model_does_on_the_path_that_is_right_for_it(family: str) -> None:
    model = make(family)
    engine = Engine(model, BatchLimits(4, 3, 16))
    assert engine.name == FAMILIES[family][0]
    assert bool(engine.note) == (engine.name != WHOLE)
    check(model, engine)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("family", ["mpt", "mixtral", "gpt_oss", "phi3"])
def test_half_precision_does_not_hide_that_places_matter(family: str, dtype: torch.dtype) -> None:
    """ALiBi moves the log-probabilities of a packed row by less than a deep model's rounding in bfloat16 may."""
    model = make(family).to(dtype)
    engine = Engine(model, BatchLimits(4, 3, 16))
    assert engine.name == FAMILIES[family][0]
    check(model, engine, 0.05)


def test_masks_by_place_are_detected_though_short_rows_do_not_show_them() -> None:
    """GPT-Neo's local layers count places in the row: 300 of them, and the path to a chunk is out of sight."""
    assert "masks go by the place" in self_test.packing_unsupported_reason(
        make("gpt_neo", window_size=256, max_position_embeddings=512)
    )
    assert self_test.packing_unsupported_reason(make("gpt_bigcode")) == ""  # has such a mask, and does not use it


@pytest.mark.slow
def test_what_keeps_its_state_in_a_way_of_its_own_is_computed_anew_for_each_token() -> None:
    """mBART takes places for positions, so padding moves it; RecurrentGemma hides what it keeps; Mamba gives it back."""
    told = {f: Engine(make(f), BatchLimits(4, 3)).note for f in ("mbart", "recurrent_gemma", "mamba")}
    assert "from the whole text: its log-probabilities change by" in told["mbart"]
    assert "from the whole text: NotImplementedError: the model returns no cache" in told["recurrent_gemma"]
    assert "whole text" not in told["mamba"]


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["auto", "plain"])
def test_a_model_that_sees_what_follows_is_refused(engine: Any, tmp_path: Path) -> None:
    """A BERT as it is published, which transformers takes for a causal model without a word of refusal."""
    make("bert", is_decoder=False).save_pretrained(tmp_path)
    tiny.tokenizer().save_pretrained(tmp_path)
    with pytest.raises(SkilldeltaError, match=r"no causal language model \(bert\): what stands behind a token moves"):
        load(Checkpoint("bert", str(tmp_path), "transformers"), TransformersOptions(engine=engine))


class Old(torch.nn.Module):
    """A model whose code is older than `logits_to_keep`, as many are that come with their checkpoint."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model, self.config, self.device, self.dtype = model, model.config, model.device, model.dtype

    def forward(
        self,
        input_ids: Any,
        attention_mask: Any = None,
        position_ids: Any = None,
        past_key_values: Any = None,
        use_cache: Any = None,
    ) -> Any:
        return self.model(input_ids, attention_mask, position_ids, past_key_values, use_cache=use_cache)


@pytest.mark.slow
def test_a_model_that_gives_all_logits_or_none_takes_the_plain_path() -> None:
    engine = Engine(Old(make("olmo2")), BatchLimits(4, 3))
    assert engine.name == NOTHING
    check(engine.model, engine)


@pytest.mark.slow
@pytest.mark.parametrize("family", ["gpt_oss", "mamba", "bloom", "mixtral", "opt"])
def test_a_folder_is_loaded_with_the_attention_that_its_family_has_and_answers_as_before(family: str, tmp_path: Path) -> None:
    model = make(family)
    model.save_pretrained(tmp_path)
    tiny.tokenizer().save_pretrained(tmp_path)
    found = load(Checkpoint(family, str(tmp_path), "transformers"), TransformersOptions())
    assert found.settings["attention"] == ("sdpa" if family in ("mixtral", "opt") else "eager")
    assert found.settings["engine"] == FAMILIES[family][0]
    check(model, found.engine)


def test_an_encoder_decoder_model_is_refused_with_the_way_out_and_runs_in_lm_evals_hf(tmp_path: Path) -> None:
    sizes = {"d_model": 32, "d_ff": 48, "d_kv": 8, "num_layers": 2, "num_heads": 4, "decoder_start_token_id": 0}
    made = tiny.tokenizer()
    made.save_pretrained(tmp_path)
    transformers.T5ForConditionalGeneration(transformers.T5Config(vocab_size=len(made), **sizes)).save_pretrained(tmp_path)
    with pytest.raises(SkilldeltaError, match=r"an encoder-decoder model \(t5\)(?s:.)*--backend lm-eval:hf"):
        load(Checkpoint("t5", str(tmp_path), "transformers"), TransformersOptions())
    asked = lm_eval.load(Checkpoint("t5", str(tmp_path), "transformers"), lm_eval.LmEvalOptions())
    (response,) = dict(asked.answer([Request("What is it?", choices=(" A", " B"))])).values()
    assert len(response.logprobs) == 2


def test_rotations_that_change_with_the_length_end_the_reach() -> None:
    model = make("phi3")
    assert shared_length.max_shared_length(model) == 32
    engine = Engine(model, BatchLimits(1, 3, 16))
    plan = engine.plan_pairs([TokenPair(list(range(3, 20)), [1]), TokenPair(list(range(3, 50)), [1])])
    assert (plan.tree_places, plan.plain_places) == ([0], [1])


@pytest.mark.slow
@pytest.mark.parametrize("wish", ["auto", "plain"])
def test_a_short_sequence_keeps_its_positions_in_a_run_with_a_long_one_and_a_growing_one_changes_them(wish: Any) -> None:
    """LongRoPE turns at 32 tokens here, for a whole batch, and for what is in its cache not at all."""
    model = make("phi3")
    source = random.Random(0)
    stem = [source.randrange(3, VOCABULARY) for _ in range(50)]
    engine = Engine(model, BatchLimits(8, 3, 16), wish)
    pairs = [TokenPair(stem[:n], [7, 8, 9]) for n in (3, 20, 29, 30, 31, 33, 50)]
    found = dict(engine.loglikelihoods(engine.plan_pairs(pairs)))
    for i, pair in enumerate(pairs):
        known = logits(model, [*pair.context, 7, 8])[-3:].log_softmax(-1)
        assert found[i].logprob == pytest.approx(known[[0, 1, 2], [7, 8, 9]].sum().item(), abs=1e-4)
    prompts = [TokenPrompt(stem[:n], 8, lambda ids: False) for n in (3, 20, 24, 25, 28, 31, 32, 33, 50)]
    said = dict(engine.generate(engine.plan_prompts(prompts), frozenset()))
    for i, prompt in enumerate(prompts):
        ids = list(prompt.ids)
        for token in said[i].ids:
            last = logits(model, ids)[-1]
            assert last.max() - last[token] < 1e-4
            ids.append(token)
