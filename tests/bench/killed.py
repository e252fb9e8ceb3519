"""Kills a study with SIGKILL at random moments, and compares what it ends with to an undisturbed run.

python -m tests.bench.killed STUDY OUT [KILLS] [SEED]     e.g. unpacking-quick /tmp/killed 5
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.conftest import ROOT

ENVIRONMENT = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}


def start(study: str, out: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "harness", "study", study, "-o", str(out), "--jobs", "2"]
    return subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def undisturbed(study: str, out: Path) -> float:
    """Runs a study; gives the seconds that it took."""
    started = time.monotonic()
    code = start(study, out).wait()
    assert code == 0, f"the study ended with {code}; see {out}/logs"
    return time.monotonic() - started


def disturbed(study: str, out: Path, moments: list[float]) -> int:
    """Runs a study, killed after so many seconds each time it is started, then to its end; gives how often it was killed."""
    killed = 0
    for seconds in moments:
        process = start(study, out)
        try:
            process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            killed += 1
    undisturbed(study, out)
    return killed


def unlike(one: Path, other: Path) -> list[str]:
    """Files of two reports whose contents differ, the seconds that training took aside."""
    names = {p.relative_to(r).as_posix() for r in (one, other) for p in r.rglob("*") if p.is_file()}
    return sorted(n for n in names if content(one / n) != content(other / n))


def content(path: Path) -> object:
    """A file's bytes; where seconds are told, what it says without them."""
    if not path.is_file():
        return "missing"
    if path.name == "comparison.json":
        return untimed(json.loads(path.read_text()))
    if path.name == "tradeoff.md":
        return without_seconds(path.read_text())
    return path.read_bytes()


def untimed(value: Any) -> Any:
    """JSON without what is named seconds."""
    if isinstance(value, dict):
        return {k: untimed(v) for k, v in value.items() if k != "seconds"}
    return [untimed(v) for v in value] if isinstance(value, list) else value


def without_seconds(text: str) -> list[list[str]]:
    """The rows of a Markdown table without the columns whose head names seconds."""
    rows = [line.split(" | ") for line in text.splitlines()]
    dropped: set[int] = set()
    for row in rows:
        dropped |= {i for i, cell in enumerate(row) if "seconds" in cell and len(row) > 2}
    return [[cell for i, cell in enumerate(row) if i not in dropped or len(row) <= 2] for row in rows]


def main() -> None:
    study, folder, *more = sys.argv[1:]
    kills, seed = (int(x) for x in (*more, *("5", "0")[len(more) :]))
    out, first = Path(folder) / "run", Path(folder) / "undisturbed"
    whole = undisturbed(study, out)
    shutil.move(out, first)
    source = random.Random(seed)
    # On average they add up to the undisturbed time, so that any part of the work may be hit.
    moments = [source.uniform(0.05, 2.0) * whole / kills for _ in range(kills)]
    killed = disturbed(study, out, moments)
    found = unlike(first / "report", out / "report")
    print(f"undisturbed {whole:.0f} s; killed {killed} times after {', '.join(f'{m:.0f}' for m in moments)} s")
    print("the reports are identical" if not found else f"unlike: {', '.join(found)}")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
