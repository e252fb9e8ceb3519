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

from harness.cli import main
from harness.statistics import training_variance, variance_shrinkage
from harness.statistics.estimate import Floats, Interval, Spread
from harness.statistics.training_variance import Between
from harness.store import write_json
from harness.studies import claims, file, record
from harness.studies.claims import claims_file, contrast, findings, grid, measures, report, verdicts
from harness.studies.claims.claims_file import Claim, Sheet, Side, Test
from harness.studies.claims.contrast import Column
from harness.studies.claims.findings import Finding, Findings
from harness.studies.claims.grid import Entry, File, Grid, values
from harness.studies.claims.measures import Book
from harness.studies.plan import Plan
from harness.types import SkilldeltaError
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
    made = Made(tmp_path_factory.mktemp("claims") / "study", merit, skills=SKILLS, items=200, steps=steps)
    recipes = [SFT, *map(dpo, KINDS), *map(ppo, KINDS), ppo(reward="large"), ppo(reward="large", prompts="targeted")]
    rewards = [{"reward": "medium", "reward_data": kind} for kind in KINDS] + [{"reward": "large", "reward_data": "aspects"}]
    return made.study(recipes, rewards)


@pytest.fixture(scope="module")
def found(study: Path) -> dict[str, Finding]:
    return {f.test.name: f for f in report.of(study, "claims").findings.all()}


def test_effects_that_are_there_are_found(found: dict[str, Finding]) -> None:
    names = ("ppo-over-dpo", "ppo-shows-steps", "ppo-flops", "ppo-seconds", "human-costs-safety", "targeted-helps-reasoning",
             "larger-reward-accuracy")  # fmt: skip
    assert {name: found[name].verdict for name in names} == dict.fromkeys(names, "supported")


def test_the_opposite_of_what_is_there_is_contradicted(study: Path, tmp_path: Path) -> None:
    text = claims_of("less", these="{method: ppo, reward: medium}", those="{method: dpo}")
    assert verdict(study, tmp_path, text) == "contradicted"


def test_small_differences_are_not_decided_or_with_a_margin_shown_to_be_small(study: Path, tmp_path: Path) -> None:
    same = {"these": "{method: dpo, data: aspects}", "those": "{method: dpo, data: web}"}
    assert verdict(study, tmp_path, claims_of("greater", **same)) == "not decided"
    assert verdict(study, tmp_path, claims_of("equal", margin=2, **same)) == "not decided"
    assert verdict(study, tmp_path, claims_of("equal", margin=12, **same)) == "supported"
    assert verdict(study, tmp_path, claims_of("not greater", margin=12, **same)) == "supported"
    apart = {"these": "{method: ppo, reward: medium}", "those": "{method: dpo}"}
    assert verdict(study, tmp_path, claims_of("equal", margin=1, **apart)) == "contradicted"
    assert verdict(study, tmp_path, claims_of("not greater", margin=1, **apart)) == "contradicted"
    assert verdict(study, tmp_path, claims_of("not less", margin=1, **apart)) == "supported"


def test_what_the_grid_has_not_is_not_run_and_says_what_is_missing(found: dict[str, Finding]) -> None:
    assert found["larger-base"].verdict == "not run"
    assert found["larger-base"].reason == "not in this study: no method dpo, data aspects, size full, base large"
    assert "no coding among what was asked (reasoning, safety)" in found["ppo-coding"].reason


def test_an_estimate_is_the_mean_of_the_paired_differences(study: Path, found: dict[str, Finding]) -> None:
    book = Book(grid.read(study))
    column = (measures.SCORE, "world_reasoning")

    def mean(method: str, data: str) -> float:
        runs = [c for c in book.grid.cells if c.labels["method"] == method and c.labels["data"] == data]
        runs = [c for c in runs if c.labels["reward"] in ("-", "medium")]
        assert len(runs) == 3
        return float(book.values(column, runs).mean())

    gap = np.mean([mean("ppo", data) - mean("dpo", data) for data in KINDS])
    measured = found["ppo-reasoning"].measured
    assert measured is not None
    assert measured.estimate == pytest.approx(100 * gap)
    assert (measured.pairs, measured.runs) == (4, 24)


def test_costs_are_compared_as_ratios_by_welchs_test(study: Path, tmp_path: Path) -> None:
    sides = {"these": "{method: ppo, data: aspects, reward: medium}", "those": "{method: dpo, data: aspects}"}
    one = whole(study, tmp_path, claims_of("greater", **sides, measure="flops")).measured
    ours, theirs = (np.log([own * (1 + 0.01 * s) + reward for s in range(3)]) for own, reward in ((8e9, 1e9), (2e9, 0)))
    assert one is not None
    assert one.unit == "times"
    assert one.estimate == pytest.approx(np.exp(ours.mean() - theirs.mean()))
    # In the study the variance is one that all recipes have a say in; without them the test is Welch's.
    alone = training_variance.together(
        [training_variance.Recipe("", (-theirs[:, None],)), training_variance.Recipe("", (ours[:, None],))]
    )
    welch = stats.ttest_ind(ours, theirs, equal_var=False)
    assert alone.p == pytest.approx(welch.pvalue)
    assert alone.freedom == pytest.approx(welch.df)


def test_policies_of_one_reward_model_are_bound_together_and_others_are_not(study: Path) -> None:
    here = grid.read(study)
    large = [c for c in here.cells if c.labels["reward"] == "large"]
    assert [[len(g) for g in group] for group in contrast.groups(large)] == [[2, 2, 2]]
    apart = [c for c in here.cells if c.labels["method"] == "dpo"]
    assert [[len(g) for g in group] for group in contrast.groups(apart)] == [[1, 1, 1]] * 4


def test_pairs_weigh_the_same_and_sides_cancel() -> None:
    entries = [
        entry(method=m, data=d, seed=s) for m in ("dpo", "ppo") for d in ("aspects", "web") for s in range(2 + (d == "web"))
    ]
    weights = contrast.between(entries, {"method": ("ppo",)}, {"method": ("dpo",)})
    assert len(weights.contexts) == 2
    assert sum(weights.coefficients.values()) == pytest.approx(0)
    assert {e.labels["data"]: c for e, c in weights.coefficients.items() if c > 0} == {"aspects": 1 / 4, "web": 1 / 6}


def test_a_side_without_a_partner_is_left_out() -> None:
    entries = [entry(method="dpo", data="aspects"), entry(method="ppo", data="aspects"), entry(method="ppo", data="web")]
    weights = contrast.between(entries, {"method": ("ppo",)}, {"method": ("dpo",)})
    assert [c for _, c in sorted((e.labels["data"], c) for e, c in weights.coefficients.items())] == [-1.0, 1.0]
    with pytest.raises(contrast.NotRun, match="nothing that pairs method ppo, data web with method dpo"):
        contrast.between(entries, {"method": ("ppo",), "data": ("web",)}, {"method": ("dpo",)})


def test_the_margin_and_the_interval_decide_as_they_should() -> None:
    assert verdicts.region("equal", 2) == (-2, 2)
    for low, high, direction, said in (
        (1, 3, "greater", "supported"), (-3, -1, "greater", "contradicted"), (-1, 3, "greater", "not decided"),
        (-1, 1, "equal", "supported"), (3, 5, "equal", "contradicted"), (1, 3, "equal", "not decided"),
        (-9, 1, "not greater", "supported"), (3, 5, "not greater", "contradicted"), (-1, 9, "not less", "supported"),
    ):  # fmt: skip
        tested = verdicts.test(around(low, high), verdicts.region(direction, 2))  # type: ignore[arg-type]
        assert verdicts.verdict(tested, tested.p, 0.05) == said, (low, high, direction)


@given(st.floats(-5, 5), st.floats(0.01, 3), st.sampled_from(["greater", "less", "equal", "not greater", "not less"]))
def test_a_verdict_is_what_the_interval_says(delta: float, half: float, direction: str) -> None:
    low, high = verdicts.region(direction, 1.0)  # type: ignore[arg-type]
    found = around(delta - half, delta + half)
    tested = verdicts.test(found, (low, high))
    inside = low < found.interval.low and found.interval.high < high
    outside = found.interval.high < low or found.interval.low > high
    edges = [abs(end - bound) for end in (delta - half, delta + half) for bound in (low, high)]
    if min(edges) > 1e-6:
        assert verdicts.verdict(tested, tested.p, 0.05) == (
            "supported" if inside else "contradicted" if outside else "not decided"
        )


def test_a_claim_holds_where_all_of_its_hypotheses_do() -> None:
    assert verdicts.all_of(["supported", "supported"]) == "supported"
    assert verdicts.all_of(["supported", "contradicted", "not run"]) == "contradicted"
    assert verdicts.all_of(["supported", "not run"]) == "not decided"
    assert verdicts.all_of(["not run", "not run"]) == "not run"


def test_one_seed_is_said_to_be_about_these_runs(tmp_path: Path) -> None:
    made = Made(tmp_path / "one", merit, seeds=(0,), skills=SKILLS, items=150)
    folder = made.study([SFT, dpo(), ppo()], [{"reward": "medium", "reward_data": "aspects"}])
    text = report.text(report.of(folder, "claims").findings)
    assert "There is one run of" in text
    assert "not about the recipe" in text
    one = {f.test.name: f for f in report.of(folder, "claims").findings.all()}
    assert one["ppo-flops"].verdict == "not decided"  # a single number a side tells nothing of how it varies


class Memory(Book):
    """Scores that are made up, of recipes that do not differ."""

    def __init__(self, source: np.random.Generator, recipes: Sequence[str], items: int, wobble: Sequence[float]) -> None:
        cells = [entry(method="dpo", data=name, seed=s) for name in recipes for s in range(3)]
        super().__init__(Grid(Path(), File("", "", "", ()), tuple(cells), ()))
        easy = source.normal(0.5, 0.2, items)
        shift = {e: source.normal(0, wobble[recipes.index(e.labels["data"])]) for e in cells}
        self.scores = {e: (source.random(items) < easy + shift[e]).astype(float) for e in cells}

    def columns(self, measure: Sequence[str]) -> dict[Column, float]:
        return {("score", "task"): 1.0}

    def values(self, column: Column, entries: Sequence[Entry]) -> Floats:
        return np.stack([self.scores[e] for e in entries])


def false_alarms(wobble: Sequence[float], trials: int, family: findings.Family) -> float:
    """How often any of four true null hypotheses gets a verdict."""
    names = ("a", "b", "c", "d", "e", "f", "g", "h")
    pairs = [("a", "b"), ("c", "d"), ("e", "f"), ("g", "h")]
    tests = tuple(Test(f"{x}{y}", "", {"data": (x,)}, {"data": (y,)}, ("average",), "greater") for x, y in pairs)
    one = Sheet("", claims=(Claim("", tests if family == "holm" else tests[:1]),))
    source = np.random.default_rng(5)
    alarms = 0
    for _ in range(trials):
        found = findings.judge_all(Memory(source, names, 150, wobble), one, family).all()
        alarms += any(f.verdict != "not decided" for f in found)
    return alarms / trials


def test_a_claim_without_an_effect_is_rarely_decided_with_three_seeds() -> None:
    assert false_alarms([0.03] * 8, 200, "none") <= 0.09  # 5 %, and two and a half standard errors
    assert false_alarms([0.005, 0.06] * 4, 200, "none") <= 0.09  # also where recipes vary unlike
    assert false_alarms([0.03] * 8, 100, "holm") <= 0.11


def test_a_common_variance_is_worth_what_the_recipes_have_in_common() -> None:
    source = np.random.default_rng(1)
    alike = [Spread(float(source.chisquare(2) / 2), 2.0) for _ in range(400)]
    found = variance_shrinkage.prior(alike)
    assert found is not None
    assert found.freedom > 20
    assert found.variance == pytest.approx(1, rel=0.1)
    unlike = [Spread(float(source.chisquare(2) / 2 * 6 / source.chisquare(6)), 2.0) for _ in range(4000)]
    found = variance_shrinkage.prior(unlike)
    assert found is not None
    assert found.freedom == pytest.approx(6, rel=0.25)
    assert found.variance == pytest.approx(1, rel=0.1)


def test_a_variance_is_moved_towards_the_common_one() -> None:
    prior = variance_shrinkage.Prior(variance=4.0, freedom=6.0, most=30.0)
    assert prior.weighed(Spread(0.0, 2.0)) == Spread(3.0, 8.0)
    assert prior.weighed(Spread(4.0, 2.0)) == Spread(4.0, 8.0)
    assert variance_shrinkage.Prior(4.0, 60.0, 30.0).weighed(Spread(4.0, 2.0)).freedom == 30.0
    assert variance_shrinkage.prior([Spread(1.0, 2.0)] * 2) is None
    assert variance_shrinkage.prior([Spread(0.0, 2.0)] * 9) is None
    assert variance_shrinkage.inverse_trigamma(np.pi**2 / 6) == pytest.approx(1)


@pytest.mark.parametrize(
    "text", ["7 + 5 = 12. The answer is 12.", "so 3 * (2 + 1) = 9", "12/3 = $4", "She has 20 − 4 = 16 eggs"]
)
def test_a_worked_step_is_seen(text: str) -> None:
    assert measures.WORKED.search(text)


@pytest.mark.parametrize("text", ["The answer is 12.", "12", "x = 12", "The result = 12", "Ann has 7 apples and buys 5."])
def test_an_answer_at_once_shows_no_step(text: str) -> None:
    assert not measures.WORKED.search(text)


def test_the_shares_of_answers_with_steps_are_those_of_the_stored_answers(found: dict[str, Finding]) -> None:
    one = found["ppo-shows-steps"].measured
    assert one is not None
    assert one.estimate == pytest.approx(30, abs=4)


def test_published_figures_are_those_of_the_tables() -> None:
    one = claims_file.read(claims_file.find("claims"))
    known = {t.name: claims_file.figure(one, t.published, t.measure) for t in one.tests()}
    expected = {"ppo-over-dpo": (0.7, "high"), "aspects-over-overall": (0.7, "medium-high"),
                "lifts-truthfulness": (12.7, "high"),
                "overall-over-human": (60.3 - np.mean([56.9, 54.7, 51.5, 56.2, 58.1, 58.0]), "medium-high"),
                "larger-reward-best-of-n": (4.2, "medium"), "human-costs-safety": ((67.3 + 58.1) / 2 - 91.8, "high"),
                "mixed-prompts": (-0.4, "medium-high"), "recipe-over-sft": (6.0, "high")}  # fmt: skip
    for name, (value, certainty) in expected.items():
        figure = known[name]
        assert figure is not None
        assert (figure.value, figure.certainty) == (pytest.approx(value), certainty), name
    steps_said = known["ppo-shows-steps"]
    assert steps_said is not None
    assert steps_said.value is None


def planned(name: str) -> Grid:
    """The grid that a study's file would make."""
    plan = Plan(file.read(file.find(name), full=True))
    policies = [Entry(r.name, "", r.labels(), r.seed) for r in plan.recipes if r.method != "reward"]
    starts = [Entry(f"sft-{base}", "", record.sft_labels(base), 0) for base in plan.study.bases]
    rewards = [
        Entry(n, "", {"reward": r.reward, "reward_data": r.data, "size": r.size}, r.seed) for n, r in plan.rewards.items()
    ]
    return Grid(Path(), File("", "", "", ()), (*starts, *policies), tuple(rewards))


def test_the_small_study_has_the_runs_of_every_claim() -> None:
    claimed, here = claims_file.read(claims_file.find("claims")), planned("unpacking-small")
    every = set(file.read(file.find("unpacking-small"), full=True).seeds)
    assert len(every) >= 3
    for one in claimed.tests():
        for _, _, sides in contrast.of(here, one):  # raises where a selection finds nothing
            runs = {e.seed for e in sides.coefficients if not e.given}
            assert runs == every, one.name
    known = values([*here.cells, *here.rewards])
    for label, spoken in claimed.labels().items():
        assert spoken <= known[label], label


@pytest.mark.parametrize("name", ["table-1", "table-2", "table-3", "table-4", "sizes"])
def test_the_small_study_has_a_line_for_every_row_of_a_table(name: str) -> None:
    here = planned("unpacking-small")
    (table,) = (t for t in claims_file.read(claims_file.find("claims")).tables if t.name == name)
    for row in table.rows:
        recipes = {e.recipe for e in contrast.chosen(here.cells, row.these)}
        assert len(recipes) == 1 or name == "sizes"


def test_the_report_is_written_whole_and_twice_the_same(study: Path, tmp_path: Path) -> None:
    first, second = (claims.written(report.of(study, "claims"), tmp_path / name) for name in ("a", "b"))
    assert [p.name for p in first] == ["claims.md", "claims.json", "claims.csv", "claims.png", "claims.svg"]
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in second]
    text = first[0].read_text()
    assert "| **PPO costs more compute** |" in text
    assert "## What did not come out as published" in text
    assert "*UltraFeedback (fine-grained)*" in text
    table_3 = text.split("(table 3)")[1].splitlines()
    assert "| recipe | runs | reward accuracy | best of n | average | reasoning | safety |" in table_3
    rows = list(csv.DictReader(first[2].read_text().splitlines()))
    assert {r["verdict"] for r in rows} >= {"supported", "not decided", "not run"}
    assert len(rows) == sum(len(c["hypotheses"]) for c in json.loads(first[1].read_text())["claims"])


def test_the_verb_reads_a_study_again(study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["claims", str(study), "-o", str(tmp_path / "out"), "--json", "--family", "bh"])
    assert ended.value.code == 0
    told = json.loads(capsys.readouterr().out)
    assert told["family"].startswith("Benjamini-Hochberg over the ")
    assert {row["recipe"] for row in told["tables"]} >= {"sft, base medium"}
    with pytest.raises(SystemExit) as ended:
        main(["claims", str(tmp_path)])
    assert ended.value.code == 3
    assert "holds no study.json: it is no study's folder" in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        main(["claims", str(study), "--family", "bonferoni"])
    assert ended.value.code == 3
    assert "There are: bh, holm, none." in capsys.readouterr().err


def test_a_damaged_or_a_hostile_study_is_refused(study: Path, tmp_path: Path) -> None:
    facts = json.loads((study / "study.json").read_text())
    write_json(tmp_path / "study.json", facts | {"results": "../elsewhere"})
    with pytest.raises(SkilldeltaError, match="lies outside of the study's folder"):
        grid.read(tmp_path)
    write_json(tmp_path / "study.json", facts | {"cells": [{"checkpoint": "x"}]})
    with pytest.raises(SkilldeltaError, match="does not tell a study"):
        grid.read(tmp_path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("summary: x\nclaims: [{claim: y}]", "needs tests, or says under `untested`"),
        ("summary: x\nclaims: [{claim: y, tests: [{name: a, direction: up}]}]", "These settings do not fit"),
        ("summary: x\npublished: unpacking-dpo-ppo\n"
         "tables: [{name: t, title: t, rows: [{these: {}, published: {table: table1, row: SHP}}]}]",
         "There is no row or group in table1 'SHP'"),
    ],
)  # fmt: skip
def test_a_faulty_file_of_claims_says_what_is_wrong(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(SkilldeltaError, match=said):
        claims_file.read(path)


def claims_of(direction: str, these: str, those: str, measure: str = "average", margin: float = 2) -> str:
    return f"""summary: one
claims:
  - claim: it is so
    tests:
      - {{name: it, says: it is so, these: {these}, those: {those}, measure: {measure}, direction: {direction},
          margin: {margin}}}
"""


def whole(study: Path, tmp_path: Path, text: str) -> Finding:
    path = tmp_path / "claims.yaml"
    path.write_text(text)
    found: Findings = report.of(study, path).findings
    return found.all()[0]


def verdict(study: Path, tmp_path: Path, text: str) -> str:
    return whole(study, tmp_path, text).verdict


def entry(seed: int = 0, **labels: str) -> Entry:
    return Entry("-".join([*labels.values(), str(seed)]), "", labels, seed)


def around(low: float, high: float) -> Between:
    """An estimate with this 95 % interval, of many degrees of freedom."""
    error = (high - low) / 2 / stats.norm.ppf(0.975)
    return Between((low + high) / 2, Interval(low, high), 0.0, float("inf"), error**2, 0.0)


def test_sides_take_over_what_they_leave_open() -> None:
    test = Test("", "", {"a": ("1",)}, {"a": ("2",)}, ("average",), "greater", beyond=Side(measure=("safety",)))
    assert test.sides()[1] == (-1.0, Side({"a": ("1",)}, {"a": ("2",)}, ("safety",)))
