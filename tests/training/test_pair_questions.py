"""Preference rows as questions to a judge: a reward model reads them as it was trained on them."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from harness.grading.rewardbench import subset_accuracies
from harness.judges import reward as reward_judge
from harness.trainers import reward
from harness.training.answer_rewards import RewardScorer
from harness.training.pair_questions import read_pair_questions
from harness.training.tokenization import Encoder
from harness.types import Message
from tests.support.training_toy import WORDS, preference, text
from tests.test_cli import skilldelta

Rows = Callable[[str, Iterable[Any]], str]
SYSTEM = {"role": "system", "content": "Name the first word."}
TURN = [{"role": "user", "content": "say it"}, {"role": "assistant", "content": "which one"}]


def plain(i: int) -> dict[str, Any]:
    """The toy's pair as texts."""
    return {name: messages[0]["content"] for name, messages in preference(i).items()}


def conversation(before: list[dict[str, str]], i: int) -> dict[str, Any]:
    """The pair as whole conversations behind other messages."""
    row = preference(i)
    return {name: [*before, *row["prompt"], *row[name]] for name in ("chosen", "rejected")}


FORMS: dict[str, Callable[[int], dict[str, Any]]] = {
    "texts": plain,
    "conversations": preference,
    "conversations with a system prompt": lambda i: conversation([SYSTEM], i),
    "conversations of several turns": lambda i: conversation([SYSTEM, *TURN], i),
    "a prompt as text": lambda i: {**conversation([], i), "prompt": text(i)},
}


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_the_accuracy_is_that_of_the_training_on_its_held_out_pairs(form: str, tiny: str, write: Rows, tmp_path: Path) -> None:
    rows = [FORMS[form](i) for i in range(72) if i % 3]
    data, heldout = write("pairs.jsonl", rows[:24]), write("heldout.jsonl", rows[24:])
    found = reward.train(
        reward.RewardConfig(
            model=tiny, data=(data,), eval_data=(heldout,), out=str(tmp_path / "run"), batch=8, samples=0, lr=1e-4
        )
    )
    card = json.loads((Path(found.path) / "reward.json").read_text())
    pairs, faults = read_pair_questions(heldout)
    (accuracy,) = subset_accuracies(reward_judge.load(found.path), pairs)
    assert not faults
    assert card["conversations"] is (form != "texts")
    assert (accuracy.n, accuracy.accuracy) == (card["held_out"]["pairs"], card["held_out"]["accuracy"])
    assert accuracy.n == 24


@pytest.mark.slow
def test_texts_are_put_to_a_model_as_it_was_trained(tiny: str, write: Rows, tmp_path: Path) -> None:
    """As a user's turn where its pairs were conversations, or where nobody says and it has a chat template."""
    data = write("pairs.jsonl", (preference(i) for i in range(16)))
    found = reward.train(
        reward.RewardConfig(model=tiny, data=(data,), out=str(tmp_path / "run"), batch=8, samples=0, max_steps=1)
    )
    card = Path(found.path) / "reward.json"
    kept = json.loads(card.read_text())
    prompt, answer = text(1), WORDS[0]
    for said, ask in ((False, prompt), (True, (Message("user", prompt),)), (None, (Message("user", prompt),))):
        card.write_text(json.dumps(kept | {"conversations": said}))
        scorer = RewardScorer(found.path)
        scorer_ids = Encoder(scorer.tokenizer, 512, ends=scorer.model.ends).encode_answers([(ask, answer)])
        assert scorer.encoder.encode_answers([(ask, answer)]) == scorer_ids
        assert scorer.score([(prompt, answer)]) == RewardScorer(found.path).score([(ask, answer)])
        assert list(scorer.rewards) == [(ask, answer)]


@pytest.mark.slow
def test_what_no_judge_reads_is_counted_on_the_screen(
    tiny: str, write: Rows, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call = {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "f", "arguments": {}}}]}
    ask = {"role": "user", "content": "which?"}
    said = {"role": "assistant", "content": "this one"}
    rows = [
        *(FORMS["conversations"](i) for i in range(6)),
        {"chosen": [ask, call], "rejected": [ask, said]},
        {"prompt": [ask], "chosen": [said], "rejected": [{**said, "content": "no"}, ask, said]},
        {"prompt": None, "chosen": [said], "rejected": [{**said, "content": "that one"}]},
        {"prompt": [ask], "chosen": [said], "rejected": [{**said, "content": "that one"}], "tools": [{"name": "f"}]},
    ]
    model = reward.train(
        reward.RewardConfig(
            model=tiny, data=(write("pairs.jsonl", rows[:6]),), out=str(tmp_path / "rm"), batch=4, samples=0, max_steps=1
        )
    ).path
    code, out, err = skilldelta(capsys, "reward-accuracy", model, "--pairs", write("every.jsonl", rows), "--json")
    assert code == 0, err
    assert [(s["subset"], s["n"]) for s in json.loads(out)[0]["subsets"]] == [("all", 6)]
    assert "6 pairs; 4 skipped" in err
    for fault in ("2 x an answer of several messages or with a call", "1 x no prompt", "1 x tools, calls or names"):
        assert fault in err
