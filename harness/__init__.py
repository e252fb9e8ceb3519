"""skilldelta: what preference tuning did to a language model."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.api import compare, race, score, score_recorded

__all__ = ["compare", "race", "score", "score_recorded"]


def __getattr__(name: str) -> Any:
    """Imports what is asked for when it is asked for: `import harness` stays light."""
    if name in __all__:
        return getattr(import_module("harness.api"), name)
    raise AttributeError(f"module 'harness' has no attribute {name!r}")
