"""One model under two names: a last checkpoint that is saved again as the final model, or a baseline compared with itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.records import CheckpointRecord


def equal_models(checkpoints: Mapping[str, CheckpointRecord]) -> list[list[str]]:
    """Names of one model each, two or more: weights, adapter, configuration, tokenizer and template are the same bytes.

    Recorded answers and models behind servers have no weights here, and are never called equal.
    """
    names_by_content: dict[frozenset[tuple[str, str]], list[str]] = {}
    for name, record in checkpoints.items():
        if record.fingerprint.get("weights"):
            names_by_content.setdefault(frozenset(record.fingerprint.items()), []).append(name)
    return [names for names in names_by_content.values() if len(names) > 1]


def equal_model_notes(checkpoints: Mapping[str, CheckpointRecord], baseline: str) -> list[str]:
    """A sentence for each model that is here more than once among the candidates."""
    groups = ([n for n in names if n != baseline] for names in equal_models(checkpoints) if baseline not in names)
    return [
        f"{' and '.join(names)} are one model: the same weights, adapter and tokenizer.  Leave all but one out: each candidate "
        "more makes the correction for many tests stricter."
        for names in groups
    ]


def untuned_warnings(checkpoints: Mapping[str, CheckpointRecord], baseline: str) -> list[str]:
    """A sentence where candidates are the baseline itself: usually a wrong folder."""
    return [
        f"{' and '.join(n for n in names if n != baseline)} and the baseline {baseline} are one model: the same weights, "
        "adapter and tokenizer.  Nothing was tuned, or a folder is not the one that was meant."
        for names in equal_models(checkpoints)
        if baseline in names
    ]
