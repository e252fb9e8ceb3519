"""Models whose small files are damaged: what training reads is refused by name, and is no other reward."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoModelForSequenceClassification

from harness.training import model_loading, reward_model
from harness.training.reward_card import CARD
from harness.training.tokenization import load_tokenizer
from harness.types import SkilldeltaError
from tests.support.damage import FILES, VALUES, encode, replace_field

GOOD: dict[str, Any] = {"heads": ["overall"], "combine": [1.0], "mean": 0.5, "sd": 2.0, "ends": [1], "conversations": True}
NO_FILES = ("pipe", "folder", "link to itself", "link to nothing", "link to an endless device", "empty", "half", "deep lists")
# Fields of a card, each with what it cannot hold.
ODD = [
    (key, name) for key in GOOD for name in ("negative", "10^400", "NaN", "list of lists", "object", "deep", "number as text")
]
SOUND = [("mean", "negative"), ("ends", "negative"), ("mean", "number as text"), ("sd", "number as text")]


@pytest.fixture
def scorer(tiny: str, tmp_path: Path) -> Path:
    """A reward model of one head, with its card."""
    folder = tmp_path / "scorer"
    shutil.copytree(tiny, folder)
    AutoModelForSequenceClassification.from_pretrained(tiny, num_labels=1).save_pretrained(folder)
    (folder / CARD).write_text(json.dumps(GOOD))
    return folder


def test_without_damage_the_card_is_taken(scorer: Path) -> None:
    model = reward_model.load(str(scorer))
    assert (model.mean, model.sd, model.ends, model.conversations) == (0.5, 2.0, frozenset({1}), True)


def test_a_card_without_heads_leaves_them_to_the_config(scorer: Path) -> None:
    (scorer / CARD).write_text(json.dumps({"mean": 0.25, "sd": 4}))
    model = reward_model.load(str(scorer))
    assert (model.mean, model.sd, model.weights.tolist(), model.conversations) == (0.25, 4.0, [1.0], None)


def test_a_head_of_zeros_gives_no_rewards(scorer: Path) -> None:
    model = AutoModelForSequenceClassification.from_pretrained(scorer)
    model.score.weight.data.zero_()
    model.save_pretrained(scorer)
    with pytest.raises(SkilldeltaError, match=r"scorer has a head \(score.weight\) of nothing but zeros"):
        reward_model.load(str(scorer))
    model.score.weight.data[0, 3] = 0.5
    model.save_pretrained(scorer)
    assert reward_model.load(str(scorer)).sd == 2.0


@pytest.mark.parametrize("damage", NO_FILES)
def test_a_card_that_is_no_whole_file_is_no_missing_card(damage: str, scorer: Path) -> None:
    FILES[damage](scorer / CARD)
    with pytest.raises(SkilldeltaError, match=f"{CARD} is damaged"):
        reward_model.load(str(scorer))


@pytest.mark.parametrize(("key", "damage"), sorted({*ODD, ("sd", "infinite")} - set(SOUND)))
def test_a_card_with_an_odd_field_is_refused(key: str, damage: str, scorer: Path) -> None:
    (scorer / CARD).write_bytes(encode(replace_field(GOOD, (key,), VALUES[damage])))
    with pytest.raises(SkilldeltaError, match=f"{CARD} is damaged.*\n.*train it again"):
        reward_model.load(str(scorer))


@pytest.mark.parametrize("change", [{"sd": 0.0}, {"heads": ["a", "a"], "combine": [1, 1]}, {"combine": [1.0, 2.0]}])
def test_a_card_that_contradicts_itself_is_refused(change: dict[str, Any], scorer: Path) -> None:
    (scorer / CARD).write_text(json.dumps(GOOD | change))
    with pytest.raises(SkilldeltaError, match=f"{CARD} is damaged"):
        reward_model.load(str(scorer))


@pytest.mark.parametrize("heads", [[5], [None], 7, float("nan"), ["x", ["y"]], {"a": 1}])
def test_architectures_that_are_no_names_are_damage(heads: Any, scorer: Path) -> None:
    config = json.loads((scorer / "config.json").read_text())
    (scorer / "config.json").write_text(json.dumps(config | {"architectures": heads}))
    with pytest.raises(SkilldeltaError, match=r"config.json is damaged: architectures"):
        model_loading.has_score_head(str(scorer))


@pytest.mark.parametrize("field", ["id2label", "mlp_bias"])
def test_another_programs_reward_model_with_odd_settings_is_refused(field: str, scorer: Path) -> None:
    (scorer / CARD).unlink()
    config = json.loads((scorer / "config.json").read_text())
    (scorer / "config.json").write_text(json.dumps(config | {field: -1}))
    with pytest.raises(SkilldeltaError, match=r"scorer cannot be loaded: config\.json cannot be used"):
        reward_model.load(str(scorer))


@pytest.mark.parametrize("content", ["3", '{"eos_token": 7}', '{"eos_token": [1]}', '{"added_tokens_decoder": 5}'])
def test_a_tokenizer_with_odd_settings_is_refused_by_its_folder(content: str, tiny: str, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny, tmp_path / "model"))
    (folder / "tokenizer_config.json").write_text(content)
    with pytest.raises(SkilldeltaError, match=f"The tokenizer of {folder} cannot be loaded"):
        load_tokenizer(str(folder))


@pytest.mark.parametrize("costs", ["x", 5, [1], {"flops": 1.0}, {"flops": "x", "tokens": 1, "seconds": {"update": [1]}}])
def test_costs_that_are_none_are_damage_of_the_model_they_are_of(costs: Any, tiny: str, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny, tmp_path / "model"))
    state = {
        "stateful_callbacks": {"skilldelta": {"costs": {"flops": 2.0, "tokens": 3, "seconds": {"update": 1.5, "save": 1}}}}
    }
    (folder / "trainer_state.json").write_text(json.dumps(state))
    assert model_loading.describe_model(str(folder))["cost"] == {"total_flos": 2.0, "seconds": 2.5}
    damaged = replace_field(state, ("stateful_callbacks", "skilldelta", "costs"), costs)
    (folder / "trainer_state.json").write_text(json.dumps(damaged))
    with pytest.raises(SkilldeltaError, match=f"{folder}/trainer_state.json is damaged"):
        model_loading.describe_model(str(folder))
