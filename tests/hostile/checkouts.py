"""A checkout of this repository, today's or an older one, whose commands are run by a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ROOT = Path(__file__).resolve().parents[2]
RUNNER = Path(__file__).with_name("command_runner.py")


LIBRARIES = (
    *("torch", "transformers", "peft", "safetensors.torch", "matplotlib.pyplot", "scipy.stats", "pyarrow.parquet", "yaml"),
    *("harness.cli", "harness.loading.load", "harness.evaluation.run", "harness.comparison.compare"),
)


@dataclass(frozen=True)
class Checkout:
    """The folder with `harness/` in it."""

    folder: Path

    @property
    def is_older(self) -> bool:
        """Whether its results folders are of format 1."""
        return "\nFORMAT = 1\n" in (self.folder / "harness" / "store.py").read_text()

    def environment(self) -> dict[str, str]:
        """Of its processes: its own modules come first, no network, no colours, one thread."""
        names = ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "NO_COLOR", "OMP_NUM_THREADS")
        fixed = dict.fromkeys(names, "1") | {"TOKENIZERS_PARALLELISM": "false", "COLUMNS": "200", "no_proxy": "127.0.0.1"}
        return os.environ | fixed | {"PYTHONPATH": str(self.folder)}


class Runner:
    """A process of a checkout that runs requests, each in a child of its own (command_runner.py)."""

    def __init__(self, checkout: Checkout, modules: Sequence[str] = LIBRARIES) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(RUNNER), str(checkout.folder), *modules],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=checkout.environment(), text=True,
        )  # fmt: skip
        self.read()  # it is ready

    def read(self) -> dict[str, Any]:
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{RUNNER.name} has ended: {self.process.args!r}")
        reply: dict[str, Any] = json.loads(line)
        return reply

    def run(self, kind: str, **request: Any) -> dict[str, Any]:
        """The reply to a request: code, output, fault, seconds of processor time."""
        assert self.process.stdin
        self.process.stdin.write(json.dumps({"kind": kind, **request}) + "\n")
        self.process.stdin.flush()
        return self.read()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.process.kill()
        self.process.communicate()
