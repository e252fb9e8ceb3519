"""How long a sequence may be that shares prefixes with others, by what a model's config tells."""

from __future__ import annotations

import math
from typing import Any


def windows(model: Any) -> list[int]:
    """The sliding windows that the config tells."""
    text = model.config.get_text_config()
    return [s for s in (getattr(text, "sliding_window", None),) if isinstance(s, int) and s > 0]


def whole(model: Any) -> float:
    """The longest sequence whose tokens see all tokens before them or a sliding window of them, at positions that mean the same
    however long it gets: chunked attention ends there, and rotations that change with the length do."""
    text = model.config.get_text_config()
    spans = [getattr(text, "attention_chunk_size", None), *turns(text)]
    return min((s for s in spans if isinstance(s, int) and s > 0), default=math.inf)


def turns(text: Any) -> list[int]:
    """Lengths beyond which rotary embeddings that the config tells are computed anew for the whole batch."""
    told = getattr(text, "rope_parameters", None) or {}
    every = [told, *(v for v in told.values() if isinstance(v, dict))] if isinstance(told, dict) else []
    anew = [r for r in every if r.get("rope_type") in ("dynamic", "longrope")]
    return [r.get("original_max_position_embeddings") or text.max_position_embeddings for r in anew]
