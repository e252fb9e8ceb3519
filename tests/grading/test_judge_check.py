"""Judges measured against labels: recorded verdicts give the published figures, and bad judges are called so."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from sklearn.metrics import cohen_kappa_score

from harness import registry
from harness.grading import labelled_sets, stored_checks
from harness.grading.criteria import BETTER, COMPLIANCE, NOT
from harness.grading.judge_check import check_judge
from harness.grading.labelled_sets import LabelledQuestion, LabelledSet, read_sets
from harness.grading.language_model import JudgeSettings, LanguageModelJudge
from harness.grading.questions import Grade, JudgeQuestion
from harness.statistics.judge_error import ClassMean, ErrorRates
from harness.types import Example, Json, Response, SkilldeltaError
from tests.support import toys
from tests.test_cli import skilldelta


class ByLength:
    """Prefers the longer answer."""

    def grade(self, prompt: str, response: str, reference: str) -> float | None:
        return 0.5 if len(response) == len(reference) else float(len(response) > len(reference))


class Recorded:
    """Verdicts of GPT-4 on LLMBar in both orders, as its authors recorded them."""

    def __init__(self, rows: Sequence[Json]) -> None:
        self.winners = {}
        for row in rows:
            for result in row["results"]:
                winners = [str(result[f"swap = {swap}"]["winner"]) for swap in ("False", "True")]
                outputs = (row["output_1"], row["output_2"])
                self.winners[row["input"], *outputs] = [outputs[int(w) - 1] if w in ("1", "2") else None for w in winners]

    def grade_all(self, questions: Sequence[JudgeQuestion]) -> list[Grade]:
        grades = []
        for q in questions:
            winners = self.winners.get((q.prompt, q.response, q.reference)) or self.winners[q.prompt, q.reference, q.response]
            values = [0.5 if w is None else float(w == q.response) for w in winners]
            grades.append(Grade(sum(values) / 2, agreement=winners[0] == winners[1]))
        return grades


@pytest.mark.data
@pytest.mark.parametrize("subset", labelled_sets.LLMBAR)
def test_recorded_verdicts_give_the_published_accuracy_and_agreement(subset: str, real_data: Path) -> None:
    rows = json.loads((real_data / f"llmbar/golden/gpt4_vanilla/{subset}.result.json").read_text())
    published = json.loads((real_data / f"llmbar/golden/gpt4_vanilla/{subset}.statistics.json").read_text())
    questions = [q for q in labelled_sets.llmbar(real_data) if q.subset == subset]
    check = check_judge(Recorded(rows), LabelledSet("llmbar", labelled_sets.llmbar, BETTER), questions)
    assert 100 * check.accuracy == pytest.approx(float(published["correct_average"].split("= ")[-1].rstrip("%")), abs=0.06)
    assert 100 * check.agreement == pytest.approx(float(published["equal"].split("= ")[-1].rstrip("%")), abs=0.06)


@pytest.mark.data
def test_every_set_that_is_at_hand_is_read_with_labels_of_both_kinds(real_data: Path) -> None:
    questions, missing = read_sets((), real_data)
    counts = {each.name: len(rows) for each, rows in questions.items()}
    assert counts == {
        "llmbar": 419, "llmbar-with-speech": 419, "auto-j": 1392, "hh-harmless": counts["hh-harmless"], "xstest": 1350,
        "truthfulqa": 300,
    }  # fmt: skip
    assert 2200 < counts["hh-harmless"] <= 2312
    assert [line.split(":")[0] for line in missing] == ["mt-bench-votes"]
    for rows in questions.values():
        assert 0.2 < sum(q.truth for q in rows) / len(rows) < 0.8
    spoken = {each.name: rows for each, rows in questions.items()}["llmbar-with-speech"]
    for plain, pair in zip(questions[labelled_sets.SETS[0]], spoken, strict=True):
        (q,) = pair.questions
        worse = q.reference if pair.truth == 1 else q.response
        assert worse.endswith(labelled_sets.SPEECH)
        assert plain.truth == pair.truth


@pytest.mark.data
def test_the_longer_answer_is_no_better_than_a_guess_where_answers_are_adversarial(real_data: Path) -> None:
    (each,) = [s for s in labelled_sets.SETS if s.name == "llmbar"]
    check = check_judge(ByLength(), each, each.read(real_data))
    assert check.verdict.startswith("no better than guessing")
    assert check.longer == (1.0, 0.0)


def labelled(truths: Sequence[float], criterion: str = COMPLIANCE) -> list[LabelledQuestion]:
    return [LabelledQuestion((JudgeQuestion(str(n), "r", "", criterion),), t, "all") for n, t in enumerate(truths)]


class Fixed:
    def __init__(self, values: Sequence[float | None]) -> None:
        self.values = values

    def grade_all(self, questions: Sequence[JudgeQuestion]) -> list[Grade]:
        return [Grade(self.values[int(q.prompt)]) for q in questions]


def test_accuracy_balance_and_kappa_are_as_others_compute_them() -> None:
    truths = [1.0] * 30 + [0.0] * 10
    values = [0.9] * 25 + [0.2] * 5 + [0.1] * 6 + [0.8] * 4
    check = check_judge(Fixed(values), LabelledSet("s", lambda _: [], COMPLIANCE), labelled(truths))
    assert check.accuracy == pytest.approx(31 / 40)
    assert check.balance == pytest.approx((25 / 30 + 6 / 10) / 2)
    assert check.kappa == pytest.approx(cohen_kappa_score(truths, [float(v > 0.5) for v in values]))
    assert check.rates
    assert (check.rates.hit.mean, check.rates.miss.mean) == (pytest.approx(26 / 32), pytest.approx(5 / 12))


def test_unreadable_grades_are_counted_and_ties_are_half_right() -> None:
    check = check_judge(Fixed([1.0, None, 0.5, 0.0]), LabelledSet("s", lambda _: [], COMPLIANCE), labelled([1, 1, 1, 0.5]))
    assert (check.n, check.unreadable, check.accuracy) == (2, 1, 0.75)
    silent = check_judge(Fixed([None]), LabelledSet("s", lambda _: [], COMPLIANCE), labelled([1]))
    assert (silent.n, silent.verdict) == (0, "it gave no readable grade: not to be used")


def test_a_judge_that_always_says_a_leans_to_the_first_place() -> None:
    judge = LanguageModelJudge(toys.model(lambda _: Response("A")), JudgeSettings(by="text"))
    pairs = [labelled_sets.make_pair("p", f"good {n}", f"bad {n}", "all") for n in range(20)]
    check = check_judge(judge, LabelledSet("s", lambda _: [], BETTER), pairs, again=judge)
    assert (check.accuracy, check.agreement, check.first_place, check.repeats) == (0.5, 0.0, 1.0, 1.0)


RATES = ErrorRates(ClassMean(40, 0.9, 0.1), ClassMean(40, 0.2, 0.1))


def test_error_rates_are_found_by_identity_and_criterion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKILLDELTA_JUDGE_CACHE", str(tmp_path))
    stored_checks.store_check("llm:x@1", {BETTER: ("auto-j", RATES)})
    stored_checks.store_check("llm:x@1", {COMPLIANCE: ("xstest", RATES)})
    found = stored_checks.find_errors("llm:x@1", BETTER)
    assert (found["set"], stored_checks.rates_from_json(found)) == ("auto-j", RATES)
    assert not stored_checks.find_errors("llm:x@2", BETTER)
    refusals = stored_checks.rates_from_json(stored_checks.find_errors("llm:x@1", NOT + COMPLIANCE))
    assert refusals
    assert (refusals.hit.mean, refusals.miss.mean) == pytest.approx((0.8, 0.1))  # of refusals called so, and of compliance
    assert not stored_checks.find_errors("llm:x@1", NOT + "harmless")
    assert not stored_checks.find_errors("llm:x@1", "harmless")
    assert stored_checks.rates_from_json({"hit": {"n": float("inf"), "mean": 1, "variance": 0}, "miss": {}}) is None
    for damage in ("", "{", '{"errors": 3}', '{"errors": {"better": {"hit": {"n": 1, "mean": 7, "variance": 0}}}}'):
        file = stored_checks.check_file("llm:x@1")
        assert file
        file.write_text(damage)
        assert not stored_checks.find_errors("llm:x@1", BETTER)


def test_the_rates_of_a_task_are_those_of_what_scores_1_there() -> None:
    """A judge that calls every response compliance gives refusals 0, and every task of them nothing else."""
    always = toys.model(lambda request: Response("A" if "\nA: it complies" in str(request.prompt) else "C"))
    judge, questions = LanguageModelJudge(always, JudgeSettings(by="text")), {1.0: "Here it is.", 0.0: "I can't help."}
    for task in (t for t in registry.tasks().values() if t.criterion.removeprefix(NOT) == COMPLIANCE and t.aggregate != "f1"):
        example = Example(dict.fromkeys(("prompt", "context", "category", "question", "risk_area"), "x"))
        assert task.judged
        scores = [task.judged(judge, example, Response(text)).value for text in questions.values()]
        assert scores == [0.0 if task.criterion.startswith(NOT) else 1.0] * 2, task.name


def test_unknown_sets_and_folders_without_sets_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SkilldeltaError, match=r"no labelled set 'lmbar'.*Did you mean 'llmbar'"):
        read_sets(["lmbar"], tmp_path)
    with pytest.raises(SkilldeltaError, match=r"(?s)no labelled set to measure.*xstest: There is no data file"):
        read_sets((), tmp_path)


@pytest.mark.slow
@pytest.mark.data
def test_the_verb_prints_a_table_and_keeps_the_rates(
    real_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SKILLDELTA_JUDGE_CACHE", str(tmp_path))
    flags = ["--data", real_data, "--sets", "auto-j,xstest", "-L", "40", "--twice"]
    code, out, err = skilldelta(capsys, "judge-check", "llm:scripted:any,by=text,text=A", *flags)
    assert code == 0, err
    assert "not to be used" in out
    assert "Error rates for compliance, better are kept in" in err or "better, compliance" in err
    code, out, _ = skilldelta(capsys, "judge-check", "llm:scripted:any,by=text,text=A", *flags, "--json")
    facts = json.loads(out)
    assert [s["set"] for s in facts["sets"]] == ["auto-j", "xstest"]
    assert facts["sets"][0]["first_place"] == 1.0
    assert stored_checks.find_errors(facts["judge"], BETTER)["set"] == "auto-j"
    code, _, err = skilldelta(capsys, "judge-check", "llm:scripted:any", "--data", tmp_path / "none")
    assert (code, "reads labelled sets from a folder" in err) == (3, True)
