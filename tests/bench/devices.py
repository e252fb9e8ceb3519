"""Two processor workers against one: whole `score` commands of two checkpoints, one thread for each worker.

SKILLDELTA_DATA=... python -m tests.bench.devices [MODEL] [--limit 32] [--rounds 3]

MODEL: a folder with a real model, of which two copies are scored; without one, random Llamas of 18 M parameters.  Wall
time is counted, so the machine must have two processors that do nothing else.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.bench.works import write_model
from tests.support.toys import tree

TASKS = "truthfulqa_mc2,gsm8k"
GOAL = 1.7
ROWS = Path(os.environ.get("SKILLDELTA_DATA", "../shared/data"))


def score_command(folder: Path, devices: Sequence[str], limit: int, output: Path) -> float:
    """Seconds of one command from cold."""
    command = [
        sys.executable, "-m", "harness", "score", str(folder / "first"), str(folder / "second"), "--tasks", TASKS,
        "--limit", str(limit), "-o", str(output), "--data", str(ROWS), *devices,
    ]  # fmt: skip
    start = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return time.monotonic() - start


def write_checkpoints(model: str, folder: Path) -> str:
    """Two checkpoints called first and second; what they are."""
    if not model:
        for seed, name in enumerate(("first", "second")):
            write_model(folder / name, ROWS, "18M", seed)
        return "random Llamas of 18 M parameters"
    for name in ("first", "second"):
        shutil.copytree(model, folder / name)
    note_another_model(folder / "second")
    return f"two copies of {Path(model).name}"


def note_another_model(folder: Path) -> None:
    """Makes a copy another model by name alone: one model under two names is asked once."""
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"copy_of_the_bench": folder.name}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", default="")
    parser.add_argument("--limit", type=int, default=32, help="questions of each task")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder, ratios = Path(place), []
        what = write_checkpoints(options.model, folder)
        print(f"{what}: {TASKS}, {options.limit} questions each; seconds of whole commands", flush=True)
        for turn in range(options.rounds):
            one = score_command(folder, ["--device", "cpu"], options.limit, folder / f"one-{turn}")
            two = score_command(folder, ["--devices", "cpu,cpu"], options.limit, folder / f"two-{turn}")
            ratios.append(one / two)
            is_same = tree(folder / f"one-{turn}") == tree(folder / f"two-{turn}")
            print(f"- {one:.1f} and {two:.1f}: {one / two:.2f} x; {'the same bytes' if is_same else 'OTHER BYTES'}", flush=True)
        print(f"median {statistics.median(ratios):.2f} x of one worker (goal {GOAL})")


if __name__ == "__main__":
    main()
