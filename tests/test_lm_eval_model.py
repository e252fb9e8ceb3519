"""The model that is registered with lm-eval, against lm-eval's own hf model: the same requests, the same answers."""

from pathlib import Path
from typing import Any

import pytest
import torch
from lm_eval.api.instance import Instance
from lm_eval.api.registry import get_model

from harness import lm_eval_model
from tests.support import tiny

SHOTS = "Question: How many apples are left? Answer: 7.\n\nQuestion: What is 3+4? Answer: 7.\n\n"
WINDOW = 64


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    folder = str(tiny.llama(tmp_path_factory.mktemp("model"), window=WINDOW))
    given = {"device": "cpu", "dtype": "float32", "batch_size": 2}
    return get_model("skilldelta")(folder, **given), get_model("hf")(folder, **given)


def instances(kind: str, arguments: list[tuple[Any, ...]]) -> list[Any]:
    return [
        Instance(request_type=kind, doc={}, arguments=a, idx=i, metadata=("t", i, 1))  # type: ignore[arg-type]
        for i, a in enumerate(arguments)
    ]


def test_lm_eval_knows_the_model_by_name() -> None:
    assert get_model("skilldelta") is lm_eval_model.SkilldeltaLM


@pytest.mark.slow
def test_the_engine_shares_prefixes_here(both: tuple[Any, Any]) -> None:
    assert both[0].backend_model.engine.name == "tree"


@pytest.mark.skipif(not torch._C._has_mkldnn, reason="no oneDNN on this processor")
def test_a_folder_is_laid_out_for_the_processor_and_a_model_that_is_handed_over_is_not_touched(both: tuple[Any, Any]) -> None:
    assert both[0].model.model.layers[0].mlp.up_proj.weight.is_meta
    own = both[1].model
    found = get_model("skilldelta")(own, tokenizer=both[1].tokenizer, batch_size=2)
    assert found.model is own
    assert not any(weight.is_meta for weight in own.parameters())


def test_continuations_have_the_log_likelihoods_of_hf(both: tuple[Any, Any]) -> None:
    contexts = [f"{SHOTS}Question: {q}? Answer:" for q in ("How many", "What", "Are there")] + [
        "",
        SHOTS * 3,
        "ends in blanks  ",
    ]
    asked = instances("loglikelihood", [(c, choice) for c in contexts for choice in (" A", " B. False", " 12 apples, 5 left")])
    ours, theirs = (m.loglikelihood(asked, disable_tqdm=True) for m in both)
    assert [p for p, _ in ours] == pytest.approx([p for p, _ in theirs], abs=1e-4)
    assert [g for _, g in ours] == [g for _, g in theirs]


def test_whole_texts_have_the_log_likelihoods_of_hf(both: tuple[Any, Any]) -> None:
    asked = instances("loglikelihood_rolling", [(SHOTS * n,) for n in (1, 3, 6)])
    ours, theirs = (m.loglikelihood_rolling(asked, disable_tqdm=True) for m in both)
    assert ours == pytest.approx(theirs, abs=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("stop", [[], ["e"], ["an", "\n\n"]])
def test_greedy_texts_are_those_of_hf(both: tuple[Any, Any], stop: list[str]) -> None:
    prompts = [f"{SHOTS}Question: {q}? Answer:" for q in ("How many", "What", "Are there")] + ["The quick", SHOTS * 4]
    asked = instances("generate_until", [(p, {"until": list(stop), "max_gen_toks": 12}) for p in prompts])
    ours, theirs = (m.generate_until(asked, disable_tqdm=True) for m in both)
    assert ours == theirs
    assert any(ours)


def test_sampling_is_left_to_hf(both: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lm_eval_model.HFLM, "generate_until", lambda self, requests, disable_tqdm=False: ["sampled"])
    asked = instances("generate_until", [("a", {"until": [], "do_sample": True, "temperature": 1.0})])
    assert both[0].generate_until(asked) == ["sampled"]


def test_an_answer_as_long_as_the_window_is_refused(both: tuple[Any, Any]) -> None:
    asked = instances("generate_until", [("a", {"until": [], "max_gen_toks": WINDOW})])
    with pytest.raises(ValueError, match="no room for a prompt"):
        both[0].generate_until(asked)


@pytest.mark.slow
def test_the_model_runs_by_name_in_lm_eval_itself(both: tuple[Any, Any], tmp_path: Path) -> None:
    """lm-eval's own loop over a task of its own kind, on rows of a local file."""
    import lm_eval
    from lm_eval.tasks import TaskManager

    (tmp_path / "rows.jsonl").write_text('{"q": "How many?", "a": 0}\n{"q": "What is 3+4?", "a": 1}\n')
    (tmp_path / "tiny.yaml").write_text(
        f"task: tiny\ndataset_path: json\ndataset_kwargs: {{data_files: {{test: {tmp_path}/rows.jsonl}}}}\ntest_split: test\n"
        'output_type: multiple_choice\ndoc_to_text: "{{q}}"\ndoc_to_target: a\ndoc_to_choice: ["7", "12"]\n'
        "metric_list: [{metric: acc}]\n"
    )
    tasks = TaskManager(include_path=str(tmp_path), include_defaults=False)
    ours, theirs = (lm_eval.simple_evaluate(m, tasks=["tiny"], task_manager=tasks, bootstrap_iters=0) for m in both)
    assert ours["results"]["tiny"]["acc,none"] == theirs["results"]["tiny"]["acc,none"]
