"""`ScoreCallback` with TRL's own trainer: skills are logged beside the loss, and training did not wait for them."""

import json
import os
import sys
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from harness.evaluation.callback import Job, ScoreCallback, deltas
from harness.training import policy_models
from harness.training.tokenization import load_tokenizer
from tests.support.training_toy import chat

pytest.importorskip("trl", reason="trl is in the dev extra: pip install -e '.[dev]'")
Rows = Callable[[str, Iterable[Any]], str]
TASK = """
from harness.types import Request, Response, Score, Task

TASKS = (Task(
    name="words", skill="reasoning", version=1, source="made for this test",
    rows=lambda folder: [{"word": f"w{i}"} for i in range(12)],
    ask=lambda e: Request(e.row["word"], max_tokens=2),
    score=lambda e, r: Score(float(len(r.text) % 2)), ideal=lambda e: Response("a"),
),)
"""


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_each_saved_checkpoint_of_trls_trainer_is_scored(tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import trl
    from datasets import Dataset

    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]))
    monkeypatch.setenv("PYTHONWARNINGS", "ignore")
    (tmp_path / "words.py").write_text(TASK)
    args = trl.SFTConfig(
        output_dir=str(tmp_path / "run"), max_steps=4, save_steps=2, per_device_train_batch_size=4, learning_rate=0.01,
        report_to=[], bf16=False, use_cpu=True, disable_tqdm=True, logging_steps=1, gradient_checkpointing=False,
    )  # fmt: skip
    trainer = trl.SFTTrainer(
        model=policy_models.load_model(policy_models.CAUSAL, tiny), args=args, processing_class=load_tokenizer(tiny),
        train_dataset=Dataset.from_list([chat(i) for i in range(16)]),
    )  # fmt: skip
    options = ("--include-path", str(tmp_path / "words.py"), "--device", "cpu")
    callback = ScoreCallback(trainer, ("words",), str(tmp_path / "results"), tiny, options)
    trainer.add_callback(callback)
    trainer.train()
    told = [row for row in trainer.state.log_history if "skills/step" in row]
    assert [row["skills/step"] for row in told] == [2.0, 4.0]
    assert all({"skills/reasoning", "skills/average"} <= row.keys() for row in told)
    assert callback.missed == []
    assert not callback.jobs


def test_deltas_are_those_of_the_skills_and_their_average() -> None:
    rows = [
        {"checkpoint": "step-2", "level": "skill", "name": "coding", "delta": -1.5},
        {"checkpoint": "step-2", "level": "average", "name": "average", "delta": 0.5},
        {"checkpoint": "step-2", "level": "task", "name": "mbpp", "delta": -1.5},
        {"checkpoint": "step-4", "level": "skill", "name": "coding", "delta": 9.0},
        {"checkpoint": "step-2", "level": "skill", "name": "safety", "delta": None},
    ]
    assert deltas(json.dumps({"rows": rows}), "step-2") == {"skills/coding": -1.5, "skills/average": 0.5}


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_a_failure_is_not_swallowed() -> None:
    with pytest.raises(RuntimeError, match="scoring step 7 failed: no such task"):
        Job(7, deque([python("raise SystemExit('no such task')")])).advance(wait=True)


def test_a_job_goes_on_without_being_waited_for(tmp_path: Path) -> None:
    door = tmp_path / "door"
    os.mkfifo(door)
    job = Job(1, deque([python(f"print(open({str(door)!r}).read())"), python("print('x' * 100_000)")]))
    assert job.advance(wait=False) is None  # the first command waits at the door
    assert job.advance(wait=False) is None
    door.write_text("in")
    assert job.advance(wait=True) == "x" * 100_000 + "\n"
