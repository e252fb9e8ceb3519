"""Suites with weights and skills of their own: what they weigh in every mean, and where that is kept."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import api, suites
from harness.cli import main
from harness.comparison import tradeoff
from harness.comparison.explain import explain_cell
from harness.comparison.recipes import compare_recipes
from harness.comparison.result import ComparisonSettings
from harness.evaluation.item_rounds import plan_course
from harness.evaluation.questions import EvaluationSettings
from harness.mean_rules import FILE, MeanRule, read_rule, store_rule
from harness.statistics.aggregates import Interval
from harness.statistics.weighted_means import weighted_mean
from harness.types import SkilldeltaError
from tests.checkpoints.test_discovery import model
from tests.support import toys
from tests.support.own_tasks import OwnTasks, choices
from tests.support.results_folder import store_scores

SKILLS = {"sums": "reasoning", "proofs": "reasoning", "facts": "factuality"}
WEIGHED = "summary: mine\nweights: {reasoning: 3}\ntasks:\n  - {task: sums, weight: 4}\n  - {task: proofs}\n  - {task: facts}\n"
OWN_TASKS = "from tests.support import toys\nTASKS = (toys.adding(6), toys.adding(9, name='more'))\n"


def skilldelta(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        main([str(a) for a in arguments])
    out, err = capsys.readouterr()
    return int(stop.value.code or 0), out, err


def write(folder: Path, text: str, name: str = "mine.yaml") -> str:
    (folder / name).write_text(text)
    return str(folder / name)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights") / "results"
    rng = np.random.default_rng(4)
    for name, merit in (("sft", 0.4), ("dpo", 0.6)):
        for task, skill in SKILLS.items():
            store_scores(folder, name, task, [float(x) for x in rng.random(60) < merit], skill)
    return folder


@pytest.mark.parametrize(
    ("text", "shares"),
    [
        (WEIGHED, {"sums": 0.6, "proofs": 0.15, "facts": 0.25}),
        (WEIGHED.replace("weights: {reasoning: 3}", "mean: tasks"), {"sums": 4 / 6, "proofs": 1 / 6, "facts": 1 / 6}),
        ("summary: s\nmean: tasks\ntasks: [{task: sums}, {task: proofs}, {task: facts}]", dict.fromkeys(SKILLS, 1 / 3)),
        ("summary: s\ntasks: [{task: sums, skill: own}, {task: proofs}, {task: facts}]", dict.fromkeys(SKILLS, 1 / 3)),
    ],
)
def test_scores_and_differences_are_the_weighted_means_of_the_tasks(
    text: str, shares: dict[str, float], results: Path, tmp_path: Path
) -> None:
    comparison = api.compare(results, "sft", suite=write(tmp_path, text))
    for name in ("sft", "dpo"):
        tasks = {task: comparison.row(name, "task", task) for task in SKILLS}
        average = comparison.row(name, "average", "average")
        assert average.score == pytest.approx(sum(share * tasks[t].score for t, share in shares.items()))
        if average.difference:
            deltas = {t: row.difference.delta for t, row in tasks.items() if row.difference}
            assert average.difference.delta == pytest.approx(sum(share * deltas[t] for t, share in shares.items()))


def test_a_weighted_skill_has_the_interval_of_a_weighted_sum(results: Path, tmp_path: Path) -> None:
    comparison = api.compare(results, "sft", suite=write(tmp_path, WEIGHED))
    tasks = [comparison.row("dpo", "task", name).difference for name in ("sums", "proofs")]
    skill = comparison.row("dpo", "skill", "reasoning").difference
    values, intervals = zip(*((d.delta, Interval(d.delta_low, d.delta_high)) for d in tasks if d), strict=True)
    expected, interval = weighted_mean(values, intervals, [0.8, 0.2])
    assert skill
    assert (skill.delta, skill.delta_low, skill.delta_high) == pytest.approx((expected, interval.low, interval.high))


@pytest.mark.parametrize(
    ("rule", "share"),  # of reasoning, which has two tasks, in the mean of the skills that are not safety
    [("weights: {reasoning: 3}", 0.75), ("mean: tasks", 2 / 3), ("weights: {safety: 9}", 0.5)],
)
def test_the_other_skills_of_a_front_weigh_as_in_the_average(rule: str, share: float, tmp_path: Path) -> None:
    rng, folder, skills = np.random.default_rng(5), tmp_path / "results", SKILLS | {"harm": "safety"}
    for name, merit in (("sft", 0.3), ("dpo", 0.7)):
        for number, (task, skill) in enumerate(skills.items()):
            store_scores(folder, name, task, [float(x) for x in rng.random(40) < merit + number / 20], skill)
    tasks = "".join(f"  - {{task: {task}}}\n" for task in skills)
    comparison = api.compare(folder, "sft", suite=write(tmp_path, f"summary: mine\n{rule}\ntasks:\n{tasks}"))
    (front,) = (front for front in tradeoff.skill_fronts(comparison) if front.target == "safety")
    for name, (_, others) in front.scores.items():
        reasoning, factuality = (comparison.row(name, "skill", skill).score for skill in ("reasoning", "factuality"))
        assert others.value == pytest.approx(share * reasoning + (1 - share) * factuality)


def test_explain_shows_the_weights_and_the_numbers_of_the_table(results: Path, tmp_path: Path) -> None:
    suite = write(tmp_path, WEIGHED)
    explanation = explain_cell(results, ("sft", "dpo", "reasoning"), ComparisonSettings(suite=suite))
    assert {m.name: m.weight for m in explanation.members} == pytest.approx({"sums": 0.8, "proofs": 0.2})
    row = api.compare(results, "sft", suite=suite).row("dpo", "skill", "reasoning").difference
    step = next(s for s in explanation.steps if s.name == "difference")
    assert row
    assert (step.value, step.low) == (row.delta, row.delta_low)
    assert "weighted mean of 2 differences" in step.method
    assert "0.8 * " in step.formula


def test_the_folder_keeps_the_rule_for_every_later_comparison(results: Path, tmp_path: Path) -> None:
    suite = write(tmp_path, WEIGHED)
    expected = api.compare(results, "sft", suite=suite).row("dpo", "average", "average").score
    plain = api.compare(results, "sft").row("dpo", "average", "average").score
    assert plain != expected
    try:
        assert store_rule(results, suites.find_suite(suite).rule) is None
        assert store_rule(results, MeanRule()) is None, "a plain suite leaves the rule as it is"
        by_folder = api.compare(results, "sft")
        assert by_folder.row("dpo", "average", "average").score == expected
        assert any("Means follow the suite mine" in caveat and "sums 4, reasoning 3" in caveat for caveat in by_folder.caveats)
        assert api.compare(results, "sft", suite="none").row("dpo", "average", "average").score == plain
        rows = compare_recipes([results], {"a": ["sft"], "b": ["dpo"]})
        own = {r.name: r.contrast.delta for r in rows}
        assert own["reasoning"] == pytest.approx(0.8 * own["sums"] + 0.2 * own["proofs"])
    finally:
        (results / FILE).unlink()


def test_two_folders_with_different_rules_ask_for_one(tmp_path: Path) -> None:
    folders = [tmp_path / "one", tmp_path / "two"]
    for number, folder in enumerate(folders):
        for name in ("sft", "dpo"):
            store_scores(folder, name, f"task {number}", [0.0, 1.0], "skill")
        store_rule(folder, MeanRule(f"s{number}", tasks={"task 0": 2.0 + number}))
    with pytest.raises(SkilldeltaError, match=r"average differently \(suites s0 and s1\).*--suite none"):
        api.compare(folders, "sft")
    assert api.compare(folders, "sft", suite="none").row("dpo", "average", "average").score == 50


def test_what_the_suite_names_and_the_results_lack_is_said(results: Path, tmp_path: Path) -> None:
    text = "summary: s\ntasks: [{task: sums, weight: 2}, {task: gsm8k, weight: 5}]"
    caveats = " ".join(api.compare(results, "sft", suite=write(tmp_path, text)).caveats)
    assert "The suite has also gsm8k: not scored here" in caveats
    assert "does not name" in caveats
    assert "proofs" in caveats


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("summary: x\ntasks: [{task: gsm8k, weight: 0}]", "weight of gsm8k is 0"),
        ("summary: x\ntasks: [{task: gsm8k, weight: -1}]", "weight of gsm8k is -1"),
        ("summary: x\ntasks: [{task: gsm8k, weight: .inf}]", "weight of gsm8k is inf"),
        ("summary: x\ntasks: [{task: gsm8k, weight: heavy}]", "heavy"),
        ("summary: x\nmean: median\ntasks: [{task: gsm8k}]", "mean"),
        ("summary: x\nmean: tasks\nweights: {reasoning: 2}\ntasks: [{task: gsm8k}]", "weights of skills have no effect"),
        ("summary: x\nweights: {resoning: 2}\ntasks: [{task: gsm8k}]", "Did you mean 'reasoning'"),
    ],
)
def test_a_wrong_weight_is_refused(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(SkilldeltaError, match=said):
        suites.load_suite(write(tmp_path, text))


def test_limits_of_the_file_hold_for_tasks_without_their_own(tmp_path: Path) -> None:
    text = "summary: x\nlimit: 5\nseed: 1\ntasks: [{task: gsm8k}, {task: ifeval, limit: 7}, {task: xstest, limit: null}]"
    selections = suites.load_suite(write(tmp_path, text))[1]
    assert {name: (s.limit, s.seed) for name, s in selections.items()} == {
        "gsm8k": (5, 1),
        "ifeval": (7, 1),
        "xstest": (None, 1),
    }


@pytest.mark.parametrize("content", ["[]", "{", '{"tasks": {"a": "b"}}', '{"tasks": {"a": -1}}', '{"mean": "mode"}'])
def test_a_damaged_rule_is_refused_with_its_file(content: str, tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(content)
    with pytest.raises(SkilldeltaError, match=FILE):
        read_rule(tmp_path)


@pytest.mark.slow
@given(
    st.dictionaries(st.sampled_from("abcdef"), st.floats(0.01, 100), min_size=1),
    st.dictionaries(st.sampled_from("xyz"), st.floats(0.01, 100)),
    st.sampled_from(["skills", "tasks"]),
)
def test_shares_add_up_and_a_mean_of_tasks_knows_no_skills(
    tasks: dict[str, float], weights: dict[str, float], mean: str
) -> None:
    rule = MeanRule("s", tasks=tasks, weights=weights if mean == "skills" else {}, mean=mean)  # type: ignore[arg-type]
    skills = {"x": ["a", "b"], "y": ["c"], "z": ["d", "e", "f"]}
    shares = rule.shares(skills)
    assert sum(shares.values()) == pytest.approx(1)
    if mean == "tasks":
        total = sum(tasks.get(t, 1.0) for t in "abcdef")
        assert shares == pytest.approx({t: tasks.get(t, 1.0) / total for t in "abcdef"})
    else:
        own = dict(zip(skills, rule.skill_shares(skills), strict=True))
        assert {s: sum(shares[t] for t in ts) for s, ts in skills.items()} == pytest.approx(own)


def test_choosing_weighs_as_the_comparison_does() -> None:
    tasks = [toys.adding(6), toys.adding(6, name="more")]
    course, _ = plan_course(tasks, EvaluationSettings(), rule=MeanRule("s", tasks={"adding": 3.0}))
    plain, _ = plan_course(tasks, EvaluationSettings())
    ratio = [a.share / b.share for a, b in zip(course.parts, plain.parts, strict=True)]
    assert ratio[0] / ratio[1] == pytest.approx(3)


@pytest.mark.slow
def test_from_the_file_to_the_gate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An own task gets a skill by the file; earlier answers count; a later weighted suite replaces the rule and says so."""
    own, output = write(tmp_path, OWN_TASKS, "own.py"), tmp_path / "results"
    suite = write(tmp_path, "summary: x\ntasks: [{task: adding, skill: sums, weight: 2}, {task: more, skill: sums}]")
    for name, text in (("sft", "4"), ("dpo", "12")):
        score = ["score", model(tmp_path / name), "--include-path", own, "--backend", "scripted", "-o", output]
        score += ["--backend-args", f"text={text}"]
        assert skilldelta(capsys, *score, "-t", "more")[0] == 0
        assert (output / FILE).exists() == (name == "dpo")
        code, _, err = skilldelta(capsys, *score, "--suite", suite)
        assert code == 0, err
    code, out, err = skilldelta(capsys, "compare", output, "--baseline", "sft", "--allow", "backend.text", "--json")
    assert code == 0, err
    rows = {(r["checkpoint"], r["level"], r["name"]): r for r in json.loads(out)["rows"]}
    skill = rows["dpo", "skill", "sums"]
    assert skill["score"] == pytest.approx(
        (2 * rows["dpo", "task", "adding"]["score"] + rows["dpo", "task", "more"]["score"]) / 3
    )
    gate = ["gate", output, "--baseline", "sft", "--candidate", "dpo", "--allow", "backend.text", "--max-drop", "sums=99"]
    assert "sums" in skilldelta(capsys, *gate)[1]
    other = write(tmp_path, "summary: y\ntasks: [{task: adding, weight: 7}]", "other.yaml")
    assert "follow the suite other from now on, and no longer mine" in skilldelta(capsys, *score, "--suite", other)[2]


@pytest.mark.slow
def test_an_lm_eval_task_gets_a_skill_and_a_weight_in_a_suite(tmp_path: Path) -> None:
    OwnTasks(tmp_path).task("own_sums", choices(4))
    suite = write(
        tmp_path, 'summary: x\ntasks: [{task: "lm-eval:own_sums", skill: arithmetic, weight: 3}, {task: gsm8k}]', "s.yml"
    )
    tasks, _ = suites.load_suite(suite, (tmp_path / "own_sums.yaml",))
    assert {t.name: t.skill for t in tasks} == {"lm-eval:own_sums": "arithmetic", "gsm8k": "reasoning"}
    assert suites.find_suite(suite).rule.tasks["lm-eval:own_sums"] == 3
