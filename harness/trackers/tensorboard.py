"""TensorBoard: event files in DIR/RUN; default: the folder _tensorboard of the results."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.atomic_files import folder_name

PACKAGE = "tensorboard"


def start(run: str, where: str, folder: Path) -> TensorBoardRun:
    return TensorBoardRun((Path(where) if where else folder / "_tensorboard") / folder_name(run))


class TensorBoardRun:
    """Scalars in one folder, which TensorBoard shows as one run."""

    def __init__(self, folder: Path) -> None:
        from tensorboard.summary import Writer

        self.place = str(folder)
        self.writer: Any = Writer(str(folder))

    def log(self, step: int, values: Mapping[str, float]) -> None:
        for tag, value in values.items():
            self.writer.add_scalar(tag, value, step)
        self.writer.flush()

    def close(self) -> None:
        self.writer.close()
