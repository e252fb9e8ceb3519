"""Real runs of TRL: found with method, step and base, and loaded; the reward model named as such."""

from pathlib import Path

import pytest

from harness import discovery
from harness.cli.listing import listing_row
from tests.support import tiny

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # of TRL and transformers
ROWS = [{"prompt": f"What is {i}+1?", "chosen": f" The answer is {i + 1}.", "rejected": " You are naive."} for i in range(8)]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SFT with LoRA, DPO with LoRA on what that merges to, a reward model, a whole SFT."""
    import trl
    from datasets import Dataset
    from peft import LoraConfig

    folder = tmp_path_factory.mktemp("runs")
    base = str(tiny.llama(folder / "base", template=True))
    common = {"max_steps": 2, "save_steps": 1, "logging_steps": 1, "report_to": "none", "use_cpu": True, "bf16": False,
              "per_device_train_batch_size": 2}  # fmt: skip
    texts = Dataset.from_list([{"text": row["prompt"] + row["chosen"]} for row in ROWS])
    pairs, lora = Dataset.from_list(ROWS), LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM")
    for name, adapter in (("sft", None), ("sft_lora", lora)):
        args = trl.SFTConfig(str(folder / name), **common)
        trainer = trl.SFTTrainer(base, args, train_dataset=texts, peft_config=adapter)
        trainer.train()
        trainer.save_model()
    args = trl.DPOConfig(str(folder / "dpo_lora"), **common)
    trainer = trl.DPOTrainer(str(folder / "sft"), args=args, train_dataset=pairs, peft_config=lora)
    trainer.train()
    trainer.save_model(str(folder / "dpo_lora" / "final_model"))
    trainer = trl.RewardTrainer(base, args=trl.RewardConfig(str(folder / "rm"), **common), train_dataset=pairs)
    trainer.train()
    return folder


def test_runs_of_trl_are_found_with_method_step_and_base(runs: Path) -> None:
    rows = {c.name: listing_row(c) for c in discovery.find_checkpoints([str(runs)])}
    ready = [name for name, row in rows.items() if row["ready"]]
    assert ready == [
        "base", "dpo_lora@1", "dpo_lora@2", "final_model", "sft@1", "sft@2", "sft", "sft_lora@1", "sft_lora@2", "sft_lora",
    ]  # fmt: skip
    assert {row["method"] for name, row in rows.items() if name.startswith(("dpo", "final"))} == {"dpo"}
    assert {row["method"] for name, row in rows.items() if name.startswith("sft")} == {"sft"}
    assert Path(rows["dpo_lora@2"]["base"]).name == "sft"
    assert rows["dpo_lora@2"]["step"] == 2
    for name in ("rm@1", "rm@2"):
        assert rows[name]["method"] == "reward"
        assert "a reward model" in rows[name]["problem"]
