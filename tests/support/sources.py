"""What commands read, for tests of what they write: results of two checkpoints, and a log of lm-eval."""

from pathlib import Path

from tests.support.lm_eval_run import line, write
from tests.support.results_folder import store_scores


def store_sources(place: Path, task: str) -> None:
    """`results`: the checkpoints base and cand in `task`; `logs`: three questions of lm-eval's."""
    for name in ("base", "cand"):
        store_scores(place / "results", name, task, [0.0, 1.0, 1.0, 0.0])
    write(place / "logs", "sums", [line(i, {"acc": float(i % 2)}) for i in range(3)], {"acc,none": 1 / 3})
