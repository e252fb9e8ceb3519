"""Against lm-eval itself: the same checkpoint, the same rows, the same result for every sample."""

import random
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness import api, data
from harness.backends import lm_eval as backend
from harness.backends import transformers
from harness.evaluation.questions import EvaluationSettings
from harness.evaluation.run import score_checkpoints
from harness.registry import PromptSettings
from harness.store import Results
from harness.types import Checkpoint, Request, Response, SkilldeltaError
from tasks import bbh, gsm8k, mmlu, truthfulqa
from tasks import lm_eval as bridge
from tasks.lm_eval_bridge.task_files import find_folder
from tests.support import tiny
from tests.support.own_tasks import OwnTasks, choices, refusal, write_rows

LIMIT = 4


def folder_of(name: str) -> Path | None:
    return find_folder(bridge.task_root(), name, bridge.lm_eval_version())


class Lenient(yaml.SafeLoader):
    """Passes over lm-eval's own tags."""


Lenient.add_multi_constructor("!", lambda loader, suffix, node: None)


def local_tasks(folder: Path, data: Path) -> Path:
    """lm-eval's own task files, each pointed at local rows, with answers of at most 40 tokens."""
    import lm_eval.tasks

    own = Path(lm_eval.tasks.__file__).parent
    choice = [r for r in mmlu.rows(data) if r["subject"] == "astronomy"][:LIMIT]
    shots = mmlu.exemplars(data)["astronomy"]
    truth = truthfulqa.rows(data)[:LIMIT]
    navigate = [r for r in bbh.rows(data) if r["subtask"] == "navigate"][:LIMIT]
    rows: Mapping[str, tuple[str, dict[str, list[Any]]]] = {
        "gsm8k_cot": ("gsm8k/gsm8k-cot.yaml", {"test": gsm8k.rows(data)[:LIMIT], "train": gsm8k.rows(data)[:LIMIT]}),
        "mmlu_astronomy": ("mmlu/default/mmlu_astronomy.yaml", {"test": choice, "dev": list(shots)}),
        "truthfulqa_mc1": ("truthfulqa/truthfulqa_mc1.yaml", {"validation": truth}),
        "truthfulqa_mc2": ("truthfulqa/truthfulqa_mc2.yaml", {"validation": truth}),
        "bbh_cot_fewshot_navigate": ("bbh/cot_fewshot/navigate.yaml", {"test": navigate}),
    }
    for name, (file, splits) in rows.items():
        files = {split: write_rows(folder / f"{name}.{split}.jsonl", list(found)) for split, found in splits.items()}
        changed = {
            "include": str(own / file),
            "task": f"local_{name}",
            "dataset_path": "json",
            "dataset_name": None,
            "dataset_kwargs": {"data_files": files},
        }
        own_settings = yaml.load((own / file).read_text(), Loader=Lenient)
        if "cot" in name:  # shorter answers, for the sake of time
            told = own_settings.get("generation_kwargs") or {"until": ["</s>", "Q", "\n\n"], "do_sample": False}
            changed["generation_kwargs"] = told | {"max_gen_toks": 40}
        (folder / f"local_{name}.yaml").write_text(yaml.safe_dump(changed))
    return folder


@pytest.fixture(scope="module")
def place(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lm_eval")
    texts = tuple(r["question"] + r["answer"] for r in gsm8k.rows(real_data)[:300])
    tiny.llama(folder / "model", window=1024, texts=texts, vocabulary=1500)
    (folder / "tasks").mkdir()
    local_tasks(folder / "tasks", real_data)
    return folder


TASKS = {
    "local_gsm8k_cot": None,
    "local_mmlu_astronomy": 5,
    "local_truthfulqa_mc1": None,
    "local_truthfulqa_mc2": None,
    "local_bbh_cot_fewshot_navigate": None,
}


@pytest.fixture(scope="module")
def theirs(place: Path) -> dict[str, list[dict[str, Any]]]:
    """lm-eval's own samples, by its own hf backend."""
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    model = HFLM(pretrained=str(place / "model"), batch_size=2, device="cpu", dtype="float32")
    manager = TaskManager(include_path=str(place / "tasks"), include_defaults=False)
    found = {}
    for name, shots in TASKS.items():
        ran = simple_evaluate(model, tasks=[name], num_fewshot=shots, task_manager=manager, bootstrap_iters=0)
        found[name] = ran["samples"][name]
    return found


def ours(place: Path, name: str, model: Any) -> list[Any]:
    task = bridge.load_task(name, (place / "tasks",), PromptSettings(TASKS[name]))
    output = place / f"{name}-{type(model).__name__}"
    checkpoint = Checkpoint("tiny", str(place / "model"), "transformers")
    (outcome,) = score_checkpoints([checkpoint], [task], lambda _: model, Results.make(output), EvaluationSettings())
    assert outcome.state == "done", outcome.why
    return list(Results(output).cell("tiny", task.name).samples())


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("kind", ["transformers", "lm-eval:hf"])
def test_every_sample_is_lm_evals_own(place: Path, theirs: dict[str, list[dict[str, Any]]], name: str, kind: str) -> None:
    checkpoint = Checkpoint("tiny", str(place / "model"), "transformers")
    model = (
        transformers.load(checkpoint, transformers.TransformersOptions(dtype="float32"))
        if kind == "transformers"
        else backend.load(checkpoint, backend.LmEvalOptions("hf", dtype="float32", device="cpu"))
    )
    mine = ours(place, name, model)
    filters = sorted({s["filter"] for s in theirs[name]})
    for used in filters:
        official = sorted((s for s in theirs[name] if s["filter"] == used), key=lambda s: s["doc_id"])
        assert len(official) == len(mine)
        for one, sample in zip(official, mine, strict=True):
            for metric in one["metrics"]:
                assert sample.score.parts[f"{metric},{used}"] == pytest.approx(float(one[metric]), abs=1e-6), (name, metric)
            same_response(one, sample)


def same_response(official: dict[str, Any], sample: Any) -> None:
    said = [r[0] for r in official["resps"]]
    if isinstance(said[0], str):
        assert sample.response.text == said[0]
    else:
        pairs = [(float(p), str(g) == "True") for p, g in said]
        assert sample.response.logprobs == pytest.approx([p for p, _ in pairs], abs=1e-4)
        assert list(sample.response.greedy) == [g for _, g in pairs]


@pytest.mark.slow
def test_an_unknown_task_names_the_near_matches() -> None:
    with pytest.raises(SkilldeltaError, match=r"Did you mean .*gsm8k_cot"):
        folder_of("gsm8k_cott")


@pytest.mark.slow
def test_only_the_folder_of_the_task_is_indexed() -> None:
    for name, folder in {"gsm8k_cot": "gsm8k", "mmlu": "mmlu", "bbh_cot_fewshot": "bbh"}.items():
        found = folder_of(name)
        assert found is not None
        assert found.name == folder


@pytest.fixture
def own(tmp_path: Path) -> OwnTasks:
    return OwnTasks(tmp_path)


def likeliest(first: int) -> Response:
    weights = [-2.0, -2.0, -2.0]
    weights[first] = -1.0
    return Response(logprobs=tuple(weights), greedy=(False,) * 3)


def test_a_group_is_one_task_averaged_as_the_group_says(own: OwnTasks) -> None:
    own.task("small", choices(2))
    own.task("large", choices(6, "large "))
    for name, weighted in (("by_size", True), ("evenly", False)):
        listed = [{"metric": "acc", "aggregation": "mean", "weight_by_size": weighted}]
        own.write(name, {"group": name, "task": ["small", "large"], "aggregate_metric_list": listed})
    assert own.bridge("by_size").aggregate == "mean"
    task = own.bridge("evenly")
    assert task.aggregate == "macro"
    assert task.group is not None
    assert [task.group(e) for e in data.examples(task, None)] == ["small"] * 2 + ["large"] * 6


def test_every_choice_may_have_a_prompt_of_its_own(own: OwnTasks) -> None:
    """As in WinoGrande, where the choices stand within the sentence."""
    (own.folder / "blank.py").write_text(
        "def text(doc):\n    return 0\n"
        "def target(doc):\n    return doc['rest']\n"
        "def choice(doc):\n    return [doc['start'] + o for o in doc['options']]\n"
    )
    own.task(
        "blank",
        [{"start": "The cup broke since the ", "options": ["cup", "floor"], "rest": "was hard."}],
        output_type="multiple_choice",
        doc_to_text="!function blank.text",
        doc_to_target="!function blank.target",
        doc_to_choice="!function blank.choice",
        metric_list=[{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
    )
    task = own.bridge("blank")
    (example,) = data.examples(task, None)
    request = task.ask(example)
    assert request.contexts == ("The cup broke since the cup", "The cup broke since the floor")
    assert request.choices == (" was hard.",) * 2
    assert task.score(example, Response(logprobs=(-1.0, -2.0), greedy=(False, False))).value == 1


def test_two_runs_ask_the_same_of_a_task_that_shuffles_while_it_loads(own: OwnTasks) -> None:
    (own.folder / "shuffled.py").write_text(
        "import random\n"
        "def docs(found):\n"
        "    return found.map(lambda d: {'choices': random.sample(d['choices'], 3)}, load_from_cache_file=False)\n"
    )
    own.task("mixed", choices(8), process_docs="!function shuffled.docs")

    def asked() -> list[Request]:
        task = own.bridge("mixed")
        return [task.ask(e) for e in data.examples(task, None)]

    random.seed(1)
    first = asked()
    random.seed(2)
    after = random.getstate()
    assert asked() == first
    assert random.getstate() == after


def test_several_values_of_a_document_are_a_ratio_of_sums(own: OwnTasks) -> None:
    """As with IFEval's instructions, of which a prompt has one to three."""
    (own.folder / "several.py").write_text(
        "def results(doc, said):\n    return {'all': float(said[0] == 'x'), 'each': [True, False, said[0] == 'x']}\n"
        "def agg_inst_level_acc(items):\n    flat = sum(items, [])\n    return sum(flat) / len(flat)\n"
    )
    own.task(
        "several",
        [{"q": "say x", "a": "x"}],
        process_results="!function several.results",
        metric_list=[
            {"metric": "each", "aggregation": "!function several.agg_inst_level_acc", "higher_is_better": True},
            {"metric": "all", "aggregation": "mean", "higher_is_better": True},
        ],
    )
    task = own.bridge("several")
    (example,) = data.examples(task, None)
    score = task.score(example, Response("x"))
    assert (score.value, dict(score.parts)) == (1, {"each,none": 2, "each,none:n": 3, "all,none": 1})
    assert {m.name: m.over for m in task.metrics} == {"each,none": "each,none:n", "all,none": ""}


def test_the_score_is_a_metric_that_is_better_when_higher_and_between_0_and_1(own: OwnTasks) -> None:
    (own.folder / "several.py").write_text(
        "def results(doc, said):\n    return {'bleu_max': 42.0, 'wrong': 0.75, 'acc': 0.25}\n"
    )
    told = {"bleu_max": True, "wrong": False, "acc": True}
    listed = [{"metric": m, "aggregation": "mean", "higher_is_better": better} for m, better in told.items()]
    own.task("three", [{"q": "q", "a": "a"}], process_results="!function several.results", metric_list=listed)
    task = own.bridge("three")
    (example,) = data.examples(task, None)
    score = task.score(example, Response("x"))
    assert (score.value, score.parts["bleu_max,none"], score.parts["wrong,none"]) == (0.25, 42, 0.75)
    assert [m.name for m in task.metrics if m.lower_is_better] == ["wrong,none"]
    own.task("two", [{"q": "q", "a": "a"}], process_results="!function several.results", metric_list=listed[:2])
    assert "bleu_max (mean), wrong (mean, lower is better)" in refusal(own.bridge("two"))


def test_a_task_that_would_run_code_here_is_refused(own: OwnTasks) -> None:
    own.task("code", [{"q": "def f():", "a": "1"}], unsafe_code=True)
    assert "runs code that a model wrote" in refusal(own.bridge("code"))
    own.write("several", {"group": "several", "task": ["code"]})
    assert "lm-eval's code runs code that a model wrote" in refusal(own.bridge("several"))


@pytest.mark.slow
def test_lm_evals_own_coding_task_is_refused_before_it_is_loaded() -> None:
    assert "lm-eval's humaneval runs code that a model wrote" in refusal(bridge.load_task("humaneval"))


def test_a_task_whose_rows_are_out_of_reach_says_how_to_use_local_ones(own: OwnTasks) -> None:
    own.task("lost", choices(1), dataset_path="nobody/nothing", dataset_kwargs=None)
    assert re.search(r"'lost' cannot be loaded: .*\n.*dataset_path: json", refusal(own.bridge("lost")))


def test_samples_that_are_scored_together_are_refused(own: OwnTasks) -> None:
    voting = [{"name": "maj", "filter": [{"function": "majority_vote"}, {"function": "take_first"}]}]
    own.task("votes", [{"q": "1+1=", "a": "2"}], repeats=5, filter_list=voting)
    assert "scores 5 samples of each prompt together" in refusal(own.bridge("votes"))


def test_a_document_that_is_not_json_is_refused(own: OwnTasks) -> None:
    with pytest.raises(SkilldeltaError, match="not text and numbers alone"):
        bridge.json_document({"picture": object()})


def test_the_number_of_exemplars_can_be_set_but_not_where_the_task_fixes_none(own: OwnTasks) -> None:
    own.task("shots", choices(6), fewshot_split="test")
    few = own.bridge("shots", num_fewshot=3)
    assert all(few.ask(e).prompt.count("=") == 4 for e in data.examples(few, None))  # type: ignore[union-attr]
    own.task("none", choices(6), fewshot_split="test", num_fewshot=0)
    assert "zero-shot by its own file" in refusal(own.bridge("none", num_fewshot=3))


@pytest.mark.slow
def test_a_tag_stands_for_its_tasks_wherever_they_lie() -> None:
    from lm_eval.tasks import TaskManager

    def suffices(name: str) -> bool:
        """Is the folder that names it enough?"""
        folder = folder_of(name)
        assert folder is not None
        return bridge.is_complete(TaskManager(include_path=str(folder), include_defaults=False), name, folder)

    assert suffices("gsm8k_cot")
    assert suffices("mmlu")  # its groups are tags, given in its own folder alone
    assert not suffices("openllm")  # a group whose members lie elsewhere
    assert folder_of("math_word_problems") is None  # a tag, given in many folders


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.llama(tmp_path_factory.mktemp("small"), window=64, template=True)


def both(folder: Path, requests: list[Request]) -> tuple[list[Response], list[Response]]:
    """The responses of lm-eval's hf backend, and of ours."""
    checkpoint = Checkpoint("tiny", str(folder), "transformers")
    theirs = backend.load(checkpoint, backend.LmEvalOptions("hf", dtype="float32", device="cpu"))
    ours = transformers.load(checkpoint, transformers.TransformersOptions(dtype="float32", device="cpu"))
    first, second = ([r for _, r in sorted(m.answer(requests), key=lambda p: p[0])] for m in (theirs, ours))
    return first, second


@pytest.mark.slow
def test_prompts_that_do_not_fit_are_told_on_both_backends_alike(small: Path) -> None:
    long = "The quick brown fox jumps over the lazy dog. " * 20
    asked = [
        Request(long, max_tokens=4, raw=True),
        Request(long, choices=(" A", " B"), raw=True),
        Request(long, max_tokens=4, raw=True, truncate=True),
        Request(long, choices=(" A", " B"), raw=True, truncate=True),
        Request("The quick brown fox", max_tokens=500, raw=True),
        Request(long, choices=(long,), rolling=True, raw=True),
    ]
    theirs, ours = both(small, asked)
    assert [r.finish for r in theirs[:2]] == ["overlong", "overlong"]
    for one, other in zip(theirs, ours, strict=True):
        assert (one.text, one.truncated, one.finish == "overlong") == (other.text, other.truncated, other.finish == "overlong")
        assert one.logprobs == pytest.approx(other.logprobs, abs=1e-3)
    assert theirs[2].truncated > 0
    assert theirs[3].truncated > 0


@pytest.mark.slow
def test_a_chat_gets_the_models_own_template_on_both_backends(small: Path) -> None:
    theirs, ours = both(small, [Request("What is 3+4?", prefix="It is", max_tokens=8), Request("Hi", choices=(" A", " B"))])
    assert theirs[0].text == ours[0].text
    assert theirs[1].logprobs == pytest.approx(ours[1].logprobs, abs=1e-4)


@pytest.mark.slow
def test_the_same_requests_give_the_same_draws(small: Path) -> None:
    asked = [Request("The quick", max_tokens=8, temperature=1.0, raw=True, draw=i) for i in range(3)]
    once, _ = both(small, asked)
    again, _ = both(small, asked)
    assert once == again
    assert len({r.text for r in once}) > 1


def test_any_backend_of_lm_eval_answers(tmp_path: Path) -> None:
    model = backend.load(Checkpoint("x", "x", "hub"), backend.LmEvalOptions("dummy", chat_template="none"))
    asked = [Request("a", max_tokens=3), Request("a", choices=(" b", " c")), Request("", choices=("whole",), rolling=True)]
    first, second = dict(model.answer(asked)), dict(model.answer(asked))
    assert first[0].text == "lol"
    assert len(first[1].logprobs) == 2
    assert first == second


def test_an_unknown_backend_names_those_that_there_are(tmp_path: Path) -> None:
    with pytest.raises(SkilldeltaError, match=r"There is no lm-eval backend 'hff'\. Did you mean"):
        backend.load(Checkpoint("x", "x", "hub"), backend.LmEvalOptions("hff"))
    with pytest.raises(SkilldeltaError, match="Did you mean 'lm-eval'"):
        api.Backend("lm-evil:hf").loader()
