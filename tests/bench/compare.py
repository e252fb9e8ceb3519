"""Seconds and memory of `skilldelta compare -o`: 100 checkpoints x 20 tasks x 1,000 items, seeded, invented answers.

    python -m tests.bench.compare [--checkpoints 100] [--tasks 20] [--items 1000] [--folder DIR] [--profile FILE]

With --folder the results are kept there (and used again), and so is the report.  The comparison runs in a process of its own,
so that seconds and peak memory are its own: wall and processor time (all threads), and the largest resident size.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.atomic_files import write_bytes, write_json
from harness.store import Results
from harness.training_log import FILE, KEYS
from harness.types import SKILLS, Checkpoint, digest
from tests.support.results_folder import about

RUNS = 9  # that the checkpoints belong to
SENTENCE = "the model answers with some words of which a few are longer than others, and so to the number 1250 in a short line"
WORDS = SENTENCE.split()


@dataclass(frozen=True)
class Size:
    """How large the results are.  `seed` decides everything in them."""

    checkpoints: int
    tasks: int
    items: int
    seed: int = 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoints", type=int, default=100)
    parser.add_argument("--tasks", type=int, default=20)
    parser.add_argument("--items", type=int, default=1000)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--profile", type=Path, help="write cProfile's statistics there")
    options = parser.parse_args()
    size = Size(options.checkpoints, options.tasks, options.items)
    with tempfile.TemporaryDirectory() as passing:
        folder: Path = options.folder or Path(passing)
        results = folder / "results"
        if not results.exists():
            seconds = -time.monotonic()
            generate(results, size)
            print(f"generated {size.checkpoints * size.tasks * size.items:,} samples in {seconds + time.monotonic():.0f} s")
        measure(results, folder / "report", options.profile)


def measure(results: Path, report: Path, profile: Path | None) -> None:
    """Runs the comparison in another process, and prints what it took."""
    watch = ["-m", "cProfile", "-o", str(profile)] if profile else []
    command = [sys.executable, *watch, "-m", "harness", "compare", str(results), "--baseline", "sft", "-o", str(report)]
    start = time.monotonic()
    silent = [(os.POSIX_SPAWN_OPEN, stream, os.devnull, os.O_WRONLY, 0) for stream in (1, 2)]
    process = os.posix_spawn(command[0], command, os.environ, file_actions=silent)
    _, status, resources = os.wait4(process, 0)
    wall = time.monotonic() - start
    assert os.waitstatus_to_exitcode(status) == 0, f"the comparison ended with {status}: {' '.join(command)}"
    results_bytes = sum(p.stat().st_size for p in results.rglob("*.jsonl"))
    page_bytes = sum(p.stat().st_size for p in report.rglob("page/*.js"))
    print(f"results            {results_bytes / 1e6:8.0f} MB")
    print(f"wall               {wall:8.1f} s")
    print(f"processor          {resources.ru_utime + resources.ru_stime:8.1f} s")
    print(f"peak memory        {resources.ru_maxrss / 2**20:8.2f} GiB")
    print(f"index.html         {(report / 'index.html').stat().st_size / 1e6:8.1f} MB")
    print(f"samples beside it  {page_bytes / 1e6:8.1f} MB")


def generate(folder: Path, size: Size) -> None:
    """A results folder: a baseline, and runs whose skills drift apart with the step."""
    random = np.random.default_rng(size.seed)
    results = Results.make(folder)
    difficulty = random.normal(0.0, 1.5, (size.tasks, size.items))
    texts = [" ".join(random.choice(WORDS, int(n))) for n in random.integers(8, 70, 3000)]
    per_run = max(1, -(-(size.checkpoints - 1) // RUNS))
    for number in range(size.checkpoints):
        run, step = (number - 1) // per_run, 100 * ((number - 1) % per_run + 1) if number else 0
        name = f"run-{run + 1}@{step}" if number else "sft"
        where = {"run": f"runs/run-{run + 1}", "step": step} if number else {}
        results.add(Checkpoint(name, f"runs/{name}", "trainer", **where), {"weights": name})
        if step:
            curves = {q: {"key": q, **log(step, random)} for q in KEYS}
            write_json(folder / name / FILE, curves)
        drift = random.normal(0.0, 0.25, size.tasks) * (number > 0)
        for task in range(size.tasks):
            facts = describe(task, size)
            cell = results.cell(name, facts["task"]["name"])
            write_json(cell.folder / "task.json", facts)
            ability = difficulty[task] + drift[task] + random.normal(0.0, 0.7, size.items) * (number > 0)
            write_bytes(cell.samples_file, b"".join(lines(task, ability > 0, random, texts)))
            if not number:
                write_bytes(results.examples_file(facts["task"]["name"]), b"".join(rows(task, size, texts)))


def log(step: int, random: np.random.Generator) -> dict[str, list[Any]]:
    """A curve logged every tenth step."""
    steps = list(range(10, step + 1, 10))
    return {"steps": steps, "values": random.normal(np.sqrt(steps), 1.0).round(4).tolist()}


def describe(task: int, size: Size) -> dict[str, dict[str, object]]:
    """task.json: the fifth task of each skill's round is a macro mean over subjects."""
    return about(f"task_{task + 1:02}", SKILLS[task % len(SKILLS)],
                 task={"aggregate": "macro" if task % 5 == 4 else "mean"}, inputs={"examples": size.items})  # fmt: skip


def lines(task: int, right: npt.NDArray[np.bool_], random: np.random.Generator, texts: list[str]) -> Iterator[bytes]:
    """samples.jsonl: every third task weighs four choices, the others answer in words."""
    picks = random.integers(0, len(texts), len(right)).tolist()
    weights = random.normal(-9.0, 3.0, (len(right), 4)).round(4).tolist()
    for item, good in enumerate(right.tolist()):
        weighs = task % 3 == 2
        yield json.dumps({
            "example": digest([task, item]),
            "draw": 0,
            "request": digest([task, item, 0]),
            "response": weights[item] if weighs else texts[picks[item]],
            "finish": "stop",
            "tokens_in": 120,
            "tokens_out": 0 if weighs else texts[picks[item]].count(" ") + 1,
            "score": float(good),
            "extracted": "ABCD"[picks[item] % 4] if weighs else str(picks[item]),
            **({"group": f"subject {item % 20}"} if task % 5 == 4 else {}),
        }).encode() + b"\n"  # fmt: skip


def rows(task: int, size: Size, texts: list[str]) -> Iterator[bytes]:
    for item in range(size.items):
        row = {"question": f"{item} {texts[(7 * item + task) % len(texts)]}?", "answer": str(item)}
        yield json.dumps({"example": digest([task, item]), "row": row}).encode() + b"\n"


if __name__ == "__main__":
    main()
