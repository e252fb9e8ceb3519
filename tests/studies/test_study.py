"""Studies: what a file may say, what is planned from it, and what is refused before anything runs."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from harness import data
from harness.studies import cost_estimate, real_model
from harness.studies import file as files
from harness.studies.grid import PlannedRun, StudyBase
from harness.studies.plan import StudyPlan
from harness.studies.runner import Runner
from harness.types import SkilldeltaError
from tests.bench import killed
from tests.conftest import ROOT

SMALL = {
    "summary": "a small one",
    "seeds": [0, 1],
    "bases": {"a": {"shape": {"hidden": 16}}, "b": {"shape": {"hidden": 32}}},
    "sizes": {"half": 100},
    "prompts": {"general": {}, "targeted": {"skills": ["reasoning"]}},
    "settings": {"dpo": {"lr": 1e-4}, "ppo": {"kl": 0.1}},
    "grid": [
        {"method": "dpo", "data": ["aspects", "human"], "size": ["full", "half"]},
        {"method": "ppo", "data": "aspects", "reward": ["a", "b"], "prompts": ["general", "targeted"]},
    ],
}


def file(folder: Path, **changes: object) -> Path:
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump({**SMALL, **changes}))
    return path


def plan(folder: Path, **changes: object) -> StudyPlan:
    return StudyPlan(files.read_study_file(file(folder, **changes)))


@pytest.mark.slow
def test_a_grid_is_every_combination_with_every_seed(tmp_path: Path) -> None:
    made = plan(tmp_path)
    assert len(made.runs) == 2 * 2 * 2 + 2 * 2 * 2
    assert made.runs[0] == PlannedRun("dpo", "a", "aspects", "full", seed=0)
    assert len({r.name for r in made.runs}) == len(made.runs)


@pytest.mark.slow
def test_a_label_is_a_runs_name_where_its_entry_is_one_recipe(tmp_path: Path) -> None:
    entries = [
        {"method": "dpo", "label": "fast", "data": "human", "settings": {"lr": 1e-3}},
        {"method": "dpo", "label": "slow", "data": ["human", "web"]},
    ]
    names = [r.name for r in plan(tmp_path, grid=entries).runs]
    assert names == ["fast", "fast-s1", "slow-human-a-s0", "slow-human-a-s1", "slow-web-a-s0", "slow-web-a-s1"]
    scored = [n for n in plan(tmp_path, grid=entries).stages if n.startswith("score-")]
    assert scored == ["score-sft-a", "score-fast", "score-slow-human-a", "score-slow-web-a"]


@pytest.mark.slow
def test_bases_pools_and_reward_models_are_shared(tmp_path: Path) -> None:
    names = list(plan(tmp_path).stages)
    assert len(names) == len(set(names))
    assert {n for n in names if n.startswith("reward-")} == {f"reward-aspects-{b}-s{s}" for b in "ab" for s in (0, 1)}
    assert names.count("pool") == 1
    assert sum(n.startswith("base-") for n in names) == 2


@pytest.mark.slow
def test_seeds_of_a_recipe_are_scored_together(tmp_path: Path) -> None:
    scored = [s for s in plan(tmp_path).stages.values() if s.name.startswith("score-dpo-aspects-a")]
    assert [s.needs for s in scored] == [("dpo-aspects-a-s0", "dpo-aspects-a-s1")]


@pytest.mark.slow
def test_the_same_file_names_runs_that_exist(tmp_path: Path) -> None:
    (tmp_path / "dpo-13b").mkdir()
    entries = [{"method": "dpo", "run": str(tmp_path / "dpo-13b"), "data": "theirs", "base": "13b", "seeds": 3}]
    made = plan(tmp_path, grid=entries, bases={"13b": {"path": "somebody/sft-13b"}})
    assert list(made.stages) == ["score-sft-13b", "score-dpo-theirs-13b"]
    assert made.stages["score-dpo-theirs-13b"].arguments[2] == str(tmp_path / "dpo-13b")
    assert made.stages["score-sft-13b"].arguments[2] == "somebody/sft-13b"
    assert made.runs[0].labels()["data"] == "theirs"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"gird": []}, "no setting 'gird'.*'grid'"),
        ({"grid": [{"method": "dpo", "dada": "human"}]}, "no key of a grid entry 'dada'.*'data'"),
        ({"grid": [{"method": "dpo", "data": "humen"}]}, "no data 'humen'.*'human'"),
        ({"grid": [{"method": "dpi", "data": "human"}]}, "no method 'dpi'.*'dpo'.*copy, dpo, grpo, kto, ppo, reward, sft"),
        ({"grid": [{"method": "dpo", "data": "human", "base": "c"}]}, "no base 'c'.*a, b"),
        ({"grid": [{"method": "dpo", "data": "human", "size": "third"}]}, "no size 'third'.*full, half"),
        ({"grid": [{"method": "dpo", "data": "human", "settings": {"lt": 1}}]}, "no setting 'lt'.*'lr'"),
        ({"grid": [{"method": "ppo", "data": "human", "prompts": "maths"}]}, "no set of prompts 'maths'.*general"),
        ({"grid": [{"method": "dpo"}]}, "names its data"),
        ({"grid": []}, "empty grid"),
        ({"grid": [{"method": "dpo", "data": "human"}] * 2}, "more than once"),
        ({"settings": {"dpo": {"lr": "fast"}}}, "do not fit: lr"),
        ({"bases": {"a": {"shap": {}}}}, "no setting 'shap'.*'shape'"),
        ({"bases": {"a": {"shape": {"hidden": [64]}}}}, "The shape of the base 'a': .*do not fit: hidden"),
        ({"bases": {"a": {"shape": {"layers": "9" * 5000}}}}, "The shape of the base 'a': .*do not fit: layers"),
        ({"bases": {"a": {"shape": {"width": 3}}}}, "The shape of the base 'a': .*no setting 'width'"),
        ({"world": {"chat": 3}}, "no setting 'chat'.*'chats'"),
        ({"tasks": "wrld"}, "no suite 'wrld'.*'world'"),
    ],
)  # fmt: skip
def test_a_fault_is_told_with_what_there_is(tmp_path: Path, changes: dict[str, object], said: str) -> None:
    with pytest.raises(SkilldeltaError, match=said):
        files.read_study_file(file(tmp_path, **changes))


@pytest.mark.slow
@pytest.mark.parametrize("name", files.bundled_studies())
def test_every_study_that_comes_with_the_program_can_be_planned(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOREIGN_DPO", "theirs/dpo")
    monkeypatch.setenv("FOREIGN_PPO", "theirs/ppo")
    whole = StudyPlan(files.read_study_file(files.find_study(name)))
    board = Runner(tmp_path, list(whole.stages.values()))
    if any(base.path for base in whole.study.bases.values()):
        assert {s.name for s in board.ready_stages()} >= {"score-sft-smollm2", "score-other-programs"}
        # In one command: their final models may share a name.
        assert {"theirs/dpo", "theirs/ppo"} <= set(whole.stages["score-other-programs"].arguments)
        return
    assert [s.name for s in board.ready_stages()] == ["data"]
    assert all(cost for cost in cost_estimate.stage_seconds(whole).values())


@pytest.mark.slow
def test_a_task_that_rewards_needs_no_reward_model(tmp_path: Path) -> None:
    """In the entry or among the settings of the entry or of the method; the benchmark's own training rows are the prompts."""
    task = "task:gsm8k_zero_shot"
    by_setting = {"settings": {"reward": f"{task},runs/judge"}}
    for entry, settings in (({"reward": task}, {}), (by_setting, {}), ({}, {"grpo": {"reward": task}})):
        study = plan(tmp_path, grid=[{"method": ["grpo"], **entry}], settings=settings, seeds=[0])
        names = [name for name in study.stages if not name.startswith(("data", "base-", "sft-", "score-"))]
        (name,) = names
        assert name.startswith("grpo-a-by-gsm8k_zero_shot")
        flags = study.stages[name].arguments
        assert any(flag.startswith(f"--reward={task}") for flag in flags)
        assert not any(flag.startswith("--data=") for flag in flags)
        assert study.runs[0].labels()["reward_data"] == "-"


@pytest.mark.slow
def test_tasks_and_reward_models_stand_side_by_side(tmp_path: Path) -> None:
    entry = {"method": "ppo", "data": "aspects", "reward": ["a", "task:gsm8k_zero_shot"], "prompts": "targeted"}
    study = plan(tmp_path, grid=[entry], seeds=[0])
    by_task, by_model = study.runs
    assert (by_task.reward, by_task.data, by_task.has_reward) == ("task:gsm8k_zero_shot", "-", True)
    assert (by_model.reward, by_model.data, by_model.has_reward) == ("a", "aspects", False)
    assert "--data=data/prompts-targeted.jsonl" in study.stages[by_task.name].arguments
    assert "--reward=runs/reward-aspects-a-s0" in study.stages[by_model.name].arguments
    assert [n for n in study.stages if n.startswith("reward-")] == ["reward-aspects-a-s0"]
    assert all(cost_estimate.stage_seconds(study)[run.name] for run in study.runs)


@pytest.mark.slow
def test_a_cost_counts_the_steps_that_are_run_and_no_rows_that_nobody_counted(tmp_path: Path) -> None:
    """With rows of others, `max_steps` tells how many pairs are trained on; without it, their number is not known here."""
    pairs = {"mine": {"files": ["pairs.jsonl"]}}

    def cost(name: str, size: str = "full", **settings: object) -> float | None:
        folder = tmp_path / name
        folder.mkdir()
        entry = {"method": "dpo", "data": "mine", "label": "dpo", "size": size, "settings": settings}
        return cost_estimate.stage_seconds(plan(folder, grid=[entry], data=pairs, sizes={"few": 50}, seeds=[0]))["dpo"]

    short, twice = cost("short", batch=4, max_steps=10), cost("twice", batch=4, max_steps=20)
    assert short is not None
    assert twice is not None
    assert twice - cost_estimate.START_SECONDS == pytest.approx(2 * (short - cost_estimate.START_SECONDS))
    assert cost("all", batch=4) is None
    assert cost("few", "few", batch=4) is not None
    assert cost("few-cut", "few", batch=4, max_steps=10) == pytest.approx(short)
    assert cost("few-whole", "few", batch=4, max_steps=1000) == pytest.approx(cost("few-again", "few", batch=4))
    assert cost_estimate.question_tokens("real-quick") == (100 + 50) * cost_estimate.REAL_QUESTION / 3
    assert cost_estimate.question_tokens("real") is None, "HumanEval+ is asked whole: its size is not in the suite"


@pytest.mark.parametrize("size", [[64], "wide", None, 1e308, {"a": 1}])
def test_a_base_whose_config_says_no_size_has_no_estimate(size: object, tmp_path: Path) -> None:
    sizes = {"hidden_size": size, "num_hidden_layers": 2, "intermediate_size": 8, "vocab_size": 9}
    (tmp_path / "config.json").write_text(json.dumps(sizes))
    count = cost_estimate.parameter_count(StudyBase(path=str(tmp_path)))
    assert count is None or count > 1e300


def test_a_misspelt_task_is_no_reward(tmp_path: Path) -> None:
    with pytest.raises(SkilldeltaError, match=r"no task 'gsm9k'.*Did you mean 'gsm8k'"):
        files.read_study_file(file(tmp_path, grid=[{"method": "ppo", "reward": "task:gsm9k"}]))


def test_a_file_names_folders_by_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_MODELS", "/models")
    bases = {"a": {"path": "${MY_MODELS}/sft"}, "b": {"path": "${NOT_SET_HERE:-somebody/sft}"}}
    grid = [
        {"method": "dpo", "data": "mine", "base": "b"},
        {"method": "dpo", "run": "${NOT_SET_HERE}/dpo", "full": True},
    ]
    path = file(tmp_path, bases=bases, grid=grid, data={"mine": {"files": ["${MY_MODELS}.jsonl"]}})
    study = files.read_study_file(path, full=False)
    assert [base.path for base in study.bases.values()] == ["/models/sft", "somebody/sft"]
    assert study.data["mine"].files == ("/models.jsonl",)
    with pytest.raises(SkilldeltaError, match=r"names \$.NOT_SET_HERE.*export NOT_SET_HERE="):
        files.read_study_file(path)


@pytest.mark.slow
def test_a_trainer_in_one_new_file_is_known_to_studies_their_estimates_and_the_list(tmp_path: Path) -> None:
    for folder in ("harness", "tasks", "reports"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    trainers = tmp_path / "harness" / "trainers"
    shutil.copy(trainers / "dpo.py", trainers / "kto.py")
    study = {"summary": "does KTO pay?", "tasks": "world", "bases": {"sft": {"documents": 1000}},
             "grid": [{"method": ["dpo", "kto"], "data": "human"}]}  # fmt: skip
    (tmp_path / "kto.yaml").write_text(yaml.safe_dump(study))

    def say(*arguments: str) -> str:
        command = [sys.executable, "-P", str(tmp_path / "harness" / "__main__.py"), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True, cwd=tmp_path, timeout=300).stdout

    rows = {words[0]: words for words in map(str.split, say("study", "kto.yaml", "--plan").splitlines()) if words}
    assert float(rows["kto-human-sft-s0"][-3].strip(",")) > 0  # the estimate, before the stages that it needs
    assert rows["kto-human-sft-s0"][1:] == [w.replace("dpo-human", "kto-human") for w in rows["dpo-human-sft-s0"][1:]]
    assert "score-kto-human-sft" in rows
    assert "kto" in say("list", "trainers")


def test_older_study_files_call_the_copy_again(tmp_path: Path) -> None:
    entries = [{"method": "again", "label": "sft-again"}]
    assert plan(tmp_path, grid=entries).stages["sft-again"].arguments[:2] == ("harness.studies.work", "copy")


def test_an_unknown_study_is_told_with_those_there_are() -> None:
    with pytest.raises(SkilldeltaError, match=r"no study 'unpacking-quik'.*'unpacking-quick'"):
        files.find_study("unpacking-quik")


@pytest.mark.slow
def test_what_is_for_the_full_study_waits_for_it(tmp_path: Path) -> None:
    entries = [*SMALL["grid"], {"method": "dpo", "label": "more", "data": "web", "full": True}]  # type: ignore[misc]
    path = file(tmp_path, grid=entries)
    assert len(files.read_study_file(path, full=True).grid) == 3
    assert len(files.read_study_file(path, full=False).grid) == 2


def test_more_seeds_leave_what_is_done_as_it_is(tmp_path: Path) -> None:
    """A stage's key follows from its own command and needs: more seeds repeat nothing but scoring."""
    study = files.read_study_file(file(tmp_path))
    one, other = StudyPlan(study), StudyPlan(replace(study, seeds=(0, 1, 2)))
    keys = [Runner(tmp_path, list(p.stages.values())).keys for p in (one, other)]
    same = {n for n in keys[0] if keys[1].get(n) == keys[0][n]}
    assert {n for n in keys[0] if not n.startswith("score-")} <= same


TINY = {
    "summary": "every kind of stage, at no cost",
    "seeds": [0, 1],
    "bases": {"medium": {"documents": 300, "shape": {"hidden": 16, "layers": 1, "heads": 2, "feedforward": 32}}},
    "world": {"chats": 60, "prompts": 60, "policy_prompts": 60, "samples": 2},
    "settings": {
        "sft": {"lr": 1e-3, "batch": 16, "epochs": 1, "max_length": 128},
        "dpo": {"lr": 1e-4, "batch": 16, "epochs": 1, "max_length": 160},
        "reward": {"lr": 1e-3, "batch": 16, "max_length": 160, "max_new": 56, "samples": 32},
        "ppo": {"lr": 1e-4, "batch": 8, "minibatch": 8, "max_steps": 3, "max_new": 56, "max_prompt": 96, "save_steps": 2},
    },
    "best_of": {"n": 2, "items": 3},
    "grid": [
        {"method": "dpo", "data": "aspects"},
        {"method": "ppo", "data": "aspects", "seeds": [0]},
        {"method": "again", "label": "sft-again"},
    ],
}


@pytest.mark.slow
def test_a_study_killed_at_any_moment_ends_with_the_report_of_an_undisturbed_one(tmp_path: Path) -> None:
    suite = {"summary": "a few questions of each task", "tasks": [{"task": f"world_{t}", "limit": 4} for t in ("sums", "harm")]}
    (tmp_path / "few.yaml").write_text(yaml.safe_dump(suite))
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump({**TINY, "tasks": str(tmp_path / "few.yaml")}))
    out, first = tmp_path / "run", tmp_path / "undisturbed"
    killed.undisturbed(str(tmp_path / "tiny.yaml"), out)
    told = json.loads((out / "study.json").read_text())
    assert [c["labels"]["method"] for c in told["cells"]] == ["sft", "dpo", "dpo", "ppo", "sft-again"]
    assert [c["seed"] for c in told["cells"]] == [0, 0, 1, 0, 0]
    assert told["baseline"] == told["cells"][0]["checkpoint"]
    assert (out / told["cells"][3]["run"] / "run.json").is_file()
    assert told["rewards"][0]["accuracy"]["n"] >= 0
    shutil.move(out, first)
    # Whenever these moments fall, on however busy a machine: what is interrupted is gone on with.
    killed.disturbed(str(tmp_path / "tiny.yaml"), out, [9, 14])
    assert not killed.unlike(first / "report", out / "report")
    assert (out / "study.json").read_bytes() == (first / "study.json").read_bytes()


@pytest.mark.parametrize("name", ["HF_TOKEN", "OPENAI_API_KEY", "AWS_SECRET_ACCESS", "DB_PASSWORD"])
def test_a_file_reads_no_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "hf_0123456789")
    with pytest.raises(SkilldeltaError, match=f"{name}.*called like a secret") as caught:
        files.read_study_file(file(tmp_path, bases={"a": {"path": f"${{{name}}}"}}))
    assert "hf_0123456789" not in str(caught.value)


def test_a_packaged_model_becomes_a_folder_that_a_study_starts_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables of the demo on a real model: what the user has set stays, what a data folder holds is taken."""
    pairs = tmp_path / real_model.OWN_PAIRS
    pairs.parent.mkdir()
    pairs.write_bytes(b"")
    messages: list[str] = []
    for name, value in ((real_model.MODEL, "mine/model"), (real_model.PAIRS, ""), (data.VARIABLE, str(tmp_path))):
        monkeypatch.setenv(name, value)
    real_model.prepare_environment(tmp_path / "demo", messages.append)
    study = files.read_study_file(files.find_study("smollm2-quick"), full=False)
    assert study.data["pairs"].files == (str(pairs),)
    assert study.bases["smollm2"].path == "mine/model"
    assert messages == [f"Model: mine/model.  Pairs: {pairs}."]
