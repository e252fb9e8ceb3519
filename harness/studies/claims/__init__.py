"""The claims of a published study, tested on a study of one's own: supported, contradicted, or not decided at this scale."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.studies.claims.report import Report


def written(found: Report, folder: Path) -> list[Path]:
    """Writes everything that there is to see of a report into a folder; gives the paths."""
    from harness import registry

    plugins = [registry.module("study-reports", name) for name in registry.modules("study-reports")]
    return [path for plugin in plugins for path in plugin.render_study(found, folder)]
