"""Against lm-eval itself: the same checkpoint, the same rows, the same result for every sample."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness import api, evaluate
from harness.models import lm_eval as backend
from harness.models import transformers
from harness.store import Results
from harness.types import Checkpoint, SkilldeltaError
from tasks import bbh, gsm8k, mmlu, truthfulqa
from tasks import lm_eval as bridge
from tests import tiny

LIMIT = 4


def write_rows(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return str(path)


class Lenient(yaml.SafeLoader):
    """Passes over lm-eval's own tags."""


Lenient.add_multi_constructor("!", lambda loader, suffix, node: None)


def local_tasks(folder: Path, data: Path) -> Path:
    """lm-eval's own task files, each pointed at local rows, with answers of at most 40 tokens."""
    import lm_eval.tasks

    own = Path(lm_eval.tasks.__file__).parent
    choice = [r for r in mmlu.test_rows(data) if r["subject"] == "astronomy"][:LIMIT]
    shots = mmlu.dev_rows(data)["astronomy"]
    truth = truthfulqa.mc_rows(data)[:LIMIT]
    navigate = [r for r in bbh.test_rows(data) if r["subtask"] == "navigate"][:LIMIT]
    rows: Mapping[str, tuple[str, dict[str, list[Any]]]] = {
        "gsm8k_cot": ("gsm8k/gsm8k-cot.yaml", {"test": gsm8k.test_rows(data)[:LIMIT], "train": gsm8k.test_rows(data)[:LIMIT]}),
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
    texts = tuple(r["question"] + r["answer"] for r in gsm8k.test_rows(real_data)[:300])
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
    task = bridge.bridge(name, (place / "tasks",), TASKS[name])
    output = place / f"{name}-{type(model).__name__}"
    checkpoint = Checkpoint("tiny", str(place / "model"), "transformers")
    (outcome,) = evaluate.score([checkpoint], [task], lambda _: model, Results.make(output), evaluate.Settings())
    assert outcome.state == "done", outcome.why
    return list(Results(output).cell("tiny", task.name).samples())


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("kind", ["transformers", "lm-eval:hf"])
def test_every_sample_is_lm_evals_own(place: Path, theirs: dict[str, list[dict[str, Any]]], name: str, kind: str) -> None:
    checkpoint = Checkpoint("tiny", str(place / "model"), "transformers")
    model = (
        transformers.load(checkpoint, transformers.Options(dtype="float32"))
        if kind == "transformers"
        else backend.load(checkpoint, backend.Options("hf", dtype="float32", device="cpu"))
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
        bridge.folder_of("gsm8k_cott")


@pytest.mark.slow
def test_only_the_folder_of_the_task_is_indexed() -> None:
    for name, folder in {"gsm8k_cot": "gsm8k", "mmlu": "mmlu", "bbh_cot_fewshot": "bbh"}.items():
        found = bridge.folder_of(name)
        assert found is not None
        assert found.name == folder


@pytest.mark.data
def test_an_unknown_backend_names_those_that_there_are(tmp_path: Path) -> None:
    with pytest.raises(SkilldeltaError, match=r"There is no lm-eval backend 'hff'\. Did you mean"):
        backend.load(Checkpoint("x", "x", "hub"), backend.Options("hff"))
    with pytest.raises(SkilldeltaError, match="Did you mean 'lm-eval'"):
        api.Backend("lm-evil:hf").loader()
