"""Settings of generation that a request may carry and few backends know: each is done or refused by name."""

from __future__ import annotations

from collections.abc import Container

from harness.types import Request, SkilldeltaError


def refuse_further_settings(request: Request, supported: Container[str] = ()) -> None:
    """Raises SkilldeltaError for a request with settings beyond length, stops, temperature, top_p and those supported."""
    if further := [(name, value) for name, value in request.generation if name not in supported]:
        names = ", ".join(f"{name}={value}" for name, value in further)
        raise SkilldeltaError(
            f"The task generates with {names}, which this backend does not do.\n"
            "Use --backend lm-eval:hf, which hands every setting to transformers' generate."
        )
