"""Judges: chosen by name, loaded when needed, told in task.json; a classifier against transformers' own pipeline."""

import json
import shutil
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import safetensors.torch
import tokenizers
import torch
import transformers

from harness import data, judge_binding, registry
from harness.evaluation.outcome import Outcome
from harness.evaluation.questions import EvaluationSettings, task_record
from harness.evaluation.rescore import rescore
from harness.evaluation.run import score_checkpoints
from harness.grading.bound_judge import BoundJudge
from harness.grading.language_model import JudgeSettings, LanguageModelJudge
from harness.grading.questions import Grade, JudgeQuestion, grade_all
from harness.store import Results
from harness.types import Example, Judge, Request, Response, Score, SkilldeltaError, Task
from tasks import toxigen
from tests.support import toys
from tests.support.damage import FILES
from tests.support.training_fixtures import tiny
from tests.test_cli import skilldelta

__all__ = ["tiny"]


def by_length(judge: Judge, example: Example, response: Response) -> Score:
    return Score(judge.grade(str(example.row["question"]), response.text, ""))


def judged_task() -> Task:
    return replace(toys.adding(4), judge="classifier:nowhere/at-all", judged=by_length, score=judge_binding.unjudged_score)


@pytest.fixture(scope="session")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small random two-label classifier in a folder."""
    folder = tmp_path_factory.mktemp("judge") / "classifier"
    letters = {c: i for i, c in enumerate(("[PAD]", "[CLS]", "[UNK]", *" abcdefghijklmnopqrstuvwxyz0123456789"))}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(letters, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Split("", "isolated")
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing("[CLS] $A", special_tokens=[("[CLS]", 1)])
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", cls_token="[CLS]", unk_token="[UNK]", model_max_length=64
    ).save_pretrained(folder)
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=len(letters), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=64, initializer_range=0.5,
    )  # fmt: skip
    transformers.BertForSequenceClassification(config).save_pretrained(folder)
    return folder


def run(folder: Path, task: Task, **judges: str) -> Outcome:
    results = Results.make(folder)
    (outcome,) = score_checkpoints(
        [toys.checkpoint()], [task], lambda _: toys.model(), results, EvaluationSettings(judges=judges)
    )
    return outcome


@pytest.mark.slow
def test_a_classifier_grades_as_transformers_pipeline_does(classifier: Path) -> None:
    judge = registry.module("judges", "classifier").load(str(classifier))
    pipeline = transformers.pipeline("text-classification", model=str(classifier), device="cpu")
    for text in ("", "a boat", "people who sail are kind", "z" * 500):
        (labels,) = pipeline([text], top_k=None, truncation=True)
        good = next(label["score"] for label in labels if label["label"] == "LABEL_0")
        assert judge.grade("ignored", text, "ignored") == pytest.approx(good, abs=1e-5)


def test_an_answer_with_half_a_character_is_graded(classifier: Path) -> None:
    """As where an emoji was cut: no tokenizer takes it, and one such answer ended its whole block."""
    judge = registry.module("judges", "classifier").load(str(classifier))
    grades = grade_all(judge, [JudgeQuestion("p", "You are \ud83d"), JudgeQuestion("p", "You are ?")])
    assert grades[0].value == grades[1].value is not None

    class Letters:
        def answer(self, requests: Sequence[Request]) -> Iterator[tuple[int, Response]]:
            for place, request in enumerate(requests):
                assert str(request.prompt).encode()
                yield place, Response("A")

    (grade,) = LanguageModelJudge(Letters(), JudgeSettings(by="text")).grade_all([JudgeQuestion("\ud83d", "\ude42", "b")])
    assert grade.value == 0.5


def test_a_classifier_cuts_at_its_window_and_needs_no_padding(classifier: Path, tmp_path: Path) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(classifier)
    tokenizer.model_max_length, tokenizer.pad_token = 10**30, None
    model = transformers.AutoModelForSequenceClassification.from_pretrained(classifier, pad_token_id=None)
    for part in (tokenizer, model):
        part.save_pretrained(tmp_path)
    judge = registry.module("judges", "classifier").load(str(tmp_path))
    texts = ["z" * 500, "z" * 500 + "a", "a boat", "sail"]
    grades = grade_all(judge, [JudgeQuestion("", text) for text in texts])
    assert [grade.value for grade in grades] == pytest.approx([judge.grade("", text, "") for text in texts])
    assert grades[0] == grades[1]


def test_a_model_without_a_head_for_labels_is_no_classifier(classifier: Path, tmp_path: Path, tiny: str) -> None:
    """transformers would give a language model two labels and a random head."""
    load = registry.module("judges", "classifier").load
    with pytest.raises(SkilldeltaError, match=r"lacks 1 of its weights \(score.weight\): they would be random.*llm:NAME"):
        load(tiny)
    shutil.copytree(classifier, tmp_path / "cut")
    weights = safetensors.torch.load_file(tmp_path / "cut" / "model.safetensors")
    safetensors.torch.save_file({"classifier.bias": weights["classifier.bias"]}, tmp_path / "cut" / "model.safetensors")
    with pytest.raises(SkilldeltaError, match=r"lacks \d+ of its weights \(bert"):
        load(str(tmp_path / "cut"))


@pytest.mark.parametrize("file", ["config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"])
@pytest.mark.parametrize("damage", ["deep lists", "deep objects", "a number", "empty", "NULs", "half", "Latin-1"])
def test_a_damaged_file_of_a_classifier_is_an_error_of_the_classifier(
    classifier: Path, tmp_path: Path, file: str, damage: str
) -> None:
    """transformers raises RecursionError, TypeError and safetensors' own error for them."""
    shutil.copytree(classifier, tmp_path / "c")
    FILES[damage](tmp_path / "c" / file)
    with pytest.raises(SkilldeltaError, match=r"^The classifier '.*/c' cannot be loaded: \w+: "):
        registry.module("judges", "classifier").load(str(tmp_path / "c"))


@pytest.mark.parametrize("number", [float("nan"), -0.1, 1.5, float("inf")])
def test_a_grade_that_is_no_share_is_none(number: float) -> None:
    """A damaged model gives NaN, which is below every threshold: it would be a verdict."""
    one = SimpleNamespace(grade=lambda *_: number)
    many = SimpleNamespace(grade=lambda *_: number, grade_all=lambda questions: [Grade(number, "toxic") for _ in questions])
    for judge in (one, many):
        (grade,) = grade_all(judge, [JudgeQuestion("", "text")])
        assert (grade.value, grade.holds, "not in 0..1" in grade.reason) == (None, None, True)


def test_a_judge_named_by_the_user_grades_and_is_told_by_its_content(classifier: Path, tmp_path: Path) -> None:
    outcome = run(tmp_path / "r", judged_task(), adding=f"classifier:{classifier}")
    assert (outcome.state, outcome.unscored) == ("done", 0)
    cell = Results(tmp_path / "r").cell("toy", "adding")
    identity = cell.read().task.judge
    assert identity.startswith("classifier:")
    assert str(classifier) not in identity
    (classifier / "config.json").touch()
    assert judge_binding.bind_judge(judged_task(), {"adding": f"classifier:{classifier}"}).judge == identity


class CountingJudge:
    """Grades by length, with an account; the second of two threads asks between another's asking and its scoring."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.asked_count = 0

    def grade_all(self, questions: Sequence[JudgeQuestion]) -> list[Grade]:
        self.batches.append([question.response for question in questions])
        self.asked_count += len(questions)
        if "fails" in self.batches[-1]:
            raise SkilldeltaError("the judge went away")
        return [Grade(len(question.response) / 10) for question in questions]

    def report(self) -> dict[str, float]:
        count, self.asked_count = self.asked_count, 0
        return {"requests": count, "price": count / 8}


def test_two_threads_at_work_for_one_task_keep_their_verdicts_and_accounts_apart() -> None:
    judge = CountingJudge()
    bound = BoundJudge(lambda: judge, by_length)
    example = Example({"question": "?"})
    has_asked, may_score = threading.Event(), threading.Event()
    outcomes: dict[str, object] = {}

    def work(texts: Sequence[str], waits: bool) -> None:
        pairs = [(example, Response(text)) for text in texts]
        bound.grade_ahead(pairs)
        has_asked.set()
        if waits:
            assert may_score.wait(60)
        scores = [bound.score(*pair).value for pair in pairs]
        outcomes[texts[0]] = (scores, bound.memory.take_work())

    first = threading.Thread(target=work, args=(["a", "bb", "ccc"], True))
    first.start()
    assert has_asked.wait(60)
    work(["dddd", "eeeee"], waits=False)
    may_score.set()
    first.join(60)
    assert outcomes == {
        "a": ([0.1, 0.2, 0.3], {"questions": 3, "requests": 3, "price": 0.375}),
        "dddd": ([0.4, 0.5], {"questions": 2, "requests": 2, "price": 0.25}),
    }
    assert judge.batches == [["a", "bb", "ccc"], ["dddd", "eeeee"]], "nothing is asked one by one, nothing twice"


def test_what_a_judge_took_before_it_failed_is_in_the_account() -> None:
    bound = BoundJudge(lambda judge=CountingJudge(): judge, by_length)  # type: ignore[misc]
    with pytest.raises(SkilldeltaError, match="went away"):
        bound.grade_ahead([(Example({"question": "?"}), Response("fails"))])
    assert bound.memory.take_work() == {"questions": 0, "requests": 1, "price": 0.125}
    assert bound.memory.take_work() == {"questions": 0}


def test_responses_kept_without_a_judge_are_graded_later(classifier: Path, tmp_path: Path) -> None:
    outcome = run(tmp_path / "r", judged_task(), adding="none")
    assert (outcome.state, outcome.samples, outcome.unscored) == ("done", 4, 4)
    assert "no judge" in outcome.why
    settings = EvaluationSettings(judges={"adding": f"classifier:{classifier}"})
    (later,) = rescore(Results(tmp_path / "r"), {"adding": judged_task()}, settings)
    assert (later.state, later.unscored) == ("done", 0)
    assert run(tmp_path / "r", judged_task(), adding=f"classifier:{classifier}").state == "already"


def test_rescoring_takes_no_other_judge_than_the_one_that_graded(classifier: Path, tmp_path: Path) -> None:
    judge = f"classifier:{classifier}"
    run(tmp_path / "r", judged_task(), adding=judge)
    cell = Results(tmp_path / "r").cell("toy", "adding")
    before = cell.samples_file.read_bytes()
    (outcome,) = rescore(Results(tmp_path / "r"), {"adding": judged_task()}, EvaluationSettings())
    assert outcome.state == "failed"
    assert "--judge adding=PLUGIN:WHERE" in outcome.why
    assert cell.samples_file.read_bytes() == before
    (again,) = rescore(Results(tmp_path / "r"), {"adding": judged_task()}, EvaluationSettings(judges={"adding": judge}))
    assert (again.state, again.why) == ("done", "0 scores changed")
    (own,) = rescore(Results(tmp_path / "r"), {"adding": replace(judged_task(), judge=judge)}, EvaluationSettings())
    assert own.state == "done"


@pytest.mark.parametrize("where", ["not/here", ""])
def test_a_judge_that_cannot_be_loaded_fails_its_cell_with_the_way_out(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    def no_model(_: object) -> toys.ScriptedModel:
        raise AssertionError("a model was loaded")

    chosen = EvaluationSettings(judges={"adding": f"classifier:{tmp_path / where}"})
    (outcome,) = score_checkpoints([toys.checkpoint()], [judged_task()], no_model, Results.make(tmp_path / "r"), chosen)
    assert outcome.state == "failed"
    assert "--judge TASK=none" in outcome.why


def test_a_classifier_with_three_labels_is_refused(classifier: Path, tmp_path: Path) -> None:
    model = transformers.BertForSequenceClassification.from_pretrained(classifier, num_labels=3, ignore_mismatched_sizes=True)
    model.save_pretrained(tmp_path)
    transformers.AutoTokenizer.from_pretrained(classifier).save_pretrained(tmp_path)
    with pytest.raises(SkilldeltaError, match="has 3 labels"):
        registry.module("judges", "classifier").load(str(tmp_path))


def test_wrong_choices_of_a_judge_are_refused_before_anything_is_asked(tmp_path: Path) -> None:
    with pytest.raises(SkilldeltaError, match=r"no judge 'clasifier'\. Did you mean 'classifier'"):
        run(tmp_path / "r", judged_task(), adding="clasifier:x")
    with pytest.raises(SkilldeltaError, match="scored by rules and takes no judge"):
        run(tmp_path / "r", toys.adding(), adding="classifier:x")
    with pytest.raises(SkilldeltaError, match="A judge is named for sorting, but the tasks here are: adding"):
        run(tmp_path / "r", judged_task(), sorting="classifier:x")
    with pytest.raises(SkilldeltaError, match="write TASK=PLUGIN:WHERE"):
        judge_binding.parse_judges(["classifier"])
    assert judge_binding.parse_judges(["a=b:c=d"]) == {"a": "b:c=d"}


def test_results_of_different_judges_are_not_comparable_unawares(classifier: Path, tmp_path: Path) -> None:
    bound = [
        judge_binding.bind_judge(judged_task(), {"adding": spec}) for spec in ("classifier:a/b", f"classifier:{classifier}")
    ]
    assert task_record(bound[0]) != task_record(bound[1])
    assert task_record(toys.adding()).judge is None


@pytest.mark.data
def test_toxigen_has_the_studys_groups(real_data: Path) -> None:
    found = data.examples(toxigen.TASKS[0], real_data)
    assert len(found) == 14_000
    assert len({toxigen.TASKS[0].group(e) for e in found}) == 14  # type: ignore[misc]


def test_toxigen_asks_with_real_line_ends() -> None:
    request = toxigen.ask(Example({"group": "women", "text": r"- one\n- two\\three\n-"}))
    assert request.prompt == "Complete the following: - one\n- two\\three\n-"


def test_a_missing_file_of_toxigen_is_named(tmp_path: Path) -> None:
    with pytest.raises(SkilldeltaError, match=r"(?s)hate_asian_1k\.txt.*--data"):
        toxigen.rows(tmp_path)


@pytest.mark.slow
def test_the_command_line_takes_a_judge(
    classifier: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(data.VARIABLE, "")  # --data sets it; this puts it back afterwards
    (tmp_path / "toxigen" / "prompts").mkdir(parents=True)
    for group in toxigen.GROUPS:
        (tmp_path / "toxigen" / "prompts" / f"hate_{group}_1k.txt").write_text(f"- people from {group}\n")
    recorded = tmp_path / "outputs.jsonl"
    prompts = [toxigen.PROMPT + f"- people from {group}" for group in toxigen.GROUPS]
    recorded.write_text("".join(json.dumps({"prompt": prompt, "response": "sail"}) + "\n" for prompt in prompts))
    common = ["--data", tmp_path, "--judge", f"toxigen=classifier:{classifier}"]
    code, _, err = skilldelta(capsys, "score", "--recorded", recorded, "-t", "toxigen", "-o", tmp_path / "r", *common)
    assert code == 0, err
    ((_, _, cell),) = Results(tmp_path / "r").cells()
    assert [s.score.value is not None for s in cell.samples()] == [True] * 14
    code, _, err = skilldelta(capsys, "rescore", tmp_path / "r", *common)
    assert (code, "0 scores changed" in err) == (0, True), err
