"""How long a sequence may be that shares prefixes with others, read from a model's config."""

from __future__ import annotations

import math
from typing import Any


def sliding_windows(model: Any) -> list[int]:
    """The sliding windows in the config, in tokens; empty where it has none."""
    text = model.config.get_text_config()
    return [s for s in (getattr(text, "sliding_window", None),) if isinstance(s, int) and s > 0]


def layer_windows(model: Any) -> dict[str, int | None] | int | None:
    """The sliding windows of the layers: by the name of their kind where the config lists kinds, else one for all layers."""
    text = model.config.get_text_config()
    window = getattr(text, "sliding_window", None)
    kinds = getattr(text, "layer_types", None)
    return {kind: window if "sliding" in kind else None for kind in dict.fromkeys(kinds)} if kinds else window


def max_shared_length(model: Any) -> float:
    """The longest sequence, in tokens, that may be packed with others; infinity where nothing limits it.

    A packed token must see all tokens before it (or a sliding window of them), at positions that do not depend on the total
    length.  Chunked attention (Llama 4) breaks the first beyond one chunk, a rotary embedding that is rescaled for long
    sequences breaks the second.
    """
    text = model.config.get_text_config()
    spans = [getattr(text, "attention_chunk_size", None), *rope_switch_lengths(text)]
    return min((s for s in spans if isinstance(s, int) and s > 0), default=math.inf)


def rope_switch_lengths(text: Any) -> list[int]:
    """Lengths beyond which dynamic or LongRoPE embeddings are computed anew for a whole batch; `text` is the text config.

    The parameters stand in one dictionary, or in one for each type of layer.
    """
    rope = getattr(text, "rope_parameters", None) or {}
    parameters = [rope, *(v for v in rope.values() if isinstance(v, dict))] if isinstance(rope, dict) else []
    switching = [p for p in parameters if p.get("rope_type") in ("dynamic", "longrope")]
    return [p.get("original_max_position_embeddings") or text.max_position_embeddings for p in switching]
