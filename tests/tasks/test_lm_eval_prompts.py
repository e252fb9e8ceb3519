"""What a task file asks for is asked, or refused by name: against lm-eval's own requests."""

import json
from pathlib import Path
from typing import Any

import pytest

from harness import api, data, registry
from harness.backends import lm_eval as backend
from harness.backends import transformers
from harness.evaluation.questions import EvaluationSettings, make_questions
from harness.evaluation.run import score_checkpoints
from harness.prompts.templates import choose_template
from harness.registry import PromptSettings
from harness.store import Results
from harness.types import Checkpoint, Message, Request, Response, SkilldeltaError, Task
from tests.support import tiny
from tests.support.own_tasks import OwnTasks, choices, refusal
from tests.test_cli import skilldelta

GENERATION = {"until": ["\n\n"], "max_gen_toks": 6}
SUMS = [{"q": f"How much is {i} and {i}?", "a": str(2 * i)} for i in range(1, 7)]
SHOTS = {"fewshot_split": "test", "num_fewshot": 2, "fewshot_config": {"sampler": "first_n"}}


@pytest.fixture
def own(tmp_path: Path) -> OwnTasks:
    return OwnTasks(tmp_path)


@pytest.fixture(scope="module")
def chat_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.llama(tmp_path_factory.mktemp("chat"), window=512, template=True)


def generate(own: OwnTasks, **settings: Any) -> Request:
    """The request of a task with these generation_kwargs."""
    own.task("asks", SUMS, generation_kwargs=settings)
    task = own.bridge("asks")
    return task.ask(data.examples(task, None)[0])


@pytest.mark.parametrize("name", ["max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens"])
def test_a_length_counts_under_each_of_its_names(own: OwnTasks, name: str) -> None:
    assert generate(own, **{"until": "\n", name: 7}).max_tokens == 7


def test_of_several_lengths_lm_evals_first_counts(own: OwnTasks) -> None:
    from lm_eval.models.utils import normalize_gen_kwargs

    settings = {"max_new_tokens": 5, "max_tokens": 9, "max_completion_tokens": 11}
    assert generate(own, **settings).max_tokens == normalize_gen_kwargs(dict(settings))["max_gen_toks"] == 5


def test_what_changes_nothing_is_left_out_and_what_changes_something_goes_along(own: OwnTasks) -> None:
    assert generate(
        own, do_sample=False, temperature=0.7, top_k=40, top_p=0.9, num_beams=1, repetition_penalty=1.0
    ) == generate(own)
    request = generate(own, num_beams=3, repetition_penalty=1.3, min_new_tokens=2, max_length=60, length_penalty=0.8)
    assert dict(request.generation) == {
        "num_beams": 3, "repetition_penalty": 1.3, "min_new_tokens": 2, "max_length": 60, "length_penalty": 0.8
    }  # fmt: skip
    sampled = generate(own, do_sample=True, temperature=0.7, top_p=0.9, top_k=40)
    assert (sampled.temperature, sampled.top_p, dict(sampled.generation)) == (0.7, 0.9, {"top_k": 40})


@pytest.mark.parametrize(
    ("settings", "reason"),
    [({"do_sample": True}, "temperature left out"), ({"until": [""]}, "the stop ''"), ({"max_gen_toks": "many"}, "ValueError")],
)
def test_a_setting_that_cannot_be_met_is_named(own: OwnTasks, settings: dict[str, Any], reason: str) -> None:
    with pytest.raises(SkilldeltaError, match=reason):
        generate(own, **settings)


def run_task(task: Task, folder: Path, model: Any, output: Path) -> tuple[Any, list[Any]]:
    checkpoint = Checkpoint("tiny", str(folder), "transformers")
    (outcome,) = score_checkpoints([checkpoint], [task], lambda _: model, Results.make(output), EvaluationSettings())
    return outcome, list(Results(output).cell("tiny", task.name).samples())


def lm_eval_samples(folder: Path, own: OwnTasks, name: str, **settings: Any) -> list[dict[str, Any]]:
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    model = HFLM(pretrained=str(folder), batch_size=1, device="cpu", dtype="float32")
    manager = TaskManager(include_path=str(own.folder), include_defaults=False)
    ran = simple_evaluate(model, tasks=[name], task_manager=manager, bootstrap_iters=0, **settings)
    return sorted(ran["samples"][name], key=lambda s: s["doc_id"])


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [{"num_beams": 3}, {"repetition_penalty": 1.5, "num_beams": 2}, {"max_length": 60}, {"no_repeat_ngram_size": 1}],
)
def test_beams_and_penalties_are_refused_by_name_or_done_as_lm_eval_does_them(
    own: OwnTasks, chat_model: Path, tmp_path: Path, settings: dict[str, Any]
) -> None:
    own.task("beams", SUMS[:3], generation_kwargs=GENERATION | settings)
    checkpoint = Checkpoint("tiny", str(chat_model), "transformers")
    outcome, _ = run_task(own.bridge("beams"), chat_model, transformers.load(
        checkpoint, transformers.TransformersOptions(dtype="float32", device="cpu")), tmp_path / "ours")  # fmt: skip
    assert outcome.state == "failed"
    assert ", ".join(f"{name}={settings[name]}" for name in sorted(settings)) in outcome.why
    assert "--backend lm-eval:hf" in outcome.why
    hf = backend.load(checkpoint, backend.LmEvalOptions("hf", dtype="float32", device="cpu", batch_size="1"))
    _, samples = run_task(own.bridge("beams"), chat_model, hf, tmp_path / "hf")
    official = lm_eval_samples(chat_model, own, "beams")
    assert [s.response.text for s in samples] == [s["resps"][0][0] for s in official]


CHAT_TASKS: dict[str, tuple[list[dict[str, Any]], dict[str, Any]]] = {
    "texts": (SUMS, SHOTS | {"description": "Answer the sums.", "generation_kwargs": GENERATION}),
    "begun": (SUMS, SHOTS | {"gen_prefix": "The answer is", "generation_kwargs": GENERATION}),
    "weighed": (choices(6), SHOTS | {"target_delimiter": "\n"}),
    "weighed_begun": (choices(6), SHOTS | {"gen_prefix": "It is"}),
    "mutual": (choices(4), {"metric_list": [{"metric": "acc_mutual_info", "aggregation": "mean", "higher_is_better": True}]}),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CHAT_TASKS)
@pytest.mark.parametrize("settings", [{}, {"multiturn": False, "system": "Be brief."}])
def test_chats_are_lm_evals_own(own: OwnTasks, chat_model: Path, tmp_path: Path, name: str, settings: dict[str, Any]) -> None:
    rows, changes = CHAT_TASKS[name]
    own.task(name, rows, **changes)
    official = lm_eval_samples(
        chat_model, own, name, apply_chat_template=True, system_instruction=settings.get("system"),
        fewshot_as_multiturn=settings.get("multiturn", True),
    )  # fmt: skip
    task = own.bridge(name, chat=True, **settings)
    model = transformers.load(
        Checkpoint("tiny", str(chat_model), "transformers"), transformers.TransformersOptions(dtype="float32", device="cpu")
    )
    outcome, samples = run_task(task, chat_model, model, tmp_path / "out")
    assert outcome.state == "done", outcome.why
    template = choose_template("auto", model.tokenizer.hf_tokenizer)
    for one, sample, example in zip(official, samples, data.examples(task, None), strict=True):
        request = task.ask(example)
        contexts = [template.render_context(request, c) for c in request.contexts] or [template.render(request)]
        asked = [a[0] for a in one["arguments"]]
        assert asked == (contexts if len(contexts) == len(asked) else contexts * len(asked))
        assert sample.score.value == float(next(one[m] for m in one["metrics"]))
        if sample.response.logprobs:
            assert sample.response.logprobs == pytest.approx([float(r[0][0]) for r in one["resps"]], abs=1e-4)
        else:
            assert sample.response.text == one["resps"][0][0]


def test_prompts_are_raw_unless_a_template_is_named(own: OwnTasks) -> None:
    own.task("sums", SUMS, **SHOTS)
    plain, chat = own.bridge("sums"), own.bridge("sums", chat=True)
    first = plain.ask(data.examples(plain, None)[2])
    assert (first.raw, first.chat) == (True, False)
    asked = chat.ask(data.examples(chat, None)[2])
    assert [m.role for m in asked.prompt if isinstance(m, Message)] == ["user", "assistant"] * 2 + ["user"]
    assert plain.source != chat.source


@pytest.mark.slow
def test_a_model_without_a_template_does_not_answer_a_chat(own: OwnTasks, tmp_path: Path) -> None:
    own.task("sums", SUMS)
    folder = tiny.llama(tmp_path / "base")
    options = transformers.TransformersOptions(device="cpu")
    model = transformers.load(Checkpoint("tiny", str(folder), "transformers"), options)
    outcome, _ = run_task(own.bridge("sums", chat=True), folder, model, tmp_path / "out")
    assert outcome.state == "failed"
    assert "rendered by a chat template, and here is none" in outcome.why


def test_turns_without_a_template_are_refused(own: OwnTasks) -> None:
    own.task("sums", SUMS)
    with pytest.raises(SkilldeltaError, match="needs a chat template"):
        own.bridge("sums", multiturn=True)
    with pytest.raises(SkilldeltaError, match=r"are for lm-eval:NAME tasks"):
        registry.task("xstest", (), PromptSettings(system="Be brief."))


def test_repeats_of_which_the_first_counts_are_asked_once(own: OwnTasks) -> None:
    own.task("first", SUMS, repeats=3)
    task = own.bridge("first")
    (example, *_) = data.examples(task, None)
    assert task.score(example, Response(SUMS[0]["a"])).value == 1
    assert "the first of 3 repeats" in task.source


def test_a_task_that_cannot_build_a_prompt_fails_alone(own: OwnTasks, tmp_path: Path) -> None:
    own.task("lists", [{"q": f"Which {i}?", "choices": ["a", "b"], "gold": [0, 1]} for i in range(4)], **SHOTS)
    own.task("many", choices(3), fewshot_split="test", num_fewshot=50)
    own.task("jinja", choices(3), doc_to_text="{{ q | no_such_filter }}")
    own.task("good", choices(3))
    names = "lm-eval:lists,lm-eval:many,lm-eval:jinja,lm-eval:good"
    outcomes = api.score([str(tiny.llama(tmp_path / "model"))], api.resolve(names, (own.folder,)), tmp_path / "out",
                         backend=api.Backend("scripted", {"choice": "0"}))  # fmt: skip
    assert [o.state for o in outcomes] == ["failed"] * 3 + ["done"]
    assert "Answer is not a string" in outcomes[0].why
    assert "document 0" in outcomes[0].why
    assert "many cannot build the prompt of document 0" in outcomes[1].why
    assert "no_such_filter" in outcomes[2].why


def test_a_task_whose_code_ends_the_program_fails_alone(own: OwnTasks, tmp_path: Path) -> None:
    (own.folder / "leaves.py").write_text("import sys\n\ndef leave(*any):\n    sys.exit(3)\n")
    own.task("loading", SUMS, process_docs="!function leaves.leave")
    own.task("scoring", SUMS, process_results="!function leaves.leave")
    own.task("good", SUMS)
    outcomes = api.score([str(tiny.llama(tmp_path / "model"))],
                         api.resolve("lm-eval:loading,lm-eval:scoring,lm-eval:good", (own.folder,)), tmp_path / "out",
                         backend=api.Backend("scripted", {"text": "4"}))  # fmt: skip
    assert [o.state for o in outcomes] == ["failed", "done", "done"]
    assert outcomes[1].unscored == len(SUMS)


def test_a_score_on_another_scale_fails_the_task_and_is_never_half_of_it(own: OwnTasks) -> None:
    (own.folder / "lengths.py").write_text("def results(doc, said):\n    return {'words': len(said[0].split())}\n")
    listed = [{"metric": "words", "aggregation": "mean", "higher_is_better": True}]
    own.task("lengths", SUMS, process_results="!function lengths.results", metric_list=listed)
    task = own.bridge("lengths")
    (example, *_) = data.examples(task, None)
    assert task.score(example, Response("one")).value == 1
    with pytest.raises(SkilldeltaError, match=r"words,none, the headline .* is 3 for a document: it is on another scale"):
        task.score(example, Response("one two three"))


def test_a_metric_without_a_number_for_a_document_leaves_it_unscored(own: OwnTasks) -> None:
    (own.folder / "odd.py").write_text(
        "def results(doc, said):\n    return {'acc': float(said[0]) if said[0] != 'none' else float('nan')}\n"
    )
    listed = [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}]
    own.task("odd", SUMS, process_results="!function odd.results", metric_list=listed)
    task = own.bridge("odd")
    (example, *_) = data.examples(task, None)
    assert (task.score(example, Response("none")).value, dict(task.score(example, Response("none")).parts)) == (None, {})
    with pytest.raises(SkilldeltaError, match="is inf for a document"):
        task.score(example, Response("inf"))


OWN_TASK = """
from harness.types import Request, Response, Score, Task
TASKS = (Task(name="rivers", skill="factuality", version=1, source="test", rows=lambda folder: [{"q": "Paris?"}],
    ask=lambda e: Request(e.row["q"]), score=lambda e, r: Score(float(r.text == "Seine")), ideal=lambda e: Response("Seine")),)
"""


def test_one_folder_serves_tasks_of_both_kinds(own: OwnTasks) -> None:
    own.task("sums", SUMS)
    (own.folder / "helpers.py").write_text("raise RuntimeError('only lm-eval may import this')\n")
    assert [t.name for t in api.resolve("xstest,lm-eval:sums", (own.folder,))] == ["xstest", "lm-eval:sums"]
    (own.folder / "rivers.py").write_text(OWN_TASK)
    assert [t.name for t in api.resolve("rivers,lm-eval:sums", (own.folder,))] == ["rivers", "lm-eval:sums"]
    assert api.resolve("lm-eval:sums", (own.folder / "sums.yaml",))[0].name == "lm-eval:sums"
    for names in ("xstest", "lm-eval:sums"):
        with pytest.raises(SkilldeltaError, match=r"--include-path .*nowhere: there is no such file or folder"):
            api.resolve(names, (own.folder / "nowhere",))


def test_a_folder_without_any_task_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SkilldeltaError, match="holds no tasks"):
        registry.tasks([tmp_path])
    (tmp_path / "mine.py").write_text("x = 1\n")
    with pytest.raises(SkilldeltaError, match=r"mine\.py defines no TASKS"):
        registry.tasks([tmp_path])


def test_a_file_with_a_broken_yaml_names_itself(own: OwnTasks) -> None:
    own.task("good", choices(2))
    (own.folder / "bad.yaml").write_text("task: bad\ndoc_to_text: [unclosed\n")
    assert len(make_questions(own.bridge("good"), EvaluationSettings())) == 2


def test_a_stored_request_keeps_its_hash() -> None:
    """The fields that came later count only where they are set."""
    content = json.loads(json.dumps({"prompt": "a"}))
    assert Request(**content).id == Request("a", chat=False, generation=()).id != Request("a", chat=True).id


def test_an_unusable_task_says_why_when_its_rows_are_read(own: OwnTasks) -> None:
    own.task("pictures", SUMS, doc_to_image="q")
    assert "shows pictures or sounds" in refusal(own.bridge("pictures"))


@pytest.mark.slow
def test_rescoring_a_task_of_ones_own_names_the_folder_and_keeps_how_it_was_asked(
    own: OwnTasks, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own.task("sums", choices(4), fewshot_split="test")
    include = ["--include-path", str(own.folder)]
    scoring = ["score", "org/model", "-t", "lm-eval:sums", "--num-fewshot", "2", *include, "--backend", "scripted",
               "--backend-args", "choice=0", "-o", tmp_path / "r"]  # fmt: skip
    assert skilldelta(capsys, *scoring)[0] == 0
    code, _, told = skilldelta(capsys, "rescore", tmp_path / "r")
    assert code == 3
    assert "--include-path FOLDER" in told
    assert skilldelta(capsys, "rescore", tmp_path / "r", *include)[0] == 0
    assert "2 exemplars" in Results(tmp_path / "r").cell("model", "lm-eval:sums").read().task.source
    assert skilldelta(capsys, *scoring)[0] == 0
