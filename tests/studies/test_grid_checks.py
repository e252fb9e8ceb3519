"""What a study file may not say: runs that are not what their labels say, or that count more than once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.cli.study_flags import check_score_flags
from harness.studies import file as files
from harness.studies.grid import StudySettings
from harness.studies.plan import StudyPlan
from harness.types import SkilldeltaError

DPO = {"method": "dpo", "data": "ours"}
PPO = {"method": "ppo", "data": "ours"}


def plan(folder: Path, **changes: Any) -> StudyPlan:
    """A study of a model and pairs that lie in the folder."""
    (folder / "sft").mkdir(exist_ok=True)
    (folder / "pairs.jsonl").touch()
    study = {
        "summary": "mine",
        "seeds": [0, 1],
        "bases": {"sft": {"path": str(folder / "sft")}},
        "data": {"ours": {"files": [str(folder / "pairs.jsonl")]}},
        "grid": [DPO],
    }
    (folder / "mine.yaml").write_text(yaml.safe_dump(study | changes))
    return StudyPlan(files.read_study_file(folder / "mine.yaml"))


SAME_PAIRS = {name: {"files": ["pairs.jsonl"]} for name in ("ours", "ours-half")}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"settings": {"dpo": {"seed": 3}}}, "name 'seed'.*write `seeds`"),
        ({"grid": [{**DPO, "settings": {"model": "x"}}]}, "name 'model'.*write `base`"),
        ({"settings": {"reward": {"data": "x"}}, "grid": [PPO]}, "name 'data'.*write `data`"),
        ({"settings": {"sft": {"out": "x"}}}, "names the folders of its runs itself"),
        ({"settings": {"dpo": {"limit": 7}}, "sizes": {"half": 20}, "grid": [{**DPO, "size": "half"}]}, "name 'limit'"),
        ({"sizes": {"none": 0}}, "'none' is 0 pairs"),
        ({"sizes": {"full": 10}}, "may not define 'full'"),
        ({"seeds": []}, "empty list of seeds"),
        ({"grid": [DPO, {"method": [], "data": "ours"}]}, "empty list of methods"),
        ({"grid": [{"method": "dpo", "run": "theirs"}]}, "theirs is one run, and the grid counts it as 2"),
        ({"grid": [{"method": m, "run": "theirs", "seeds": 0} for m in ("dpo", "ppo")]}, "theirs.* as 2: dpo.*, ppo"),
        ({"grid": [{"method": "dpo", "run": ["theirs"], "seeds": 0}]}, "run: write a text"),
        ({"grid": [{**DPO, "label": "sft-sft"}]}, "called 'sft-sft'"),
        ({"grid": [{**DPO, "data": "human", "label": "pool"}]}, "called 'pool'"),
        ({"grid": [{**DPO, "label": ".."}]}, "must be the name of a folder"),
        ({"data": {"a/b": {"files": ["pairs.jsonl"]}}, "grid": [{**PPO, "data": "a/b", "label": "x"}]}, "without a slash"),
        (
            {"data": SAME_PAIRS, "sizes": {"half": 9},
             "grid": [{**PPO, "label": "p", "size": "half"}, {**PPO, "label": "q", "data": "ours-half"}]},
            "both be called 'reward-ours-half-sft-s0'.*other names",
        ),
        (
            {"grid": [{"method": "reward", "data": "ours", "label": str(lr), "settings": {"lr": lr}} for lr in (0.1, 0.2)]},
            "both be called 'reward-ours-sft-s0'.*trains one of them",
        ),
    ],
)  # fmt: skip
def test_a_run_is_what_its_labels_say_and_counts_once(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(SkilldeltaError, match=said):
        plan(tmp_path, **changes)


@pytest.mark.parametrize("order", [1, -1])
def test_a_reward_model_of_an_entry_of_its_own_has_its_settings_wherever_the_entry_stands(tmp_path: Path, order: int) -> None:
    entries = [{"method": "reward", "data": "ours", "settings": {"lr": 0.125}}, PPO]
    stage = plan(tmp_path, grid=entries[::order]).stages["reward-ours-sft-s0"]
    assert "--lr=0.125" in stage.arguments


def test_settings_with_several_values_and_places_reach_the_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `studies.md` writes them: from the folder of the command, not from the study's, where stages run."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rm").mkdir()
    settings = {"reward": "task:gsm8k_zero_shot,rm", "reward_weights": [1, 0.2]}
    stages = plan(
        tmp_path, grid=[{"method": "grpo", "settings": settings}], score={"include_path": ["rm", "pairs.jsonl"]}
    ).stages
    (tuning,) = [s for name, s in stages.items() if name.startswith("grpo") and name.endswith("s0")]
    assert {f"--reward=task:gsm8k_zero_shot,{tmp_path}/rm", "--reward_weights=1,0.2"} <= set(tuning.arguments)
    assert {f"--include-path={tmp_path}/rm", f"--include-path={tmp_path}/pairs.jsonl"} <= set(stages["score-sft-sft"].arguments)


def test_stages_read_what_lies_outside_of_the_study(tmp_path: Path) -> None:
    (tmp_path / "few.yaml").write_text("summary: few\ntasks: [{task: world_sums}]\n")
    stages = plan(tmp_path, tasks=str(tmp_path / "few.yaml")).stages
    assert stages["dpo-ours-sft-s0"].reads == (str(tmp_path / "sft"), str(tmp_path / "pairs.jsonl"))
    assert stages["score-sft-sft"].reads == (str(tmp_path / "sft"), str(tmp_path / "few.yaml"))
    assert stages["score-dpo-ours-sft"].reads == (str(tmp_path / "few.yaml"),)


def test_a_name_that_looks_like_a_pattern_stands_for_its_own_folder(tmp_path: Path) -> None:
    """What a changed stage removes are its own outputs, and no others."""
    names = ["*", "kept", "dpo[1]"]
    stages = plan(tmp_path, seeds=[0], grid=[{**DPO, "label": name} for name in names]).stages
    for name in names:
        (tmp_path / "runs" / name).mkdir(parents=True)
        assert [place.name for pattern in stages[name].writes for place in tmp_path.glob(pattern)] == [name]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"batch_sise": 4}, "no flag of `skilldelta score` 'batch_sise'.*'batch_size'"),
        ({"batch_size": "many"}, "batch_size is 'many'"),
        ({"apply_chat_template": True}, "write what follows the flag"),
        ({"ask_again": "yes"}, "write true or false"),
        ({"gen_kwargs": {"max_tokens": 3}}, "write what follows the flag"),
        ({"suite": "quick"}, "`tasks` of the study names the suite"),
        ({"out": "elsewhere"}, "names its folders itself"),
    ],
)
def test_flags_of_score_are_read_before_anything_is_trained(flags: dict[str, Any], said: str) -> None:
    with pytest.raises(SkilldeltaError, match=said):
        check_score_flags(StudySettings("mine", (), score=flags))


def test_flags_of_score_are_written_as_on_the_command_line(tmp_path: Path) -> None:
    flags = {"batch_size": 4, "ask_again": True, "exact_resume": False, "limit": None, "judge": ["a=none", "b=none"]}
    study = plan(tmp_path, score=flags)
    check_score_flags(study.study)
    words = ["--ask-again", "--batch-size=4", "--judge=a=none", "--judge=b=none"]
    assert sorted(study.scoring_flags("results")[4:]) == words
