"""The spine from end to end: one command over a run folder and an adapter, killed and gone on with, compared."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from harness.cli import main
from harness.store import Results
from tests.conftest import ROOT
from tests.support import tiny, toys

TASKS = ("gsm8k", "mmlu", "truthfulqa_mc1", "bbh", "ifeval")


def make_runs(folder: Path) -> Path:
    """A run of three checkpoints and a final model, and one LoRA adapter, as trainers leave them."""
    run = folder / "dpo"
    tiny.llama(run, template=True, window=2048)
    for step in (10, 20, 100):
        tiny.llama(run / f"checkpoint-{step}", seed=step, template=True, window=2048)
        (run / f"checkpoint-{step}" / "trainer_state.json").write_text(json.dumps({"global_step": step, "log_history": []}))
    torch.manual_seed(7)
    base = AutoModelForCausalLM.from_pretrained(run / "checkpoint-10")
    adapted = get_peft_model(base, LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False))
    adapted.save_pretrained(str(folder / "lora"))
    return folder


def command(runs: Path, results: Path, data: Path) -> list[str]:
    flags = ["-t", ",".join(TASKS), "-o", str(results), "--data", str(data), "-L", "2", "--gen-kwargs", "max_tokens=8"]
    flags.append("--exact-resume")
    return [sys.executable, "-m", "harness", "score", str(runs / "dpo"), str(runs / "lora"), *flags]


ENVIRONMENT = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


@pytest.mark.slow
@pytest.mark.data
def test_a_run_and_an_adapter_on_five_tasks_killed_and_gone_on_with(real_data: Path, tmp_path: Path) -> None:
    runs = make_runs(tmp_path / "runs")
    undisturbed = subprocess.run(
        command(runs, tmp_path / "whole", real_data), env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert undisturbed.returncode == 0, undisturbed.stderr
    names = list(Results(tmp_path / "whole").checkpoints())
    assert names == ["lora", "dpo@10", "dpo@20", "dpo@100", "dpo"]
    assert len(list(Results(tmp_path / "whole").cells())) == len(names) * len(TASKS)

    for cells in (1, 8):  # killed while the cell after so many new ones is at work
        ended = subprocess.Popen(
            command(runs, tmp_path / "killed", real_data), env=ENVIRONMENT, stderr=subprocess.PIPE, text=True
        )
        assert ended.stderr is not None
        seen = 0
        for line in ended.stderr:
            seen += "samples, in" in line
            if seen >= cells:
                break
        ended.kill()
        ended.communicate()
        assert ended.returncode != 0
    assert len(list(Results(tmp_path / "killed").cells())) < len(names) * len(TASKS)
    # What a kill in the middle of a write leaves: a torn line.
    shutil.copytree(tmp_path / "killed", tmp_path / "torn")
    samples = next((tmp_path / "torn").rglob("samples.jsonl"))
    for folder in ("killed", "torn"):
        if folder == "torn":
            unfinished = [c for _, record, c in Results(tmp_path / folder).cells() if record.state != "done"]
            samples = unfinished[0].samples_file if unfinished else samples
            if unfinished and samples.exists():
                samples.write_bytes(samples.read_bytes()[:-3])
        again = subprocess.run(
            command(runs, tmp_path / folder, real_data), env=ENVIRONMENT, capture_output=True, text=True, check=False
        )
        assert again.returncode == 0, again.stderr
        assert toys.tree(tmp_path / folder) == toys.tree(tmp_path / "whole")

    with pytest.raises(SystemExit) as ended:
        main(["compare", str(tmp_path / "whole"), "--baseline", "dpo@10", "-o", str(tmp_path / "report")])
    assert ended.value.code == 0
    assert (tmp_path / "report" / "deltas.png").stat().st_size > 10_000
