"""A reward model as a judge, against its own rewards; and a classifier asked in batches."""

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
import transformers

from harness import judge_binding, registry
from harness.grading.criteria import BETTER, COMPLIANCE, HARMLESS, INFORMATIVE, RATING, SUMMARY, TRUTHFUL
from harness.grading.questions import JudgeQuestion, grade_all
from harness.judges import classifier as classifier_plugin
from harness.judges import reward
from harness.judges.pairwise import PairwiseJudge
from harness.training.answer_rewards import RewardScorer
from harness.training.batches import pad_rows
from harness.training.tokenization import Encoder
from harness.types import Message, Request, Response, SkilldeltaError
from tests.judges.test_judges import classifier  # noqa: F401  a fixture
from tests.support import tiny

ONE, SWAPPED = JudgeQuestion("one", "two", "three"), JudgeQuestion("one", "three", "two")
QUESTIONS = [ONE, SWAPPED, JudgeQuestion("one", "two"), JudgeQuestion("a", "b", "b")]


def reward_model(folder: Path, seed: int = 0) -> Path:
    """A folder with a random reward model."""
    tiny.llama(folder, seed, template=True)
    config = transformers.AutoConfig.from_pretrained(folder, num_labels=1)
    torch.manual_seed(seed)
    transformers.LlamaForSequenceClassification(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def reward_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return reward_model(tmp_path_factory.mktemp("reward") / "model")


@pytest.mark.slow
def test_it_prefers_by_the_difference_of_the_models_own_rewards(reward_folder: Path) -> None:
    scorer = RewardScorer(str(reward_folder))
    (row,) = Encoder(scorer.tokenizer, 512).encode_answers([((Message("user", "one"),), "two")])
    assert row
    alone = float(scorer.model.scores(pad_rows([row], 0).to(scorer.model.device)))
    two, three = scorer.score([("one", "two"), ("one", "three")])
    assert two == pytest.approx(alone, abs=1e-5)
    assert two is not None
    assert three is not None
    grades = reward.load(str(reward_folder)).grade_all(QUESTIONS)
    first = float(torch.sigmoid(torch.tensor(two - three)))
    assert [g.value for g in grades] == pytest.approx(
        [first, 1 - first, float(torch.sigmoid(torch.tensor(two))), 0.5], abs=1e-5
    )
    judge = registry.module("judges", "reward").load(str(reward_folder))
    assert judge.grade("one", "two", "three") == pytest.approx(first, abs=1e-5)


@pytest.mark.slow
def test_a_conversation_is_read_in_turns_where_the_model_has_learnt_turns(reward_folder: Path, tmp_path: Path) -> None:
    turns = (Message("system", "Be brief."), Message("user", "one"), Message("assistant", "two"), Message("user", "three"))
    question = JudgeQuestion("Be brief.\n\none\n\ntwo\n\nthree", "four", "five", conversation=turns)
    four, five = RewardScorer(str(reward_folder)).score([(turns, "four"), (turns, "five")])
    assert four is not None
    assert five is not None
    (grade,) = reward.load(str(reward_folder)).grade_all([question])
    assert grade.value == pytest.approx(float(torch.sigmoid(torch.tensor(four - five))), abs=1e-5)
    plain = shutil.copytree(reward_folder, tmp_path / "plain")
    (plain / "reward.json").write_text(json.dumps({"mean": 0.0, "conversations": False}))
    (as_text,) = reward.load(str(plain)).grade_all([question])
    (text_alone,) = reward.load(str(plain)).grade_all([question._replace(conversation=())])
    assert as_text.value == text_alone.value != grade.value


def test_half_a_character_is_read_as_a_question_mark(reward_folder: Path) -> None:
    judge = reward.load(str(reward_folder))
    halves, marks = judge.grade_all([JudgeQuestion("one", "\ud83d", "\ude42"), JudgeQuestion("one", "?", "?")])
    assert halves.value == marks.value == 0.5


def test_it_is_identified_by_its_weights(reward_folder: Path, tmp_path: Path) -> None:
    other = reward_model(tmp_path / "other", seed=1)
    names = {judge_binding.LazyJudge(f"reward:{folder}").identity for folder in (reward_folder, other)}
    assert len(names) == 2
    assert not any(str(tmp_path) in name for name in names)


@pytest.mark.parametrize("where", ["", "nowhere/at/all", "{},size=3"])
def test_what_is_no_reward_model_is_refused_before_anything_is_asked(where: str, reward_folder: Path) -> None:
    with pytest.raises(SkilldeltaError):
        reward.load(where.format(reward_folder))


@pytest.mark.slow
def test_a_classifier_grades_a_batch_as_it_grades_each_alone(classifier: Path) -> None:  # noqa: F811
    judge = classifier_plugin.load(str(classifier))
    texts = ["a boat", "", "people who sail are kind", "z" * 500, *(f"{n} boats" for n in range(40))]
    grades = judge.grade_all([JudgeQuestion("", text, "", COMPLIANCE) for text in texts])
    assert [g.value for g in grades] == pytest.approx([judge.grade("", text, "") for text in texts], abs=1e-6)
    assert [g.label for g in grades] == ["compliance" if (g.value or 0) >= 0.5 else "refusal" for g in grades]
    other = classifier_plugin.load(f"{classifier},bad=LABEL_0")
    assert other.grade("", "a boat", "") == pytest.approx(1 - judge.grade("", "a boat", ""))
    assert classifier_plugin.identity(f"{classifier},bad=0") != classifier_plugin.identity(str(classifier))
    with pytest.raises(SkilldeltaError, match="no label 'toxic'; it has label_0, label_1"):
        classifier_plugin.load(f"{classifier},bad=toxic")


@pytest.mark.parametrize("name", ["reward", "classifier"])
def test_weights_of_a_terabyte_without_content_are_not_read(name: str, reward_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(reward_folder, tmp_path / "model"))
    os.truncate(folder / "model.safetensors", 1 << 40)
    judge = judge_binding.LazyJudge(f"{name}:{folder}")
    assert judge.identity.endswith("damaged weights")
    with pytest.raises(SkilldeltaError, match=r"cannot be loaded"):
        judge.get()


def test_a_head_of_another_name_is_not_called_lost(reward_folder: Path, tmp_path: Path) -> None:
    """BERT's is `classifier`: its weights are there, and nothing is to be copied anew."""
    folder = shutil.copytree(reward_folder, tmp_path / "r")
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    config = transformers.BertConfig(vocab_size=256, num_labels=1, **sizes)
    transformers.BertForSequenceClassification(config).save_pretrained(folder)
    (folder / "reward.json").unlink(missing_ok=True)
    with pytest.raises(SkilldeltaError, match="has no linear `score` head in transformers"):
        reward.load(str(folder))


def test_a_reward_model_without_its_head_is_refused(reward_folder: Path, tmp_path: Path) -> None:
    """A new head was made for it, and half of all pairs were right."""
    folder = shutil.copytree(reward_folder, tmp_path / "r")
    weights = safetensors.torch.load_file(folder / "model.safetensors")
    assert weights.pop("score.weight").shape == (1, 32)
    safetensors.torch.save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(SkilldeltaError, match=r"lacks the weights of its head \(score\.weight\): they would be random"):
        reward.load(str(folder))


def test_labels_that_are_no_names_are_damage(reward_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(reward_folder, tmp_path / "r")
    edit_json(folder / "config.json", id2label={"0": ["a"]})
    with pytest.raises(SkilldeltaError, match=r"config\.json is damaged: id2label is \{0: \['a'\]\}"):
        reward.load(str(folder))


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"eos_token": "<never seen>"}, r"The data have the token \d+, and .* has embeddings for \d+ tokens"),
        ({"tokenizer_class": "BertTokenizer"}, r"cannot write answers \(Exception: WordPiece error: Missing \[UNK\] token"),
        ({"model_max_length": "x"}, r"cannot write answers \(TypeError: .*\): is it whole\?"),
    ],
)
def test_a_damaged_tokenizer_is_an_error_of_the_reward_model(
    settings: dict[str, str], fault: str, reward_folder: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(reward_folder, tmp_path / "r")
    edit_json(folder / "tokenizer_config.json", **settings)
    with pytest.raises(SkilldeltaError, match=fault):
        reward.load(str(folder)).grade_all(QUESTIONS)


def edit_json(file: Path, **changes: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


@pytest.mark.slow
def test_a_judge_gives_no_number_for_a_question_that_it_cannot_answer(
    reward_folder: Path,
    classifier: Path,  # noqa: F811
) -> None:
    """A reward says how good an answer is; a classifier reads one alone: what else they are asked has a reason, no grade."""
    pair, rating = JudgeQuestion("one", "two", "three", BETTER), JudgeQuestion("one", "two", "three", RATING)
    singles = [JudgeQuestion("one", "two", "three", name) for name in (TRUTHFUL, INFORMATIVE, COMPLIANCE, HARMLESS)]
    graded = reward.load(str(reward_folder)).grade_all([pair, rating, JudgeQuestion("one", "two"), *singles])
    assert [g.value is None for g in graded] == [False] * 3 + [True] * 4
    assert graded[1].value == graded[2].value != graded[0].value, "right answers that a rating is shown are no other answer"
    assert "cannot tell the criterion 'compliance'" in graded[5].why
    told = classifier_plugin.load(str(classifier)).grade_all([*singles, rating, pair, JudgeQuestion("one", "two", "three")])
    assert [g.value is None for g in told] == [False] * 5 + [True] * 2
    assert "cannot tell which of two is better" in told[-1].why


def test_a_judge_of_one_method_gets_a_reference_only_where_it_is_another_answer() -> None:
    class Recorder:
        references: list[str] = []

        def grade(self, prompt: str, response: str, reference: str) -> float:
            self.references.append(reference)
            return 0.5

    grade_all(Recorder(), [JudgeQuestion("q", "a", "b", name) for name in ("", BETTER, SUMMARY, RATING, TRUTHFUL)])
    assert Recorder.references == ["b", "b", "b", "", ""]


def test_the_first_judge_by_a_language_model_does_not_compare_with_nothing() -> None:
    questions = [JudgeQuestion("q", "a", criterion=COMPLIANCE), JudgeQuestion("q", "a", "b")]

    class FirstAnswer:
        def answer(self, requests: Sequence[Request]) -> Iterator[tuple[int, Response]]:
            yield from enumerate([Response("A")] * len(requests))

    single, pair = PairwiseJudge(FirstAnswer()).grade_all(questions)  # type: ignore[arg-type]
    assert (single.value, "cannot grade one alone" in single.why) == (None, True)
    assert pair.value == 0.5, "always the first: the two orders cancel out"
