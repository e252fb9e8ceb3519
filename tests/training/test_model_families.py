"""Other architectures: what the trainers compute is what each model's own forward says, row by row."""

from typing import Any

import pytest
import torch
import transformers

from harness.training import costs, forward, model_loading, packing
from harness.training.batches import Tokens

SMALL = {"vocab_size": 97, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "pad_token_id": 0}
FAMILIES: dict[str, dict[str, Any]] = {
    "GPT2": {"vocab_size": 97, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64, "pad_token_id": 0},
    "GPTNeoX": SMALL | {"intermediate_size": 64},
    "Qwen2": SMALL | {"intermediate_size": 64, "num_key_value_heads": 2},
    "Qwen3": SMALL | {"intermediate_size": 64, "num_key_value_heads": 2, "head_dim": 8},
    "Mistral": SMALL | {"intermediate_size": 64, "num_key_value_heads": 2, "sliding_window": 5},
    "Gemma2": SMALL | {"intermediate_size": 64, "num_key_value_heads": 2, "head_dim": 8, "final_logit_softcapping": 2.0},
    "Cohere": SMALL | {"intermediate_size": 64, "logit_scale": 0.3},
    "Granite": SMALL | {"intermediate_size": 64, "logits_scaling": 3.0},
    "OPT": SMALL | {"ffn_dim": 64, "word_embed_proj_dim": 32, "max_position_embeddings": 64},
    "Bloom": {"vocab_size": 97, "hidden_size": 32, "n_layer": 2, "n_head": 4, "pad_token_id": 0},
    "Mamba": {"vocab_size": 97, "hidden_size": 32, "num_hidden_layers": 2, "state_size": 8, "pad_token_id": 0},
}
PROMPT = (5, 9, 40, 41, 42, 43, 7)
ROWS = [
    (Tokens((*PROMPT, 50, 51, 52, 1), 7), Tokens((*PROMPT, 60, 1), 7)),
    (Tokens((8, 3, 70, 1), 2), Tokens((8, 3, 70, 71, 72, 73, 74, 75, 1), 2)),
]


def make(family: str) -> Any:
    torch.manual_seed(0)
    config = getattr(transformers, f"{family}Config")(**FAMILIES[family])
    return model_loading.disable_dropout(transformers.AutoModelForCausalLM.from_config(config))


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_log_probabilities_are_those_of_the_models_own_forward(family: str) -> None:
    model = make(family)
    rate = costs.measure_rates(model, forward.output_head(model))
    batch = forward.lay_out(model, ROWS, 0, rate)
    with torch.no_grad():
        found = forward.answer_logps(forward.target_logps(model, batch), batch)
        for i, row in enumerate([r[0] for r in ROWS] + [r[1] for r in ROWS]):
            logp = torch.log_softmax(model(input_ids=torch.tensor([row.ids]), use_cache=False).logits[0].float(), -1)
            expected = sum(logp[t - 1, row.ids[t]].item() for t in range(row.start, len(row)))
            assert found[i].item() == pytest.approx(expected, abs=2e-4)
    assert min(rate.forward) >= 0 < rate.forward[0]


def test_models_that_scale_or_cap_their_logits_are_noticed() -> None:
    assert {f: forward.has_plain_head(make(f)) for f in ("Qwen2", "Gemma2", "Cohere", "Granite")} == {
        "Qwen2": True, "Gemma2": False, "Cohere": False, "Granite": False,
    }  # fmt: skip


def test_recurrent_models_and_windows_do_not_share_a_row() -> None:
    assert not forward.can_pack(make("Mamba"))
    assert not forward.can_pack(make("Mistral"))  # a window of 5 tokens
    assert forward.can_pack(make("Qwen2"))
    rate = costs.measure_rates(make("Qwen2"), forward.output_head(make("Qwen2")))
    assert forward.lay_out(make("Qwen2"), ROWS, 0, rate).token_count < packing.separate_rows(ROWS, 0).token_count
