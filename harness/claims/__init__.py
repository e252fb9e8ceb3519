"""The claims of a published study, tested on a study of one's own: supported, contradicted, or not decided at this scale."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.claims.report import Report

DEFAULT = "claims"


def write(study: Path, folder: Path, file: str | Path | None = None) -> list[Path]:
    """Writes the report on the claims in a file, and the tables of recipes, into a folder; gives their paths."""
    from harness.claims import report

    return written(report.of(Path(study), file or DEFAULT), folder)


def written(found: Report, folder: Path) -> list[Path]:
    """The same of a report that is made already."""
    from harness import registry

    plugins = [registry.module("study-reports", name) for name in registry.modules("study-reports")]
    return [path for plugin in plugins for path in plugin.render_study(found, folder)]


def told(study: Path, file: str | Path | None = None) -> str:
    """The verdicts as text for a terminal."""
    from harness.claims import report

    return report.text(report.of(Path(study), file or DEFAULT).findings)
