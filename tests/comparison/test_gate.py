"""One verdict for CI: pass, regression, inconclusive; and how many items would tell."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import harness
from harness.cli import main
from harness.comparison import gate
from harness.comparison.compare import compare
from harness.comparison.result import Comparison, ComparisonSettings
from harness.statistics import power
from harness.types import SkilldeltaError
from tests.checkpoints.test_discovery import model
from tests.support.results_folder import about, sample, store, store_scores

N = 2000


def results(folder: Path, **skills: int) -> Path:
    """sft and dpo on tasks of 2000 items, half right; dpo gains (or, below 0, loses) so many of them."""
    for name, gains in skills.items():
        store_scores(folder, "sft", name, [1.0] * (N // 2) + [0.0] * (N // 2))
        store_scores(folder, "dpo", name, [1.0] * (N // 2 + gains) + [0.0] * (N // 2 - gains))
    return folder


def comparison(folder: Path, **skills: int) -> Comparison:
    return harness.compare(results(folder, **skills), "sft")


def verdict(*arguments: str) -> int:
    with pytest.raises(SystemExit) as end:
        main(["gate", *arguments])
    assert isinstance(end.value.code, int)
    return end.value.code


@pytest.mark.slow
def test_no_loss_passes_a_clear_loss_fails_and_few_items_are_inconclusive(tmp_path: Path) -> None:
    assert verdict(str(results(tmp_path / "same", facts=0)), "--baseline", "sft", "--candidate", "dpo") == 0
    assert verdict(str(results(tmp_path / "lost", facts=-100)), "--baseline", "sft", "--candidate", "dpo") == 1
    store_scores(tmp_path / "few", "sft", "facts", [1.0] * 10 + [0.0] * 10)
    store_scores(tmp_path / "few", "dpo", "facts", [1.0] * 10 + [0.0] * 10)
    assert verdict(str(tmp_path / "few"), "--baseline", "sft", "--candidate", "dpo") == 2


@pytest.mark.slow
def test_what_may_be_lost_is_said_on_the_command_line_or_in_a_policy(tmp_path: Path) -> None:
    folder = str(results(tmp_path / "r", facts=-100, reasoning=0))
    assert verdict(folder, "--baseline", "sft", "--candidate", "dpo", "--max-drop", "facts=8") == 0
    policy = tmp_path / "policy.yaml"
    policy.write_text("skills:\n  facts: {max_drop: 1, kind: advisory}\n")
    assert verdict(folder, "--baseline", "sft", "--candidate", "dpo", "--policy", str(policy)) == 0


def test_its_numbers_read_as_those_of_the_table_do(tmp_path: Path) -> None:
    rows = gate.gate(comparison(tmp_path, facts=-100, reasoning=0), "dpo", gate.Policy()).markdown()
    assert "| −5.0 [−6.0, −4.1] |" in rows
    assert "| 0.0 [" in rows
    assert "+0.0" not in rows
    assert not re.search(r"-\d", rows)


def test_a_drop_that_looks_like_a_share_is_told_its_unit(tmp_path: Path) -> None:
    compared = comparison(tmp_path, facts=0)
    notes = {
        drop: [n for n in gate.gate(compared, "dpo", gate.parse_policy({"default": {"max_drop": drop}})).notes if "share" in n]
        for drop in (0, 0.1, 1, 10)
    }
    note = "- Allowed drops are points of 100: 0.1 is 0.1 points.  If a share is meant, write 10."
    assert notes == {0: [], 0.1: [note], 1: [], 10: []}


@pytest.mark.slow
def test_a_regression_in_one_critical_skill_decides(tmp_path: Path) -> None:
    answer = gate.gate(comparison(tmp_path, facts=-100, reasoning=100), "dpo", gate.Policy())
    assert {c.name: c.answer for c in answer.rule_results} == {"facts": "regression", "reasoning": "pass"}
    assert (answer.answer, answer.exit_code) == ("regression", 1)


def test_a_margin_lets_an_interval_reach_a_little_further(tmp_path: Path) -> None:
    small_loss = comparison(tmp_path, facts=-10)  # half a point, interval to about -0.9
    strict, lenient = ({"default": {"max_drop": 0.6, "margin": m}} for m in (0, 1))
    assert gate.gate(small_loss, "dpo", gate.parse_policy(strict)).answer == "inconclusive"
    assert gate.gate(small_loss, "dpo", gate.parse_policy(lenient)).answer == "pass"


def test_a_metric_can_have_a_rule_and_where_lower_is_better_a_rise_is_the_loss(tmp_path: Path) -> None:
    metric = {"name": "refusals", "part": "refused", "over": "", "group": "", "lower_is_better": True}
    facts = about("chat", "safety", task={"metrics": [metric]})
    for name, every in (("sft", 10), ("dpo", 2)):
        store(tmp_path, name, facts, [sample(i, 1.0, parts={"refused": float(i % every == 0)}) for i in range(400)])
    comparison_ = harness.compare(tmp_path, "sft")
    (result,) = gate.gate(
        comparison_, "dpo", gate.parse_policy({"default": None, "metrics": {"chat/refusals": {"max_drop": 5}}})
    ).rule_results
    assert result.answer == "regression"
    assert result.row is not None
    assert result.row.difference is not None
    assert result.row.difference.delta == pytest.approx(-40)
    assert "chat/refusals, lower is better" in gate.markdown_row(result).replace("\\", "")
    assert verdict(str(tmp_path), "--baseline", "sft", "--candidate", "dpo", "--max-drop", "chat/refusals=60") == 0
    assert verdict(str(tmp_path), "--baseline", "dpo", "--candidate", "sft", "--max-drop", "chat/refusals=0") == 0
    with pytest.raises(SkilldeltaError, match=r"no metric 'chat/refusal'\. Did you mean 'chat/refusals'"):
        gate.gate(comparison_, "dpo", gate.parse_policy({"metrics": {"chat/refusal": {}}}))


@pytest.mark.slow
def test_tasks_and_the_average_can_have_rules(tmp_path: Path) -> None:
    loss_and_gain = comparison(tmp_path, facts=-100, reasoning=100)
    rules = {"default": None, "tasks": {"facts": {"max_drop": 1}}, "average": {"max_drop": 1}}
    answer = gate.gate(loss_and_gain, "dpo", gate.parse_policy(rules))
    assert [(c.level, c.answer) for c in answer.rule_results] == [("task", "regression"), ("average", "pass")]


def test_too_many_unscored_samples_are_no_pass(tmp_path: Path) -> None:
    store_scores(tmp_path, "sft", "facts", [1.0] * N)
    store_scores(tmp_path, "dpo", "facts", [1.0] * (N - 200) + [None] * 200)
    answer = gate.gate(harness.compare(tmp_path, "sft"), "dpo", gate.Policy())
    assert (answer.answer, answer.rule_results[0].why) == ("inconclusive", "200 of 2000 samples have no score")


def test_a_skill_that_was_not_scored_is_inconclusive(tmp_path: Path) -> None:
    results(tmp_path, facts=0)
    store_scores(tmp_path, "sft", "reasoning", [1.0] * N)
    assert gate.gate(harness.compare(tmp_path, "sft"), "dpo", gate.Policy()).answer == "inconclusive"


def test_too_few_samples_and_none_are_said_in_words_and_not_in_impossible_numbers(tmp_path: Path) -> None:
    for name, score in (("sft", 0.3), ("dpo", 0.4)):
        store_scores(tmp_path, name, "reasoning", [score])
    store_scores(tmp_path, "sft", "safety", [1.0, 0.0])
    store_scores(tmp_path, "dpo", "safety", [None, None])
    result = gate.gate(harness.compare(tmp_path, "sft"), "dpo", gate.Policy(max_unscored=100))
    text = result.markdown()
    assert result.answer == "inconclusive"
    assert "too few to detect any difference reliably" in text
    assert "| safety | — | 2 | inconclusive: no sample has a score on both sides |" in text
    assert "nan" not in text


def test_the_summary_names_the_level_of_its_intervals(tmp_path: Path) -> None:
    for name in ("sft", "dpo"):
        store_scores(tmp_path, name, "reasoning", [1.0, 0.0])
    settings = ComparisonSettings(level=0.9)
    assert "difference (90 %)" in gate.gate(compare(tmp_path, "sft", settings), "dpo", gate.Policy()).markdown()


def test_a_wrong_policy_is_refused_with_what_there_is(tmp_path: Path) -> None:
    no_loss = comparison(tmp_path, facts=0)
    with pytest.raises(SkilldeltaError, match=r"no skill 'fact'\. Did you mean 'facts'"):
        gate.gate(no_loss, "dpo", gate.parse_policy({"skills": {"fact": {}}}))
    with pytest.raises(SkilldeltaError, match="max_dorp"):
        gate.parse_policy({"default": {"max_dorp": 1}})
    with pytest.raises(SkilldeltaError, match="no candidate 'ppo'"):
        gate.gate(no_loss, "ppo", gate.Policy())
    assert verdict(str(tmp_path), "--baseline", "sft", "--candidate", "dpo", "--max-drop", "facts=much") == 3


def test_the_summary_is_markdown_that_odd_names_cannot_break(tmp_path: Path) -> None:
    odd = "dpo|<img src=x>@everyone"
    for name in ("sft", odd):
        store(tmp_path, name, about("facts", "a|b"), [sample(i, 1.0) for i in range(N)])
    text = gate.gate(harness.compare(tmp_path, "sft"), odd, gate.Policy()).markdown()
    assert "<img" not in text
    assert "@everyone" not in text
    (line,) = [t for t in text.splitlines() if "a\\|b" in t]
    assert line.count("|") - line.count("\\|") == 6


def test_the_summary_is_appended_to_a_file_and_json_holds_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    summary = tmp_path / "summary.md"
    summary.write_text("before\n")
    folder = str(results(tmp_path / "r", facts=-100))
    verdict(folder, "--baseline", "sft", "--candidate", "dpo", "--summary", str(summary), "--json")
    assert summary.read_text().startswith("before\n### ❌ regression: dpo against sft")
    content = json.loads(capsys.readouterr().out)
    assert (content["answer"], content["rules"][0]["name"], content["rules"][0]["delta"]) == ("regression", "facts", -5.0)


def test_power_is_planned_from_numbers_or_from_results(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["power", "--delta", "3.45", "--discordance", "0.2", "--n", "1319", "--json"])
    (plan,) = json.loads(capsys.readouterr().out)
    assert plan["items_needed"] == pytest.approx(1319, rel=0.05)
    assert plan["detectable"] == pytest.approx(3.5, abs=0.1)
    with pytest.raises(SystemExit):
        main(["power", str(results(tmp_path, facts=-100)), "--baseline", "sft", "--json"])
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["task"], row["discordant_%"], row["items"]) == ("dpo: facts", 5.0, N)


@pytest.mark.parametrize("words", [["power", "--discordance", "15"], ["noise", "x/y", "--share", "15"]])
def test_percent_where_a_share_is_meant_is_refused_with_the_way_out(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code == 3
    assert f"{words[-2]} 15: a share is above 0 and at most 1: for 15 % write 0.15." in capsys.readouterr().err


@pytest.mark.slow
def test_stored_results_are_replayed_and_recipes_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(results(tmp_path, facts=-200))
    with pytest.raises(SystemExit) as end:
        main(["replay", folder, "--baseline", "sft", "--candidate", "dpo", "--json"])
    (row,) = json.loads(capsys.readouterr().out)
    assert end.value.code == 0
    assert row["worse"] == 20
    assert row["used_%"] < 50
    with pytest.raises(SystemExit):
        main(["recipes", folder, "--recipe", "a=sft", "--recipe", "b=dpo", "--json"])
    assert json.loads(capsys.readouterr().out)[0]["delta"] == pytest.approx(-0.1)


def test_settings_out_of_range_are_refused(tmp_path: Path) -> None:
    results(tmp_path, facts=0)
    for wrong in ({"margin": -1}, {"level": 95}, {"family": "bonferroni"}, {"draws": 3}):
        with pytest.raises(SkilldeltaError, match="do not fit"):
            harness.compare(tmp_path, "sft", **wrong)  # type: ignore[arg-type]


def test_power_of_draws_goes_by_problems_not_by_samples(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, right in (("sft", 50), ("dpo", 60)):
        draws = [sample(i, float(i < right), draw=d) for i in range(100) for d in range(10)]
        store(tmp_path, name, about("code", "coding"), draws)
    with pytest.raises(SystemExit):
        main(["power", str(tmp_path), "--baseline", "sft", "--delta", "5", "--json"])
    (row,) = json.loads(capsys.readouterr().out)
    alone = 100 * power.detectable_difference(100, 0.1)
    assert row["detectable"] == pytest.approx(alone, rel=0.15)  # ten equal draws of a problem say no more than one
    assert row["items_needed"] > 1000


def test_asking_again_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, task = model(tmp_path / "sft"), tmp_path / "mine.py"
    task.write_text("from tests.support import toys\nTASKS = (toys.adding(6),)\n")
    flags = ["-t", "adding", "--include-path", str(task), "--backend", "scripted", "--backend-args", "text=4"]
    flags += ["-o", str(tmp_path / "r")]
    for verb in ("score", "noise"):
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main([verb, str(folder), *flags, "--json"])
        assert end.value.code == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["asked_again"], row["scores_changed"]) == (6, 0)


def test_a_large_task_hides_no_items_that_a_small_one_of_its_skill_lacks(tmp_path: Path) -> None:
    """Both tasks weigh the same in the skill: 60 of 100 missing items of one are 30 % of it, and 1.5 % of all items."""
    for name in ("sft", "dpo"):
        store_scores(tmp_path, name, "large", [1.0, 0.0] * 1950, "reasoning")
    store_scores(tmp_path, "sft", "small", [1.0] * 100, "reasoning")
    store_scores(tmp_path, "dpo", "small", [1.0] * 40 + [None] * 60, "reasoning")
    result = gate.gate(harness.compare(tmp_path, "sft"), "dpo", gate.Policy(default=gate.Rule(max_drop=20)))
    assert result.answer == "inconclusive"
    assert result.rule_results[0].why == "of 4000 items, 60 without a score on one side, 30 % of the weight"
    tolerant = gate.Policy(default=gate.Rule(max_drop=20), max_unscored=31)
    assert gate.gate(harness.compare(tmp_path, "sft"), "dpo", tolerant).answer == "pass"


@pytest.mark.parametrize("shorter", ["sft", "dpo"])
def test_items_that_one_side_was_not_asked_yet_are_missing_of_a_metric_too(tmp_path: Path, shorter: str) -> None:
    """An interrupted run: of 100 items it has 40, all of them safe; nobody knows of the others."""
    facts = about("xstest", "safety", task={"metrics": [{"name": "unsafe", "part": "unsafe", "lower_is_better": True}]})
    for name in ("sft", "dpo"):
        count = 40 if name == shorter else 100
        store(tmp_path, name, facts, [sample(i, 1.0, parts={"unsafe": 0.0}) for i in range(count)])
    policy = gate.Policy(default=None, metrics={"xstest/unsafe": gate.Rule(max_drop=20)})
    result = gate.gate(harness.compare(tmp_path, "sft"), "dpo", policy)
    assert (result.answer, result.rule_results[0].why) == ("inconclusive", "of 100 items, 60 without a score on one side")
