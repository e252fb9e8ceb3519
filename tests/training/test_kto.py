"""KTO: known values, labelled rows, and that a run moves desirable answers up and undesirable ones down."""

import json
import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import torch

from harness.trainers import kto
from harness.training import labelled_answers, losses
from harness.training.batches import Tokens
from harness.training.messages import UnusableRowError
from harness.training.needs import read_needs
from harness.training.parse_settings import ParseSettings
from harness.types import Message, SkilldeltaError
from tests.support.training_toy import label, preference

Rows = Callable[[str, Iterable[Any]], str]


def config(tiny: str, data: str, out: Path, **more: Any) -> kto.KTOConfig:
    settings: dict[str, Any] = {
        "model": tiny,
        "data": (data,),
        "out": str(out),
        "lr": 5e-3,
        "batch": 8,
        "log_steps": 1,
        "warmup": 0.0,
    }
    return kto.KTOConfig(**(settings | more))


def read_log(folder: str) -> list[dict[str, Any]]:
    log: list[dict[str, Any]] = json.loads((Path(folder) / "trainer_state.json").read_text())["log_history"]
    return log


def test_the_loss_is_one_half_at_the_baseline_and_falls_to_the_side_of_the_label() -> None:
    ratio, sign = torch.tensor([0.3, 0.3, 1.3, 1.3]), torch.tensor([1.0, -1.0, 1.0, -1.0])
    found = losses.kto(ratio, sign, torch.tensor(0.3), beta=2.0)
    sigmoid = 1 / (1 + math.exp(-2.0))
    assert found.tolist() == pytest.approx([0.5, 0.5, 1 - sigmoid, sigmoid])


def test_rows_with_labels_and_pairs_say_the_same() -> None:
    settings = ParseSettings()
    (right,) = labelled_answers.parse_labels(label(1, True), settings)
    better, worse = labelled_answers.parse_labels(preference(1), settings)
    assert right == better
    assert (better.is_desirable, worse.is_desirable) == (True, False)
    plain = labelled_answers.parse_labels({"prompt": "a b", "completion": "c", "label": "False"}, settings)
    assert plain == (labelled_answers.LabelledAnswer("a b", "c", False),)
    mixed = labelled_answers.parse_labels({"question": "a b", "response": "c", "label": 1}, settings)
    assert mixed[0].prompt == (Message("user", "a b"),)
    with pytest.raises(UnusableRowError, match="neither true nor false"):
        labelled_answers.parse_labels({"prompt": "a", "completion": "c", "label": 3}, settings)


@pytest.mark.slow
def test_a_run_begins_at_one_half_and_parts_the_labels(tiny: str, write: Rows, tmp_path: Path) -> None:
    data = write("labels.jsonl", [label(i, bool(i % 2)) for i in range(32)])
    log = read_log(kto.train(config(tiny, data, tmp_path / "run", epochs=6.0)).path)
    assert log[0]["loss"] == pytest.approx(0.5, abs=1e-6)
    assert log[0]["kl"] == 0.0
    assert log[-1]["loss"] < 0.45
    assert log[-1]["rewards/chosen"] > log[-1]["rewards/rejected"]


@pytest.mark.slow
def test_micro_batches_change_nothing(tiny: str, write: Rows, tmp_path: Path) -> None:
    data = write("pairs.jsonl", map(preference, range(8)))
    one, two = (read_log(kto.train(config(tiny, data, tmp_path / str(size), micro_batch=size)).path) for size in (0, 3))
    assert [row["loss"] for row in one] == pytest.approx([row["loss"] for row in two], abs=1e-5)


def test_the_baseline_is_of_answers_to_other_prompts_even_in_a_step_of_one_row_or_one_pair() -> None:
    def labelled(prompt: int, answer: int) -> labelled_answers.LabelledTokens:
        return labelled_answers.LabelledTokens(Tokens((prompt, answer, 9), 1), True)

    rows = [labelled(1, 10), labelled(1, 11), labelled(2, 20), labelled(3, 30)]
    assert [t.ids[:2] for t in labelled_answers.exchange_answers(rows, rows)] == [(1, 30), (1, 30), (2, 11), (3, 20)]
    for step in (rows[:1], rows[:2]):
        assert {t.ids[1] for t in labelled_answers.exchange_answers(step, rows)} == {20}
    assert labelled_answers.exchange_answers(rows[:2], rows[:2])[1].ids[1] == 10  # a source with one prompt has no others


def test_answers_of_one_label_are_refused(tiny: str, write: Rows, tmp_path: Path) -> None:
    with pytest.raises(SkilldeltaError, match="all of one label"):
        kto.train(config(tiny, write("labels.jsonl", [label(i, True) for i in range(4)]), tmp_path / "run"))


def test_studies_know_it_by_its_file() -> None:
    assert read_needs("kto").makes == "policy"
