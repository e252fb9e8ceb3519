"""Trainers, one file per method: a frozen settings class, what it needs (`NEEDS`), and `train(config) -> Checkpoint`."""

import importlib
import sys
from types import ModuleType
from typing import Any


class MovedModule(ModuleType):
    """`harness.trainers.callbacks`, as training scripts of earlier versions import it; now `harness.evaluation.callback`."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # inspect asks every module for __file__, even while torch is being imported
            raise AttributeError(name)
        return getattr(importlib.import_module("harness.evaluation.callback"), name)


sys.modules.setdefault(f"{__name__}.callbacks", MovedModule(f"{__name__}.callbacks"))
