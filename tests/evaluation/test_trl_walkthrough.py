"""From TRL's DPOTrainer to a decision: ScoreCallback scores each checkpoint, `compare` and `gate` read the results."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.training_toy import preference

pytest.importorskip("trl", reason="trl is in the dev extra: pip install -e '.[dev]'")
ROOT = Path(__file__).resolve().parents[2]
TASK = """
from harness.types import Request, Response, Score, Task

TASKS = (Task(
    name="short", skill="instruction following", version=1, source="made for this test",
    rows=lambda folder: [{"question": f"first of w{i} ?"} for i in range(24)],
    ask=lambda e: Request(e.row["question"], max_tokens=6),
    score=lambda e, r: Score(float(r.finish == "stop")), ideal=lambda e: Response("a"),
),)
"""


def skilldelta(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "harness", *arguments], capture_output=True, text=True, check=False, cwd=ROOT)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_dpo_run_of_trl_is_scored_compared_and_decided_on(tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import trl
    from datasets import Dataset

    from harness import ScoreCallback

    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("PYTHONWARNINGS", "ignore")
    (tmp_path / "short.py").write_text(TASK)
    results = str(tmp_path / "results")
    args = trl.DPOConfig(
        output_dir=str(tmp_path / "dpo"), max_steps=6, save_steps=3, per_device_train_batch_size=8, learning_rate=0.01,
        report_to=[], bf16=False, use_cpu=True, disable_tqdm=True, gradient_checkpointing=False, logging_steps=1,
    )  # fmt: skip
    rows = Dataset.from_list([preference(i) for i in range(48)])
    trainer = trl.DPOTrainer(model=tiny, args=args, train_dataset=rows)
    options = ("--include-path", str(tmp_path / "short.py"), "--device", "cpu")
    callback = ScoreCallback(trainer, tasks=("short",), results=results, baseline=tiny, options=options)
    trainer.add_callback(callback)
    trainer.train()
    assert not callback.problems
    deltas = {
        row["skills/step"]: row["skills/instruction following"] for row in trainer.state.log_history if "skills/step" in row
    }
    assert set(deltas) == {3.0, 6.0}

    compared = skilldelta("compare", results, "--baseline", "baseline", "--json")
    assert compared.returncode == 0, compared.stderr
    found: dict[str, Any] = {
        row["checkpoint"]: row["delta"] for row in json.loads(compared.stdout)["rows"] if row["level"] == "skill"
    }
    assert {f"step-{int(step)}": delta for step, delta in deltas.items()} == {k: v for k, v in found.items() if k != "baseline"}

    gate = ("gate", results, "--baseline", "baseline", "--candidate", "step-6", "--json")
    lenient, strict = skilldelta(*gate, "--max-drop", "100"), skilldelta(*gate, "--max-drop", "0")
    assert lenient.returncode == 0, lenient.stderr
    assert strict.returncode in (0, 1, 2)
    assert (found["step-6"] >= 0) or strict.returncode != 0  # a loss is never let through
