"""skilldelta: what preference tuning did to a language model."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.api import compare, compare_in_turn, score, score_recorded
    from harness.evaluation.callback import ScoreCallback, StopFileCallback

CALLBACKS = ("ScoreCallback", "StopFileCallback")
__all__ = ["ScoreCallback", "StopFileCallback", "compare", "compare_in_turn", "score", "score_recorded"]


def __getattr__(name: str) -> Any:
    """Imports a name when it is first used: `import harness` stays light."""
    if name in __all__:
        return getattr(import_module("harness.evaluation.callback" if name in CALLBACKS else "harness.api"), name)
    raise AttributeError(f"module 'harness' has no attribute {name!r}")


def __dir__() -> list[str]:
    """What is for users, which completion offers."""
    return __all__
