"""Reward models asked directly: right above wrong, and the draw that is liked best."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.records import CellRecord, Inputs, TaskRecord
from harness.store import Results, SampleWriter
from harness.studies import best_of_n
from harness.studies.best_of_n import TaskDraws
from harness.trainers import reward
from harness.training.answer_rewards import RewardScorer
from harness.types import Checkpoint, Message, Response, Sample, Score, SkilldeltaError
from tests.support.training_toy import preference

RECORD = CellRecord(task=TaskRecord(name="sums", skill="reasoning"), inputs=Inputs(draws=3))


def sample(example: str, draw: int, score: float) -> Sample:
    return Sample(example, f"request {draw}", Response(f"{example} said {draw}"), Score(score), draw)


def drawn(*scores: tuple[float, ...]) -> TaskDraws:
    samples = [[sample(f"e{i}", d, s) for d, s in enumerate(each)] for i, each in enumerate(scores)]
    return TaskDraws(RECORD, [(Message("user", "?"),)] * len(samples), samples)


def test_accuracy_counts_prompts_that_have_a_right_and_a_wrong_answer() -> None:
    tasks = [drawn((1, 0, 0), (0, 1, 1), (1, 1, 1), (0, 0, 0), (0, 1, 0))]
    told = [[[3.0, 1.0, 9.0], [2.0, 1.0, 9.0], [0.0] * 3, [0.0] * 3, [5.0, 5.0, 0.0]]]
    found = best_of_n.ranking_accuracy(tasks, told)
    assert (found["n"], found["right"], found["share"]) == (3, 1, 0.333333)  # a hit, a miss, and a tie, which is no hit
    assert found["skills"] == {"reasoning": {"share": 0.333333, "n": 3, "right": 1}}


def test_no_pair_is_no_accuracy_and_not_a_zero() -> None:
    assert best_of_n.ranking_accuracy([drawn((1, 1, 1))], [[[0.0] * 3]])["share"] is None


def test_the_best_liked_draw_is_kept_as_an_ordinary_result(tmp_path: Path) -> None:
    output = Results.make(tmp_path / "chosen")
    told = [[[0.0, 2.0, 1.0], [1.0, 1.0, 0.0]]]
    best_of_n.store_choices(output, Checkpoint("rm", "", "best-of-n"), [drawn((1, 0, 1), (0, 1, 0))], told)
    kept = list(output.cell("rm", "sums").samples())
    assert [(s.response.text, s.draw, s.score.value) for s in kept] == [("e0 said 1", 0, 0.0), ("e1 said 0", 0, 0.0)]
    assert output.cell("rm", "sums").read().inputs.draws == 1
    assert list(output.checkpoints()) == ["rm"]


@pytest.mark.parametrize("reader", [{}, {"version": 1}, {"version": 1, "tags": "none"}])
def test_a_reward_model_reads_the_answer_alone_as_it_was_read_for_its_score(
    reader: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What draws before an answer, or that there is none, never makes a draw the best; tags that nobody parts are its text."""
    monkeypatch.setattr(RewardScorer, "score", lambda self, answers: [float(len(text)) for _, text in answers])
    texts = [
        "<think>Let me add them, one after the other.</think>\n\nSeven.",
        "It is seven.",
        "<think>So long that it ends.",
        "",
    ]
    samples = [Sample("e", f"request {d}", Response(text), Score(1.0), d) for d, text in enumerate(texts)]
    task = TaskDraws(replace(RECORD, reader=reader), [(Message("user", "3+4?"),)], [samples])
    whole = reader.get("tags") == "none"
    expected = [float(len(text)) for text in texts[:3]] if whole else [6.0, 12.0, float("-inf")]
    assert best_of_n.score_draws("rm", [task]) == [[[*expected, float("-inf")]]]


@pytest.mark.parametrize("worth", [None, float("nan")])
def test_a_reward_model_that_scores_nothing_chooses_nothing(monkeypatch: pytest.MonkeyPatch, worth: float | None) -> None:
    """It would have the first draws as its choice, and an accuracy of 0."""
    monkeypatch.setattr(RewardScorer, "score", lambda self, answers: [worth] * len(answers))
    with pytest.raises(SkilldeltaError, match="rm gives no reward for any draw"):
        best_of_n.score_draws("rm", [drawn((1, 0), (0, 1))])


def store_drawn(results: Results, name: str, state: Any) -> None:
    results.add(Checkpoint(name, "", "x", content=name), {"weights": name})
    cell = results.cell(name, "sums")
    with SampleWriter(cell):
        cell.rewrite([sample("e", 0, 1.0), sample("e", 1, 0.0)], replace(RECORD, state=state))


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        ({"a": "done", "b": "done"}, "holds draws of a, b: best-of-n chooses among the draws of one checkpoint"),
        ({"a": "running"}, "sums of a is running, not done"),
    ],
)
def test_draws_are_one_checkpoints_and_whole(tmp_path: Path, cells: dict[str, str], said: str) -> None:
    results = Results.make(tmp_path / "draws")
    for name, state in cells.items():
        store_drawn(results, name, state)
    with pytest.raises(SkilldeltaError, match=said):
        best_of_n.choose_draws(tmp_path / "draws", tmp_path / "best", ["rm"])
    assert not (tmp_path / "best").exists()


@pytest.mark.slow
def test_the_base_of_an_adapter_may_be_named(tiny: str, write: Any, tmp_path: Path) -> None:
    """A reward model by LoRA whose base lay elsewhere when it was trained scores as it did there."""
    rows, run = write("pairs.jsonl", map(preference, range(8))), tmp_path / "rm"
    settings = {"model": tiny, "data": (rows,), "batch": 8, "samples": 0, "max_steps": 1, "lora": 2, "lr": 0.01}
    folder = Path(reward.train(reward.RewardConfig(out=str(run), **settings)).path)
    answers = [("one ?", "two"), ("one ?", "three")]
    before = RewardScorer(str(run)).score(answers)
    file = folder / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"base_model_name_or_path": "/home/somebody/base"}))
    with best_of_n.rebased_models([str(run)], tiny) as (copy,):
        assert RewardScorer(copy).score(answers) == pytest.approx(before, abs=1e-5)
    assert json.loads(file.read_text())["base_model_name_or_path"] == "/home/somebody/base"
    for runs, base, words in (([tiny], tiny, "is a whole model"), ([str(run)], str(tmp_path / "none"), "there is no model")):
        with pytest.raises(SkilldeltaError, match=words), best_of_n.rebased_models(runs, base):
            pass
