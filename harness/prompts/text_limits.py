"""What bounds a model's texts: how many tokens it takes at once, and the tokens that end a text."""

from __future__ import annotations

from typing import Any

WINDOWS = ("n_positions", "max_position_embeddings", "n_ctx")  # the window's names in config.json, the first that counts


def config_window(config: Any) -> int:
    """How many tokens the model takes at once by its config; 0 where that does not say."""
    text = config.get_text_config()
    return next((size for name in WINDOWS if isinstance(size := getattr(text, name, None), int)), 0)


def context_window(config: Any, tokenizer: Any) -> int:
    """How many tokens the model takes at once; 2048 where neither its config nor its tokenizer says, as in lm-eval."""
    window = config_window(config)
    if not window and tokenizer.model_max_length < 1e9:  # a tokenizer without a limit says 1e30
        window = int(tokenizer.model_max_length)
    return window or 2048


def end_tokens(generation_config: Any, tokenizer: Any) -> frozenset[int]:
    """Every token that ends a text: the tokenizer's and the generation config's (None: there is none)."""
    eos = getattr(generation_config, "eos_token_id", None)
    ids = eos if isinstance(eos, list) else [eos]
    return frozenset(t for t in [*ids, tokenizer.eos_token_id] if t is not None)
