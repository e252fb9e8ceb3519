"""The engine against lm-eval's hf backend: same checkpoint, same requests, one thread each, in turn.

    SKILLDELTA_DATA=... python -m tests.bench.engine [--rows truthfulqa,mmlu,...] [--sizes 18M,135M,real] [--rounds 3]
                                                     [--scale 1] [--model FOLDER] [--dtypes float32,bfloat16]
                                                     [--rows-at-once N] [--answer-tokens N] [--chat-template auto]

Rows: truthfulqa, mmlu, gsm8k, bbh, ifeval (the real model alone); family (8 checkpoints by one command against 8 lm_eval
commands), start (a whole command, from cold), adapters (LoRA checkpoints on one base), rollouts (answers sampled in training,
against transformers' generate).  lm-eval's batch size is the best of 1, 8 and 32: the first two on the first quarter of the
requests, the better one against 32 on as many as fill such a batch twice.

The size "real" is a real instruction-tuned model (SmolLM2-135M-Instruct, say), in the folder that --model or SKILLDELTA_MODEL
names, in each of --dtypes.  Counted is processor time: equal to wall time on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.types import Response
from tests.bench import adapters, commands, rollouts
from tests.bench.sides import Side, Subject, TimedAnswers, describe_parity
from tests.bench.works import REAL_NEW_TOKENS, write_model

# Questions of each task, subject or subtask, by size; 0: all.
QUESTIONS = {
    "18M": {"truthfulqa": 64, "mmlu": 0, "gsm8k": 128, "bbh": 48},
    "135M": {"truthfulqa": 32, "mmlu": 40, "gsm8k": 48, "bbh": 12},
    "real": {"truthfulqa": 32, "mmlu": 40, "gsm8k": 48, "bbh": 24, "ifeval": 48},
}
BATCHES, QUARTER = (1, 8, 32), 4
HEAD = (
    "| work | requests | faster, median (range) | CPU s, here / lm-eval | tree tokens | fed / tree, here and lm-eval |"
    " of matmul peak, here and lm-eval | peak MB, here / lm-eval | parity |\n|---|---|---|---|---|---|---|---|---|"
)


@dataclass(frozen=True)
class SidePair:
    """Both sides with one checkpoint."""

    subject: Subject
    mine: Side
    official: Side

    def best_batch_size(self, name: str, questions: int) -> int:
        """lm-eval's best batch size.

        The largest is tried on a part that fills it: few requests would make it look as slow as a smaller one.
        """
        requests = self.subject.workload(name, questions).first_part(QUARTER).requests
        fills_batches = sum(max(1, len(r.choices)) for r in requests) >= 2 * BATCHES[-1]
        few = self.fastest(name, questions, QUARTER, BATCHES[:-1])
        return self.fastest(name, questions, QUARTER if fills_batches else 1, (few, BATCHES[-1]))

    def fastest(self, name: str, questions: int, share: int, batches: Sequence[int]) -> int:
        """The one of these batch sizes that lm-eval takes least time with; `share`: of the requests, one part of so many."""
        spent = {b: self.official.call("ask", name, questions, share, b).cpu for b in batches}
        return min(spent, key=spent.__getitem__)

    def table_row(self, name: str, questions: int, rounds: int) -> str:
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
        workload = self.subject.workload(name, questions)
        exact = self.exact(name, questions) if workload.requests[0].choices else []
        return (
            f"| {name} | {len(workload.requests)} | {statistics.median(ratios):.1f} ({ratios[0]:.1f} to {ratios[-1]:.1f}) "
            f"| {mine:.1f} / {official:.1f} (batch {batch}) "
            f"| {tree} | {' and '.join(f'{c.tokens / tree:.2f}' for c in counts)} "
            f"| {' and '.join(f'{100 * p:.0f} %' for p in peaks)} "
            f"| {max(r[0].memory for r in runs):.0f} / {max(r[1].memory for r in runs):.0f} "
            f"| {describe_parity(workload, *runs[-1], self.mine, exact)} |"
        )

    def exact(self, name: str, questions: int) -> list[Response]:
        """The answers of the model in float64, by a process that is gone afterwards."""
        side = Side("exact", self.subject)
        found: TimedAnswers = side.call("ask", name, questions)
        side.close()
        return found.responses


def compare_size(size: str, names: list[str], options: argparse.Namespace, rows: Path) -> None:
    """The lines of one size."""
    with tempfile.TemporaryDirectory() as folder:
        if size == "real":
            place = Path(options.model)
            if not (place / "config.json").exists():
                print(f"\nThe real model is left out: there is none in {place or 'SKILLDELTA_MODEL'}", flush=True)
                return
            about_answers = (options.answer_tokens, options.rows_at_once, options.chat_template)
            subjects = [Subject(place, rows, dtype, *about_answers) for dtype in options.dtypes.split(",")]
        else:
            subjects = [Subject(write_model(Path(folder) / "model", rows, size), rows)]
        for subject in subjects:
            kind = f"{subject.place.name}," if subject.answer_tokens else f"A random Llama of {size} parameters,"
            print(f"\n{kind} {subject.dtype}\n\n{HEAD}", flush=True)
            pair = SidePair(subject, Side("ours", subject), Side("theirs", subject))
            for name in names:
                questions = round(QUESTIONS[size][name] * options.scale)
                print(pair.table_row(name, questions, options.rounds), flush=True)
            pair.mine.close()
            pair.official.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default="truthfulqa,mmlu,gsm8k,bbh,ifeval,family,start,adapters,rollouts")
    parser.add_argument("--sizes", default="18M,135M,real")
    parser.add_argument("--model", default=os.environ.get("SKILLDELTA_MODEL", ""), help="folder of the real model")
    parser.add_argument("--dtypes", default="float32,bfloat16", help="of the real model")
    parser.add_argument("--rows-at-once", type=int, default=0, help="answers of the real model decoded together here")
    parser.add_argument("--answer-tokens", type=int, default=REAL_NEW_TOKENS, help="the most of an answer of the real model")
    parser.add_argument("--chat-template", default="none", help="of the real model's questions: none, or auto for its own")
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
    if "adapters" in wanted:
        print(adapters.measure(options.model, rows), flush=True)
    if "rollouts" in wanted:
        rollouts.main(rows, options.rounds)


if __name__ == "__main__":
    main()
