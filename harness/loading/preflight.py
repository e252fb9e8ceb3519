"""Why a checkpoint cannot be loaded, as far as its files tell: asked of all of a run before the first is loaded."""

from __future__ import annotations

from typing import Any

from harness.loading.contract import check_contract
from harness.loading.settings import LoadSettings
from harness.tokenizer_problems import explain_missing_tokenizer
from harness.types import Checkpoint


def explain_unloadable(checkpoint: Checkpoint, options: Any) -> str:
    """Why the transformers backend with these options cannot load a checkpoint; "" where its files do not tell."""
    settings = LoadSettings(trust_remote_code=options.trust_remote_code, revision=options.revision)
    return check_contract(checkpoint, settings).problem or explain_missing_tokenizer(checkpoint)
