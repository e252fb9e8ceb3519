"""Real recorded outcomes compared: Llama 3 before and after DPO on code, four GPT-3 runs on GSM8K."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from scipy import stats

import harness
from harness.comparison.replay import replay
from tests.support.results_folder import about, sample, store


@pytest.fixture(scope="module")
def coding(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """EvalPlus' verdicts on every solution of the two models."""
    folder = tmp_path_factory.mktemp("coding")
    for suite in ("humaneval", "mbpp"):
        for file in (real_data / f"{suite}plus" / "golden").rglob("*eval_results.json"):
            results = json.loads(file.read_text())["eval"]
            samples = [sample(task, float(outcomes[0]["plus_status"] == "pass")) for task, outcomes in results.items()]
            store(folder, "dpo" if "dpo" in file.name else "instruct", about(f"{suite}_plus", "coding"), samples)
    return folder


@pytest.mark.data
def test_dpo_cost_llama_3_humaneval_but_not_mbpp(coding: Path) -> None:
    comparison = harness.compare(coding, "instruct")
    human, mbpp = (comparison.row("dpo", "task", f"{s}_plus") for s in ("humaneval", "mbpp"))
    assert human.difference is not None
    assert mbpp.difference is not None
    assert human.score == pytest.approx(100 * 79 / 164, abs=2)  # the file's own verdicts, not the leaderboard's
    assert human.difference.verdict == "worse"
    assert mbpp.difference.verdict == "unclear"
    flips = human.difference.flips
    assert flips is not None
    assert human.difference.p == pytest.approx(stats.binomtest(flips.lost, flips.lost + flips.gained).pvalue, abs=1e-12)
    skill = comparison.row("dpo", "skill", "coding").difference
    assert skill is not None
    assert skill.delta == pytest.approx((human.difference.delta + mbpp.difference.delta) / 2)


@pytest.mark.slow
@pytest.mark.data
def test_the_sequential_test_comes_to_the_same_verdicts(coding: Path) -> None:
    by_task = {r.task: r for r in replay(coding, "instruct", "dpo")}
    assert {d.verdict for d in by_task["humaneval_plus"].decisions} == {"worse"}
    assert by_task["humaneval_plus"].share_used < 1
    assert [d.verdict for d in by_task["mbpp_plus"].decisions].count("unclear") >= 18


@pytest.mark.slow
@pytest.mark.data
def test_larger_models_are_better_on_gsm8k_and_few_items_would_have_told(real_data: Path, tmp_path: Path) -> None:
    with gzip.open(real_data / "gsm8k" / "golden" / "example_model_solutions.jsonl.gz", "rt") as stream:
        rows = [json.loads(line) for line in stream]
    names = [k for k, v in rows[0].items() if isinstance(v, dict) and "is_correct" in v]
    for name in names:
        store(
            tmp_path, name, about("gsm8k", "reasoning"), [sample(i, float(r[name]["is_correct"])) for i, r in enumerate(rows)]
        )
    totals = {n: sum(r[n]["is_correct"] for r in rows) for n in names}
    least = min(names, key=totals.__getitem__)
    comparison = harness.compare(tmp_path, least)
    for name in names:
        row = comparison.row(name, "task", "gsm8k")
        assert row.score == pytest.approx(100 * totals[name] / 1319)
        assert row.difference is None or row.difference.verdict == "better"
    (replayed_task,) = replay(tmp_path, least, max(names, key=totals.__getitem__))
    assert replayed_task.share_used < 0.1
