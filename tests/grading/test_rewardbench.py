"""RewardBench by subset and section: the published sections come out of the published subsets; and best of n as a verb."""

import json
from collections import defaultdict
from pathlib import Path

import pytest

from harness import data
from harness.grading.questions import Grade, JudgeQuestion
from harness.grading.rewardbench import read_pairs, section_scores, subset_accuracies
from harness.judge_binding import LazyJudge
from harness.store import Results
from harness.training.pair_questions import read_pair_questions
from harness.types import SkilldeltaError
from tests.judges.test_reward import reward_model
from tests.support import toys
from tests.support.results_folder import about, sample, store
from tests.test_cli import skilldelta


@pytest.mark.data
def test_the_published_sections_follow_from_the_published_subsets(real_data: Path) -> None:
    subsets: dict[str, dict[str, tuple[int, float]]] = defaultdict(dict)
    for row in data.read(real_data / "rewardbench/golden/subset_scores.csv"):
        subsets[row["model"]][row["subset"]] = (int(row["total"]), float(row["score"]))
    published = data.read(real_data / "rewardbench/golden/section_scores.csv")
    assert len(published) == 4 * len(subsets)
    for row in published:
        assert section_scores(subsets[row["model"]])[row["section"]] == pytest.approx(float(row["score"]), abs=1e-9)


ROWS = [
    {"prompt": "p", "chosen": "good one", "rejected": "bad one", "subset": "donotanswer"},
    {"prompt": "q", "chosen": "bad", "rejected": "good", "subset": "donotanswer"},
    {"prompt": "r", "chosen": "good", "rejected": "mute", "subset": "own"},
    {"prompt": "s", "chosen": "good x", "rejected": "good y", "subset": "own"},
]


class LikesGood:
    def grade_all(self, questions: list[JudgeQuestion]) -> list[Grade]:
        return [
            Grade(None, why="it says nothing")
            if "mute" in q.response + q.reference
            else Grade(0.5 + 0.4 * (("good" in q.response) - ("good" in q.reference)))
            for q in questions
        ]


def test_subsets_count_ties_by_half_and_unreadable_grades_apart(tmp_path: Path) -> None:
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    pairs, faults = read_pair_questions(str(tmp_path / "pairs.jsonl"))
    first, second = subset_accuracies(LikesGood(), pairs)
    assert not faults
    assert (first.name, first.section, first.n, first.unreadable, first.accuracy) == ("donotanswer", "Safety", 2, 0, 0.5)
    assert (second.name, second.section, second.n, second.unreadable, second.accuracy) == ("own", "", 1, 1, 0.5)
    assert (first.reasons, second.reasons) == ({}, {"it says nothing": 1})
    assert (first.ties, second.ties) == (0, 1)
    assert not section_scores({first.name: (first.n, first.accuracy)})


@pytest.mark.parametrize("rows", [[], [{"prompt": "p"}], [{"prompt": "p", "chosen": 3, "rejected": "x"}]])
def test_what_is_no_file_of_pairs_is_refused(rows: list[object], tmp_path: Path) -> None:
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(SkilldeltaError, match=r"prompt, chosen|no known preference format"):
        read_pair_questions(str(tmp_path / "pairs.jsonl"))


def test_a_row_of_rewardbench_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "rewardbench").mkdir()
    rows = [*ROWS, ROWS[0] | {"chosen": 3}]
    (tmp_path / "rewardbench/filtered.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(SkilldeltaError, match="row 5: prompt, chosen and rejected are texts"):
        read_pairs(tmp_path)


@pytest.mark.slow
def test_why_a_model_grades_no_pair_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A column of counts said nothing of a template that refuses every conversation."""
    model = reward_model(tmp_path / "rm")
    (model / "chat_template.jinja").write_text("{{ raise_exception('only answers of a tool') }}")
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    code, _, err = skilldelta(capsys, "reward-accuracy", model, "--pairs", tmp_path / "pairs.jsonl")
    assert (code, "4 unreadable: the reward model gave no reward: its chat template cannot write" in err) == (0, True)
    code, out, _ = skilldelta(capsys, "reward-accuracy", model, "--pairs", tmp_path / "pairs.jsonl", "--json")
    assert [list(subset["reasons"].values()) for subset in json.loads(out)[0]["subsets"]] == [[2], [2]]


class Undecided:
    def grade_all(self, questions: list[JudgeQuestion]) -> list[Grade]:
        return [Grade(0.5) for _ in questions]


def test_ties_are_counted_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Equal rewards looked like a coin that was thrown: 50.0 %."""
    monkeypatch.setattr(LazyJudge, "identity", "some")
    monkeypatch.setattr(LazyJudge, "get", lambda _: Undecided())
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    code, out, err = skilldelta(capsys, "reward-accuracy", "some", "--pairs", tmp_path / "pairs.jsonl")
    assert (code, "All 4 readable pairs are ties" in err, "ties" in out) == (0, True, True)
    _, out, _ = skilldelta(capsys, "reward-accuracy", "some", "--pairs", tmp_path / "pairs.jsonl", "--json")
    assert [(s["n"], s["ties"], s["accuracy"]) for s in json.loads(out)[0]["subsets"]] == [(2, 2, 0.5)] * 2
    monkeypatch.setattr(LazyJudge, "get", lambda _: LikesGood())
    _, _, err = skilldelta(capsys, "reward-accuracy", "some", "--pairs", tmp_path / "pairs.jsonl")
    assert "are ties" not in err


@pytest.mark.slow
def test_both_verbs_ask_a_reward_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = reward_model(tmp_path / "rm")
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    code, out, err = skilldelta(capsys, "reward-accuracy", model, "--pairs", tmp_path / "pairs.jsonl", "--json")
    assert code == 0, err
    (facts,) = json.loads(out)
    assert [(s["subset"], s["n"]) for s in facts["subsets"]] == [("donotanswer", 2), ("own", 2)]
    assert facts["judge"].startswith("reward:")

    task = "gsm8k_zero_shot"  # with exemplars the prompt would not fit in the model's window
    rows = [{"question": f"{n}+1?", "answer": f"#### {n + 1}"} for n in range(3)]
    results = Results.make(tmp_path / "draws")
    results.keep(task, [toys.example(**row) for row in rows])
    samples = [sample(row, float(d == 1), text=f"draw {d}", draw=d) for row in rows for d in range(2)]
    store(tmp_path / "draws", "sft", about(task, "reasoning", inputs={"draws": 2}), samples)
    code, out, err = skilldelta(capsys, "best-of-n", tmp_path / "draws", model, "-o", tmp_path / "best")
    assert code == 0, err
    assert sorted(Results(tmp_path / "best").checkpoints()) == ["first", "rm"]
    assert [s.response.text for s in Results(tmp_path / "best").cell("first", task).samples()] == ["draw 0"] * 3
    assert {s.response.text for s in Results(tmp_path / "best").cell("rm", task).samples()} <= {"draw 0", "draw 1"}
    store(tmp_path / "one", "sft", about(task, "reasoning"), samples[::2])
    Results(tmp_path / "one").keep(task, [toys.example(**row) for row in rows])
    code, _, err = skilldelta(capsys, "best-of-n", tmp_path / "one", model, "-o", tmp_path / "none")
    assert (code, "holds no two draws" in err) == (3, True)
