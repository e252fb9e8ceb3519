"""skilldelta explain: the numbers of `compare`, with the files, counts and formulas behind them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

import harness
from harness.cli import main
from harness.comparison.explain import Explanation, Step, explain_cell
from harness.comparison.result import without_nan
from harness.types import SkilldeltaError, digest
from tests.support.results_folder import about, sample, store, store_scores

TASKS = ("binary", "fractional", "clustered", "macro", "f1")


def step(explanation: Explanation, name: str) -> Step:
    return next(s for s in explanation.steps if s.name == name)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A baseline and two candidates on a task of each kind; the second candidate is a little better."""
    folder = tmp_path_factory.mktemp("explain")
    rng = np.random.default_rng(0)
    easy = rng.random(120)
    groups = {"group": ["a", "b", "c"]}
    f1 = about("f1", "safety", task={"aggregate": "f1", "positive": "a"})
    for name, merit in (("sft", 0.0), ("dpo", 0.02), ("ppo", 0.25)):
        right = [float(x) for x in rng.random(120) < np.clip(easy + merit, 0, 1)]
        store_scores(folder, name, "binary", right, "reasoning")
        shares = np.clip(easy + merit + rng.normal(0, 0.2, 120), 0, 1)
        store_scores(folder, name, "fractional", [float(x) for x in shares], "reasoning")
        draws = [sample(i // 5, right[i], draw=i % 5) for i in range(120)]
        store(folder, name, about("clustered", "coding"), draws)
        for task in (about("macro", "facts", task={"aggregate": "macro"}), f1):
            store(folder, name, task, [sample(i, right[i], group=groups["group"][i % 3]) for i in range(120)])
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("candidate", ["dpo", "ppo"])
@pytest.mark.parametrize("name", [*TASKS, "reasoning", "coding", "average"])
def test_every_number_is_that_of_comparison_json(results: Path, candidate: str, name: str) -> None:
    content = harness.compare(results, "sft").json()
    row = next(r for r in content["rows"] if (r["checkpoint"], r["name"]) == (candidate, name))
    base = next(r for r in content["rows"] if (r["checkpoint"], r["name"]) == ("sft", name))
    explanation = explain_cell(results, ("sft", candidate, name))
    steps = {s["name"]: (s["value"], s["low"], s["high"]) for s in explanation.json()["steps"]}
    assert steps == {
        "score of sft": (base["score"], base["score_low"], base["score_high"]),
        f"score of {candidate}": (row["score"], row["score_low"], row["score_high"]),
        "difference": (row["delta"], row["delta_low"], row["delta_high"]),
        "p": (row["p"], None, None),
        "p adjusted": (row["p_adjusted"], None, None),
        "detectable difference": (row["mde"], None, None),
    }
    assert (explanation.verdict, explanation.pairs, explanation.missing) == (row["verdict"], row["pairs"], row["missing"])


def test_a_0_1_task_is_explained_by_its_contingency_table(results: Path) -> None:
    explanation = explain_cell(results, ("sft", "ppo", "binary"))
    counts = explanation.counts
    assert sum(counts.values()) == explanation.pairs == 120
    exact = stats.binomtest(counts["lost"], counts["lost"] + counts["gained"]).pvalue
    assert step(explanation, "p").value == pytest.approx(exact)
    formula = f"b = {counts['lost']} lost, c = {counts['gained']} gained: p = min(1, 2 * P(X <= {counts['lost']}))"
    assert step(explanation, "p").formula.startswith(formula)
    assert 100 * (counts["gained"] - counts["lost"]) / 120 == pytest.approx(step(explanation, "difference").value)
    assert set(explanation.flips["gained"]) <= {digest(i) for i in range(120)}
    assert "max-T over 10 tests (2 candidates), 9999 joint sign flips" in step(explanation, "p adjusted").method


def test_the_files_are_named_with_their_lines(results: Path) -> None:
    first, second = explain_cell(results, ("sft", "dpo", "clustered")).files
    assert Path(first.task_json) == results / "sft" / "clustered" / "task.json"
    assert Path(second.samples).read_bytes().count(b"\n") == second.lines == second.scored_count == 120


def test_clusters_and_draws_are_told_apart(results: Path) -> None:
    explanation = explain_cell(results, ("sft", "ppo", "clustered"))
    assert (explanation.pairs, explanation.clusters) == (120, 24)
    assert "clusters that changed, 9999 draws, seed (0, " in step(explanation, "p").method
    assert all(" draw " in label for label in explanation.flips["gained"])


def test_the_drawn_p_is_the_quotient_that_the_formula_shows(results: Path) -> None:
    p = step(explain_cell(results, ("sft", "dpo", "fractional")), "p")
    numerator, denominator = p.formula.rsplit(" = ", 1)[1].split(" / ")
    assert p.value == int(numerator) / int(denominator)


def test_an_f1_is_explained_by_the_counts_of_its_groups(results: Path) -> None:
    explanation = explain_cell(results, ("sft", "ppo", "f1"))
    score, difference = step(explanation, "score of ppo"), step(explanation, "difference")
    assert "mid-P limits of the counts" in score.method
    assert "mid-P limits of the counts" in difference.method
    assert " of 40 positive and " in score.formula
    assert " of 80 other decisions are right" in score.formula
    assert difference.formula.startswith(f"{difference.value:.4f}; every difference whose shares have a sum of u^2 <= z^2")


def test_draws_of_an_f1_are_explained_by_both_intervals(tmp_path: Path) -> None:
    for name, right in (("sft", 5), ("dpo", 9)):
        lines = [sample(i // 3, float(i % 10 < right), draw=i % 3, group="ab"[i // 3 % 2]) for i in range(60)]
        store(tmp_path, name, about("f1", "safety", task={"aggregate": "f1", "positive": "a"}), lines)
    explanation = explain_cell(tmp_path, ("sft", "dpo", "f1"))
    for name in ("score of dpo", "difference"):
        assert "the wider of both on each side" in step(explanation, name).method
        assert "mid-P" in step(explanation, name).formula


def test_holm_is_shown_with_the_p_values_of_the_family(tmp_path: Path) -> None:
    for name, right in (("sft", 10), ("dpo", 30)):
        for task, more in (("a", 0), ("b", right)):
            store_scores(tmp_path, name, task, [1.0] * (10 + more) + [0.0] * (50 - more), "reasoning")
    p_adjusted = step(explain_cell(tmp_path, ("sft", "dpo", "b")), "p adjusted")
    assert p_adjusted.method == "Holm over the tasks of each candidate: a family of 2"
    p = step(explain_cell(tmp_path, ("sft", "dpo", "b")), "p").value
    assert p_adjusted.formula.startswith(f"min(1, max(2 * {p:.4g})) = ")
    assert p_adjusted.value == pytest.approx(2 * p)


def test_a_skill_is_explained_by_its_tasks(results: Path) -> None:
    explanation = explain_cell(results, ("sft", "ppo", "reasoning"))
    assert [(m.name, m.weight) for m in explanation.members] == [("binary", 0.5), ("fractional", 0.5)]
    mean = sum(m.weight * m.delta for m in explanation.members)
    assert step(explanation, "difference").value == pytest.approx(mean)


def test_the_verdict_comes_with_the_rule_that_applied(results: Path, tmp_path: Path) -> None:
    assert explain_cell(results, ("sft", "ppo", "binary")).rule.startswith("p adjusted 0.0001 <= 0.05 and difference > 0")
    for name in ("sft", "twin"):
        store_scores(tmp_path, name, "mmlu", [1.0, 0.0] * 500)
    assert explain_cell(tmp_path, ("sft", "twin", "mmlu")).rule.endswith("lies within +- 2 points")


@pytest.mark.slow
def test_unknown_names_are_refused_with_the_nearest(results: Path) -> None:
    for names, message in (
        (("stf", "dpo", "binary"), r"no checkpoint 'stf'\. Did you mean 'sft'"),
        (("sft", "dqo", "binary"), r"no candidate 'dqo'\. Did you mean 'dpo'"),
        (("sft", "dpo", "binray"), r"no task or skill 'binray'\. Did you mean 'binary'"),
    ):
        with pytest.raises(SkilldeltaError, match=message):
            explain_cell(results, names)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["binary", "average"])
def test_the_command_prints_the_same_facts(results: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["explain", str(results), "--baseline", "sft", "--candidate", "ppo", "--task", name]
    with pytest.raises(SystemExit) as end:
        main([*arguments, "--json"])
    assert end.value.code == 0
    content = json.loads(capsys.readouterr().out)
    assert content == without_nan(json.loads(json.dumps(explain_cell(results, ("sft", "ppo", name)).json())))
    with pytest.raises(SystemExit):
        main(arguments)
    text = capsys.readouterr().out
    for entry in content["steps"]:
        assert entry["formula"] in text
