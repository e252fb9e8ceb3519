"""Claims of a published study, tested on folders of studies whose truth is known."""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from harness.atomic_files import write_json
from harness.cli import main
from harness.statistics import training_variance, variance_shrinkage
from harness.statistics.aggregates import Floats, Interval, simple_design
from harness.statistics.estimate import Variance
from harness.statistics.training_variance import RecipeContrast, TaskItems
from harness.studies import claims, claims_contrast, claims_file, claims_measures, file, record
from harness.studies.claims import HypothesisResult, assess_claims, claim_verdict
from harness.studies.claims_contrast import independent_groups, pair_recipes, region_p_values
from harness.studies.claims_file import Claim, ClaimsFile, Comparand, Direction, Hypothesis
from harness.studies.claims_measures import SCORE, StudyMeasures, read_cost
from harness.studies.plan import StudyPlan
from harness.studies.record import StudyRecord
from harness.studies.trained_model import Column, NotInStudy, TrainedModel
from harness.types import SkilldeltaError
from reports.claims import render_study
from tests.support.forked import run_command
from tests.support.study_folder import SFT, Made, dpo, ppo

SKILLS = ("reasoning", "safety")
KINDS = ("aspects", "overall", "human", "web")


def merit(labels: Mapping[str, str], skill: str) -> float:
    """PPO 8 points over DPO; human votes cost safety; targeted prompts 20 points of reasoning; reward models help to choose."""
    if labels.get("best"):
        return 0.4
    if "method" not in labels:
        return {"medium": 0.5, "large": 0.5}[labels["reward"]]
    score = 0.5 + 0.08 * (labels["method"] == "ppo")
    score -= 0.3 * (labels["data"] == "human" and skill == "safety")
    return score + 0.2 * (labels["prompts"] == "targeted" and skill == "reasoning")


def steps(labels: Mapping[str, str]) -> float:
    return {"sft": 0.2, "dpo": 0.4}.get(labels.get("method", ""), 0.7)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    maker = Made(tmp_path_factory.mktemp("claims") / "study", merit, skills=SKILLS, items=200, steps=steps)
    recipes = [SFT, *map(dpo, KINDS), *map(ppo, KINDS), ppo(reward="large"), ppo(reward="large", prompts="targeted")]
    rewards = [{"reward": "medium", "reward_data": kind} for kind in KINDS] + [{"reward": "large", "reward_data": "aspects"}]
    return maker.study(recipes, rewards)


@pytest.fixture(scope="module")
def results(study: Path) -> dict[str, HypothesisResult]:
    return {r.test.name: r for r in assess_claims(study, "claims").hypotheses()}


def assess_one(
    study: Path, folder: Path, direction: str, margin: float = 2, measure: str = "average", **sides: str
) -> HypothesisResult:
    """A file of a single hypothesis."""
    path = folder / "claims.yaml"
    test = f"these: {sides['these']}, those: {sides['those']}, measure: {measure}, direction: {direction}, margin: {margin}"
    path.write_text(f"summary: one\nclaims:\n  - claim: it is so\n    tests:\n      - {{name: it, says: it is so, {test}}}\n")
    return assess_claims(study, path).hypotheses()[0]


@pytest.mark.slow
def test_effects_that_exist_are_supported(results: dict[str, HypothesisResult]) -> None:
    names = ("ppo-over-dpo", "ppo-shows-steps", "ppo-flops", "ppo-seconds", "human-costs-safety", "targeted-helps-reasoning",
             "larger-reward-accuracy")  # fmt: skip
    assert {name: results[name].verdict for name in names} == dict.fromkeys(names, "supported")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("direction", "margin", "alike", "verdict"),
    [
        ("less", 2, False, "contradicted"), ("greater", 2, True, "inconclusive"), ("equal", 2, True, "inconclusive"),
        ("equal", 12, True, "supported"), ("not greater", 12, True, "supported"), ("equal", 1, False, "contradicted"),
        ("not greater", 1, False, "contradicted"), ("not less", 1, False, "supported"),
    ],
)  # fmt: skip
def test_a_verdict_follows_from_the_direction_the_margin_and_the_truth(
    study: Path, tmp_path: Path, direction: str, margin: float, alike: bool, verdict: str
) -> None:
    same = {"these": "{method: dpo, data: aspects}", "those": "{method: dpo, data: web}"}
    unlike = {"these": "{method: ppo, reward: medium}", "those": "{method: dpo}"}
    assert assess_one(study, tmp_path, direction, margin, **(same if alike else unlike)).verdict == verdict


def test_a_hypothesis_without_runs_is_not_run_and_names_what_is_missing(results: dict[str, HypothesisResult]) -> None:
    assert results["larger-base"].verdict == "not run"
    assert results["larger-base"].reason == "not in this study: no method dpo, data aspects, size full, base large"
    assert "no coding among what was asked (reasoning, safety)" in results["ppo-coding"].reason


def test_an_estimate_is_the_mean_of_the_paired_differences(study: Path, results: dict[str, HypothesisResult]) -> None:
    measures = StudyMeasures(record.read(study))

    def mean(method: str, data: str) -> float:
        runs = [m for m in measures.record.policies if m.labels["method"] == method and m.labels["data"] == data]
        runs = [m for m in runs if m.labels["reward"] in ("-", "medium")]
        assert len(runs) == 3
        return float(measures.values((SCORE, "world_reasoning"), runs).mean())

    gap = np.mean([mean("ppo", data) - mean("dpo", data) for data in KINDS])
    measured = results["ppo-reasoning"].measured
    assert measured is not None
    assert measured.estimate == pytest.approx(100 * gap)
    assert (measured.pairs, measured.runs) == (4, 24)


def test_costs_are_compared_as_ratios_by_welchs_test(study: Path, tmp_path: Path) -> None:
    sides = {"these": "{method: ppo, data: aspects, reward: medium}", "those": "{method: dpo, data: aspects}"}
    measured = assess_one(study, tmp_path, "greater", measure="flops", **sides).measured
    ours, theirs = (np.log([own * (1 + 0.01 * s) + reward for s in range(3)]) for own, reward in ((8e9, 1e9), (2e9, 0)))
    assert measured is not None
    assert measured.unit == "times"
    assert measured.estimate == pytest.approx(np.exp(ours.mean() - theirs.mean()))
    # In the study the variance is one that all recipes have a say in; without them the test is Welch's.
    alone = training_variance.recipe_sum(
        [training_variance.RecipeScores("", (-theirs[:, None],)), training_variance.RecipeScores("", (ours[:, None],))]
    )
    welch = stats.ttest_ind(ours, theirs, equal_var=False)
    assert alone.p == pytest.approx(welch.pvalue)
    assert alone.freedom == pytest.approx(welch.df)


def test_policies_of_one_reward_model_are_bound_together_and_others_are_not(study: Path) -> None:
    policies = record.read(study).policies
    large = [m for m in policies if m.labels["reward"] == "large"]
    assert [[len(g) for g in group] for group in independent_groups(large)] == [[2, 2, 2]]
    apart = [m for m in policies if m.labels["method"] == "dpo"]
    assert [[len(g) for g in group] for group in independent_groups(apart)] == [[1, 1, 1]] * 4


def test_pairs_weigh_the_same_and_sides_cancel() -> None:
    models = [
        model(method=m, data=d, seed=s) for m in ("dpo", "ppo") for d in ("aspects", "web") for s in range(2 + (d == "web"))
    ]
    weights, pairs = pair_recipes(grid(models), comparand({"method": ("ppo",)}, {"method": ("dpo",)}))
    assert pairs == 2
    assert sum(weights.values()) == pytest.approx(0)
    assert {m.labels["data"]: w for m, w in weights.items() if w > 0} == {"aspects": 1 / 4, "web": 1 / 6}


def test_a_side_without_a_partner_is_left_out() -> None:
    models = grid([model(method="dpo", data="aspects"), model(method="ppo", data="aspects"), model(method="ppo", data="web")])
    weights, _ = pair_recipes(models, comparand({"method": ("ppo",)}, {"method": ("dpo",)}))
    assert [w for _, w in sorted((m.labels["data"], w) for m, w in weights.items())] == [-1.0, 1.0]
    with pytest.raises(NotInStudy, match="nothing that pairs method ppo, data web with method dpo"):
        pair_recipes(models, comparand({"method": ("ppo",), "data": ("web",)}, {"method": ("dpo",)}))


def test_a_model_that_lacks_a_label_pairs_as_one_to_which_it_does_not_apply() -> None:
    models = [
        model(method="dpo", data="web"),
        model(method="ppo", data="web"),
        model(method="ppo"),
        model(method="dpo", seed=1),
    ]
    weights, pairs = pair_recipes(grid(models), comparand({"method": ("ppo",)}, {"method": ("dpo",)}))
    assert pairs == 2
    assert sorted(weights.values()) == [-0.5, -0.5, 0.5, 0.5]


def verdict_of(difference: RecipeContrast, direction: Direction, margin: float) -> str:
    inside, outside = region_p_values(difference, *Hypothesis("", "", {}, {}, ("average",), direction, 100 * margin).region)
    return "inconclusive" if min(inside, outside) > 0.05 else "supported" if inside <= outside else "contradicted"


@pytest.mark.parametrize(
    ("low", "high", "direction", "verdict"),
    [
        (1, 3, "greater", "supported"), (-3, -1, "greater", "contradicted"), (-1, 3, "greater", "inconclusive"),
        (-1, 1, "equal", "supported"), (3, 5, "equal", "contradicted"), (1, 3, "equal", "inconclusive"),
        (-9, 1, "not greater", "supported"), (3, 5, "not greater", "contradicted"), (-1, 9, "not less", "supported"),
    ],
)  # fmt: skip
def test_the_margin_and_the_interval_decide_as_they_should(low: float, high: float, direction: Direction, verdict: str) -> None:
    assert verdict_of(around(low, high), direction, 2) == verdict


@given(st.floats(-5, 5), st.floats(0.01, 3), st.sampled_from(["greater", "less", "equal", "not greater", "not less"]))
def test_a_verdict_agrees_with_the_interval(delta: float, half: float, direction: Direction) -> None:
    low, high = Hypothesis("", "", {}, {}, ("average",), direction, 100).region
    difference = around(delta - half, delta + half)
    inside = low < difference.interval.low and difference.interval.high < high
    outside = difference.interval.high < low or difference.interval.low > high
    edges = [abs(end - bound) for end in (delta - half, delta + half) for bound in (low, high)]
    if min(edges) > 1e-6:
        expected = "supported" if inside else "contradicted" if outside else "inconclusive"
        assert verdict_of(difference, direction, 1) == expected


def test_a_claim_holds_where_all_of_its_hypotheses_do() -> None:
    assert claim_verdict(["supported", "supported"]) == "supported"
    assert claim_verdict(["supported", "contradicted", "not run"]) == "contradicted"
    assert claim_verdict(["supported", "not run"]) == "inconclusive"
    assert claim_verdict(["not run", "not run"]) == claim_verdict([]) == "not run"


@pytest.mark.slow
def test_one_seed_is_said_to_be_about_these_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    maker = Made(tmp_path / "one", merit, seeds=(0,), skills=SKILLS, items=150)
    folder = maker.study([SFT, dpo(), ppo()], [{"reward": "medium", "reward_data": "aspects"}])
    with pytest.raises(SystemExit):
        main(["claims", str(folder)])
    text = capsys.readouterr().out
    assert "There is one run of" in text
    assert "not about the recipe" in text
    with pytest.raises(SystemExit) as ended:
        main(["claims", str(folder), "--json"])
    assert ended.value.code == 0
    content = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    flops = next(h for claim in content["claims"] for h in claim["hypotheses"] if h["name"] == "ppo-flops")
    assert flops["verdict"] == "inconclusive"  # a single number a side tells nothing of how it varies
    assert (flops["found"]["estimate"], flops["found"]["high"], flops["found"]["detectable"]) == (4.5, None, None)
    assert "× 4.5 [× 0, × inf] | 1.000 | — |" in (folder / "report" / "claims.md").read_text()


class RandomScores(StudyMeasures):
    """Scores that are made up, of recipes that do not differ."""

    def __init__(self, source: np.random.Generator, recipes: Sequence[str], items: int, wobble: Sequence[float]) -> None:
        policies = [model(method="dpo", data=name, seed=s) for name in recipes for s in range(3)]
        super().__init__(grid(policies))
        easy = source.normal(0.5, 0.2, items)
        shift = {m: source.normal(0, wobble[recipes.index(m.labels["data"])]) for m in policies}
        self.made_up = {m: (source.random(items) < easy + shift[m]).astype(float) for m in policies}

    def columns(self, measure: Sequence[str]) -> dict[Column, float]:
        return {("score", "task"): 1.0}

    def values(self, column: Column, runs: Sequence[TrainedModel]) -> Floats:
        return np.stack([self.made_up[m] for m in runs])

    def items(self, column: Column, runs: Sequence[TrainedModel]) -> TaskItems:
        return TaskItems(simple_design(len(self.made_up[runs[0]])))


def false_alarms(wobble: Sequence[float], trials: int, family: str) -> float:
    """How often any of four true null hypotheses gets a verdict."""
    names = ("a", "b", "c", "d", "e", "f", "g", "h")
    pairs = [("a", "b"), ("c", "d"), ("e", "f"), ("g", "h")]
    tests = tuple(Hypothesis(f"{x}{y}", "", {"data": (x,)}, {"data": (y,)}, ("average",), "greater") for x, y in pairs)
    hypotheses = ClaimsFile("", claims=(Claim("", tests if family == "holm" else tests[:1]),))
    source = np.random.default_rng(5)
    alarms = 0
    for _ in range(trials):
        results = claims.assess(RandomScores(source, names, 150, wobble), hypotheses, family).hypotheses()
        alarms += any(r.verdict != "inconclusive" for r in results)
    return alarms / trials


@pytest.mark.slow
@pytest.mark.parametrize(
    ("wobble", "trials", "family", "most"),
    [
        ([0.03] * 8, 200, "none", 0.09),  # 5 %, and two and a half standard errors
        ([0.005, 0.06] * 4, 200, "none", 0.09),  # also where recipes vary unlike
        ([0.03] * 8, 100, "holm", 0.11),
    ],
)
def test_a_claim_without_an_effect_is_rarely_decided_with_three_seeds(
    wobble: list[float], trials: int, family: str, most: float
) -> None:
    assert false_alarms(wobble, trials, family) <= most


def test_a_common_variance_is_worth_what_the_recipes_have_in_common() -> None:
    source = np.random.default_rng(1)
    alike = variance_shrinkage.fit_prior([Variance(float(source.chisquare(2) / 2), 2.0) for _ in range(400)])
    assert alike is not None
    assert alike.freedom > 20
    assert alike.variance == pytest.approx(1, rel=0.1)
    unlike = variance_shrinkage.fit_prior(
        [Variance(float(source.chisquare(2) / 2 * 6 / source.chisquare(6)), 2.0) for _ in range(4000)]
    )
    assert unlike is not None
    assert unlike.freedom == pytest.approx(6, rel=0.25)
    assert unlike.variance == pytest.approx(1, rel=0.1)


def test_a_variance_is_moved_towards_the_common_one() -> None:
    prior = variance_shrinkage.VariancePrior(variance=4.0, freedom=6.0, max_freedom=30.0)
    assert prior.shrink(Variance(0.0, 2.0)) == Variance(3.0, 8.0)
    assert prior.shrink(Variance(4.0, 2.0)) == Variance(4.0, 8.0)
    assert variance_shrinkage.VariancePrior(4.0, 60.0, 30.0).shrink(Variance(4.0, 2.0)).freedom == 30.0
    assert variance_shrinkage.fit_prior([Variance(1.0, 2.0)] * 2) is None
    assert variance_shrinkage.fit_prior([Variance(0.0, 2.0)] * 9) is None
    assert variance_shrinkage.inverse_trigamma(np.pi**2 / 6) == pytest.approx(1)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("7 + 5 = 12. The answer is 12.", True), ("so 3 * (2 + 1) = 9", True), ("12/3 = $4", True),
        ("She has 20 − 4 = 16 eggs", True), ("The answer is 12.", False), ("12", False), ("x = 12", False),
        ("The result = 12", False), ("Ann has 7 apples and buys 5.", False),
    ],
)  # fmt: skip
def test_a_worked_step_is_recognised(text: str, shown: bool) -> None:
    assert bool(claims_measures.WORKED_STEP.search(text)) == shown


def test_the_shares_of_answers_with_steps_are_those_of_the_stored_answers(results: dict[str, HypothesisResult]) -> None:
    measured = results["ppo-shows-steps"].measured
    assert measured is not None
    assert measured.estimate == pytest.approx(30, abs=4)


def test_published_figures_are_those_of_the_tables() -> None:
    bundled = claims_file.read(claims_file.find("claims"))
    figures = {h.name: bundled.figure(h.published, h.measure) for h in bundled.hypotheses()}
    expected = {"ppo-over-dpo": (0.7, "high"), "aspects-over-overall": (0.7, "medium-high"),
                "lifts-truthfulness": (12.7, "high"),
                "overall-over-human": (60.3 - np.mean([56.9, 54.7, 51.5, 56.2, 58.1, 58.0]), "medium-high"),
                "larger-reward-best-of-n": (4.2, "medium"), "human-costs-safety": ((67.3 + 58.1) / 2 - 91.8, "high"),
                "mixed-prompts": (-0.4, "medium-high"), "recipe-over-sft": (6.0, "high")}  # fmt: skip
    for name, (value, certainty) in expected.items():
        figure = figures[name]
        assert figure is not None
        assert (figure.value, figure.certainty) == (pytest.approx(value), certainty), name
    without_number = figures["ppo-shows-steps"]
    assert without_number is not None
    assert without_number.value is None


def planned(name: str) -> StudyRecord:
    """The record that a study's file would make."""
    plan = StudyPlan(file.read_study_file(file.find_study(name), full=True))
    policies = [TrainedModel(r.name, "", r.labels(), r.seed) for r in plan.runs if r.method != "reward"]
    starts = [TrainedModel(f"sft-{base}", "", record.sft_labels(base), 0) for base in plan.study.bases]
    rewards = [
        TrainedModel(n, "", {"reward": r.reward, "reward_data": r.data, "size": r.size}, r.seed)
        for n, r in plan.rewards.items()
    ]
    return grid([*starts, *policies], rewards)


@pytest.mark.slow
def test_the_small_study_has_the_runs_of_every_claim() -> None:
    bundled, small = claims_file.read(claims_file.find("claims")), planned("unpacking-small")
    seeds = set(file.read_study_file(file.find_study("unpacking-small"), full=True).seeds)
    assert len(seeds) >= 3
    sides = [side for h in bundled.hypotheses() for _, side in h.comparands()]
    for side in sides:
        weights, _ = pair_recipes(small, side)  # raises where a selection matches nothing
        assert {m.seed for m in weights if not m.is_start} == seeds, side
    existing = {pair for m in (*small.policies, *small.rewards) for pair in m.labels.items()}
    selections = [s for side in sides for s in (side.these, side.those)]
    selections += [row.these for table in bundled.tables for row in table.rows]
    assert {(label, value) for s in selections for label, values in s.items() for value in values} <= existing


@pytest.mark.slow
@pytest.mark.parametrize("name", ["table-1", "table-2", "table-3", "table-4", "sizes"])
def test_the_small_study_has_a_line_for_every_row_of_a_table(name: str) -> None:
    small = planned("unpacking-small")
    (table,) = (t for t in claims_file.read(claims_file.find("claims")).tables if t.name == name)
    for row in table.rows:
        recipes = {m.recipe for m in claims_contrast.select(small.policies, row.these)}
        assert len(recipes) == 1 or name == "sizes"


@pytest.mark.slow
def test_the_report_is_complete_and_twice_the_same(study: Path, tmp_path: Path) -> None:
    first, second = (render_study(assess_claims(study, "claims"), tmp_path / name) for name in ("a", "b"))
    assert [p.name for p in first] == ["claims.md", "claims.json", "claims.csv", "claims.png", "claims.svg"]
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in second]
    text = first[0].read_text()
    assert "| **PPO costs more compute** |" in text
    assert "## Results unlike the published ones" in text
    assert "*UltraFeedback (fine-grained)*" in text
    table_3 = text.split("(table 3)")[1].splitlines()
    assert "| recipe | runs | reward accuracy | best of n | average | reasoning | safety |" in table_3
    rows = list(csv.DictReader(first[2].read_text().splitlines()))
    assert {r["verdict"] for r in rows} >= {"supported", "inconclusive", "not run"}
    assert len(rows) == sum(len(c["hypotheses"]) for c in json.loads(first[1].read_text())["claims"])


@pytest.mark.slow
def test_the_verb_reads_a_study_again(study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["claims", str(study), "-o", str(tmp_path / "out"), "--json", "--correction", "bh"])
    assert ended.value.code == 0
    content = json.loads(capsys.readouterr().out)
    assert content["family"].startswith("Benjamini-Hochberg over the ")
    assert {row["recipe"] for row in content["tables"]} >= {"sft, base medium"}
    for arguments, message in (
        ([str(tmp_path)], "holds no study.json: it is no study's folder"),
        ([str(study), "--correction", "bonferoni"], "There are: bh, holm, none."),
    ):
        with pytest.raises(SystemExit) as ended:
            main(["claims", *arguments])
        assert ended.value.code == 3
        assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"results": "../elsewhere"}, "lies outside of the study's folder"),
        ({"cells": [{"checkpoint": "x"}]}, "does not describe a study"),
        ({"cells": ["x"]}, "does not describe a study"),
        ({"rewards": [{"run": "r", "labels": {}, "seed": 0, "accuracy": {"n": 5}}]}, "does not describe a study: 'share'"),
    ],
)
def test_a_damaged_or_a_hostile_study_is_refused(study: Path, tmp_path: Path, changes: dict[str, object], message: str) -> None:
    write_json(tmp_path / "study.json", json.loads((study / "study.json").read_text()) | changes)
    with pytest.raises(SkilldeltaError, match=message):
        record.read(tmp_path)


@pytest.mark.parametrize("results", ["circle", "a\0b", "circle/../../..", "x" * 5000])
def test_a_study_whose_results_are_nowhere_is_refused(results: str, study: Path, tmp_path: Path) -> None:
    write_json(tmp_path / "study.json", json.loads((study / "study.json").read_text()) | {"results": results})
    (tmp_path / "circle").symlink_to("circle")
    code, output = run_command(["claims", str(tmp_path)])
    assert code == 3, output
    assert str(tmp_path) in output


@pytest.mark.parametrize(
    "amount", [{"update": "x"}, {"update": 10**400}, {"update": [1]}, 10**400, float("nan"), {"a": 1e308, "b": 1e308}]
)
def test_a_cost_that_is_no_finite_number_is_none(amount: object) -> None:
    assert read_cost({"seconds": amount}, "seconds") == 0.0
    assert read_cost({"seconds": {"update": 2, "save": 0.5}}, "seconds") == 2.5


HYPOTHESIS = "name: a, says: s, these: {a: b}, those: {a: c}, measure: average, direction: greater"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("claims: [{claim: y}]", "needs tests, or says under `untested`"),
        ("claims: [{claim: y, tests: [{name: a, direction: up}]}]", "These settings do not fit"),
        ("claims: [{claim: y, tests: [{%s, margn: 3}]}]" % HYPOTHESIS, "There is no setting 'margn'.*'margin'"),  # noqa: UP031
        ("claims: [{claim: y, tests: [{%s}, {%s}]}]" % (HYPOTHESIS, HYPOTHESIS), "two tests are named 'a'"),  # noqa: UP031
        ("published: unpacking-dpo-ppo\n"
         "tables: [{name: t, title: t, rows: [{these: {}, published: {table: table1, row: SHP}}]}]",
         "There is no row or group in table1 'SHP'"),
    ],
)  # fmt: skip
def test_a_faulty_file_of_claims_says_what_is_wrong(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(f"summary: x\n{text}")
    with pytest.raises(SkilldeltaError, match=message):
        claims_file.read(path)


def model(seed: int = 0, **labels: str) -> TrainedModel:
    return TrainedModel("-".join([*labels.values(), str(seed)]), "", labels, seed)


def grid(policies: Sequence[TrainedModel], rewards: Sequence[TrainedModel] = ()) -> StudyRecord:
    return StudyRecord(Path(), "", "", "", tuple(policies), tuple(rewards))


def comparand(these: Mapping[str, tuple[str, ...]], those: Mapping[str, tuple[str, ...]]) -> Comparand:
    return Comparand(these, those, ("average",))


def around(low: float, high: float) -> RecipeContrast:
    """An estimate with this 95 % interval, of many degrees of freedom."""
    error = (high - low) / 2 / stats.norm.ppf(0.975)
    return RecipeContrast((low + high) / 2, Interval(low, high), 0.0, float("inf"), error**2, 0.0)


def test_the_second_difference_takes_over_the_parts_that_it_leaves_open() -> None:
    test = Hypothesis("", "", {"a": ("1",)}, {"a": ("2",)}, ("average",), "greater", beyond=Comparand(measure=("safety",)))
    assert test.comparands()[1] == (-1.0, Comparand({"a": ("1",)}, {"a": ("2",)}, ("safety",)))
