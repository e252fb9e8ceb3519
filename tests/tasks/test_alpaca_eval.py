"""AlpacaEval against its published leaderboards, from the preferences that its own program recorded."""

import json
import re
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from harness import api, data, judge_binding, registry
from harness.comparison.compare import compare
from harness.data import ExampleSelection
from harness.evaluation.questions import EvaluationSettings
from harness.evaluation.run import score_checkpoints
from harness.grading.language_model import JudgeSettings, LanguageModelJudge
from harness.grading.questions import JudgeQuestion
from harness.judges import annotations, llm
from harness.statistics import length_controlled
from harness.statistics.length_controlled import LogisticData, PreferencePairs
from harness.store import Results
from harness.types import Json, Request, Response, SkilldeltaError
from reports import alpaca_eval as report
from tests.support import toys

GOLDEN = "alpaca_eval/golden"
STAND_IN = "alpaca_eval/derived/df_gamed_reconstructed.csv"
VERSION_1, VERSION_2 = (f"{GOLDEN}/annotations_v{n}/{{}}.json.gz" for n in (1, 2))
WHOLE = (  # models whose 805 answers were all judged
    "FuseChat-Llama-3.1-8B-Instruct", "alpaca-7b", "gemma-2b-it", "gpt-3.5-turbo-1106_verbose", "gpt4_0613_concise",
    "vicuna-13b", "vicuna-13b-v1.5",
)  # fmt: skip
FILES = {name: name for name in (*WHOLE, "alpaca-7b_concise")} | {"vicuna-13b-v1.5": "vicuna-13b-v1.5.with_glm_preference"}


@cache
def leaderboard(folder: Path, version: str) -> dict[str, dict[str, str]]:
    names = {
        "alpaca_eval": "data_AlpacaEval_2/weighted_alpaca_eval_gpt4_turbo_leaderboard.csv",
        "alpaca_eval_1": "data_AlpacaEval/alpaca_eval_gpt4_leaderboard.csv",
    }
    return {row[""]: row for row in data.read(folder / GOLDEN / "leaderboards" / names[version])}


def scored(folder: Path, task: str, file: Path, out: Path) -> list[Any]:
    """Samples of a model: its recorded answers, judged as recorded."""
    chosen = EvaluationSettings(folder=folder, judges={task: f"annotations:{file}"})
    (outcome,) = api.score_recorded([str(file)], [task], out, settings=chosen, options=api.RunOptions("model"))
    assert outcome.state == "done", outcome
    return list(Results(out).cell("model", task).samples())


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.parametrize(
    ("task", "model"),
    [*(("alpaca_eval", m) for m in FILES), ("alpaca_eval_1", "llama-2-7b-chat-hf"), ("alpaca_eval_1", "tulu-2-dpo-7b")],
)
def test_win_rate_and_standard_error_equal_the_leaderboards(task: str, model: str, real_data: Path, tmp_path: Path) -> None:
    pattern = VERSION_2 if task == "alpaca_eval" else VERSION_1
    samples = scored(real_data, task, real_data / pattern.format(FILES.get(model, model)), tmp_path / "r")
    assert len(samples) == 805
    values = np.array([s.score.value for s in samples if s.score.value is not None])
    row = leaderboard(real_data, task)[model]
    assert len(values) == int(row["n_total"])
    found = length_controlled.mean_win_rate(values)
    assert found.value == pytest.approx(float(row["win_rate"]), abs=1e-9)
    assert found.standard_error == pytest.approx(float(row["standard_error"]), abs=1e-9)
    wins = [s.score.parts["won"] for s in samples if s.score.value is not None]
    assert 100 * sum(wins) / len(wins) == pytest.approx(float(row["discrete_win_rate"]))


# The length-controlled win rate


@cache
def stand_in(folder: Path) -> report.GamedModels:
    """The two gamed models, made again from what is published of them: their lengths are real, their preferences are not."""
    rows = data.read(folder / STAND_IN)
    longer, difficulty, preference = (
        np.array([float(row[name]) for row in rows])
        for name in ("std_delta_len", "instruction_difficulty", "preference_surrogate")
    )
    known = dict(zip((int(row["index"]) for row in rows), difficulty.tolist(), strict=True))
    return report.GamedModels(PreferencePairs(preference, longer, difficulty), known)


def recorded(folder: Path, model: str) -> list[dict[str, Any]]:
    return data.read(folder / VERSION_2.format(FILES[model]))


def controlled(rows: list[dict[str, Any]], gamed: report.GamedModels) -> length_controlled.WinRate:
    """Difficulty by the place among the judged answers, as in AlpacaEval."""
    preference = np.array([judge_binding.parse_preference(row["preference"]) for row in rows], float)
    longer = np.array([len(row["output_1"]) - len(row["output_2"]) for row in rows], float)
    difficulty = np.array([gamed.difficulty[i] for i in range(len(rows))])
    return length_controlled.win_rate(PreferencePairs(preference, longer, difficulty), gamed.pairs)


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.parametrize("model", FILES)
def test_length_controlled_win_rates_are_near_the_leaderboards(model: str, real_data: Path) -> None:
    found = controlled(recorded(real_data, model), stand_in(real_data))
    row = leaderboard(real_data, "alpaca_eval")[model]
    assert found.value == pytest.approx(float(row["length_controlled_winrate"]), abs=0.15)
    if row["lc_standard_error"]:
        assert found.standard_error == pytest.approx(float(row["lc_standard_error"]), abs=0.02)


@pytest.mark.data
def test_predictions_are_those_that_the_authors_recorded(real_data: Path) -> None:
    """One annotation file holds the fitted preference at equal length for each instruction."""
    rows, gamed = recorded(real_data, "vicuna-13b-v1.5"), stand_in(real_data)
    weights = {r[""]: r for r in weights_file(real_data)}["vicuna-13b-v1.5"]
    b, c = float(weights["instruction_difficulty"]), float(weights["not_gamed_baseline.astype(float)"])
    difficulty = np.array([gamed.difficulty[i] for i in range(len(rows))])
    predicted = 1 / (1 + np.exp(-(b * difficulty + c)))
    np.testing.assert_allclose(predicted, [row["glm_preference"] for row in rows], atol=1e-6)


def weights_file(folder: Path) -> list[dict[str, Any]]:
    name = "weighted_alpaca_eval_gpt4_turbo/length_controlled_v1/baseline_gpt4_1106_preview.csv"
    return data.read(folder / GOLDEN / "glm_weights" / name)


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 10**6), exponent=st.floats(-2, 3))
def test_the_fit_is_that_of_liblinear(seed: int, exponent: float) -> None:
    """scikit-learn takes hard labels: each row stands there twice, with the weights of its two outcomes."""
    random = np.random.default_rng(seed)
    x, y, weight = random.normal(size=(80, 3)), random.random(80), random.uniform(0.1, 1, 80)
    mine = length_controlled.fit_logistic(LogisticData(x, y, weight), 10**exponent)
    theirs = LogisticRegression(C=10**exponent, l1_ratio=1, solver="liblinear", fit_intercept=False, tol=1e-10, max_iter=10_000)
    labels = np.repeat([1, 0], 80)
    theirs.fit(np.concatenate([x, x]), labels, sample_weight=np.concatenate([weight * y, weight * (1 - y)]))
    np.testing.assert_allclose(mine, theirs.coef_[0], atol=2e-3)


@pytest.mark.slow
def test_a_model_that_wins_by_length_alone_has_a_length_controlled_rate_of_a_half() -> None:
    random = np.random.default_rng(0)
    longer = random.normal(-300, 600, 4000)
    preference = 1 / (1 + np.exp(2 * np.tanh(longer / longer.std())))
    pairs = PreferencePairs(preference, longer, np.zeros(4000))
    nothing = PreferencePairs(np.full(2, 0.5), np.zeros(2), np.zeros(2))
    assert length_controlled.mean_win_rate(preference).value > 60
    assert length_controlled.win_rate(pairs, nothing).value == pytest.approx(50, abs=0.5)


# The report


@pytest.fixture
def gamed_folder(real_data: Path, tmp_path: Path) -> Path:
    """The data folder with the stand-in where AlpacaEval's own file would lie."""
    folder = tmp_path / "data" / "alpaca_eval"
    folder.mkdir(parents=True)
    text = (real_data / STAND_IN).read_text().replace("preference_surrogate", "preference", 1)
    (folder / "df_gamed.csv").write_text(text)
    return folder.parent


@pytest.mark.slow
@pytest.mark.data
def test_the_report_gives_the_leaderboards_columns(
    real_data: Path, gamed_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for model in ("vicuna-13b", "alpaca-7b"):
        file = real_data / VERSION_2.format(model)
        # Each is judged by its own file, but both by the same annotator: they can be compared.
        chosen = EvaluationSettings(folder=real_data, judges={"alpaca_eval": f"annotations:{file}"})
        api.score_recorded([str(file)], ["alpaca_eval"], tmp_path / "r", settings=chosen, options=api.RunOptions(model))
    found = compare([tmp_path / "r"], "alpaca-7b")
    monkeypatch.setenv(data.VARIABLE, str(gamed_folder))
    markdown, table = report.render(found, tmp_path / "out")
    lines = {row["checkpoint"]: row for row in data.read(table)}
    for model in ("vicuna-13b", "alpaca-7b"):
        row = leaderboard(real_data, "alpaca_eval")[model]
        assert float(lines[model]["win_rate"]) == pytest.approx(float(row["win_rate"]))
        assert float(lines[model]["lc_win_rate"]) == pytest.approx(float(row["length_controlled_winrate"]), abs=0.15)
        assert round(float(lines[model]["mean_length"])) == pytest.approx(int(row["avg_length"]), abs=1)
        assert f"{float(row['win_rate']):.2f} ± {float(row['standard_error']):.2f}" in markdown.read_text()
    monkeypatch.setenv(data.VARIABLE, str(tmp_path))
    assert "No length-controlled rate: There is no data file" in report.render(found, tmp_path / "out")[0].read_text()


# Judges


def test_recorded_preferences_are_read_as_alpaca_eval_writes_them(tmp_path: Path) -> None:
    assert [judge_binding.parse_preference(p) for p in (1, 1.25, 2, 0, 1.5, None, float("nan"))] == [
        0,
        0.25,
        1,
        0.5,
        0.5,
        None,
        None,
    ]
    rows = [{"instruction": "i", "output_2": "a", "preference": 2, "annotator": "gpt"}]
    (tmp_path / "annotations.json").write_text(json.dumps(rows))
    judge = annotations.load(str(tmp_path / "annotations.json"))
    assert judge.grade("i", "a", "any") == 1
    assert judge.grade("i", "another answer", "any") is None
    assert annotations.identity(str(tmp_path / "annotations.json")) == "gpt"
    assert annotations.load(str(tmp_path)).grade("i", "a", "any") == 1
    (tmp_path / "annotations.json").write_text(json.dumps([rows[0] | {"preference": "2"}]))
    annotations.read_annotations.cache_clear()
    with pytest.raises(SkilldeltaError, match=r"a preference is '2'; AlpacaEval writes numbers from 1"):
        annotations.load(str(tmp_path / "annotations.json"))
    for nothing in (str(tmp_path / "none.json"), ""):
        with pytest.raises(SkilldeltaError, match="There are no annotations in"):
            annotations.load(nothing)


def annotation(preference: float | None, annotator: str = "gpt", output_1: str = "theirs", output_2: str = "mine") -> Json:
    texts = {"instruction": "i", "output_1": output_1, "output_2": output_2}
    return {**texts, "preference": preference, "annotator": annotator}


@pytest.mark.parametrize("preference", [5, -2, 2.000001, 0.5, 10**400, float("inf"), True, "2", [1]])
def test_no_mean_rests_on_a_preference_that_alpaca_eval_does_not_write(preference: Any, tmp_path: Path) -> None:
    """5 and -2 are 4 and -3 once 1 is taken off, and 0.5 is their mean."""
    file = tmp_path / "annotations.json"
    file.write_text(json.dumps([annotation(1.5), annotation(2) | {"preference": preference}]))
    with pytest.raises(SkilldeltaError, match=r"a preference is .{1,60}; AlpacaEval writes numbers from 1"):
        annotations.load(str(file))


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ([annotation(2), "text"], "annotation 2 holds 'text' where an object was expected"),
        ({"instruction": "i"}, "holds {'instruction': 'i'}, not a list of annotations"),
        ([annotation(2) | {"instruction": ["i"]}], r"annotation 1: 'instruction' is \['i'\]"),
        ([annotation(2) | {"output_2": None}], "annotation 1: 'output_2' is None"),
        ([annotation(2) | {"output_1": 7}], "annotation 1: 'output_1' is 7"),
        ([annotation(2) | {"annotator": {"a": 1}}], "annotation 1: 'annotator' is {'a': 1}"),
    ],
)
def test_an_annotation_of_no_texts_is_named(content: Any, fault: str, tmp_path: Path) -> None:
    """It was an annotation of an answer that nobody gave: dropped without a word."""
    file = tmp_path / "annotations.json"
    file.write_text(json.dumps(content))
    with pytest.raises(SkilldeltaError, match=fault):
        annotations.load(str(file))


def test_a_link_to_nothing_is_named_though_other_files_hold_annotations(tmp_path: Path) -> None:
    (tmp_path / "b.json").write_text(json.dumps([annotation(2)]))
    (tmp_path / "a.json").symlink_to("gone")
    with pytest.raises(SkilldeltaError, match=r"a\.json is a link to gone, which is not there"):
        annotations.load(str(tmp_path))


def test_an_answer_without_an_annotation_is_told_from_one_without_a_verdict(tmp_path: Path) -> None:
    file = tmp_path / "annotations.json"
    file.write_text(json.dumps([annotation(None)]))
    questions = [JudgeQuestion("i", "mine", "theirs"), JudgeQuestion("i", "another", "theirs")]
    reasons = [grade.why for grade in annotations.load(str(file)).grade_all(questions)]
    assert reasons == ["the judge gave no verdict", "no annotation is of exactly this instruction and answer"]


@pytest.mark.parametrize(
    ("rows", "value", "measures"),
    [
        ([annotation(1.8)], 0.8, {}),
        ([annotation(2), annotation(1, "claude"), annotation(1, "glm")], 1 / 3, {"annotators": 3, "annotators_agree": 2 / 3}),
        ([annotation(2), annotation(2, "claude")], 1.0, {"annotators": 2, "annotators_agree": 1}),
        ([annotation(2), annotation(None, "claude")], 1.0, {"annotators": 1, "annotators_agree": 1}),
        ([annotation(None), annotation(None, "claude")], None, {}),
        ([annotation(1), annotation(2)], 0.5, {"annotators": 2, "annotators_agree": 0.5}),  # one annotator twice
        ([annotation(2), annotation(1, output_1="another's")], 1.0, {}),  # against two references
        ([annotation(2, output_1="a"), annotation(1, output_1="b")], None, {}),
        ([annotation(2, output_1="nearly theirs")], 1.0, {}),
    ],
)
def test_all_annotations_of_an_answer_count_whatever_their_order(
    rows: list[Json], value: float | None, measures: dict[str, float], tmp_path: Path
) -> None:
    for number, order in enumerate((rows, rows[::-1])):
        file = tmp_path / f"annotations{number}.json"
        file.write_text(json.dumps(order))
        (grade,) = annotations.load(str(file)).grade_all([JudgeQuestion("i", "mine", "theirs")])
        assert grade.value == (None if value is None else pytest.approx(value))
        assert grade.measures == pytest.approx(measures)
        assert (grade.value is None) == bool(grade.why)


def test_the_agreement_of_annotators_is_stored_and_said(tmp_path: Path) -> None:
    examples = [{"index": n, "instruction": f"i{n}", "reference": "theirs"} for n in range(4)]
    rows = [
        annotation(1 + (n + at) % 2, annotator) | {"instruction": f"i{n}"}
        for n in range(4)
        for at, annotator in enumerate(("gpt", "gpt2", "claude"))
    ]
    (tmp_path / "annotations.json").write_text(json.dumps(rows))
    judge = {"alpaca_eval": f"annotations:{tmp_path / 'annotations.json'}"}
    task = replace(registry.task("alpaca_eval"), rows=lambda folder: examples)
    results = Results.make(tmp_path / "r")
    for name in ("sft", "dpo"):
        score_checkpoints(
            [toys.checkpoint(name)], [task], lambda _: toys.model(lambda r: Response("mine")), results,
            EvaluationSettings(judges=judge),
        )  # fmt: skip
    work = results.cell("sft", "alpaca_eval").read().conditions["judge"]
    assert (work["questions"], work["annotators_agree"]) == (4, 0.6667)
    assert {s.score.parts["annotators"] for s in results.cell("sft", "alpaca_eval").samples()} == {3.0}
    (note,) = (text for text in compare(tmp_path / "r", "sft").caveats if "was graded by" in text)
    assert "Its annotators agree on 67 % of the answers." in note


@pytest.mark.data
def test_an_answer_without_a_verdict_has_no_score(real_data: Path) -> None:
    task = judge_binding.bind_judge(
        registry.task("alpaca_eval"), {"alpaca_eval": f"annotations:{real_data / VERSION_2.format('alpaca-7b')}"}
    )
    (example,) = data.examples(task, real_data, ExampleSelection(limit=1))
    verdict = task.score(example, Response("an answer that nobody judged"))
    assert (verdict.value, verdict.why) == (None, "no annotation is of exactly this instruction and answer")


def leans(request: Request) -> Response:
    """A model that likes answers with "rope", and the first answer a little."""
    _, first, _, second, _ = re.split(r"</?\w+ answer [AB]>", str(request.prompt))
    lean = 3.0 * (first.count("rope") - second.count("rope")) + 1.0
    if request.choices:
        return Response(logprobs=(0.0, -lean))
    return Response(" A\n" if lean > 0 else "**B**")


WEIGHS, WRITES = JudgeSettings(by="logprobs"), JudgeSettings(by="text")


def test_a_liking_for_the_first_place_cancels_out() -> None:
    judge = LanguageModelJudge(toys.model(leans), WEIGHS)
    assert judge.grade("Tie it.", "use glue", "use tape") == pytest.approx(0.5)
    assert judge.grade("Tie it.", "use rope", "use glue") == pytest.approx((1 / (1 + np.exp(-4)) + 1 / (1 + np.exp(-2))) / 2)


def test_a_judge_that_writes_a_letter_is_read() -> None:
    judge = LanguageModelJudge(toys.model(leans), WRITES)
    assert judge.grade("Tie it.", "use rope", "use glue") == 1
    assert judge.grade("Tie it.", "use glue", "use rope") == 0
    assert judge.grade("Tie it.", "use glue", "use tape") == 0.5


def test_a_judge_that_names_no_letter_or_fails_gives_no_verdict_and_the_reason() -> None:
    (verdict,) = LanguageModelJudge(toys.model(lambda _: Response("Both are fine.")), WRITES).grade_all([QUESTION])
    assert (verdict.value, verdict.why) == (None, "the judge's reply names no letter: 'Both are fine.'")
    broken = LanguageModelJudge(toys.model(lambda _: Response(finish="error", error="no connection")), WRITES)
    (verdict,) = broken.grade_all([QUESTION])
    assert (verdict.value, verdict.why) == (None, "the judge gave no reply (error): no connection")


QUESTION = JudgeQuestion("i", "a", "b")


def test_a_pairwise_judge_needs_a_backend_and_a_model() -> None:
    for where in ("", "openai", "openai:"):
        with pytest.raises(SkilldeltaError, match="write llm:BACKEND:MODEL"):
            llm.load(where)
