"""Weights & Biases: a run in PROJECT; offline, unless WANDB_MODE or a settings file of W&B says otherwise.

W&B takes steps in ascending order only.  Checkpoints may be scored in any order, so that the step is a metric, `skills/step`,
which W&B draws the others over.
"""

from __future__ import annotations

import configparser
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.types import digest

PACKAGE = "wandb"
RUN_VARIABLE = "WANDB_RUN_ID"
PROJECT = "skilldelta"
STEP = "skills/step"


def start(run: str, where: str, folder: Path) -> WandbRun:
    return WandbRun(run, where or os.environ.get("WANDB_PROJECT") or PROJECT)


def configured_mode() -> str:
    """online, offline, ...: what the user has told W&B; offline where nothing is said."""
    if mode := os.environ.get("WANDB_MODE"):
        return mode
    home = Path(os.environ.get("WANDB_CONFIG_DIR") or Path.home() / ".config" / "wandb")
    own = Path(os.environ.get("WANDB_DIR") or ".") / "wandb"
    settings = configparser.ConfigParser(interpolation=None)
    try:
        settings.read([home / "settings", own / "settings"], encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError):
        return "offline"
    return settings.get("default", "mode", fallback="offline")


class WandbRun:
    """A run of W&B of its own, next to the trainer's in the same project."""

    def __init__(self, run: str, project: str) -> None:
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # reports of errors go out offline too
        import wandb

        mode = configured_mode()
        identity = {"id": digest([project, run]), "resume": "allow"} if mode == "online" else {}
        if os.environ.get(RUN_VARIABLE):
            identity = {"resume": "allow"}
        settings = wandb.Settings(silent=True, console="off", x_disable_stats=True, disable_git=True, save_code=False)
        self.run: Any = wandb.init(
            project=project, name=run, mode=mode, reinit="create_new", settings=settings, job_type="evaluation", **identity
        )
        self.run.define_metric("skills/*", step_metric=STEP)
        self.place = f"project {project}, {mode}" + (f", {self.run.settings.sync_dir}" if mode == "offline" else "")

    def log(self, step: int, values: Mapping[str, float]) -> None:
        self.run.log({**values, STEP: step})

    def close(self) -> None:
        self.run.finish()
