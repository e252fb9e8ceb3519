"""The engine against lm-eval's hf backend: same checkpoint, same requests, one thread each, in turn.

    SKILLDELTA_DATA=... python -m tests.bench.engine [--rows truthfulqa,mmlu,...] [--sizes 18M,135M] [--rounds 3] [--scale 1]

Rows: truthfulqa, mmlu, gsm8k, bbh; family (8 checkpoints by one command against 8 lm_eval commands), start (a whole command,
from cold), rollouts (answers sampled in training, against transformers' generate).  lm-eval's batch size is the best of 1, 8
and 32 on the first quarter of the requests.  Counted is processor time: equal to wall time on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path

from harness.types import Response
from tests.bench import commands, rollouts
from tests.bench.sides import Side, TimedAnswers, describe_parity
from tests.bench.works import make_workload, write_model

# Questions of each task, subject or subtask, by size; 0: all.
QUESTIONS = {
    "18M": {"truthfulqa": 64, "mmlu": 0, "gsm8k": 128, "bbh": 48},
    "135M": {"truthfulqa": 32, "mmlu": 40, "gsm8k": 48, "bbh": 12},
}
BATCHES = (1, 8, 32)
HEAD = (
    "| work | requests | faster, median (range) | CPU s, here / lm-eval | tree tokens | fed / tree, here and lm-eval |"
    " of matmul peak, here and lm-eval | peak MB, here / lm-eval | parity |\n|---|---|---|---|---|---|---|---|---|"
)


@dataclass(frozen=True)
class SidePair:
    """Both sides with one checkpoint."""

    place: Path
    mine: Side
    official: Side

    def best_batch_size(self, name: str, questions: int) -> int:
        """lm-eval's best batch size."""
        spent = {b: self.official.call("ask", name, questions, 4, b).cpu for b in BATCHES}
        return min(spent, key=spent.__getitem__)

    def table_row(self, name: str, questions: int, rounds: int, rows: Path) -> str:
        batch = self.best_batch_size(name, questions)
        turns = range(rounds)
        runs: list[tuple[TimedAnswers, TimedAnswers]] = [
            (self.mine.call("ask", name, questions), self.official.call("ask", name, questions, 1, batch)) for _ in turns
        ]
        ratios = sorted(o.cpu / m.cpu for m, o in runs)
        mine, official = (statistics.median(r[i].cpu for r in runs) for i in (0, 1))
        tree = self.mine.call("tree", name, questions)
        counts = [s.call("count", name, questions) for s in (self.mine, self.official)]
        peaks = [counts[i].operations / statistics.median(r[i].cpu * r[i].peak * 1e9 for r in runs) for i in (0, 1)]
        workload = make_workload(name, rows, questions)
        exact = self.exact(name, questions, rows) if workload.requests[0].choices else []
        return (
            f"| {name} | {len(workload.requests)} | {statistics.median(ratios):.1f} ({ratios[0]:.1f} to {ratios[-1]:.1f}) "
            f"| {mine:.1f} / {official:.1f} (batch {batch}) "
            f"| {tree} | {' and '.join(f'{c.tokens / tree:.2f}' for c in counts)} "
            f"| {' and '.join(f'{100 * p:.0f} %' for p in peaks)} "
            f"| {max(r[0].memory for r in runs):.0f} / {max(r[1].memory for r in runs):.0f} "
            f"| {describe_parity(workload, *runs[-1], self.mine, exact)} |"
        )

    def exact(self, name: str, questions: int, rows: Path) -> list[Response]:
        """The answers of the model in float64, by a process that is gone afterwards."""
        side = Side("exact", self.place, rows)
        found: TimedAnswers = side.call("ask", name, questions)
        side.close()
        return found.responses


def compare_size(size: str, names: list[str], options: argparse.Namespace, rows: Path) -> None:
    """The lines of one size."""
    print(f"\nA random Llama of {size} parameters, float32\n\n{HEAD}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        place = write_model(Path(folder) / "model", rows, size)
        pair = SidePair(place, Side("ours", place, rows), Side("theirs", place, rows))
        for name in names:
            questions = round(QUESTIONS[size][name] * options.scale)
            print(pair.table_row(name, questions, options.rounds, rows), flush=True)
        pair.mine.close()
        pair.official.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default="truthfulqa,mmlu,gsm8k,bbh,family,start,rollouts")
    parser.add_argument("--sizes", default="18M,135M")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0, help="times the questions")
    options = parser.parse_args()
    rows = Path(os.environ.get("SKILLDELTA_DATA", "../shared/data"))
    wanted = options.rows.split(",")
    for size in options.sizes.split(","):
        if names := [n for n in wanted if n in QUESTIONS[size]]:
            compare_size(size, names, options, rows)
    if "family" in wanted:
        print(commands.family(rows, options.rounds), flush=True)
    if "start" in wanted:
        print(commands.start(rows, options.rounds), flush=True)
    if "rollouts" in wanted:
        rollouts.main(rows, options.rounds)


if __name__ == "__main__":
    main()
