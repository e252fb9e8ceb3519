"""Two processes on the processor (gloo) against one: the same batches, so the same losses and the same weights."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from harness import registry

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
MAIN = """
import json, sys
from harness import config, registry
method, values = sys.argv[1], json.loads(sys.argv[2])
module = registry.module("trainers", method)
module.train(config.build(module.Config, values))
"""


@pytest.mark.parametrize("method", ["sft", "dpo", "reward"])
def test_two_processes_learn_what_one_does(method: str, tiny: str, chats: str, pairs: str, tmp_path: Path) -> None:
    values = {
        "model": tiny, "data": [chats if method == "sft" else pairs], "lr": 1e-3, "batch": 7, "eps": 1e-5, "max_steps": 6,
        "log_steps": 1, "warmup": 0.0,
    }  # fmt: skip
    values |= {"samples": 0} if method == "reward" else {}
    module = registry.module("trainers", method)
    from harness import config

    one = module.train(config.build(module.Config, values | {"out": str(tmp_path / "one")}))
    script = tmp_path / "main.py"
    script.write_text(MAIN)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script)]
    done = subprocess.run(
        [*launch, method, json.dumps(values | {"out": str(tmp_path / "two")})],
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"},
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    two = tmp_path / "two/checkpoint-6"
    logs = [json.loads((Path(p) / "trainer_state.json").read_text())["log_history"] for p in (one.path, two)]
    for a, b in zip(*logs, strict=True):
        assert a["loss"] == pytest.approx(b["loss"], abs=1e-4)
        assert a["grad_norm"] == pytest.approx(b["grad_norm"], rel=1e-3)
    first, second = (load_file(Path(p) / "model.safetensors") for p in (one.path, two))
    assert all(torch.allclose(first[k], second[k], atol=1e-4) for k in first)
    assert json.loads((tmp_path / "two/run.json").read_text())["processes"] == 2
