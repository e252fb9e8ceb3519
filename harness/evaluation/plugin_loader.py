"""A backend with its options, as what makes a checkpoint's model ready."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from harness.records import CellRecord
from harness.types import Checkpoint, Model


@dataclass(frozen=True)
class PluginLoader:
    """Makes a checkpoint's model ready, through a backend with its options."""

    load: Callable[[Checkpoint], Model]
    plugin: Any
    options: Any

    def __call__(self, checkpoint: Checkpoint) -> Model:
        return self.load(checkpoint)

    @property
    def is_server(self) -> bool:
        """Whether its checkpoints are names that a server knows, and no folders."""
        return hasattr(self.plugin, "names_models") and bool(self.plugin.names_models(self.options))

    def explain_unloadable(self, checkpoint: Checkpoint) -> str:
        """Why a checkpoint cannot be loaded, as far as its files tell; "" where nothing tells, or the backend does not look."""
        if checkpoint.problem or not hasattr(self.plugin, "explain_unloadable"):
            return checkpoint.problem
        return str(self.plugin.explain_unloadable(checkpoint, self.options))


class SettingsLoader(PluginLoader):
    """Of a backend that knows its settings before it loads a model."""

    @property
    def requested(self) -> Mapping[str, Any]:
        """The settings that flags asked for."""
        values: Mapping[str, Any] = self.plugin.requested_settings(self.options)
        return values

    def settings_differences(self, checkpoint: Checkpoint, record: CellRecord) -> list[tuple[str, str, str]]:
        """Where a stored cell was answered under other settings, as (name, stored, now)."""
        unlike: list[tuple[str, str, str]] = self.plugin.settings_differences(
            checkpoint, self.options, record.backend, record.requested
        )
        return unlike
