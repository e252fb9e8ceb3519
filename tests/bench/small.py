"""A small random model of each family that transformers registers as causal language models: one recipe, and what some
need besides."""

from __future__ import annotations

from typing import Any

import torch
from transformers import CONFIG_MAPPING, AutoModelForCausalLM
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

FAMILIES: list[str] = list(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
VOCABULARY, END = 61, 2
WIDTH, INNER, LAYERS, HEADS, GROUPS, EACH, WINDOW, EXPERTS = 32, 48, 2, 4, 2, 8, 128, 4
SLIDING = 32  # tokens: longer than the self-test's sequences, shorter than most of the bench's

# Every name under which some config holds a size; each family is given those that its config has.
SIZES: dict[str, Any] = {
    **dict.fromkeys(("vocab_size", "vocab_size_per_layer_input"), VOCABULARY),
    **dict.fromkeys(("hidden_size", "d_model", "n_embd", "dim", "embedding_size", "embedding_dim", "word_embed_proj_dim",
                     "lru_width", "attention_hidden_size"), WIDTH),
    **dict.fromkeys(("intermediate_size", "ffn_dim", "d_ff", "decoder_ffn_dim", "encoder_ffn_dim", "n_inner",
                     "feed_forward_size", "dff", "d_inner"), INNER),
    **dict.fromkeys(("num_hidden_layers", "n_layer", "n_layers", "num_layers", "num_blocks", "decoder_layers",
                     "num_decoder_layers"), LAYERS),
    **dict.fromkeys(("encoder_layers", "num_encoder_layers"), 1),
    **dict.fromkeys(("num_attention_heads", "n_head", "n_heads", "num_heads", "decoder_attention_heads",
                     "encoder_attention_heads"), HEADS),
    "num_key_value_heads": GROUPS,
    **dict.fromkeys(("head_dim", "global_head_dim", "kv_channels", "hidden_size_per_layer_input"), EACH),
    **dict.fromkeys(("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "context_length"), WINDOW),
    **dict.fromkeys(("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts"), EXPERTS),
    **dict.fromkeys(("num_experts_per_tok", "moe_topk", "moe_k"), 2),
    **dict.fromkeys(("moe_intermediate_size", "shared_expert_intermediate_size"), 16),
    **dict.fromkeys(("n_shared_experts", "n_group", "topk_group", "first_k_dense_replace"), 1),
    "sliding_window": SLIDING,
    "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": END, "dropout": 0.0, "is_decoder": True, "rotary_dim": 4,
    "q_lora_rank": 16, "kv_lora_rank": 8, "qk_rope_head_dim": 8, "qk_nope_head_dim": 8, "v_head_dim": 8, "qk_head_dim": 16,
    "linear_num_key_heads": 2, "linear_num_value_heads": 4, "linear_key_head_dim": 8, "linear_value_head_dim": 8,
    "mamba_n_heads": 4, "mamba_num_heads": 4, "n_mamba_heads": 2, "mamba_d_head": 16, "mamba_head_dim": 16, "mamba_headdim": 16,
    "mamba_d_state": 8, "ssm_state_size": 8, "state_size": 8, "mamba_d_conv": 4, "mamba_n_groups": 1, "mamba_ngroups": 1,
    "mamba_dt_rank": 4, "mamba_d_ssm": 64, "altup_active_idx": 0, "laurel_rank": 4, "num_kv_shared_layers": 0,
}  # fmt: skip
# Lists of the kind of each layer: a small model has a layer of each kind that its family's own config has.
KINDS = ("layer_types", "layers_block_type", "mlp_layer_types", "no_rope_layers", "indexer_types")
DEFAULT = {"rope_type": "default", "rope_theta": 1e4}
INDEXED = {"indexer_n_heads": 2, "indexer_kv_heads": 1, "indexer_head_dim": EACH, "indexer_budget": 64,
           "indexer_compress_ratio": 4}  # fmt: skip
SUBCONFIG = {"vocab_size": VOCABULARY, "hidden_size": WIDTH, "num_attention_heads": HEADS, "num_hidden_layers": LAYERS,
        "intermediate_size": INNER}  # fmt: skip
FAMILY_FIELDS: dict[str, dict[str, Any]] = {
    "bamba": {"num_hidden_layers": 3, "attn_layer_indices": [1]},
    "blt": {"encoder_hash_byte_group_vocab": VOCABULARY, "global_config": SUBCONFIG, "patcher_config": SUBCONFIG,
            **dict.fromkeys(("encoder_config", "decoder_config"), SUBCONFIG | {"hidden_size_global": WIDTH})},
    "cohere_compass_text": {"rope_parameters": {"full_attention": DEFAULT | {"mrope_section": [2, 1, 1]}}},
    "dbrx": {"attn_config": {"kv_n_heads": GROUPS, "rope_theta": 1e4, "clip_qkv": 8}, "ffn_config": {"ffn_hidden_size": INNER}},
    "gemma3n_text": {"activation_sparsity_pattern": None},
    "gpt_neo": {"attention_types": [[["global", "local"], 1]]},
    "granitemoehybrid": {"layer_types": ["linear_attention", "full_attention"]},
    "jamba": {"num_hidden_layers": 5},
    "lfm2": {"layer_types": ["conv", "full_attention"]},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"], "num_dense_layers": 1},
    "mamba2": {"num_heads": 8, "head_dim": 8, "n_groups": 1},
    "nemotron": {"num_key_value_heads": GROUPS},
    "nemotron_h": {"n_groups": 1},
    "qwen4_exp": INDEXED,
    "qwen4_exp_text": INDEXED,
    "recurrent_gemma": {"num_hidden_layers": 3},
    "reformer": {"axial_pos_embds": False, "attention_head_size": EACH, "attn_layers": ["local", "lsh"]},
    "xmod": {"default_language": "en_XX"},
    "zamba": {"num_hidden_layers": 6, "attn_layer_period": 3, "attn_layer_offset": 2, "attention_hidden_size": 64,
              "attention_head_dim": 16, "layers_block_type": None},
    "zamba2": {"n_mamba_heads": 4, "attention_hidden_size": 64, "attention_head_dim": 16},
    "zaya": {"num_experts_per_tok": 1},
}  # fmt: skip


def make_model(family: str, **changes: Any) -> Any:
    """The model, with large weights, so that a wrong context changes its answers."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(make_config(family, **changes)).eval().requires_grad_(False).float()
    for name, weights in model.named_parameters():
        if weights.ndim > 1 and "conv" not in name and weights.abs().max() < 0.5:
            weights.mul_(4)
    return model


def make_config(family: str, **changes: Any) -> Any:
    """The family's own config, of the text part where there are several, with small sizes."""
    own = CONFIG_MAPPING[family]().get_text_config()
    fields = own.to_dict()
    sizes = {name: size for name, size in SIZES.items() if (name in fields or hasattr(own, name)) and can_set(own, name, size)}
    if fields.get("num_key_value_heads", 0) is None:
        del sizes["num_key_value_heads"]  # as many as there are heads
    if "kv_lora_rank" in sizes and "num_key_value_heads" in sizes:
        sizes["num_key_value_heads"] = HEADS  # latent attention shares none
    return type(own)(**sizes | layer_fields(fields) | FAMILY_FIELDS.get(family, {}) | changes)


def can_set(config: Any, name: str, size: Any) -> bool:
    """Is it nothing that follows from others?  The config is not used any more."""
    try:
        setattr(config, name, size)
    except (AttributeError, NotImplementedError):
        return False
    return True


def layer_fields(fields: dict[str, Any]) -> dict[str, Any]:
    """As few layers as have all kinds of them, at least LAYERS; nothing for a config that lists no kinds."""
    names = [n for n in KINDS if isinstance(fields.get(n), list | tuple) and len(fields[n]) == fields.get("num_hidden_layers")]
    kinds = list(dict.fromkeys(zip(*(fields[n] for n in names), strict=True)))
    kinds += kinds[-1:] * (LAYERS - len(kinds))
    return {"num_hidden_layers": len(kinds), **{n: [k[i] for k in kinds] for i, n in enumerate(names)}} if names else {}
