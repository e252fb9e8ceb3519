"""A checkpoint's model, loaded when it is needed."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

from harness import fingerprint
from harness.rust_panics import panics_as_errors
from harness.types import Checkpoint, Model

Loader = Callable[[Checkpoint], Model]


class LazyModel:
    """A checkpoint's model, loaded when the first cell needs it; a failure is kept for the cells after it."""

    def __init__(self, checkpoint: Checkpoint, loader: Loader) -> None:
        self.checkpoint, self.loader = checkpoint, loader
        self.model: Model | None = None
        self.failure: Exception | None = None

    def get(self) -> Model:
        """The model; whatever its loader raises."""
        if self.failure:
            raise self.failure
        if self.model is None:
            try:
                with panics_as_errors():
                    self.model = self.loader(self.checkpoint)
            except Exception as error:
                self.failure = error
                raise
        return self.model

    @cached_property
    def fingerprint(self) -> dict[str, str]:
        """The hashes of the checkpoint's files, read once."""
        return fingerprint.hash_checkpoint(self.checkpoint)
