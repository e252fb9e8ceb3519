"""The benchmark tasks against other people's files: same rows from Hub and folder, same prompts as published."""

import importlib.util
from fractions import Fraction
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from harness import data, registry
from harness.types import Example, Response, SkilldeltaError
from tasks import bbh, gsm8k, mmlu, truthfulqa

FOUR = ["gsm8k", "mmlu", "mmlu_5_shot", "truthfulqa_mc1", "bbh"]


def lm_eval_file(path: str) -> dict[str, Any]:
    spec = importlib.util.find_spec("lm_eval")
    assert spec
    assert spec.submodule_search_locations
    found = yaml.safe_load((Path(spec.submodule_search_locations[0]) / "tasks" / path).read_text())
    assert isinstance(found, dict)
    return found


@pytest.fixture
def hub(real_data: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str | None, str]]:
    """A Hub whose data sets have the Hub's own columns and types; remembers what was asked of it."""
    asked: list[tuple[str, str | None, str]] = []

    def load(name: str, config: str | None, split: str, revision: str | None) -> datasets.Dataset:
        asked.append((name, config, split))
        return datasets.Dataset.from_list(HUB[name](real_data, config, split), features=FEATURES.get(name))

    monkeypatch.setattr(datasets, "load_dataset", load)
    return asked


def hub_truthfulqa(folder: Path, config: str | None, split: str) -> list[dict[str, Any]]:
    found = data.read(folder / "truthfulqa/v0/mc_task.json")
    for row in found:
        for kind in ("mc1_targets", "mc2_targets"):
            row[kind] = {"choices": list(row[kind]), "labels": list(row[kind].values())}
    return found


TEXT = datasets.Value("string")
TARGETS = {"choices": datasets.Sequence(TEXT), "labels": datasets.Sequence(datasets.Value("int32"))}
FEATURES = {
    "cais/mmlu": datasets.Features(
        {
            "question": TEXT,
            "subject": TEXT,
            "choices": datasets.Sequence(TEXT),
            "answer": datasets.ClassLabel(names=list("ABCD")),
        }
    ),
    "truthfulqa/truthful_qa": datasets.Features({"question": TEXT, "mc1_targets": TARGETS, "mc2_targets": TARGETS}),
}
HUB = {
    "openai/gsm8k": lambda folder, config, split: data.read(folder / "gsm8k/test.jsonl"),
    "cais/mmlu": lambda folder, config, split: mmlu.read_archive(folder / "mmlu/mmlu.zip", split),
    "truthfulqa/truthful_qa": hub_truthfulqa,
    "SaylorTwift/bbh": lambda folder, config, split: bbh.read_subtask(folder, config),
}


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.parametrize("name", FOUR)
def test_the_hub_and_a_folder_give_the_same_examples_and_requests(
    name: str, real_data: Path, hub: list[tuple[str, str | None, str]]
) -> None:
    task = registry.task(name)
    local, remote = data.examples(task, real_data), data.examples(task, None)
    assert hub, "nothing was asked of the Hub"
    assert [e.id for e in local] == [e.id for e in remote]
    assert [task.ask(e).id for e in local[::50]] == [task.ask(e).id for e in remote[::50]]


@pytest.mark.slow
@pytest.mark.data
def test_the_benchmarks_have_their_published_sizes(real_data: Path) -> None:
    sizes = {name: len(list(registry.task(name).rows(real_data))) for name in FOUR}
    assert sizes == {"gsm8k": 1319, "mmlu": 14042, "mmlu_5_shot": 14042, "truthfulqa_mc1": 817, "bbh": 6511}
    assert len({row["subject"] for row in mmlu.rows(real_data)}) == 57
    assert {len(rows) for rows in mmlu.exemplars(real_data).values()} == {5}


@pytest.mark.data
def test_chance_is_what_the_rows_say(real_data: Path) -> None:
    def share(row: Any, kind: str) -> float:
        labels = row[kind]["labels"]
        return sum(labels) / len(labels)

    rows = truthfulqa.rows(real_data)
    for task, kind in (("truthfulqa_mc1", "mc1_targets"), ("truthfulqa_mc2", "mc2_targets")):
        assert registry.task(task).chance == pytest.approx(sum(share(r, kind) for r in rows) / len(rows), abs=5e-4)


@pytest.mark.data
@pytest.mark.parametrize("name", bbh.SUBTASKS)
def test_the_worked_examples_in_lm_eval_are_the_authors_own(name: str, real_data: Path) -> None:
    assert bbh.lm_eval_prompt(name) == bbh.read_prompt(real_data, name)


def test_worked_examples_that_are_nowhere_are_an_error_with_a_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bbh, "LM_EVAL", "tasks/no_such_folder/{}.yaml")
    with pytest.raises(SkilldeltaError, match=r"(?s)bbh/cot-prompts/snarks\.txt.*--data"):
        bbh.lm_eval_prompt("snarks")


def test_the_eight_exemplars_are_those_that_lm_eval_has() -> None:
    samples = lm_eval_file("gsm8k/gsm8k-cot.yaml")["fewshot_config"]["samples"]
    shots = [f"Question: {s['question']}\nAnswer: {s['target'].replace('The answer', 'So the answer')}" for s in samples]
    assert gsm8k.EIGHT_SHOTS.strip().split("\n\n") == ["Answer the following questions.", *shots]


def test_the_primer_is_the_one_that_lm_eval_has() -> None:
    template = lm_eval_file("truthfulqa/truthfulqa_mc1.yaml")["doc_to_text"]
    assert truthfulqa.PRIMER.strip() == template.split("prompt_qa = '")[1].split("'%}")[0].strip()


def test_five_shots_stand_before_the_question_with_their_letters() -> None:
    def row(question: str, answer: int) -> dict[str, Any]:
        return {"question": question, "subject": "world_religions", "choices": ["a", "b", "c", "d"], "answer": answer}

    request = mmlu.ask(Example(row("Third?", 0), fewshot=(row("First?", 2), row("Second?", 3))))
    assert request.prompt == (
        "The following are multiple choice questions (with answers) about  world religions.\n\n"
        "First?\nA. a\nB. b\nC. c\nD. d\nAnswer: C\n\n"
        "Second?\nA. a\nB. b\nC. c\nD. d\nAnswer: D\n\n"
        "Third?\nA. a\nB. b\nC. c\nD. d\nAnswer:"
    )
    assert request.prefix == "The answer is:"
    assert request.choices == (" A", " B", " C", " D")


def test_a_broken_archive_line_is_named(tmp_path: Path) -> None:
    import zipfile

    (tmp_path / "mmlu").mkdir()
    with zipfile.ZipFile(tmp_path / "mmlu" / "mmlu.zip", "w") as archive:
        archive.writestr("data/test/anatomy_test.csv", "Which?,a,b,c,d,A\nWhich?,a,b,c,d,E\n")
    with pytest.raises(SkilldeltaError, match=r"anatomy_test\.csv.*'E'"):
        mmlu.rows(tmp_path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    for name in FOUR:
        with pytest.raises(SkilldeltaError, match=r"(?s)There is no data file .*--data"):
            data.examples(registry.task(name), tmp_path)


@given(
    st.integers(-(10**9), 10**9), st.sampled_from(["{}", "{:,}", "${:,}", "{:.2f}"]), st.sampled_from(["", ".", " pears.", "%"])
)
def test_a_number_is_read_however_it_is_written(number: int, form: str, after: str) -> None:
    said = form.format(number).replace("$-", "-$")
    assert Fraction(gsm8k.last_number(f"First 7, then 3-1=2. The answer is {said}{after}")) == number


@given(st.lists(st.floats(-500, 0), min_size=4, max_size=4), st.floats(-2000, 2000))
def test_mc2_knows_only_the_differences_of_log_probabilities(weights: list[float], shift: float) -> None:
    targets = {"choices": list("abcd"), "labels": [1, 1, 0, 0]}
    example = Example({"question": "?", "mc1_targets": targets, "mc2_targets": targets})
    one = truthfulqa.score_mc2(example, Response(logprobs=tuple(weights))).value
    other = truthfulqa.score_mc2(example, Response(logprobs=tuple(w + shift for w in weights))).value
    plain = np.exp(np.array(weights) - max(weights))
    assert one == pytest.approx(plain[:2].sum() / plain.sum())
    assert other == pytest.approx(one, abs=1e-9)


@pytest.mark.data
@pytest.mark.parametrize("name", bbh.SUBTASKS)
def test_bbh_without_exemplars_has_the_description_and_the_words_of_lm_eval(name: str, real_data: Path) -> None:
    spec = importlib.util.find_spec("lm_eval")
    assert spec
    assert spec.submodule_search_locations
    lines = (Path(spec.submodule_search_locations[0]) / f"tasks/bbh/cot_zeroshot/{name}.yaml").read_text().splitlines()
    settings = yaml.safe_load("\n".join(line for line in lines if line.startswith(('"description"', '"doc_to_text"'))))
    (description,) = bbh.descriptions(real_data)[name]
    request = bbh.ask_zero_shot(Example({"subtask": name, "input": "IN", "target": ""}, fewshot=(description,)))
    theirs = settings["description"] + settings["doc_to_text"].replace("{{input}}", "IN")
    assert f"{request.prompt}\n{request.prefix}" == theirs
