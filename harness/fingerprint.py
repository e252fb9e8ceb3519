"""Hashes that tell whether two checkpoints, or two sets of questions, are the same: of content, never of paths or dates."""

from __future__ import annotations

from pathlib import Path

from harness import hub_cache
from harness.file_hashes import hash_files
from harness.integrity import ADAPTER, ADAPTER_CONFIG, SINGLE, weight_files
from harness.own_template import JINJA, LEGACY, find_own_template
from harness.tokenizer_folders import other_tokenizer_files, tokenizer_source
from harness.types import Checkpoint, digest

TOKENIZER = ("tokenizer.json", "tokenizer.model", "tokenizer_config.json", "vocab.json", "merges.txt", "added_tokens.json")
TEMPLATE = (JINJA, LEGACY)


def hash_checkpoint(checkpoint: Checkpoint) -> dict[str, str]:
    """Hashes of what can move an answer in a checkpoint: weights, adapters, config, tokenizer, template, end tokens."""
    if not checkpoint.path:
        return {"outputs": checkpoint.content or checkpoint.name}
    if checkpoint.producer == "server":  # its weights are not known; older results have the name under this key
        return {"hub": checkpoint.path}
    folder = Path(checkpoint.path)
    if folder.is_file():  # GGUF: everything is in it
        return {"weights": hash_files([folder])}
    if not folder.is_dir():
        return {"hub": checkpoint.path} | hub_revision(checkpoint.path)
    base = Path(checkpoint.base) if checkpoint.base else folder
    parts = {
        "weights": hash_files(weight_files(base, SINGLE)) if base.is_dir() else f"hub:{checkpoint.base}",
        "adapter": hash_adapter(folder) if checkpoint.base else "",
        "adapters": digest([hash_adapter(Path(path)) for path in checkpoint.adapters]) if checkpoint.adapters else "",
        "config": hash_files([base / "config.json"]),
        "tokenizer": hash_files(folder / n for n in TOKENIZER),
        "template": hash_files(folder / n for n in TEMPLATE),
        # Only where there are any: judges store the hash of all parts, and most checkpoints have none.
        "tokenizer_files": hash_files(other_tokenizer_files(Path(tokenizer_source(checkpoint)))),
    }
    later = {
        "end_tokens": hash_files(place / "generation_config.json" for place in dict.fromkeys((base, folder))),
        "special_tokens": hash_files([folder / "special_tokens_map.json"]),
        "code": hash_files(sorted(base.glob("*.py"))) if base.is_dir() else "",
        "tokenizer_used": hash_tokenizer(checkpoint),
    }
    hub = {} if base.is_dir() else hub_revision(checkpoint.base)
    return {name: value for name, value in parts.items() if value} | {name: v or "none" for name, v in later.items()} | hub


def hash_adapter(folder: Path) -> str:
    return hash_files([*weight_files(folder, ADAPTER), folder / ADAPTER_CONFIG])


def hash_tokenizer(checkpoint: Checkpoint) -> str:
    """The hash of a tokenizer from another folder than the checkpoint's: its run's, its base's, or one that was named.

    With the template that the run itself has for it.
    """
    source = tokenizer_source(checkpoint)
    if source == checkpoint.path:
        return "own"
    files = (*TOKENIZER, *TEMPLATE, "special_tokens_map.json")
    files_hash = hash_files(Path(source) / name for name in files) if Path(source).is_dir() else f"hub:{source}"
    template = find_own_template(checkpoint)
    return digest([files_hash, template]) if template else files_hash


def hub_revision(name: str) -> dict[str, str]:
    """The commit of a model in the Hub's cache; {} where it is not there yet."""
    folder = hub_cache.snapshot_folder(*hub_cache.split_revision(name))
    return {"revision": folder.name} if folder else {}
