"""The reward model: its start, its heads, what it keeps, what it refuses."""

import json
import math
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import torch

from harness.discovery import find_checkpoints
from harness.trainers import reward, sft
from harness.training import batches, datasets, forward, policy_models, reward_model
from harness.training.answer_rewards import RewardScorer
from harness.training.batches import Tokens
from harness.training.preferences import parse_pair
from harness.training.reward_card import CARD
from harness.training.tokenization import Encoder, answer_ends, load_tokenizer
from harness.types import Message, SkilldeltaError
from tests.support.training_toy import WORDS, chat, preference, text

Rows = Callable[[str, Iterable[Any]], str]
ASPECTS = ("honesty", "helpfulness")


def config(tiny: str, data: str, out: Path, **more: Any) -> reward.RewardConfig:
    known = {
        "model": tiny,
        "data": (data,),
        "out": str(out),
        "lr": 2e-3,
        "batch": 8,
        "samples": 16,
        "max_new": 8,
        "warmup": 0.0,
    }
    return reward.RewardConfig(**(known | more))


def card(folder: str) -> dict[str, Any]:
    return json.loads((Path(folder) / "reward.json").read_text())


def log(folder: str) -> list[dict[str, Any]]:
    return json.loads((Path(folder) / "trainer_state.json").read_text())["log_history"]


def rated(i: int) -> dict[str, Any]:
    """Two completions, the right one better in honesty and the long one better in helpfulness."""
    right, wrong = WORDS[i % len(WORDS)], WORDS[(i * 7 + 3) % len(WORDS)]
    return {
        "instruction": text(i),
        "completions": [
            {"response": right, "ratings": {"honesty": 5, "helpfulness": 2}, "overall_score": 4},
            {"response": f"the answer is {wrong}", "ratings": {"honesty": 1, "helpfulness": 3}, "overall_score": 8},
        ],
    }


@pytest.mark.slow
def test_it_learns_and_tells_how_well_on_held_out_pairs(tiny: str, write: Rows, tmp_path: Path) -> None:
    # The right answer names the first word; the wrong one is always longer: learnable by anybody.
    data = write("pairs.jsonl", (preference(i) for i in range(120) if i % 3))
    found = reward.train(config(tiny, data, tmp_path / "run", epochs=4.0, holdout=0.25, kinds=("synthetic",)))
    held = card(found.path)["held_out"]
    assert held["accuracy"] > 0.9
    assert held["low"] < held["accuracy"] <= held["high"]
    assert held["by_kind"]["synthetic"]["pairs"] == held["by_source"][data]["pairs"] == held["pairs"]
    assert 0 <= held["calibration_error"] < 0.3
    assert log(found.path)[0]["loss"] == pytest.approx(math.log(2), abs=0.4)


@pytest.mark.slow
def test_equal_heads_begin_at_exactly_log_two(tiny: str, pairs: str, tmp_path: Path) -> None:
    model = policy_models.load_classifier(tiny, ("overall",), seed=0)
    torch.nn.init.zeros_(model.score.weight)
    model.save_pretrained(tmp_path / "zero")
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(Path(tiny) / name, tmp_path / "zero" / name)
    found = reward.train(config(str(tmp_path / "zero"), pairs, tmp_path / "run", sft=tiny, max_steps=1))
    assert log(found.path)[0]["loss"] == pytest.approx(math.log(2), abs=1e-7)


@pytest.mark.slow
def test_a_head_per_aspect_learns_that_aspect(tiny: str, write: Rows, tmp_path: Path) -> None:
    data = write("rated.jsonl", (rated(i) for i in range(80)))
    found = reward.train(config(tiny, data, tmp_path / "run", heads=ASPECTS, combine=(0.75, 0.25), epochs=3.0, holdout=0.2))
    heads = card(found.path)["held_out"]["by_head"]
    assert set(heads) == set(ASPECTS)
    assert all(h["accuracy"] > 0.85 for h in heads.values())
    assert json.loads((Path(found.path) / "config.json").read_text())["id2label"] == {"0": "honesty", "1": "helpfulness"}


@pytest.mark.slow
def test_the_reward_is_the_weighted_sum_of_the_heads_on_its_kept_scale(tiny: str, write: Rows, tmp_path: Path) -> None:
    data = write("rated.jsonl", (rated(i) for i in range(16)))
    found = reward.train(config(tiny, data, tmp_path / "run", heads=ASPECTS, combine=(3.0, -1.0)))
    model, kept = reward_model.load(found.path), card(found.path)
    batch = batches.pad_rows([Tokens((5, 9, 20, 1), 2), Tokens((7, 8, 1), 1)], pad=0)
    raw = forward.answer_scores(model.model, batch)
    expected = (3 * raw[:, 0] - raw[:, 1] - kept["mean"]) / kept["sd"]
    assert torch.allclose(model.scores(batch), expected, atol=1e-5)
    assert kept["samples"] >= 2
    assert kept["sd"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("lora", [0, 2])
def test_the_score_is_that_of_transformers_at_the_last_real_token(lora: int, tiny: str, pairs: str, tmp_path: Path) -> None:
    from transformers import AutoModelForSequenceClassification

    found = reward.train(config(tiny, pairs, tmp_path / "run", max_steps=3, lora=lora))
    rows = [Tokens((5, 9, 20, 30, 1), 2), Tokens((7, 8, 1), 1), Tokens((7, 1, 8, 1), 1)]  # one with an end token inside
    batch = batches.pad_rows(rows, pad=0)
    ours = forward.answer_scores(reward_model.load(found.path).model, batch)
    if lora:
        from peft import PeftModel

        theirs = PeftModel.from_pretrained(AutoModelForSequenceClassification.from_pretrained(tiny, num_labels=1), found.path)
        theirs.config.pad_token_id = theirs.base_model.model.config.pad_token_id = 0
    else:
        theirs = AutoModelForSequenceClassification.from_pretrained(found.path)
    with torch.no_grad():
        expected = theirs.eval()(
            input_ids=batch.ids, attention_mask=(torch.arange(5) < torch.tensor([[5], [3], [4]])).long()
        ).logits
    assert torch.allclose(ours, expected, atol=1e-5)


def test_strangers_are_pairs_with_another_prompts_answer(tiny: str, pairs: str, tmp_path: Path) -> None:
    settings = config(tiny, pairs, tmp_path, strangers=0.5)
    rows = datasets.load_mixture(settings, parse_pair).rows
    found = reward.stranger_pairs(rows, settings)
    answers = {p.prompt: p.chosen for p in rows}
    assert 20 <= len(found) <= 32
    assert all(answers[p.prompt] == p.chosen != p.rejected for p in found)


@pytest.mark.slow
def test_a_reward_model_run_is_known_as_one(tiny: str, pairs: str, tmp_path: Path) -> None:
    reward.train(config(tiny, pairs, tmp_path / "run", max_steps=2))
    (found,) = find_checkpoints([str(tmp_path / "run")])
    assert found.method == "reward"
    assert "answers no prompts" in found.problem


def test_wilsons_interval_and_the_calibration_error_by_hand() -> None:
    gaps = torch.tensor([1.0] * 8 + [-1.0] * 2, dtype=torch.float64)
    found = reward_model.pair_accuracy(gaps)
    assert (found["pairs"], found["accuracy"]) == (10, 0.8)
    assert (found["low"], found["high"]) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert reward_model.calibration(gaps)["calibration_error"] == pytest.approx(0.8 - 1 / (1 + math.exp(-1)), abs=1e-9)


def test_answers_that_cannot_fit_are_refused_and_not_taken_for_a_scale(tiny: str, pairs: str, tmp_path: Path) -> None:
    with pytest.raises(SkilldeltaError, match="leaves room"):
        reward.train(config(tiny, pairs, tmp_path / "run", max_new=1024, max_length=64))


@pytest.mark.slow
def test_a_tokenizer_that_pads_with_its_end_needs_no_change(tiny: str, pairs: str, tmp_path: Path) -> None:
    """Lengths are known here; the saved model pads with another token, so that other programs read the right score too."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    shutil.copytree(tiny, tmp_path / "model")
    words = AutoTokenizer.from_pretrained(tiny)
    words.pad_token = words.eos_token
    words.save_pretrained(tmp_path / "model")
    found = reward.train(config(str(tmp_path / "model"), pairs, tmp_path / "run"))
    theirs = AutoModelForSequenceClassification.from_pretrained(found.path).eval()
    saved = AutoTokenizer.from_pretrained(found.path)
    assert saved.pad_token_id == theirs.config.pad_token_id != saved.eos_token_id
    rows = [Tokens((5, 9, 17, 1), 2), Tokens((5, 1), 1)]
    model = policy_models.load_classifier(found.path, ("overall",), 0)
    with torch.no_grad():
        ours = forward.answer_scores(model, batches.pad_rows(rows, 1))[:, 0]
        padded = torch.tensor([[*r.ids, *[saved.pad_token_id] * (4 - len(r.ids))] for r in rows])
        assert torch.allclose(theirs(input_ids=padded, attention_mask=(padded != saved.pad_token_id).long()).logits[:, 0], ours)


@pytest.mark.slow
def test_it_scores_the_sequences_that_it_was_trained_on_where_a_turn_ends_with_another_token(
    tiny: str, write: Rows, tmp_path: Path
) -> None:
    shutil.copytree(tiny, tmp_path / "chat")
    (tmp_path / "chat/generation_config.json").write_text(json.dumps({"eos_token_id": [1, 2]}))
    template = tmp_path / "template.jinja"  # Gemma's way: a turn ends with a token of its own and a line break
    template.write_text(
        "{% for m in messages %}{{ '<|assistant|>' + m['content'] + '<|user|>\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
    )
    rows = write("pairs.jsonl", map(preference, range(8)))
    run = reward.train(config(str(tmp_path / "chat"), rows, tmp_path / "rm", max_steps=1, samples=0, template=str(template)))
    tokenizer, prompt = load_tokenizer(run.path), (Message("user", "one ?"),)
    ends = answer_ends(tokenizer, str(tmp_path / "chat"))
    (tokens,) = Encoder(tokenizer, 64, ends=ends).fitting_answers([(prompt, "two")])
    assert tokens.ids[-1] == 2
    model = reward_model.load(run.path)
    expected = model.scores(batches.pad_rows([tokens], 0).to(model.device)).item()
    assert RewardScorer(run.path).score([(prompt, "two")]) == [pytest.approx(expected, abs=1e-5)]


def test_a_classifier_of_several_labels_needs_a_word_on_which_is_the_reward(tiny: str, tmp_path: Path) -> None:
    from transformers import AutoModelForSequenceClassification

    folder = tmp_path / "classifier"
    shutil.copytree(tiny, folder)
    labels = {0: "harmful", 1: "harmless"}
    AutoModelForSequenceClassification.from_pretrained(tiny, num_labels=2, id2label=labels).save_pretrained(folder)
    with pytest.raises(SkilldeltaError, match=r"2 outputs \(harmful, harmless\).*Write reward.json"):
        reward_model.load(str(folder))
    (folder / CARD).write_text(json.dumps({"heads": list(labels.values()), "combine": [0, 1]}))
    model, batch = reward_model.load(str(folder)), batches.pad_rows([Tokens((2, 30, 1), 1)], 0)
    raw = forward.answer_scores(model.model, batch.to(model.device))
    assert model.scores(batch.to(model.device)).item() == pytest.approx(raw[0, 1].item(), abs=1e-6)


def pads_with_its_end(source: str, folder: Path) -> str:
    """A copy of a model whose tokenizer and config pad with the end token, as many are published."""
    shutil.copytree(source, folder)
    settings = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(settings | {"pad_token_id": settings["eos_token_id"]}))
    words = load_tokenizer(str(folder))
    words.pad_token = words.eos_token
    words.save_pretrained(folder)
    return str(folder)


@pytest.mark.slow
def test_others_read_an_adapters_score_where_it_was_learnt(
    tiny: str, write: Rows, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """An adapter has the padding of its base: that of a merged base is set, and of a base that is not ours it is said."""
    from transformers import AutoModelForSequenceClassification

    base, chats = pads_with_its_end(tiny, tmp_path / "base"), write("chats.jsonl", map(chat, range(8)))
    pairs, shared = write("pairs.jsonl", map(preference, range(16))), {"lora": 2, "max_steps": 1, "samples": 0}
    start = sft.train(
        sft.SFTConfig(model=base, data=(chats,), out=str(tmp_path / "sft"), lora=2, batch=8, max_steps=1, lr=0.01, warmup=0.0)
    )
    paid = reward.train(config(start.path, pairs, tmp_path / "merged", **shared))
    assert "padding token" not in caplog.text
    theirs = AutoModelForSequenceClassification.from_pretrained(paid.path, num_labels=1).eval()
    row = Tokens((2, 30, 40, 3, 50, 1), 3)
    with torch.no_grad():
        score = theirs(input_ids=torch.tensor([row.ids])).logits[0, 0].item()
    (ours,) = forward.answer_scores(reward_model.load(paid.path).model, batches.pad_rows([row], 0)).tolist()
    assert score == pytest.approx(ours[0], abs=1e-5)
    reward.train(config(base, pairs, tmp_path / "whole", **shared))
    assert "model.config.pad_token_id = 0 (it is 1)" in caplog.text


def test_labels_that_a_config_leaves_out_are_counted(tiny: str, tmp_path: Path) -> None:
    """transformers writes no id2label for its default of two labels."""
    from transformers import LlamaConfig, LlamaForSequenceClassification

    LlamaForSequenceClassification(LlamaConfig.from_pretrained(tiny, num_labels=2)).save_pretrained(tmp_path)
    assert "id2label" not in json.loads((tmp_path / "config.json").read_text())
    with pytest.raises(SkilldeltaError, match="has 2 outputs"):
        reward_model.load(str(tmp_path))
